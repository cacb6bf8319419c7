"""fault_recovery: which of three faults a manipulation shows, on what measurements, and how it should have gone on.

What tells the faults apart (Motion and Proprioception measure, this file only decides):

- hesitation_loop: motion turns back twice or more over legs of similar length, ends near where it began, and each way
  back looks like the way there: nothing was gripped, nothing was moved. In joint signals: an arm turns back twice or
  more by similar amplitudes while no gripper opens or closes.
- unstable_grasp: the same to-and-fro over the same place, three turns or more (down to the grasp, up, down to it
  again), but the way back differs: the gripper has closed, or something came along and fell back. In joint signals: a
  hand closes, opens, and closes again near the pose of its first closing.
- early_stagnation: motion stops for the rest of the stream, at least a quarter of it, before anything was gripped: no
  gripper has closed, and no turn after which the way back differs.

A pick and place has stops and turns of its own. They are no fault: it closes once, its turns lie at different places,
and it goes on after its stops.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

from pydantic import BaseModel

from schemas.anchor import AnchorKind, FactualAnchor
from schemas.errors import UnsuitedError
from schemas.outputs.fault_recovery import CorrectedStep, Fault, FaultRecovery, Observation
from schemas.outputs.span import Span
from schemas.score import Claim, ClaimKind, Support
from schemas.stream import Domain, Stream, TrackKind
from synthesis.agents.cameras import main_of, paired, require_paired, seen_by_all
from synthesis.agents.passages import ended_once
from synthesis.base import Agent, Evidence, Recognition
from synthesis.verification import mentions

SAME_WAY = "same way back"
"""What Motion says of a turn whose way back looks as the way there."""

LEAST_STILL = 0.25
"""Share of the stream that a final stall must last."""
LEAST_STALL = 0.3
"""And seconds."""
AT_END = 0.3
"""Seconds before the end of the stream that still count as its end."""
ALIKE = 0.5
"""Least ratio of the amplitudes of two turns of one hesitation."""
SAME_POSE = 0.25
"""Most that an arm may be from where its hand closed before, in its range, to close on the same thing again."""
REGRASP = 4.0
"""Seconds within which a hand that has opened closes again on the same thing."""
BETWEEN_TURNS = 5.0
"""Seconds within which one turn of a hesitation follows the other."""
MAX_OBSERVATIONS = 12

MOVES = (AnchorKind.MOTION, AnchorKind.STALL, AnchorKind.REVERSAL, AnchorKind.OSCILLATION)
JOINTS = (
    AnchorKind.GRIPPER_CLOSE,
    AnchorKind.GRIPPER_OPEN,
    AnchorKind.JOINT_STALL,
    AnchorKind.JOINT_REVERSAL,
    AnchorKind.CONTACT,
)
FACTS = MOVES + JOINTS

CARRIERS = {
    Fault.HESITATION_LOOP: (AnchorKind.OSCILLATION, AnchorKind.JOINT_REVERSAL),
    Fault.UNSTABLE_GRASP: (AnchorKind.OSCILLATION, AnchorKind.REVERSAL, AnchorKind.GRIPPER_CLOSE),
    Fault.EARLY_STAGNATION: (AnchorKind.STALL, AnchorKind.JOINT_STALL),
}
"""The kinds at whose edges the span of a fault must begin and end."""

PHRASES = (
    ("turns back", AnchorKind.REVERSAL),
    ("to and fro", AnchorKind.OSCILLATION),
    ("stands still", AnchorKind.STALL),
    ("moves", AnchorKind.MOTION),
    ("closes", AnchorKind.GRIPPER_CLOSE),
    ("opens", AnchorKind.GRIPPER_OPEN),
    ("joints stop", AnchorKind.JOINT_STALL),
    ("joints turn", AnchorKind.JOINT_REVERSAL),
    ("parts from its command", AnchorKind.CONTACT),
)
"""The words by which an observation names what was measured."""

_COUNTS = (
    (re.compile(r"\bturns back (\d+) times\b"), AnchorKind.REVERSAL),
    (re.compile(r"\bjoints turn back (\d+) times\b"), AnchorKind.JOINT_REVERSAL),
    (re.compile(r"\bcloses (\d+) times\b"), AnchorKind.GRIPPER_CLOSE),
)

DIAGNOSES = {
    Fault.HESITATION_LOOP: "Back-and-forth motion without progress",
    Fault.UNSTABLE_GRASP: "A grasp that does not hold and is tried again",
    Fault.EARLY_STAGNATION: "Motion that stops before anything was grasped",
}

CONTINUATIONS = {
    Fault.HESITATION_LOOP: (
        ("Stop the back-and-forth motion and hold still", "a still view shows where the target is"),
        ("Look again and choose one target pose", "the loop went on because no approach was decided on"),
        ("Go to that pose in one motion without turning back", "progress instead of repetition"),
        ("Act at the target, then check the result before going on", "the step is known to be done"),
    ),
    Fault.UNSTABLE_GRASP: (
        ("Open the gripper and back off a little from the grasp place", "the failed grasp is not forced"),
        ("Look again at where the object lies now", "a slip may have moved it"),
        ("Approach once more and close with another grasp pose or more overlap", "the same grasp would slip again"),
        ("Lift slightly and check that the object follows before moving on", "a slip shows early"),
    ),
    Fault.EARLY_STAGNATION: (
        ("Look again at the remaining distance to the target", "the stop came before the target was reached"),
        ("Resume the approach from where it stopped", "the motion so far is kept"),
        ("Act at the target, then check the result", "the step is known to be done"),
    ),
}


@dataclass(frozen=True)
class _Finding:
    """A fault seen: its span, what carries it (first the decisive anchors), how sure."""

    fault: Fault
    t0: float
    t1: float
    anchors: tuple[FactualAnchor, ...]
    confidence: float


class FaultRecoveryAgent(Agent):
    """Decides from motion and joint anchors alone. What lies in the picture is unknown to it, so it names nothing."""

    task_type: ClassVar[str] = "fault_recovery"
    version: ClassVar[str] = "2"
    domains: ClassVar[frozenset[Domain]] = frozenset({Domain.EMBODIED})
    joins: ClassVar[bool] = True
    """Cameras of one episode."""
    output: ClassVar[type[BaseModel]] = FaultRecovery
    parts: ClassVar[dict[str, str]] = {"observations": "observations"}
    divisible: ClassVar[bool] = False
    recognition: ClassVar[Recognition] = Recognition(
        instruction="Name the fault of this manipulation, when it happens and when it could have been seen, why, and "
        "how it should have gone on.",
        names=(
            r"faults?(?: recovery)?",
            r"recover\w*",
            r"fail(?:s|ed|ures?|ing)?(?: (?:detection|analysis|recovery|diagnosis))?",
            r"mistakes?",
            r"errors?(?: (?:correction|recovery|detection))?",
            r"embodied(?= decisions?\b)",  # decisions are learned from where they go wrong, too
            r"(?:goes|going|went) wrong",
            r"corrective|corrections?",
        ),
        hints=(r"robots?\w*", r"manipulat\w+", r"embodied", r"grasp\w*", r"gripper", r"diagnos\w+", r"arms?", r"wrong"),
        examples=(
            "Find the fault of the robot and how it should have recovered.",
            "What goes wrong in this manipulation, when, and why?",
            "Detect failures of the grasp and give the correction.",
            "Data for a robot that notices its mistakes and corrects them.",
            "Diagnose the error and continue rightly.",
        ),
        prior={Domain.EMBODIED: 0.35},
        needs=frozenset({TrackKind.VIDEO, TrackKind.IMAGES, TrackKind.SIGNALS}),
    )

    @classmethod
    def joinable(cls, streams: Sequence[Stream]) -> bool:
        return paired(streams)

    def compose(self, evidence: Evidence) -> FaultRecovery:
        require_paired(evidence.streams)
        stream = main_of(evidence.streams)
        facts = evidence.of(*FACTS, stream=stream.sha256)
        if not facts:
            raise UnsuitedError(
                stream.uri,
                "no fault visible: nothing moves in it",
                "Give a recording of a manipulation, and the experts motion or proprioception",
            )
        found = [*_unstable(facts), *_hesitating(facts), *_stagnant(facts, stream.duration)]
        if not found:
            raise UnsuitedError(
                stream.uri,
                f"no fault visible in {len(facts)} measurements of motion: no repeated to-and-fro over one place, "
                "no repeated grasp, no stop for good before a grasp",
                "Leave it out of a corpus of faults, or ask for another task type",
            )
        # The surest one; max takes the first of equals, and a repeated grasp says more than a to-and-fro.
        finding = max(found, key=lambda one: one.confidence)
        observations = _observations(finding)
        return FaultRecovery(
            fault=finding.fault,
            span=Span(t0=finding.t0, t1=finding.t1),
            observations=observations,
            diagnosis=_diagnosis(finding, facts, evidence),
            reasoning=_reasoning(finding, observations),
            recall_time=finding.t0,
            corrected_continuation=tuple(
                CorrectedStep(action=action, purpose=purpose) for action, purpose in CONTINUATIONS[finding.fault]
            ),
        )

    def claims(self, output: Any, streams: Sequence[Stream]) -> list[Claim]:
        stream = main_of(streams).sha256
        span, recall = output["span"], output["recall_time"]
        t0, t1 = span["t0"], span["t1"]
        carriers = CARRIERS.get(output["fault"], FACTS)
        # A span may run over several anchors: each of its edges is one's edge.
        claims = [
            Claim(path="/span/t0", kind=ClaimKind.TIME, stream=stream, t0=t0, kinds=carriers),
            Claim(path="/span/t1", kind=ClaimKind.TIME, stream=stream, t0=t1, kinds=carriers),
            Claim(path="/recall_time", kind=ClaimKind.TIME, stream=stream, t0=recall, kinds=FACTS),
            Claim(path="/recall_time", kind=ClaimKind.ORDER, stream=stream, items=(recall, t1), kinds=FACTS),
        ]
        moments = [t0, t1, recall]
        for place, seen in enumerate(output["observations"]):
            path = f"/observations/{place}"
            text = seen["description"]
            named = tuple(kind for phrase, kind in PHRASES if phrase in text)
            claims.append(
                Claim(path=path, kind=ClaimKind.TIME, stream=stream, t0=seen["t0"], t1=seen["t1"], kinds=named or FACTS)
            )
            edges = (seen["t0"], seen["t1"])
            moments.extend(edges)
            claims += mentions.claims_in(text, f"{path}/description", stream, moments=edges, span=edges, kinds=FACTS)
        texts = [("/diagnosis", output["diagnosis"]), ("/reasoning", output["reasoning"])]
        for place, step in enumerate(output["corrected_continuation"]):
            texts += [(f"/corrected_continuation/{place}/{part}", step[part]) for part in ("action", "purpose")]
        for path, text in texts:
            claims += mentions.claims_in(
                text,
                path,
                stream,
                moments=moments,
                span=(t0, t1),
                kinds=FACTS,
                quote_kinds=(AnchorKind.GIVEN_TEXT,),
            )
            claims += [
                Claim(
                    path=path,
                    kind=ClaimKind.COUNT,
                    stream=stream,
                    t0=t0,
                    t1=_until(t1),
                    kinds=(kind,),
                    count=int(match[1]),
                )
                for pattern, kind in _COUNTS
                for match in pattern.finditer(text)
            ]
        return claims

    def repair(self, output: BaseModel, unsupported: Sequence[Support], evidence: Evidence) -> FaultRecovery | None:
        """Takes out observations without support, and writes the reasoning anew from what is left.

        A span, a recall time or a diagnosis without support leaves nothing: the fault itself is not shown.
        """
        assert isinstance(output, FaultRecovery)
        wrong = {support.path for support in unsupported}
        dropped = {int(m[1]) for path in wrong if (m := re.match(r"/observations/(\d+)", path))}
        if any(path.startswith(("/span", "/recall_time", "/diagnosis")) for path in wrong):
            return None
        kept = tuple(seen for place, seen in enumerate(output.observations) if place not in dropped)
        steps = tuple(
            step
            for place, step in enumerate(output.corrected_continuation)
            if not any(path.startswith(f"/corrected_continuation/{place}/") for path in wrong)
        )
        if not kept or not steps:
            return None
        reasoning = _cited(kept) if dropped or "/reasoning" in wrong else output.reasoning
        return output.model_copy(update={"observations": kept, "corrected_continuation": steps, "reasoning": reasoning})

    def evidence_times(self, output: Any, streams: Sequence[Stream]) -> list[tuple[str, float]]:
        """Frames at the moment to look again, at the edges and in the middle of the fault, then at what was seen."""
        t0, t1 = output["span"]["t0"], output["span"]["t1"]
        times = [output["recall_time"], t0, (t0 + t1) / 2, t1, *(seen["t0"] for seen in output["observations"])]
        return seen_by_all(streams, times)


# --- the three faults ----------------------------------------------------------------------------------------------


def _hesitating(facts: Sequence[FactualAnchor]) -> Iterator[_Finding]:
    for loop in _of(facts, AnchorKind.OSCILLATION):
        if loop.content == SAME_WAY and (loop.value or 0) >= 2:
            turns = _within(_of(facts, AnchorKind.REVERSAL), loop.t0, loop.t1)
            yield _Finding(Fault.HESITATION_LOOP, loop.t0, loop.t1, (loop, *turns), loop.confidence)
    grips = _of(facts, AnchorKind.GRIPPER_CLOSE, AnchorKind.GRIPPER_OPEN)
    for turns in _loops(_of(facts, AnchorKind.JOINT_REVERSAL)):
        # What turns because it has gripped or let go does not hesitate.
        if _within(grips, turns[0].t0 - BETWEEN_TURNS / 5, turns[-1].t1, overlap=True):
            continue
        sure = min(turn.confidence for turn in turns)
        yield _Finding(Fault.HESITATION_LOOP, turns[0].t0, turns[-1].t1, tuple(turns), sure)


def _loops(turns: Iterable[FactualAnchor]) -> Iterator[list[FactualAnchor]]:
    """Runs of two turns or more of one group of joints, of similar amplitude, close in time."""
    by_group: dict[str, list[FactualAnchor]] = {}
    for turn in turns:
        by_group.setdefault(turn.content, []).append(turn)
    for group in by_group.values():
        run = group[:1]
        for before, turn in pairwise(group):
            sizes = sorted((abs(before.value or 0.0), abs(turn.value or 0.0)))
            if turn.t0 - before.t0 <= BETWEEN_TURNS and sizes[0] >= ALIKE * sizes[1] > 0:
                run.append(turn)
                continue
            if len(run) >= 2:
                yield run
            run = [turn]
        if len(run) >= 2:
            yield run


def _unstable(facts: Sequence[FactualAnchor]) -> Iterator[_Finding]:
    for loop in _of(facts, AnchorKind.OSCILLATION):
        if loop.content != SAME_WAY and (loop.value or 0) >= 3:
            inside = _within(_of(facts, AnchorKind.REVERSAL, *JOINTS), loop.t0, loop.t1)
            # From the last turn on the object is lifted once more: the fault is over, or shows no further.
            turns = _of(inside, AnchorKind.REVERSAL)
            end = turns[-1].t0 if turns else loop.t1
            yield _Finding(Fault.UNSTABLE_GRASP, loop.t0, end, (loop, *inside), loop.confidence)
    hands: dict[str, list[FactualAnchor]] = {}
    for grip in _of(facts, AnchorKind.GRIPPER_CLOSE, AnchorKind.GRIPPER_OPEN):
        hands.setdefault(grip.content, []).append(grip)
    for grips in hands.values():
        for shut, opened, again in zip(grips, grips[1:], grips[2:], strict=False):
            kinds = (shut.kind, opened.kind, again.kind)
            if kinds != (AnchorKind.GRIPPER_CLOSE, AnchorKind.GRIPPER_OPEN, AnchorKind.GRIPPER_CLOSE):
                continue
            moved = again.value
            if again.t0 - opened.t0 > REGRASP or (moved is not None and moved > SAME_POSE):
                continue
            sure = min(shut.confidence, opened.confidence, again.confidence)
            if moved is None:
                sure *= 0.8  # closed twice, but where is unknown
            yield _Finding(Fault.UNSTABLE_GRASP, shut.t0, again.t1, (shut, opened, again), sure)


def _stagnant(facts: Sequence[FactualAnchor], duration: float) -> Iterator[_Finding]:
    for stall in _of(facts, AnchorKind.STALL, AnchorKind.JOINT_STALL):
        still = stall.t1 - stall.t0
        at_end = stall.t1 >= duration - max(AT_END, 0.05 * duration)
        if not at_end or still < max(LEAST_STALL, LEAST_STILL * duration):
            continue
        before = [fact for fact in facts if fact.t0 < stall.t0 and fact is not stall]
        if stall.kind == AnchorKind.JOINT_STALL:
            # The picture may still move when one group of joints has come to rest.
            moving = _of(facts, AnchorKind.MOTION)
            if any(motion.t1 > stall.t0 + AT_END for motion in moving):
                continue
        gripped = _of(before, AnchorKind.GRIPPER_CLOSE)
        turned = [turn for turn in _of(before, AnchorKind.REVERSAL, AnchorKind.OSCILLATION) if turn.content != SAME_WAY]
        moved = [move for move in _of(before, AnchorKind.MOTION) if move.t1 <= stall.t0 + AT_END]
        if gripped or turned or (stall.kind == AnchorKind.STALL and not moved):
            continue
        yield _Finding(Fault.EARLY_STAGNATION, stall.t0, stall.t1, (stall, *moved[-1:]), 0.9 * stall.confidence)


def _of(facts: Sequence[FactualAnchor], *kinds: str) -> list[FactualAnchor]:
    return [fact for fact in facts if fact.kind in kinds]


def _within(facts: Sequence[FactualAnchor], t0: float, t1: float, *, overlap: bool = False) -> list[FactualAnchor]:
    """Facts that lie in a stretch, or that share a moment with it."""
    if overlap:
        return [fact for fact in facts if fact.t0 <= t1 and fact.t1 >= t0]
    return [fact for fact in facts if t0 <= fact.t0 and fact.t1 <= t1]


# --- the words -----------------------------------------------------------------------------------------------------


def _observations(finding: _Finding) -> tuple[Observation, ...]:
    decisive = finding.anchors[:MAX_OBSERVATIONS]
    return tuple(
        Observation(t0=fact.t0, t1=fact.t1, description=_described(fact))
        for fact in sorted(decisive, key=lambda fact: (fact.t0, fact.t1, fact.kind))
    )


def _described(fact: FactualAnchor) -> str:
    """A measured fact in plain words. Each sentence holds one of PHRASES, by which its claim finds the kind again."""
    if fact.kind == AnchorKind.REVERSAL:
        same = fact.content == SAME_WAY
        return "Motion turns back " + ("the way it came" if same else "and the way back looks different")
    if fact.kind == AnchorKind.OSCILLATION:
        return f"Motion goes to and fro over one place, {fact.content}"
    if fact.kind == AnchorKind.STALL:
        return f"What moved stands still for {fact.t1 - fact.t0:.2f} s"
    if fact.kind == AnchorKind.MOTION:
        way = fact.content if fact.content and fact.content != "in place" else "without net direction"
        return f"Something moves {way}"
    which = fact.content or "hand"
    if fact.kind == AnchorKind.GRIPPER_CLOSE:
        return f"The gripper ({which}) closes"
    if fact.kind == AnchorKind.GRIPPER_OPEN:
        return f"The gripper ({which}) opens"
    if fact.kind == AnchorKind.JOINT_STALL:
        return f"The joints stop ({which}) for {fact.t1 - fact.t0:.2f} s"
    if fact.kind == AnchorKind.JOINT_REVERSAL:
        return f"The joints turn round ({which})"
    return f"A group of joints ({which}) parts from its command"


def _diagnosis(finding: _Finding, facts: Sequence[FactualAnchor], evidence: Evidence) -> str:
    parts = [f"{DIAGNOSES[finding.fault]}, from {finding.t0:.2f} s to {finding.t1:.2f} s"]
    counted = [
        ("motion turns back {} times", AnchorKind.REVERSAL),
        ("the joints turn back {} times", AnchorKind.JOINT_REVERSAL),
        ("the gripper closes {} times", AnchorKind.GRIPPER_CLOSE),
    ]
    for words, kind in counted:
        count = sum(finding.t0 - 1e-3 <= fact.t0 < _until(finding.t1) - 1e-3 for fact in _of(facts, kind))
        if count >= 2:
            parts.append(words.format(count))
    text = "; ".join(parts) + "."
    given = [fact.content for fact in evidence.of(AnchorKind.GIVEN_TEXT, stream=main_of(evidence.streams).sha256)]
    if given and given[0].strip():
        text += f" The task was {mentions.quoted(given[0])}."
    return ended_once(text)


def _until(t1: float) -> float:
    """The end of a counting window that still holds what happens at t1 itself."""
    return t1 + 0.01


def _reasoning(finding: _Finding, observations: Sequence[Observation]) -> str:
    why = {
        Fault.HESITATION_LOOP: "The ways back look as the ways there, and the motion ends near where it turned first: "
        "nothing was gained in between.",
        Fault.UNSTABLE_GRASP: "The same place was gone to again after a grasp: the first one did not hold.",
        Fault.EARLY_STAGNATION: "Nothing was grasped before it, and nothing follows it: the approach was given up.",
    }
    return f"{_cited(observations)} {why[finding.fault]} {finding.t0:.2f} s is the moment to look again."


def _cited(observations: Sequence[Observation]) -> str:
    sentences = []
    for seen in observations:
        words = seen.description[0].lower() + seen.description[1:]
        words = re.sub(r" for [\d.]+ s\b", "", words)  # its length is said in the observation
        when = f"At {seen.t0:.2f} s" if seen.t1 == seen.t0 else f"From {seen.t0:.2f} s to {seen.t1:.2f} s"
        sentences.append(f"{when}, {words}.")
    return " ".join(sentences)

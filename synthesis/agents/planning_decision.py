"""planning_decision: decisions of a manipulation, each from what was known then, and the plan that follows.

Where nothing went wrong, decisions lie where the recording begins and where a gripper begins or ends to act, and the
plan is what was done next. Where a fault was found (as fault_recovery finds it), the decision to correct lies at its
beginning, the risks are what was measured of it, and the plan is how it should have gone on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from pydantic import BaseModel

from schemas.anchor import AnchorKind, FactualAnchor
from schemas.errors import UnsuitedError
from schemas.outputs.fault_recovery import Fault, FaultRecovery
from schemas.outputs.planning_decision import (
    Choice,
    Decision,
    PlanningDecision,
    PlanStep,
    Risk,
    RiskType,
    Situation,
)
from schemas.outputs.world_model import SCENE, ActionType, Condition, MeasuredAction, StateFact
from schemas.score import Claim
from schemas.stream import Domain, Stream, TrackKind
from synthesis.agents.cameras import main_of, paired, require_paired, seen_by_all
from synthesis.agents.fault_recovery import SAME_WAY, FaultRecoveryAgent
from synthesis.agents.handling import HANDLED, LEAST, Handling, Stretch, fact_claims, stretch_claims
from synthesis.agents.proofs import edge, proved, refused, whole
from synthesis.base import Evidence, GroundedAgent, Recognition
from synthesis.verification.check import EPSILON
from synthesis.verification.mentions import claims_in, find

MOST_STEPS = 3
MOST_HISTORY = 4
MOST_RISKS = 6
MOST = 32
"""Decisions of one output."""
_POSTURES = {ActionType.CLOSE_GRIPPER: Condition.CLOSED, ActionType.OPEN_GRIPPER: Condition.OPEN}
"""What a hand is after it."""
_RISKS = {
    RiskType.OSCILLATION: (AnchorKind.OSCILLATION,),
    RiskType.SECOND_GRASP: (AnchorKind.GRIPPER_CLOSE,),
    RiskType.STALL: (AnchorKind.STALL, AnchorKind.JOINT_STALL),
    RiskType.REVERSAL: (AnchorKind.REVERSAL, AnchorKind.JOINT_REVERSAL),
}
_JOINTS = (AnchorKind.JOINT_STALL, AnchorKind.JOINT_REVERSAL, AnchorKind.GRIPPER_CLOSE)
"""Their content is the hand or the group of joints; that of the others tells what the way back looks like."""
_WORDS = {
    Condition.OPEN: "is open",
    Condition.CLOSED: "is closed",
    Condition.IN_CONTACT: "is in contact",
    Condition.MOVING: "moves",
    Condition.STILL: "stands still",
    Condition.TURNING: "turns back",
    Condition.IN_FRONT: "is in front",
}
_RISK_WORDS = {
    RiskType.OSCILLATION: "goes to and fro",
    RiskType.REVERSAL: "turns back",
    RiskType.STALL: "stands still",
    RiskType.SECOND_GRASP: "closes again",
}
_STATED = re.compile("|".join(rf"\b{words}\b" for words in {*_WORDS.values(), *_RISK_WORDS.values()}))


class PlanningDecisionAgent(GroundedAgent):
    """Situations end with the moment of the decision; plans begin with it."""

    task_type: ClassVar[str] = "planning_decision"
    version: ClassVar[str] = "2"
    domains: ClassVar[frozenset[Domain]] = frozenset({Domain.EMBODIED})
    joins: ClassVar[bool] = True
    """Cameras of one episode."""
    output: ClassVar[type[BaseModel]] = PlanningDecision
    parts: ClassVar[dict[str, str]] = {"decisions": "decisions", "plans": "decisions", "situations": "decisions"}
    recognition: ClassVar[Recognition] = Recognition(
        instruction="Write the decisions of this manipulation: the situation as known at the moment, the risks as "
        "measured, and the plan that follows, with times and reasons.",
        names=(
            r"(?:task |high[- ]level |embodied |action )?plan(?:s|ning|ner)?(?: (?:data|decisions?))?",
            r"decisions?(?:[- ]making)?(?: (?:data|samples?))?",
            r"decid(?:e|es|ing)",
            r"sub-?goals?",
            r"(?:task )?decompos\w+",
            r"next (?:best )?actions?",
            r"what (?:should \w+ \w+ |to )do next",
            r"decisions?(?:[- ]making)?",
            r"(?:task |motion |action |embodied |robot )?plan(?:s|ning)?(?: decisions?| data| steps?)?",
            r"what (?:to|should (?:it|the robot|one)) do next",
            r"next[- ]actions?",
            r"sub-?tasks?(?: decompositions?| planning)?",
        ),
        hints=(
            r"tasks?",
            r"goals?",
            r"steps?",
            r"reason\w*",
            r"robots?\w*",
            r"embodied",
            r"choose|chosen|options",
            r"manipulat\w+",
            r"risks?",
            r"situations?",
        ),
        examples=(
            "Build decision data: what the robot sees and which action it takes next.",
            "Task planning with sub-goals for a manipulator.",
            "Decompose the long task into a plan of steps.",
            "Which action should come next, and why?",
            "Train an embodied planner.",
            "Make decision-making data from these robot episodes.",
            "I want the planner of my robot to learn what to do next and why.",
            "Give me situations, risks and plans from the manipulation recordings.",
            "Break the episode down into sub-tasks with reasons.",
            "What should the arm decide at each point? Build training data for that.",
            "Construct embodied planning data with the moments at which a decision is made.",
        ),
        prior={Domain.EMBODIED: 0.3},
        needs=frozenset({TrackKind.VIDEO, TrackKind.IMAGES, TrackKind.SIGNALS}),
    )

    @classmethod
    def joinable(cls, streams: Sequence[Stream]) -> bool:
        return paired(streams)

    def compose(self, evidence: Evidence) -> PlanningDecision:
        require_paired(evidence.streams)
        stream = main_of(evidence.streams)
        anchors = evidence.by_stream[stream.sha256]
        handling, fault = Handling(anchors), _fault(evidence)
        decisions = list(_going_on(handling, None if fault is None else fault.span.t0))
        if fault is not None and (correction := _correcting(handling, fault, anchors)) is not None:
            decisions = [*(one for one in decisions if one.time < correction.time - EPSILON), correction]
        if not decisions:
            raise UnsuitedError(
                stream.uri,
                "no moment of decision in it: nothing is known of a state from which something measured follows",
                "Give a recording of a manipulation with motion or robot signals, or choose a model backend.",
            )
        given = evidence.of(AnchorKind.GIVEN_TEXT, stream=stream.sha256)
        task = next((text.content for text in given if text.content.strip()), None)
        return proved(self, PlanningDecision(task=task, decisions=tuple(decisions[-MOST:])), evidence)

    def claims(self, output: Any, streams: Sequence[Stream]) -> list[Claim]:
        stream = main_of(streams).sha256
        found = super().claims(output, [main_of(streams)])
        for place, decision in enumerate(output["decisions"]):
            found += _Claims(decision, f"/decisions/{place}", stream).all()
        return found

    def evidence_times(self, output: Any, streams: Sequence[Stream]) -> list[tuple[str, float]]:
        return seen_by_all(streams, (time for _, time in super().evidence_times(output, [main_of(streams)])))


# --- what is decided -----------------------------------------------------------------------------------------------


def _fault(evidence: Evidence) -> FaultRecovery | None:
    try:
        return FaultRecoveryAgent().compose(evidence)
    except UnsuitedError:
        return None


def _going_on(handling: Handling, until: float | None) -> Iterator[Decision]:
    """Decisions for what was done next, as far as nothing went wrong."""
    stretches = [s for s in handling.stretches() if until is None or s.t1 <= until + EPSILON]
    for place, stretch in enumerate(stretches):
        acts = stretch.type in _POSTURES or place == 0 or stretches[place - 1].type in _POSTURES
        following = _together(stretches[place : place + MOST_STEPS])
        facts = handling.facts_at(stretch.t0)
        if not acts or not facts:
            continue
        yield Decision(
            time=stretch.t0,
            situation=Situation(facts=facts, history=_history(stretches[:place])),
            choice=Choice.GO_ON,
            reason=f"At {stretch.t0:.2f} s {_said(facts)}.",
            plan=_plan(following, facts),
        )


def _together(stretches: Sequence[Stretch]) -> list[Stretch]:
    """Stretches as far as each follows the one before it without a gap."""
    kept = list(stretches[:1])
    for stretch in stretches[1:]:
        if stretch.t0 - kept[-1].t1 > EPSILON:
            break
        kept.append(stretch)
    return kept


def _history(stretches: Sequence[Stretch]) -> tuple[MeasuredAction, ...]:
    return tuple(_action(stretch) for stretch in stretches[-MOST_HISTORY:])


def _action(stretch: Stretch) -> MeasuredAction:
    return MeasuredAction(
        type=stretch.type, t0=stretch.t0, t1=stretch.t1, target=stretch.target, direction=stretch.direction
    )


def _plan(stretches: Sequence[Stretch], facts: Sequence[StateFact]) -> tuple[PlanStep, ...]:
    """What was done, each step for the postures that the steps before it led to."""
    postures = {fact.subject: fact.condition for fact in facts if fact.condition in _POSTURES.values()}
    steps: list[PlanStep] = []
    for stretch in stretches:
        words = [_fact_words(subject, condition) for subject, condition in postures.items()]
        words = words or ([_said(facts)] if not steps else [])
        reason = (
            f"At {stretch.t0:.2f} s {_listed(words)}." if words else f"What came before is done at {stretch.t0:.2f} s."
        )
        steps.append(PlanStep(action=_action(stretch), reason=reason))
        if stretch.type in _POSTURES and stretch.target:
            postures[stretch.target] = _POSTURES[stretch.type]
    return tuple(steps)


def _correcting(handling: Handling, fault: FaultRecovery, anchors: Sequence[FactualAnchor]) -> Decision | None:
    """The decision to do something else, at the last moment at which it was not too late."""
    risks = _risks(fault, anchors)
    time = _slips(handling, risks) or fault.recall_time
    risks = tuple(risk for risk in risks if risk.t0 >= time)[:MOST_RISKS]
    facts = handling.facts_at(time)
    if not facts or not risks:
        return None
    before = [stretch for stretch in handling.stretches() if stretch.t1 <= time + EPSILON]
    return Decision(
        time=time,
        situation=Situation(facts=facts, history=_history(before)),
        fault=fault.fault,
        risks=risks,
        choice=Choice.CORRECT,
        reason=f"At {time:.2f} s {_said(facts)}. Without a new plan, {_told(risks[0])}.",
        plan=tuple(PlanStep(advice=step.action, reason=step.purpose) for step in fault.corrected_continuation),
    )


def _slips(handling: Handling, risks: Sequence[Risk]) -> float | None:
    """When a hand that grasps again begins to open: the first grasp has failed, and nothing else is done yet."""
    again = next((risk for risk in risks if risk.type is RiskType.SECOND_GRASP), None)
    if again is None:
        return None
    opened = [grip for grip in handling.of(AnchorKind.GRIPPER_OPEN) if grip.content == again.subject]
    return max((grip.t0 for grip in opened if grip.t0 < again.t0), default=None)


def _risks(fault: FaultRecovery, anchors: Sequence[FactualAnchor]) -> tuple[Risk, ...]:
    """What was measured of a fault inside its span: to-and-fro first, then grasps, stalls, turns."""
    t0, t1 = fault.span.t0 - EPSILON, fault.span.t1 + EPSILON
    inside = [anchor for anchor in anchors if t0 <= anchor.t0 <= t1]
    joints = [anchor.t0 for anchor in inside if anchor.kind == AnchorKind.JOINT_REVERSAL]
    found: list[Risk] = []
    for type_, kinds in _RISKS.items():
        own = [anchor for anchor in inside if anchor.kind in kinds]
        if type_ is RiskType.SECOND_GRASP:
            own = [grasp for grasp in own if any(a.content == grasp.content and a.t1 < grasp.t0 for a in own)]
        # A turn of the joints is seen in the picture too.
        own = [a for a in own if a.kind != AnchorKind.REVERSAL or all(abs(a.t0 - t) > LEAST for t in joints)]
        found += [_risk(type_, anchor) for anchor in own]
    return tuple(found)


def _risk(type_: RiskType, anchor: FactualAnchor) -> Risk:
    said = anchor.content.strip() or None
    joints = anchor.kind in _JOINTS
    return Risk(
        type=type_, t0=anchor.t0, t1=anchor.t1, subject=said if joints else None, detail=None if joints else said
    )


# --- the words -----------------------------------------------------------------------------------------------------


def _said(facts: Sequence[StateFact]) -> str:
    return _listed([_fact_words(fact.subject, fact.condition) for fact in facts])


def _listed(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _fact_words(subject: str, condition: Condition) -> str:
    return f"the {subject.replace('_', ' ')} {_WORDS[condition]}"


def _told(risk: Risk) -> str:
    words = _risk_words(risk.type, risk.subject)
    return f"{words} at {risk.t0:.2f} s" if risk.t0 == risk.t1 else f"{words} from {risk.t0:.2f} s to {risk.t1:.2f} s"


def _risk_words(type_: RiskType, subject: str | None) -> str:
    return f"the {(subject or SCENE).replace('_', ' ')} {_RISK_WORDS[type_]}"


# --- what is proved ------------------------------------------------------------------------------------------------


class _Claims:
    """Everything that one decision asserts and marks cannot say."""

    def __init__(self, decision: Mapping[str, Any], path: str, stream: str | None) -> None:
        self._decision = decision
        self._path = path
        self._stream = stream
        self._time: float = decision["time"]

    def all(self) -> list[Claim]:
        return [*self._situation(), *self._risks(), *self._choice(), *self._reasons(), *self._plan()]

    def _situation(self) -> Iterator[Claim]:
        """Nothing of it is later than the decision."""
        path = f"{self._path}/situation"
        yield edge(f"{self._path}/time", self._stream, self._time, *HANDLED)
        for place, fact in enumerate(self._decision["situation"]["facts"]):
            yield from fact_claims(fact, self._time, f"{path}/facts/{place}", self._stream)
        for place, action in enumerate(self._decision["situation"]["history"]):
            here = f"{path}/history/{place}"
            if action["t1"] > self._time + EPSILON:
                yield refused(here, f"{action['t1']:g} s, after the decision at {self._time:g} s")
            yield from stretch_claims(action, here, self._stream)

    def _risks(self) -> Iterator[Claim]:
        for place, risk in enumerate(self._decision["risks"]):
            path, kinds = f"{self._path}/risks/{place}", _RISKS[RiskType(risk["type"])]
            if risk["t0"] < self._time - EPSILON:
                yield refused(f"{path}/t0", f"a risk at {risk['t0']:g} s, before the decision at {self._time:g} s")
            kinds = tuple(kind for kind in kinds if (kind in _JOINTS) == (risk["subject"] is not None))
            said = risk["subject"] if risk["subject"] is not None else risk["detail"]
            if not kinds or (risk["subject"] is not None and risk["detail"] is not None):
                yield refused(path, f"{risk['type']} of {said}")
                continue
            yield whole(path, self._stream, risk["t0"], risk["t1"], *kinds, text=said)

    def _choice(self) -> Iterator[Claim]:
        """A fault is named where its risks show it, and only then something else is planned."""
        fault, risks = self._decision["fault"], self._decision["risks"]
        if (fault is not None) != (Choice(self._decision["choice"]) is Choice.CORRECT):
            yield refused(f"{self._path}/choice", str(self._decision["choice"]))
        if (fault is None) != (not risks) or (fault is not None and not _shows(Fault(fault), risks)):
            yield refused(f"{self._path}/fault", str(fault))

    def _reasons(self) -> Iterator[Claim]:
        situation, risks = self._decision["situation"], self._decision["risks"]
        moments = [self._time, *(time for one in (*situation["history"], *risks) for time in (one["t0"], one["t1"]))]
        moments += [fact["since"] for fact in situation["facts"] if fact["since"] is not None]
        known = [_fact_words(fact["subject"], Condition(fact["condition"])) for fact in situation["facts"]]
        known += [_risk_words(RiskType(risk["type"]), risk["subject"]) for risk in risks]
        yield from self._prose(self._decision["reason"], f"{self._path}/reason", moments, known)

    def _plan(self) -> Iterator[Claim]:
        """What was done begins with the decision and goes on from step to step; what is advised was not measured."""
        end = self._time
        facts = self._decision["situation"]["facts"]
        known = [_fact_words(fact["subject"], Condition(fact["condition"])) for fact in facts]
        held = [fact for fact in facts if fact["condition"] in _POSTURES.values()]
        postures = {fact["subject"]: Condition(fact["condition"]) for fact in held}
        corrects = Choice(self._decision["choice"]) is Choice.CORRECT
        for place, step in enumerate(self._decision["plan"]):
            path, action = f"{self._path}/plan/{place}", step["action"]
            if (action is None) != corrects or (step["advice"] is None) == corrects:
                yield refused(path, "a step that the choice does not call for")
            if action is None:
                yield from claims_in(step["advice"] or "", f"{path}/advice", self._stream, moments=(self._time,))
                yield from claims_in(step["reason"], f"{path}/reason", self._stream, moments=(self._time,))
                continue
            if abs(action["t0"] - end) > EPSILON:
                yield refused(f"{path}/action/t0", f"{action['t0']:g} s, where the step before ends at {end:g} s")
            end = action["t1"]
            yield from stretch_claims(action, f"{path}/action", self._stream)
            words = [_fact_words(subject, condition) for subject, condition in postures.items()]
            said = [*words, *(known if place == 0 else ())]
            yield from self._prose(step["reason"], f"{path}/reason", (action["t0"],), said)
            if (type_ := ActionType(action["type"])) in _POSTURES and action["target"]:
                postures[action["target"]] = _POSTURES[type_]

    def _prose(self, text: str, path: str, moments: Sequence[float], known: Sequence[str]) -> Iterator[Claim]:
        """A reason names a moment of its record, and says of the state only what the record says."""
        if not find(text).times:
            yield refused(path, "a reason that names no moment")
        yield from claims_in(
            text, path, self._stream, moments=moments, kinds=HANDLED, quote_kinds=(AnchorKind.GIVEN_TEXT,)
        )
        rest = text
        for words in known:
            rest = rest.replace(words, "")
        yield from (refused(path, found) for found in _STATED.findall(rest))


def _shows(fault: Fault, risks: Sequence[Mapping[str, Any]]) -> bool:
    """Whether risks are those by which fault_recovery knows a fault."""
    types = [RiskType(risk["type"]) for risk in risks]
    ways = [risk["detail"] for risk in risks if risk["type"] == RiskType.OSCILLATION]
    if fault is Fault.EARLY_STAGNATION:
        return RiskType.STALL in types
    if fault is Fault.HESITATION_LOOP:
        return SAME_WAY in ways or types.count(RiskType.REVERSAL) > 1
    return any(way != SAME_WAY for way in ways) or RiskType.SECOND_GRASP in types

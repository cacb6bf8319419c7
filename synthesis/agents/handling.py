"""A recording of a manipulation as stretches in which one thing is done, and what is the case at a time.

A stretch runs from one measured moment to the next: a gripper begins or has ended to open or close, something begins to
move, stops, or turns back. What is said of a time rests on nothing later.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from schemas.anchor import AnchorKind, FactualAnchor
from schemas.outputs.world_model import SCENE, ActionType, Condition, StateFact
from schemas.score import Claim
from synthesis.agents.proofs import during, edge, none_between, refused, whole
from synthesis.verification.check import EPSILON, TOLERANCE

GRIPS = (AnchorKind.GRIPPER_CLOSE, AnchorKind.GRIPPER_OPEN)
TURNS = (AnchorKind.REVERSAL, AnchorKind.JOINT_REVERSAL)
HANDLED = (
    *GRIPS,
    *TURNS,
    AnchorKind.CONTACT,
    AnchorKind.MOTION,
    AnchorKind.STALL,
    AnchorKind.JOINT_STALL,
    AnchorKind.OSCILLATION,
)
"""The kinds that this file reads."""
EDGES = (*GRIPS, *TURNS, AnchorKind.MOTION, AnchorKind.STALL)
"""The kinds whose moments cut a recording."""

LEAST = 0.3
"""Seconds that a stretch between two grips must last: less is the same moment, measured twice."""
_LEAST_GRIP = 0.05
_SURE_TURN = 0.75
_MOST_OF_IT = 0.7
"""Share of a motion that a stretch must cover to have its direction."""
NO_DIRECTION = ("", "in place")

_POSTURES = {AnchorKind.GRIPPER_CLOSE: Condition.CLOSED, AnchorKind.GRIPPER_OPEN: Condition.OPEN}
_BY = {condition: kind for kind, condition in _POSTURES.items()}
_OTHER = {
    AnchorKind.GRIPPER_CLOSE: AnchorKind.GRIPPER_OPEN,
    AnchorKind.GRIPPER_OPEN: AnchorKind.GRIPPER_CLOSE,
}
_LASTING = {
    Condition.MOVING: AnchorKind.MOTION,
    Condition.STILL: AnchorKind.STALL,
    Condition.IN_CONTACT: AnchorKind.CONTACT,
    Condition.IN_FRONT: AnchorKind.WINDOW,
}
_GRIP_ACTIONS = {
    ActionType.CLOSE_GRIPPER: AnchorKind.GRIPPER_CLOSE,
    ActionType.OPEN_GRIPPER: AnchorKind.GRIPPER_OPEN,
}
_BETWEEN = {
    ActionType.MOVE: AnchorKind.MOTION,
    ActionType.TURN_BACK: AnchorKind.MOTION,
    ActionType.REST: AnchorKind.STALL,
}


@dataclass(frozen=True)
class Stretch:
    """Seconds, what is done, which hand or group of joints does it, which way it goes."""

    t0: float
    t1: float
    type: ActionType
    target: str | None = None
    direction: str | None = None


class Handling:
    """One stream's measurements of hands, joints and motion."""

    def __init__(self, anchors: Sequence[FactualAnchor]) -> None:
        self._anchors = [anchor for anchor in anchors if anchor.kind in HANDLED]

    def of(self, *kinds: str) -> list[FactualAnchor]:
        return [anchor for anchor in self._anchors if anchor.kind in kinds]

    def stretches(self) -> list[Stretch]:
        """What is done, in order; where nothing tells what is done, there is none."""
        found: list[Stretch] = []
        end = 0.0
        for grip, over in self._grips():
            found += self._between(end, grip.t0)
            type_ = next(type_ for type_, kind in _GRIP_ACTIONS.items() if kind == grip.kind)
            found.append(Stretch(grip.t0, grip.t1, type_, grip.content))
            end = over
        return found + list(self._between(end, max((a.t1 for a in self._anchors), default=0.0)))

    def facts_at(self, time: float) -> tuple[StateFact, ...]:
        """What is the case at a time, by what was measured up to it."""
        return (*self._postures(time), *self._contacts(time), *self._turning(time), *self._scene(time))

    def _grips(self) -> list[tuple[FactualAnchor, float]]:
        """Grips one after the other, each with the time at which no hand is on its way any more; of several at a time
        the first."""
        kept: list[tuple[FactualAnchor, float]] = []
        for grip in self.of(*GRIPS):
            if kept and grip.t0 < kept[-1][1]:
                kept[-1] = kept[-1][0], max(kept[-1][1], grip.t1)
            elif grip.content and grip.t1 - grip.t0 >= _LEAST_GRIP:
                kept.append((grip, grip.t1))
        return kept

    def _between(self, begin: float, end: float) -> Iterator[Stretch]:
        for t0, t1 in pairwise(self._moments(begin, end)):
            motion = self._covering(AnchorKind.MOTION, t0, t1)
            if motion is not None:
                turn = self._turn_at(t0)
                way = motion.content if t1 - t0 >= _MOST_OF_IT * (motion.t1 - motion.t0) else ""
                yield Stretch(
                    t0,
                    t1,
                    ActionType.MOVE if turn is None else ActionType.TURN_BACK,
                    turn.content if turn is not None and turn.kind == AnchorKind.JOINT_REVERSAL else None,
                    None if way in NO_DIRECTION else way,
                )
            elif self._covering(AnchorKind.STALL, t0, t1) is not None:
                yield Stretch(t0, t1, ActionType.REST)

    def _moments(self, begin: float, end: float) -> list[float]:
        """The measured moments from one to another, each a stretch apart. Beginnings and ends of grips come first, then
        those of motion, then turns."""
        ranked = [
            *((0, time) for grip in self.of(*GRIPS) for time in (grip.t0, grip.t1)),
            *((1, time) for a in self.of(AnchorKind.MOTION, AnchorKind.STALL) for time in (a.t0, a.t1)),
            *((2, turn.t0) for turn in self._turns()),
        ]
        chosen: list[float] = []
        for _, time in sorted(ranked):
            if begin <= time <= end and all(abs(time - other) >= LEAST for other in chosen):
                chosen.append(time)
        return sorted(chosen)

    def _turns(self) -> list[FactualAnchor]:
        """Turns of joints; of the picture where joints tell none, for a turn is seen in both."""
        sure = [turn for turn in self.of(*TURNS) if turn.confidence >= _SURE_TURN]
        return [turn for turn in sure if turn.kind == AnchorKind.JOINT_REVERSAL and turn.content] or sure

    def _turn_at(self, time: float) -> FactualAnchor | None:
        return next((turn for turn in self._turns() if abs(turn.t0 - time) <= EPSILON), None)

    def _covering(self, kind: AnchorKind, t0: float, t1: float) -> FactualAnchor | None:
        slack = TOLERANCE / 2
        return next((a for a in self.of(kind) if a.t0 <= t0 + slack and a.t1 >= t1 - slack), None)

    def _postures(self, time: float) -> Iterator[StateFact]:
        grips = [grip for grip in self.of(*GRIPS) if grip.content]
        for hand in dict.fromkeys(grip.content for grip in grips):
            own = [grip for grip in grips if grip.content == hand]
            if any(grip.t0 + EPSILON < time < grip.t1 - EPSILON for grip in own):
                continue
            done = [grip for grip in own if grip.t1 <= time + EPSILON]
            begins = next((grip for grip in own if abs(grip.t0 - time) <= EPSILON), None)
            if done:
                last = max(done, key=lambda grip: grip.t1)
                yield StateFact(subject=hand, condition=_POSTURES[AnchorKind(last.kind)], since=last.t1)
            elif begins is not None:
                yield StateFact(subject=hand, condition=_POSTURES[_OTHER[AnchorKind(begins.kind)]])

    def _contacts(self, time: float) -> Iterator[StateFact]:
        for contact in self.of(AnchorKind.CONTACT):
            if contact.content and contact.t0 - EPSILON <= time <= contact.t1 + EPSILON:
                yield StateFact(subject=contact.content, condition=Condition.IN_CONTACT, since=contact.t0)

    def _turning(self, time: float) -> Iterator[StateFact]:
        turn = self._turn_at(time)
        if turn is not None:
            subject = turn.content if turn.kind == AnchorKind.JOINT_REVERSAL else SCENE
            yield StateFact(subject=subject, condition=Condition.TURNING, since=turn.t0)

    def _scene(self, time: float) -> Iterator[StateFact]:
        """Whether something moves. What begins to move now still rests, unless the recording begins with it."""
        for condition, kind in ((Condition.MOVING, AnchorKind.MOTION), (Condition.STILL, AnchorKind.STALL)):
            for anchor in self.of(kind):
                begun = anchor.t0 < time - EPSILON or anchor.t0 <= TOLERANCE or kind == AnchorKind.STALL
                until = anchor.t1 + (EPSILON if kind == AnchorKind.STALL else -EPSILON)
                if begun and anchor.t0 <= time + EPSILON and time < until:
                    yield StateFact(subject=SCENE, condition=condition, since=anchor.t0)
                    return


def fact_claims(fact: Mapping[str, Any], time: float, path: str, stream: str | None) -> Iterator[Claim]:
    """That a fact of a state holds at its time, and rests on nothing later."""
    subject, condition, since = fact["subject"], Condition(fact["condition"]), fact["since"]
    if since is None:
        if condition not in _BY:
            yield refused(f"{path}/since", "a fact without its beginning")
            return
        kind = _OTHER[_BY[condition]]
        # Its end is an edge too, but then the hand is no longer as the change found it.
        yield edge(path, stream, time, kind, text=subject)
        yield none_between(path, stream, 0.0, time, *GRIPS, text=subject)
        return
    if since > time + EPSILON:
        yield refused(f"{path}/since", f"{since:g} s, after the frame at {time:g} s")
        return
    if condition in _BY:
        yield edge(path, stream, since, _BY[condition], text=subject)
        yield none_between(path, stream, since, time, _OTHER[_BY[condition]], text=subject)
        return
    if condition is Condition.TURNING:
        if abs(since - time) > EPSILON:
            yield refused(f"{path}/since", f"a turn at {since:g} s, in the frame at {time:g} s")
        turns = (AnchorKind.REVERSAL,) if subject == SCENE else (AnchorKind.JOINT_REVERSAL,)
        yield edge(path, stream, since, *turns, text=None if subject == SCENE else subject)
        return
    if condition in (Condition.MOVING, Condition.STILL) and subject != SCENE:
        yield refused(f"{path}/subject", subject)
        return
    text = None if subject == SCENE else subject
    yield edge(path, stream, since, _LASTING[condition], text=text)
    yield during(path, stream, time, _LASTING[condition], text=text)


def stretch_claims(action: Mapping[str, Any], path: str, stream: str | None) -> Iterator[Claim]:
    """That a stretch was measured: its edges, and that one thing is done from one to the other."""
    type_, t0, t1, target = ActionType(action["type"]), action["t0"], action["t1"], action["target"]
    if t0 >= t1:
        yield refused(path, f"a stretch from {t0:g} s to {t1:g} s")
        return
    if type_ in _GRIP_ACTIONS:
        yield whole(path, stream, t0, t1, _GRIP_ACTIONS[type_], text=target or "")
        yield from _without(action, path, "direction")
        return
    kind = _BETWEEN[type_]
    for name, time in (("t0", t0), ("t1", t1)):
        yield edge(f"{path}/{name}", stream, time, *EDGES)
        yield during(f"{path}/{name}", stream, time, kind)
    yield none_between(path, stream, t0, t1, *GRIPS)
    if type_ is ActionType.TURN_BACK:
        turns = TURNS if target is None else (AnchorKind.JOINT_REVERSAL,)
        yield edge(f"{path}/t0", stream, t0, *turns, text=target)
    else:
        yield from _without(action, path, "target")
    if action["direction"] is not None:
        yield during(f"{path}/direction", stream, (t0 + t1) / 2, kind, text=action["direction"])


def _without(action: Mapping[str, Any], path: str, *names: str) -> Iterator[Claim]:
    """Fields that this kind of action does not have."""
    for name in names:
        if action.get(name) is not None:
            yield refused(f"{path}/{name}", str(action[name]))

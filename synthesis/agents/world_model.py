"""world_model: transitions from one measured state to the next, of a manipulation or of a screen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, ClassVar

from pydantic import BaseModel

from schemas.anchor import AnchorKind, FactualAnchor
from schemas.errors import UnsuitedError
from schemas.geometry import Box, Point
from schemas.outputs.world_model import (
    SCENE,
    ActionType,
    Condition,
    MeasuredAction,
    State,
    StateFact,
    Transition,
    VisibleLine,
    WorldModel,
)
from schemas.score import Claim, ClaimKind
from schemas.stream import Domain, Stream, TrackKind
from synthesis.agents.cameras import main_of, paired, require_paired, seen_by_all
from synthesis.agents.gui.timeline import INPUTS, MARKS, Timeline
from synthesis.agents.handling import Handling, fact_claims, stretch_claims
from synthesis.agents.proofs import (
    edge,
    labelled_box,
    none_between,
    proved,
    refused,
    whole,
)
from synthesis.agents.screen_lines import in_reading_order, readable
from synthesis.base import Evidence, GroundedAgent, Recognition
from synthesis.selection import thinned
from synthesis.verification.check import EPSILON

MOST = 64
"""Transitions of one output."""
MOST_LINES = 12
"""Lines of one screen: those that change first."""

_ACTS = {
    ActionType.CLICK: AnchorKind.CLICK,
    ActionType.DOUBLE_CLICK: AnchorKind.DOUBLE_CLICK,
    ActionType.RIGHT_CLICK: AnchorKind.RIGHT_CLICK,
    ActionType.DRAG: AnchorKind.DRAG,
    ActionType.SCROLL: AnchorKind.WHEEL,
    ActionType.TYPE: AnchorKind.TYPING,
    ActionType.HOTKEY: AnchorKind.HOTKEY,
    ActionType.TAP: AnchorKind.TAP,
    ActionType.SWIPE: AnchorKind.SWIPE,
}
_TYPES = {kind: type_ for type_, kind in _ACTS.items()}
_NAMED = (ActionType.CLICK, ActionType.DOUBLE_CLICK, ActionType.RIGHT_CLICK, ActionType.DRAG)
"""Their anchors carry the name of the element."""
_WRITTEN = (ActionType.TYPE, ActionType.HOTKEY)
_MARKED = (ActionType.TAP, ActionType.SWIPE)
"""Told by marks on the picture, where there is no log."""
_AFTER_SCREEN = 0.02
"""Seconds by which a change of the screen comes later than the screen that it ended."""


class WorldModelAgent(GroundedAgent):
    """States are what was measured up to a frame; an action is what was measured between two of them."""

    task_type: ClassVar[str] = "world_model"
    version: ClassVar[str] = "2"
    domains: ClassVar[frozenset[Domain]] = frozenset({Domain.EMBODIED, Domain.GUI})
    joins: ClassVar[bool] = True
    """Cameras of one episode."""
    output: ClassVar[type[BaseModel]] = WorldModel
    parts: ClassVar[dict[str, str]] = {"transitions": "transitions", "states": "transitions", "steps": "transitions"}
    recognition: ClassVar[Recognition] = Recognition(
        instruction="Write the transitions of this recording: the state before as measured, the action, and the state "
        "that follows, with the frame of each.",
        names=(
            r"world[- ]model(?:s|l?ing)?(?: (?:training )?(?:data|transitions?))?",
            r"(?:state|forward) (?:transitions?|predictions?)",
            r"transitions?(?: (?:data|tuples?|triples?|models?))?",
            r"next[- ](?:state|frame|observation|screen)s?(?: predictions?)?",
            r"(?:(?:forward|environment|action[- ]conditioned) )?dynamics(?: (?:models?|transitions?|data))?",
            r"state[- ]action[- ](?:next[- ])?state",
        ),
        hints=(r"states?", r"actions?", r"predict\w*", r"dynamics", r"simulat\w+", r"robots?\w*", r"manipulat\w+"),
        examples=(
            "Give me state, action and next state tuples from these robot episodes.",
            "I want to train a model that predicts what the scene looks like after an action.",
            "Turn this manipulation video into transitions for learning a forward dynamics model.",
            "What does the screen show before and after each click? I train a GUI simulator on it.",
            "Build data for predicting the next state of the environment.",
            "Make action-conditioned prediction data: what was the case, what was done, what was the case then.",
        ),
        prior={Domain.EMBODIED: 0.3, Domain.GUI: 0.1},
        needs=frozenset({TrackKind.VIDEO, TrackKind.IMAGES, TrackKind.SIGNALS, TrackKind.EVENTS}),
    )

    @classmethod
    def joinable(cls, streams: Sequence[Stream]) -> bool:
        return paired(streams)

    def compose(self, evidence: Evidence) -> WorldModel:
        require_paired(evidence.streams)
        stream = main_of(evidence.streams)
        anchors = evidence.by_stream[stream.sha256]
        on_screen = any(anchor.kind in _TYPES for anchor in anchors)
        found = list(_of_screen(Timeline(stream, anchors)) if on_screen else _of_hands(Handling(anchors)))
        if not found:
            raise UnsuitedError(
                stream.uri,
                "no action was measured in it with a state before and after: no grip, no motion that begins or ends "
                "between two facts, no input that changes the screen",
                "Give a recording with motion, robot signals or an input log, or choose a model backend.",
            )
        given = evidence.of(AnchorKind.GIVEN_TEXT, stream=stream.sha256)
        task = next((text.content for text in given if text.content.strip()), None)
        return proved(self, WorldModel(task=task, transitions=tuple(thinned(found, MOST))), evidence)

    def claims(self, output: Any, streams: Sequence[Stream]) -> list[Claim]:
        stream = main_of(streams).sha256
        found = super().claims(output, [main_of(streams)])
        for place, transition in enumerate(output["transitions"]):
            path = f"/transitions/{place}"
            for name in ("state", "next_state"):
                found += _state_claims(transition[name], f"{path}/{name}", stream)
            on_screen = ActionType(transition["action"]["type"]) in _ACTS
            found += (_input_claims if on_screen else _hand_claims)(transition, path, stream)
        return found

    def evidence_times(self, output: Any, streams: Sequence[Stream]) -> list[tuple[str, float]]:
        return seen_by_all(streams, (time for _, time in super().evidence_times(output, [main_of(streams)])))


# --- hands ---------------------------------------------------------------------------------------------------------


def _of_hands(handling: Handling) -> Iterator[Transition]:
    """Stretches with what is the case at their edges. Of a scene that moves on, nothing is learnt, but a hand that is
    known to hold or to be free goes somewhere."""
    for stretch in handling.stretches():
        before, after = handling.facts_at(stretch.t0), handling.facts_at(stretch.t1)
        known = any(fact.subject != SCENE for fact in before)
        if before and after and (known or before != after):
            yield Transition(
                state=State(time=stretch.t0, facts=before),
                action=MeasuredAction(
                    type=stretch.type,
                    t0=stretch.t0,
                    t1=stretch.t1,
                    target=stretch.target,
                    direction=stretch.direction,
                ),
                next_state=State(time=stretch.t1, facts=after),
            )


def _hand_claims(transition: Mapping[str, Any], path: str, stream: str | None) -> Iterator[Claim]:
    """The states are those at the edges of the stretch."""
    action = transition["action"]
    for name, moment in (("state", "t0"), ("next_state", "t1")):
        time = transition[name]["time"]
        if abs(time - action[moment]) > EPSILON:
            yield refused(f"{path}/{name}/time", f"{time:g} s, where the action has {action[moment]:g} s")
    for name in ("text", "count", "point", "end_point"):
        if action[name] is not None:
            yield refused(f"{path}/action/{name}", str(action[name]))
    yield from stretch_claims(action, f"{path}/action", stream)


# --- screens -------------------------------------------------------------------------------------------------------


def _of_screen(timeline: Timeline) -> Iterator[Transition]:
    """Actions after which the screen changed, before another one was done. Where there is a log, marks on the picture
    are no actions: what lights up under the pointer looks like one."""
    done = timeline.inputs if timeline.has_events else timeline.marks
    acts = sorted(done, key=lambda act: (act.t0, act.t1))
    for act, following in pairwise([*acts, None]):
        assert act is not None
        before = timeline.observed_before(act.t0)
        after = _settled(timeline, act, None if following is None else following.t0)
        if before is None or after is None or before >= act.t0:
            continue
        then, now = _lines(timeline, before), _lines(timeline, after)
        facts = _window(timeline, before), _window(timeline, after)
        if not (then or facts[0]) or not (now or facts[1]):
            continue
        said = {line.content for line in then}, {line.content for line in now}
        yield Transition(
            state=State(time=before, facts=facts[0], lines=_shown(then, said[1])),
            action=_act(act, timeline.lines_at(before)),
            next_state=State(time=after, facts=facts[1], lines=_shown(now, said[0])),
        )


def _settled(timeline: Timeline, act: FactualAnchor, until: float | None) -> float | None:
    """When the screen that an action led to was first seen, one that stayed before one that passed; None when it led to
    none before the next action."""
    shown = [screen for screen in timeline.screens if screen.t0 >= act.t1 and (until is None or screen.t0 < until)]
    stayed = (screen for screen in shown if screen.t1 > screen.t0)
    screen = next(stayed, shown[0] if shown else None)
    return None if screen is None else screen.t0


def _lines(timeline: Timeline, time: float) -> list[FactualAnchor]:
    return [line for line in timeline.of(AnchorKind.SCREEN_TEXT) if line.t0 <= time <= line.t1 and readable(line)]


def _shown(lines: Sequence[FactualAnchor], elsewhere: set[str]) -> tuple[VisibleLine, ...]:
    """The lines that stand on one of the two screens only, then others, in reading order."""
    ordered = in_reading_order(lines)
    chosen = sorted(ordered, key=lambda line: line.content in elsewhere)[:MOST_LINES]
    return tuple(VisibleLine(text=line.content, box=line.box) for line in ordered if line in chosen and line.box)


def _window(timeline: Timeline, time: float) -> tuple[StateFact, ...]:
    windows = [w for w in timeline.of(AnchorKind.WINDOW) if w.t0 <= time < w.t1 and w.content.strip()]
    return tuple(StateFact(subject=w.content, condition=Condition.IN_FRONT, since=w.t0) for w in windows[-1:])


def _act(act: FactualAnchor, lines: Sequence[FactualAnchor]) -> MeasuredAction:
    type_ = _TYPES[AnchorKind(act.kind)]
    target = act.content if type_ in _NAMED else _under(act.point, lines) if type_ is ActionType.TAP else None
    return MeasuredAction(
        type=type_,
        t0=act.t0,
        t1=act.t1,
        target=target if target and target.strip() else None,
        text=act.content if type_ in _WRITTEN and act.content.strip() else None,
        direction=act.content or None if type_ is ActionType.SCROLL else None,
        count=max(1, round(act.value)) if type_ is ActionType.SCROLL and act.value else None,
        point=act.point,
        end_point=act.end_point,
    )


def _under(point: Point | None, lines: Sequence[FactualAnchor]) -> str | None:
    """The smallest line at a point."""
    if point is None:
        return None
    there = [(line.box.area, line.content) for line in lines if line.box and line.box.contains(point)]
    return min(there)[1] if there else None


def _state_claims(state: Mapping[str, Any], path: str, stream: str | None) -> Iterator[Claim]:
    time = state["time"]
    if not (state["facts"] or state["lines"]):
        yield refused(path, "a state of which nothing is said")
    for place, fact in enumerate(state["facts"]):
        yield from fact_claims(fact, time, f"{path}/facts/{place}", stream)
    for place, line in enumerate(state["lines"]):
        box = Box.model_validate(line["box"])
        yield labelled_box(f"{path}/lines/{place}", stream, time, time, box, line["text"], AnchorKind.SCREEN_TEXT)


def _input_claims(transition: Mapping[str, Any], path: str, stream: str | None) -> Iterator[Claim]:
    """The frame before is the last one before the action, and the one after comes before anything else is done."""
    action, before, after = transition["action"], transition["state"]["time"], transition["next_state"]["time"]
    t0, t1 = action["t0"], action["t1"]
    if not before < t0 <= t1 <= after:
        yield refused(path, f"an action from {t0:g} s to {t1:g} s, between frames at {before:g} s and {after:g} s")
        return
    yield edge(f"{path}/state/time", stream, before, AnchorKind.SCREEN)
    yield none_between(f"{path}/state/time", stream, before + _AFTER_SCREEN, t0, AnchorKind.SCREEN_CHANGE)
    yield edge(f"{path}/next_state/time", stream, after, AnchorKind.SCREEN)
    others = (*INPUTS, *MARKS) if ActionType(action["type"]) in _MARKED else INPUTS
    yield none_between(f"{path}/next_state/time", stream, t0, after, *others)
    yield from _act_claims(action, f"{path}/action", stream, before)


def _act_claims(action: Mapping[str, Any], path: str, stream: str | None, before: float) -> Iterator[Claim]:
    type_, t0, t1 = ActionType(action["type"]), action["t0"], action["t1"]
    kind = _ACTS[type_]
    said = action["target"] if type_ in _NAMED else action["direction"] if type_ is ActionType.SCROLL else None
    if type_ in _WRITTEN:
        said = action["text"]
    turns = action["count"] if type_ is ActionType.SCROLL else None
    yield whole(path, stream, t0, t1, kind, text=said, value=None if turns is None else float(turns))
    points = {name: Point.model_validate(action[name]) for name in ("point", "end_point") if action[name]}
    for name, point in points.items():
        yield Claim(path=f"{path}/{name}", kind=ClaimKind.BOX, stream=stream, t0=t0, t1=t1, point=point, kinds=(kind,))
    if action["target"] is not None and type_ is ActionType.TAP:
        yield Claim(
            path=f"{path}/target",
            kind=ClaimKind.BOX,
            stream=stream,
            t0=before,
            t1=before,
            point=points.get("point"),
            text=action["target"],
            kinds=(AnchorKind.SCREEN_TEXT,),
        )
    allowed = {"target": (*_NAMED, ActionType.TAP), "text": _WRITTEN}
    allowed |= {"direction": (ActionType.SCROLL,), "count": (ActionType.SCROLL,)}
    for name, types in allowed.items():
        if action[name] is not None and type_ not in types:
            yield refused(f"{path}/{name}", str(action[name]))

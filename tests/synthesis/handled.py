"""Anchors of a manipulation and of a screen with known truth, for the tests of what is made of actions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from facts import anchor, evidence, leaves, put, stream
from hypothesis import strategies as st

from schemas.anchor import AnchorKind, FactualAnchor
from schemas.geometry import Box, Point
from schemas.score import Score
from schemas.stream import Domain, Stream, Track, TrackKind
from synthesis.agents.roster import agent_for
from synthesis.backends.base import to_json
from synthesis.verification.verify import passes, score_output

ARM = stream(
    Domain.EMBODIED,
    "episode",
    20.0,
    tracks=(Track(kind=TrackKind.VIDEO, name="front"), Track(kind=TrackKind.SIGNALS, name="state")),
)
TASK = "Pick up the cup and put it on the shelf"
PICK = [
    anchor(AnchorKind.GIVEN_TEXT, 0.0, 20.0, TASK),
    anchor(AnchorKind.MOTION, 0.0, 11.3, "in place", value=0.4, box=Box(x0=0.1, y0=0.1, x1=0.9, y1=0.9)),
    anchor(AnchorKind.GRIPPER_CLOSE, 4.1, 4.8, "right_hand"),
    anchor(AnchorKind.CONTACT, 4.8, 9.2, "right_hand"),
    anchor(AnchorKind.JOINT_REVERSAL, 6.9, content="right_arm", value=0.8),
    anchor(AnchorKind.GRIPPER_OPEN, 9.2, 9.9, "right_hand"),
    anchor(AnchorKind.STALL, 11.3, 15.7, value=0.001),
    anchor(AnchorKind.MOTION, 15.7, 18.4, "up left", value=0.2, box=Box(x0=0.1, y0=0.1, x1=0.5, y1=0.5)),
]
"""Goes to it, grips it, carries it with one turn, lets go, goes away, rests, and goes on."""

DESK = stream(
    Domain.GUI,
    "session",
    20.0,
    tracks=(Track(kind=TrackKind.VIDEO, name="screen"), Track(kind=TrackKind.EVENTS, name="events")),
)


def line(t0: float, t1: float, text: str, x: float, y: float, **rest: Any) -> FactualAnchor:
    box = Box(x0=x, y0=y, x1=x + 0.15, y1=y + 0.05)
    return anchor(AnchorKind.SCREEN_TEXT, t0, t1, text, box=box, **({"confidence": 0.99} | rest))


OFFICE = [
    anchor(AnchorKind.GIVEN_TEXT, 0.0, 20.0, "Save the report"),
    anchor(AnchorKind.WINDOW, 0.0, 6.2, "files"),
    anchor(AnchorKind.WINDOW, 6.2, 20.0, "editor"),
    anchor(AnchorKind.SCREEN, 0.0, 4.6, "00ff", value=0.0),
    anchor(AnchorKind.SCREEN_CHANGE, 6.2, value=0.3, box=Box(x0=0.1, y0=0.1, x1=0.9, y1=0.9)),
    anchor(AnchorKind.SCREEN, 6.2, 10.4, "11ff", value=1.0),
    anchor(AnchorKind.SCREEN_CHANGE, 13.9, value=0.1, box=Box(x0=0.1, y0=0.1, x1=0.4, y1=0.3)),
    anchor(AnchorKind.SCREEN, 13.9, 19.1, "22ff", value=2.0),
    anchor(
        AnchorKind.CLICK,
        5.1,
        5.2,
        "Open",
        point=Point(x=0.15, y=0.22),
        box=Box(x0=0.1, y0=0.2, x1=0.25, y1=0.25),
    ),
    anchor(AnchorKind.TYPING, 11.2, 13.3, "weekly plan"),
    line(0.0, 4.6, "Open", 0.1, 0.2),
    line(0.0, 4.6, "Recent files", 0.6, 0.2),
    line(0.0, 4.6, "Rernt fi1es", 0.6, 0.5, confidence=0.6),
    line(0.0, 19.1, "Start", 0.02, 0.9),
    line(6.2, 19.1, "Save", 0.5, 0.8),
    line(13.9, 19.1, "weekly plan", 0.3, 0.3),
]
"""A click that opens the editor, and a title typed into it."""


def compose(task_type: str, anchors: Sequence[FactualAnchor], on: Stream) -> Any:
    """The output as parsed JSON."""
    return json.loads(to_json(agent_for(task_type).compose(evidence(task_type, anchors, on))))


def scored(task_type: str, output: Any, anchors: Sequence[FactualAnchor], on: Stream) -> Score:
    given = evidence(task_type, anchors, on)
    return score_output(json.dumps(output), given.spec, given.streams, given.anchors)


def changed_that_pass(task_type: str, anchors: Sequence[FactualAnchor], on: Stream, by: float = 3.0) -> list[str]:
    """Where an output can be changed and still passes: numbers in [0, 1] go to the other end, others move by seconds,
    words become other words."""
    sound = compose(task_type, anchors, on)
    assert passes(scored(task_type, sound, anchors, on))
    found = []
    for path, value in leaves(sound):
        if value is None:
            continue
        broken = json.loads(json.dumps(sound))
        put(broken, path, _other(value, path, by))
        if passes(scored(task_type, broken, anchors, on)):
            found.append("/".join(map(str, path)))
    return found


def _other(value: Any, path: tuple[str | int, ...], by: float) -> Any:
    if isinstance(value, bool | str):
        return "dancing"
    if path[-1] in ("x", "y", "x0", "y0", "x1", "y1"):
        return value + 0.45 if value < 0.5 else value - 0.45
    return value + (3 if isinstance(value, int) else by)


_TIMES = st.one_of(st.integers(0, 24).map(lambda n: n / 2), st.floats(0, 12).map(lambda t: round(t, 6)))
_UNIT = st.floats(0, 1).map(lambda x: round(x, 4))
_BOXES = st.tuples(_UNIT, _UNIT, _UNIT, _UNIT).map(lambda c: Box.clipped(*c))
_POINTS = st.tuples(_UNIT, _UNIT).map(lambda c: Point(x=c[0], y=c[1]))


@st.composite
def measured(draw: st.DrawFn, kinds: Sequence[str], words: Sequence[str]) -> FactualAnchor:
    """Any anchor of the kinds."""
    t0 = draw(_TIMES)
    t1 = round(t0 + draw(st.one_of(st.just(0.0), st.floats(0, 6))), 6)
    return anchor(
        draw(st.sampled_from(sorted(kinds))),
        t0,
        t1,
        draw(st.sampled_from(sorted(words))),
        value=draw(st.one_of(st.none(), st.integers(0, 5).map(float), st.floats(0, 1).map(lambda v: round(v, 4)))),
        box=draw(st.one_of(st.none(), _BOXES)),
        point=draw(st.one_of(st.none(), _POINTS)),
        end_point=draw(st.one_of(st.none(), _POINTS)),
        confidence=draw(st.sampled_from([0.5, 0.9, 0.99])),
    )

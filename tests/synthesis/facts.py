"""Small streams and anchors with known truth, for the tests of synthesis."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from schemas.anchor import AnchorKind, FactualAnchor
from schemas.geometry import Box, Point
from schemas.stream import Domain, Stream, Track, TrackKind
from schemas.task_spec import Intent, TaskSpec
from synthesis.agents.roster import agent_for
from synthesis.base import Evidence

SHA = "a" * 64


def anchor(kind: str, t0: float, t1: float | None = None, content: str = "", **rest: Any) -> FactualAnchor:
    fields = {"stream": SHA, "expert": "test", "version": "1", "confidence": 1.0} | rest
    return FactualAnchor(kind=kind, t0=t0, t1=t0 if t1 is None else t1, content=content, **fields)


def stream(domain: Domain = Domain.DAILY_LIFE, name: str = "friday", duration: float = 40.0, **rest: Any) -> Stream:
    fields = {
        "sha256": SHA,
        "uri": f"file:///raw/{name}.mp4",
        "format": "video",
        "parts": (),
        "tracks": (Track(kind=TrackKind.VIDEO, name="video"), Track(kind=TrackKind.SUBTITLES, name="en")),
    } | rest
    return Stream(name=name, domain=domain, duration=duration, **fields)


def spec(task_type: str, text: str = "Make data.") -> TaskSpec:
    return TaskSpec(
        task_type=task_type,
        instruction=text,
        intent=Intent(text=text),
        output_schema=agent_for(task_type).output_schema(),
        confidence=1.0,
    )


def evidence(task_type: str, anchors: Sequence[FactualAnchor], on: Stream | None = None) -> Evidence:
    ordered = sorted(anchors, key=lambda a: (a.t0, a.t1, a.kind))
    return Evidence(streams=(on or stream(),), anchors=tuple(ordered), spec=spec(task_type))


LINES = [
    anchor(AnchorKind.SUBTITLE, 0.0, 1.9, "Good morning."),
    anchor(AnchorKind.SUBTITLE, 2.0, 4.9, "Today we cook an omelette."),
    anchor(AnchorKind.SUBTITLE, 6.0, 9.0, "First, break three eggs."),
    anchor(AnchorKind.SUBTITLE, 12.0, 15.0, "Whisk them with a fork."),
    anchor(AnchorKind.SUBTITLE, 20.0, 24.0, "Now heat the pan."),
    anchor(AnchorKind.SUBTITLE, 30.0, 33.0, "Enjoy your meal."),
    anchor(AnchorKind.SUBTITLE, 36.0, 38.0, "Enjoy your meal."),
]
CUTS = [anchor(AnchorKind.CUT, time, value=0.9) for time in (5.5, 10.5, 18.0, 27.0)]
SHOTS = [
    anchor(AnchorKind.SHOT, t0, t1, value=float(number))
    for number, (t0, t1) in enumerate([(0.0, 5.5), (5.5, 10.5), (10.5, 18.0), (18.0, 27.0), (27.0, 40.0)])
]
FILM = LINES + CUTS + SHOTS

BOARD = [
    anchor(AnchorKind.SCREEN, 0.0, 8.0, "00ff", value=0.0),
    anchor(AnchorKind.SCREEN, 8.0, 20.0, "11ff", value=1.0),
    anchor(AnchorKind.SCREEN_CHANGE, 8.0, value=0.3, box=Box(x0=0.1, y0=0.1, x1=0.9, y1=0.9)),
    *(
        anchor(AnchorKind.SCREEN_TEXT, t0, 20.0, text, box=Box(x0=0.1, y0=y, x1=0.8, y1=y + 0.05), confidence=0.9)
        for t0, text, y in [
            (0.0, "Triangle ABC is isosceles", 0.1),
            (3.0, "AB = AC", 0.2),
            (8.5, "so the angles at B and C are equal", 0.3),
            (12.0, "Q.E.D.", 0.4),
        ]
    ),
]
SCREENS = [
    *BOARD,
    anchor(AnchorKind.CLICK, 7.5, content="Next", point=Point(x=0.5, y=0.5), box=Box(x0=0.4, y0=0.4, x1=0.6, y1=0.6)),
    anchor(AnchorKind.TYPING, 14.0, 16.0, "hello world"),
]
ROBOT = [
    anchor(AnchorKind.GIVEN_TEXT, 0.0, 40.0, "Pick up the cup"),
    anchor(AnchorKind.GRIPPER_CLOSE, 4.0, 4.5, "right_hand"),
    anchor(AnchorKind.GRIPPER_OPEN, 9.0, 9.4, "right_hand"),
    anchor(AnchorKind.GRIPPER_CLOSE, 12.0, 12.5, "right_hand"),
    anchor(AnchorKind.STALL, 15.0, 22.0, value=0.001),
]


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Every scalar of a JSON value with its path."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, (*path, key))
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from leaves(item, (*path, place))
    else:
        yield path, value


def put(value: Any, path: tuple[str | int, ...], new: Any) -> None:
    """Replaces the value at a path, in place."""
    for step in path[:-1]:
        value = value[step]
    value[path[-1]] = new

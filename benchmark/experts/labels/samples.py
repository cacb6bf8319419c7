"""The truth files that `dataclaw samples` writes beside its streams.

They do not hold when the gripper of the robot opens and closes or turns back; that is taken from the poses that the
episodes are drawn from. Where objects, hands and the clock are, they do not say, and nothing here invents it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmark.experts.labels.base import Label, Labels, place_of
from schemas.anchor import AnchorKind
from schemas.geometry import Box, Point
from schemas.stream import Stream, TrackKind
from sources.samples.embodied import EPISODES

TRUTH = "truth.json"
_ROBOT = "pick_and_place"
_SAMPLE = 0.5
"""Seconds that a mark stands in the phone samples; the next screen follows it."""
_ACTIONS = {
    "click": AnchorKind.CLICK,
    "double_click": AnchorKind.DOUBLE_CLICK,
    "drag": AnchorKind.DRAG,
    "scroll": AnchorKind.WHEEL,
    "type": AnchorKind.TYPING,
}


def sample_labels(stream: Stream) -> Iterator[Labels]:
    """The labels of a sample of any domain; none for a stream that is no sample."""
    place, selector = place_of(stream)
    beside = _read(place.parent / f"{place.stem}.{TRUTH}")
    above = _read(place.parent / TRUTH)
    if stream.format == "drawings" and "strokes" in beside:
        yield from _drawing(stream, beside["strokes"][int(selector.rpartition("/")[2])])
    elif stream.format == "video" and beside:
        yield from _film(stream, beside)
    elif stream.format == "image_edits":
        yield from _edit(stream, _read(place / TRUTH).get(selector.partition("/")[0]))
    elif stream.format == "agentnet" and place.name in above:
        yield from _desktop(stream, above[place.name])
    elif stream.format == "video":
        steps = _read(place.parent.parent / TRUTH).get(place.parent.name, {})
        if isinstance(steps, dict) and place.name in steps.get("steps", {}):
            yield from _phone(steps["steps"][place.name])
    elif stream.format == "lerobot" and place.name == _ROBOT and _ROBOT in above:
        yield from _robot(above[_ROBOT][int(selector)])


def _read(file: Path) -> dict[str, Any]:
    value = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return value if isinstance(value, dict) else {}


def _labels(kind: AnchorKind, members: Sequence[Label], complete: bool = True, timed: bool = True) -> Labels:
    return Labels(kind, tuple(members), TRUTH, complete=complete, timed=timed)


def _film(stream: Stream, truth: dict[str, Any]) -> Iterator[Labels]:
    if "cuts" in truth:
        yield _labels(AnchorKind.CUT, [Label(time, time) for time in truth["cuts"]])
    if "dissolves" in truth:
        yield _labels(AnchorKind.DISSOLVE, [Label(t0, t1) for t0, t1 in truth["dissolves"]])
    if "cues" in truth and stream.has(TrackKind.SUBTITLES):
        yield _labels(AnchorKind.SUBTITLE, [Label(t0, t1, text) for t0, t1, text in truth["cues"]])
    if "lines" in truth:
        lines = [(line["time"], line["text"]) for line in truth["lines"]]
        yield _labels(AnchorKind.SCREEN_TEXT, [Label(time, stream.duration, text) for time, text in lines])
        yield _labels(AnchorKind.SCREEN_CHANGE, [Label(time, time) for time, _ in lines])


def _drawing(stream: Stream, count: int) -> Iterator[Labels]:
    """How many strokes there are is known, when they are drawn is not: any time meets a label."""
    for kind in (AnchorKind.STROKE, AnchorKind.PEN_DOWN, AnchorKind.PEN_UP):
        yield _labels(kind, [Label(0.0, stream.duration)] * count, timed=False)


def _edit(stream: Stream, truth: dict[str, Any] | None) -> Iterator[Labels]:
    if truth is not None:
        box = Box.clipped(*truth["box"])
        yield _labels(AnchorKind.EDIT_REGION, [Label(0.0, stream.duration, box=box)], timed=False)


def _desktop(stream: Stream, truth: dict[str, Any]) -> Iterator[Labels]:
    # A target is the name of an element only for what clicks it.
    for action, kind in _ACTIONS.items():
        rows = [row for row in truth["actions"] if row["action"] == action]
        names = "target" if "click" in action else "text"
        yield _labels(kind, [Label(row["time"], row["time"], row.get(names, "")) for row in rows])
    for kind in (AnchorKind.RIGHT_CLICK, AnchorKind.HOTKEY):
        yield _labels(kind, [])
    yield _labels(AnchorKind.GIVEN_TEXT, [Label(0.0, stream.duration, truth["task"])], complete=False, timed=False)


def _phone(steps: list[dict[str, Any]]) -> Iterator[Labels]:
    taps, swipes, changes = [], [], []
    for step in steps:
        time, point = step["time"], _point(step["point"])
        if step["action"] == "tap":
            taps.append(Label(time, time, point=point))
        else:
            swipes.append(Label(time, time, point=point, end_point=_point(step["end_point"])))
        changes.append(Label(time + _SAMPLE, time + _SAMPLE))
    yield _labels(AnchorKind.TAP, taps)
    yield _labels(AnchorKind.SWIPE, swipes)
    # Screens change between steps too (typed letters), which the truth does not list.
    yield _labels(AnchorKind.SCREEN_CHANGE, changes, complete=False)


def _point(place: list[float]) -> Point:
    return Point(x=place[0], y=place[1])


def _robot(truth: dict[str, Any]) -> Iterator[Labels]:
    episode = EPISODES[truth["episode"]]
    moves = [(a, b) for a, b in pairwise(episode.poses) if a.width != b.width]
    closes = [Label(a.time, b.time) for a, b in moves if b.width < a.width]
    opens = [Label(a.time, b.time) for a, b in moves if b.width > a.width]
    yield _labels(AnchorKind.GRIPPER_CLOSE, closes)
    yield _labels(AnchorKind.GRIPPER_OPEN, opens)
    hesitates = truth["fault"] == "hesitation_loop"
    yield _labels(AnchorKind.OSCILLATION, [Label(*truth["span"])] if hesitates else [])
    if hesitates:
        # Every pose between the first and the last is a turn; elsewhere a pause between two ways is no clear one.
        turns = [Label(pose.time, pose.time) for pose in episode.poses[1:-1]]
        yield _labels(AnchorKind.REVERSAL, turns)
        yield _labels(AnchorKind.JOINT_REVERSAL, turns)
    if truth["fault"] == "early_stagnation":
        yield _labels(AnchorKind.STALL, [Label(*truth["span"])])
        yield _labels(AnchorKind.JOINT_STALL, [Label(*truth["span"])])

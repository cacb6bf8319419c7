"""One recording of a screen as its anchors tell it: screens, marks, lines of text, clocks, inputs."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from schemas.anchor import AnchorKind, FactualAnchor
from schemas.stream import Stream, TrackKind

INPUTS = (
    AnchorKind.CLICK,
    AnchorKind.DOUBLE_CLICK,
    AnchorKind.RIGHT_CLICK,
    AnchorKind.DRAG,
    AnchorKind.WHEEL,
    AnchorKind.TYPING,
    AnchorKind.HOTKEY,
)
MARKS = (AnchorKind.TAP, AnchorKind.SWIPE)
_SLACK = 1e-3
_SURE = 0.8
JUST_SEEN = 2.0
"""Seconds for which a line that was not seen to go may still be taken to stand."""


@dataclass(frozen=True)
class Screen:
    """A still screen, with the lines that stood on it for some of its time."""

    state: FactualAnchor
    lines: tuple[FactualAnchor, ...]
    clocks: tuple[FactualAnchor, ...]

    @property
    def t0(self) -> float:
        return self.state.t0

    @property
    def t1(self) -> float:
        return self.state.t1

    @property
    def signature(self) -> str:
        return self.state.content

    @cached_property
    def phrases(self) -> frozenset[str]:
        """Its lines as :func:`folded`, without those of a keyboard and of icons."""
        return frozenset(key for line in self.lines if (key := folded(line.content)))


class Timeline:
    """A stream's anchors in the order of time."""

    def __init__(self, stream: Stream, anchors: Iterable[FactualAnchor]) -> None:
        self.stream = stream
        self.name = stream.name
        self.anchors = sorted(anchors, key=lambda anchor: (anchor.t0, anchor.t1, anchor.kind, anchor.content))

    def of(self, *kinds: str) -> list[FactualAnchor]:
        return [anchor for anchor in self.anchors if anchor.kind in kinds]

    @cached_property
    def lines(self) -> list[FactualAnchor]:
        """Lines read on screen with some certainty."""
        return [line for line in self.of(AnchorKind.SCREEN_TEXT) if line.confidence >= _SURE]

    @cached_property
    def screens(self) -> list[Screen]:
        clocks = self.of(AnchorKind.CLOCK)
        return [
            Screen(
                state,
                tuple(line for line in self.lines if _overlap(line, state)),
                tuple(clock for clock in clocks if _overlap(clock, state)),
            )
            for state in self.of(AnchorKind.SCREEN)
        ]

    @cached_property
    def changes(self) -> list[FactualAnchor]:
        return self.of(AnchorKind.SCREEN_CHANGE)

    @cached_property
    def inputs(self) -> list[FactualAnchor]:
        return self.of(*INPUTS)

    @cached_property
    def marks(self) -> list[FactualAnchor]:
        return self.of(*MARKS)

    @property
    def has_events(self) -> bool:
        return self.stream.has(TrackKind.EVENTS) or bool(self.inputs)

    @cached_property
    def size(self) -> tuple[int, int] | None:
        """Width and height in pixels, when the stream tells."""
        for track in self.stream.tracks:
            if track.kind in (TrackKind.VIDEO, TrackKind.IMAGES) and track.width and track.height:
                return track.width, track.height
        return None

    @cached_property
    def _starts(self) -> list[float]:
        return [screen.t0 for screen in self.screens]

    def screen_before(self, time: float) -> Screen | None:
        """The last distinct screen that began before a time."""
        place = bisect_left(self._starts, time - _SLACK)
        return self.screens[place - 1] if place else None

    def observed_before(self, time: float) -> float | None:
        """The latest edge of the last distinct screen before a time: nothing of what happens at the time is in it."""
        screen = self.screen_before(time)
        if screen is None:
            return None
        return screen.t1 if screen.t1 < time - _SLACK else screen.t0

    def lines_at(self, time: float) -> list[FactualAnchor]:
        return [line for line in self.lines if line.t0 - _SLACK <= time <= line.t1 + _SLACK]

    def lines_before(self, time: float) -> list[FactualAnchor]:
        """The lines at a time, with those last seen shortly before it whose place has not been read again: a button
        that lights up under the pointer still says what it said."""
        found = self.lines_at(time)
        gone = [line for line in self.lines if time - JUST_SEEN <= line.t1 < time - _SLACK]
        for line in sorted(gone, key=lambda line: -line.t1):
            boxes = [other.box for other in found if other.box is not None]
            if line.box is not None and not any(line.box.iou(box) > 0.25 for box in boxes):
                found.append(line)
        return found

    def changed_between(self, begin: float, end: float) -> list[FactualAnchor]:
        """Changes of the screen with begin < t0 <= end."""
        return [change for change in self.changes if begin < change.t0 <= end]


_LETTERS = re.compile(r"[^\W\d_]", re.UNICODE)


def folded(text: str) -> str:
    """A line without what OCR and layout vary (case, spaces, final dots); empty when it says too little to compare."""
    key = " ".join(text.casefold().split()).rstrip(" .…")
    return key if len(_LETTERS.findall(key)) >= 3 else ""


def keyboard_top(lines: Sequence[FactualAnchor]) -> float | None:
    """The upper edge of an on-screen keyboard, told by rows of single letters; None when there is none."""
    keys = []
    for line in lines:
        if line.box is None or line.box.centre.y < 0.45:
            continue
        tokens = line.content.split()
        letters = sum(len(token) <= 2 and any(c.isalpha() for c in token) for token in tokens)
        row = re.sub(r"[\W\d]", "", line.content).casefold()
        if letters and letters == len(tokens):
            keys.append((line.box.y0, letters))
        elif len(row) >= 5 and any(row in keys_row for keys_row in ("qwertyuiop", "asdfghjkl", "zxcvbnm")):
            keys.append((line.box.y0, len(row)))
    if sum(count for _, count in keys) < 8:
        return None
    return min(top for top, _ in keys)


def same_place(one: FactualAnchor, other: FactualAnchor) -> bool:
    """Whether two lines begin near one another and stand at the same height."""
    if one.box is None or other.box is None:
        return False
    top, bottom = max(one.box.y0, other.box.y0), min(one.box.y1, other.box.y1)
    least = min(one.box.y1 - one.box.y0, other.box.y1 - other.box.y0)
    level = bottom - top >= 0.5 * least
    # An icon beside the text may be read with it, or not.
    return (
        level
        and abs(one.box.x0 - other.box.x0) <= 0.12
        and min(one.box.x1, other.box.x1) > max(one.box.x0, other.box.x0)
    )


def _overlap(anchor: FactualAnchor, state: FactualAnchor) -> bool:
    return anchor.t0 <= state.t1 + _SLACK and anchor.t1 >= state.t0 - _SLACK

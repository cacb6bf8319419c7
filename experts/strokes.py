"""The strokes of a drawing: where the pen goes down, where it goes, where it lifts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from experts.base import Expert, Observer
from schemas.anchor import AnchorKind, FactualAnchor
from schemas.geometry import Box, Point
from schemas.segment import Segment
from schemas.stream import TrackKind
from sources.base import Recording, Stroke


class Strokes(Expert):
    """Finds `drawing.stroke`, `drawing.pen_down` and `drawing.pen_up`, one of each for every stroke.

    Times are the nominal ones of the source. The pen's places stand on their own beside the stroke, so that a claim
    about one of them is not met by the box of the whole. Takes no parameters.
    """

    name: ClassVar[str] = "strokes"
    version: ClassVar[str] = "1"
    reads: ClassVar[frozenset[TrackKind]] = frozenset({TrackKind.STROKES})

    known = ()

    def start(self, recording: Recording, segment: Segment) -> Observer:
        return _StrokeObserver(self, recording, segment)


class _StrokeObserver(Observer):
    """Reads the whole track; each segment keeps the strokes that begin in it."""

    def __init__(self, expert: Strokes, recording: Recording, segment: Segment) -> None:
        self._expert = expert
        self._segment = segment
        self._strokes = [stroke for stroke in recording.strokes() if self._here(stroke.t0) and len(stroke.points)]

    def finish(self) -> list[FactualAnchor]:
        self.calls = len(self._strokes)
        anchors = [anchor for stroke in self._strokes for anchor in self._anchors(stroke)]
        return sorted(anchors, key=lambda anchor: (anchor.t0, anchor.t1, anchor.kind))

    def _here(self, time: float) -> bool:
        segment = self._segment
        return segment.t0 <= time and (time < segment.t1 or segment.last)

    def _anchors(self, stroke: Stroke) -> Iterator[FactualAnchor]:
        points = np.clip(stroke.points, 0.0, 1.0)
        (x0, y0), (x1, y1) = points.min(axis=0), points.max(axis=0)
        length = float(np.hypot.reduce(np.diff(points, axis=0), axis=1).sum())
        begin, end = _point(points[0]), _point(points[-1])
        anchor, segment = self._expert.anchor, self._segment
        yield anchor(
            segment,
            AnchorKind.STROKE,
            stroke.t0,
            stroke.t1,
            value=round(length, 6),
            box=Box.clipped(*(round(float(side), 6) for side in (x0, y0, x1, y1))),
            point=begin,
            end_point=end,
            confidence=1.0,
        )
        yield anchor(segment, AnchorKind.PEN_DOWN, stroke.t0, point=begin, confidence=1.0)
        yield anchor(segment, AnchorKind.PEN_UP, stroke.t1, point=end, confidence=1.0)


def _point(place: np.ndarray) -> Point:
    return Point(x=round(float(place[0]), 6), y=round(float(place[1]), 6))

"""Strokes are measured as they were drawn, each once, whatever the segments."""

from __future__ import annotations

import numpy as np
import pytest

from experts.roster import specs_for
from experts.strokes import Strokes
from schemas.anchor import FactualAnchor
from schemas.errors import UsageError
from schemas.geometry import Point
from schemas.segment import cut_segments
from schemas.stream import Domain, Stream, Track, TrackKind
from sources.base import Recording, Stroke

LINES = (
    Stroke(0.0, 1.0, np.array([[0.2, 0.2], [0.8, 0.2], [0.8, 0.6]])),
    Stroke(1.0, 2.0, np.array([[0.5, 0.5]])),
)
PAGE = Stream(
    sha256="0" * 64,
    uri="x",
    name="x",
    domain=Domain.AIGC,
    format="drawings",
    parts=(),
    tracks=(Track(kind=TrackKind.STROKES, name="strokes"),),
    duration=2.0,
)


class Page(Recording):
    def close(self) -> None:
        pass

    def strokes(self) -> tuple[Stroke, ...]:
        return LINES


def read(seconds: float = 300.0) -> list[FactualAnchor]:
    expert = Strokes()
    found = [a for segment in cut_segments(PAGE, seconds) for a in expert.start(Page(), segment).finish()]
    return expert.join(PAGE, found)


def test_a_stroke_has_its_way_and_its_ends() -> None:
    bent, dot = (anchor for anchor in read() if anchor.kind == "drawing.stroke")
    assert (bent.t0, bent.t1, bent.value) == (0.0, 1.0, pytest.approx(1.0))
    assert bent.box is not None
    assert (bent.box.x0, bent.box.y0, bent.box.x1, bent.box.y1) == (0.2, 0.2, 0.8, 0.6)
    assert (bent.point, bent.end_point) == (Point(x=0.2, y=0.2), Point(x=0.8, y=0.6))
    assert (dot.value, dot.point, dot.end_point) == (0.0, Point(x=0.5, y=0.5), Point(x=0.5, y=0.5))


def test_the_pen_goes_down_and_lifts_at_the_ends() -> None:
    pens = [(a.kind, a.t0, a.point) for a in read() if a.kind.startswith("drawing.pen")]
    assert pens == [
        ("drawing.pen_down", 0.0, Point(x=0.2, y=0.2)),
        ("drawing.pen_down", 1.0, Point(x=0.5, y=0.5)),
        ("drawing.pen_up", 1.0, Point(x=0.8, y=0.6)),
        ("drawing.pen_up", 2.0, Point(x=0.5, y=0.5)),
    ]


def test_segments_cut_nothing() -> None:
    assert sorted(a.id for a in read(0.4)) == sorted(a.id for a in read())


def test_a_drawing_is_looked_at_by_default() -> None:
    assert "strokes" in [spec.name for spec in specs_for(PAGE, None)]


def test_an_unknown_parameter_is_named() -> None:
    with pytest.raises(UsageError, match="size"):
        Strokes(size=3)

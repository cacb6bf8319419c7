"""drawing_sequence: all strokes as drawn, words that follow from their points, and no changed value passes."""

from __future__ import annotations

import pytest
from facts import anchor, stream
from handled import changed_that_pass, compose, measured, scored
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.anchor import AnchorKind, FactualAnchor
from schemas.errors import UnsuitedError
from schemas.geometry import Box, Point
from schemas.stream import Domain, Track, TrackKind
from synthesis.verification.verify import passes

PAGE = stream(Domain.AIGC, "page", 4.0, tracks=(Track(kind=TrackKind.STROKES, name="strokes"),))
KINDS = (AnchorKind.STROKE, AnchorKind.PEN_DOWN, AnchorKind.PEN_UP, AnchorKind.GIVEN_TEXT)


def stroke(t0: float, start: tuple[float, float], end: tuple[float, float], length: float) -> list[FactualAnchor]:
    begin, lift = Point(x=start[0], y=start[1]), Point(x=end[0], y=end[1])
    box = Box.clipped(*start, *end)
    return [
        anchor(AnchorKind.STROKE, t0, t0 + 1.0, value=length, box=box, point=begin, end_point=lift),
        anchor(AnchorKind.PEN_DOWN, t0, point=begin),
        anchor(AnchorKind.PEN_UP, t0 + 1.0, point=lift),
    ]


CROSS = [*stroke(0.0, (0.5, 0.1), (0.5, 0.9), 0.8), *stroke(1.0, (0.2, 0.4), (0.8, 0.4), 0.9)]
ROUND = stroke(0.0, (0.3, 0.3), (0.32, 0.31), 1.4)


def test_strokes_are_told_by_where_they_go() -> None:
    output = compose("drawing_sequence", CROSS, PAGE)
    assert output["prompt"] == "Draw it with 2 strokes: the first goes down, the second goes right with a bend."
    assert [(s["index"], s["course"], s["straight"]) for s in output["strokes"]] == [
        (1, "down", True),
        (2, "right", False),
    ]
    assert output["stages"] == [{"time": 1.0, "strokes": 1}, {"time": 2.0, "strokes": 2}]


@pytest.mark.parametrize(
    ("end", "length", "course"),
    [
        ((0.9, 0.5), 0.4, "right"),
        ((0.7, 0.7), 0.3, "down right"),
        ((0.3, 0.3), 0.3, "up left"),
        ((0.1, 0.5), 0.4, "left"),
        ((0.5, 0.1), 0.4, "up"),
        ((0.51, 0.5), 0.01, "dot"),
        ((0.52, 0.5), 1.5, "round"),
    ],
)
def test_the_course_follows_from_the_points(end: tuple[float, float], length: float, course: str) -> None:
    output = compose("drawing_sequence", stroke(0.0, (0.5, 0.5), end, length), PAGE)
    assert output["strokes"][0]["course"] == course


def test_a_given_text_is_the_prompt() -> None:
    given_ = anchor(AnchorKind.GIVEN_TEXT, 0.0, 4.0, "A cross")
    assert compose("drawing_sequence", [given_, *CROSS], PAGE)["prompt"] == "A cross"


def test_many_strokes_have_few_stages_the_last_of_which_is_the_whole() -> None:
    drawn = [a for t in range(30) for a in stroke(float(t), (0.1, 0.1), (0.9, 0.9), 1.2)]
    stages = compose("drawing_sequence", drawn, PAGE)["stages"]
    assert len(stages) == 10
    assert stages[-1] == {"time": 30.0, "strokes": 30}


@pytest.mark.parametrize("anchors", [CROSS, ROUND], ids=["cross", "round"])
def test_no_changed_value_passes(anchors: list[FactualAnchor]) -> None:
    assert changed_that_pass("drawing_sequence", anchors, PAGE) == []


def test_a_drawing_that_lacks_a_stroke_does_not_pass() -> None:
    output = compose("drawing_sequence", CROSS, PAGE)
    output["strokes"].pop()
    output["stages"].pop()
    output["prompt"] = "Draw it with one stroke that goes down."
    assert not passes(scored("drawing_sequence", output, CROSS, PAGE))


def test_a_picture_without_strokes_is_not_suited() -> None:
    with pytest.raises(UnsuitedError, match="no stroke of a pen"):
        compose("drawing_sequence", [], PAGE)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    anchors=st.lists(
        st.one_of(
            measured(KINDS, ["A cross", " ", ""]).map(lambda a: [a]),
            st.builds(
                stroke,
                st.integers(0, 5).map(float),
                st.tuples(st.floats(0, 1), st.floats(0, 1)),
                st.tuples(st.floats(0, 1), st.floats(0, 1)),
                st.floats(0, 3),
            ),
        ),
        max_size=8,
    )
)
def test_whatever_was_measured_what_is_written_is_supported(anchors: list[list[FactualAnchor]]) -> None:
    drawn = [one for group in anchors for one in group]
    try:
        output = compose("drawing_sequence", drawn, PAGE)
    except UnsuitedError:
        return
    score = scored("drawing_sequence", output, drawn, PAGE)
    assert (score.format_errors, score.unsupported) == ((), ())
    assert passes(score)

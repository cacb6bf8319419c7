"""spatio_temporal_vqa: places follow from boxes, answers answer, and no changed value passes."""

from __future__ import annotations

import pytest
from facts import anchor
from handled import ARM, changed_that_pass, compose, measured, scored
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.anchor import AnchorKind, FactualAnchor
from schemas.errors import UnsuitedError
from schemas.geometry import Box
from synthesis.agents.spatio_temporal_vqa import region_of
from synthesis.verification.verify import passes

LEFT, RIGHT = Box(x0=0.05, y0=0.1, x1=0.4, y1=0.8), Box(x0=0.6, y0=0.6, x1=0.9, y1=0.95)
WIDE = Box(x0=0.1, y0=0.1, x1=0.9, y1=0.9)
FIELD = [
    anchor(AnchorKind.MOTION, 1.1, 3.7, "in place", value=0.2, box=LEFT),
    anchor(AnchorKind.MOTION, 5.3, 8.2, "up left", value=0.3, box=RIGHT),
    anchor(AnchorKind.MOTION, 10.0, 12.4, "in place", value=0.3, box=WIDE),
    anchor(AnchorKind.REVERSAL, 6.4, content="same way back", value=-1.0, box=RIGHT),
    anchor(AnchorKind.CAMERA, 13.3, 15.6, "pan_left"),
    anchor(AnchorKind.SCREEN_TEXT, 1.6, 9.9, "EXIT", box=Box(x0=0.7, y0=0.05, x1=0.9, y1=0.12), confidence=0.98),
]
KINDS = (
    AnchorKind.MOTION,
    AnchorKind.REVERSAL,
    AnchorKind.OSCILLATION,
    AnchorKind.CAMERA,
    AnchorKind.SCREEN_TEXT,
)
WORDS = ["up left", "in place", "down", "pan_left", "zoom_in", "EXIT", 'Say "go"', "left half", "at 3.0 s", ""]


def asked(anchors: list[FactualAnchor]) -> dict[str, str]:
    questions = compose("spatio_temporal_vqa", anchors, ARM)["questions"]
    return {question["question"]: question["answer"] for question in questions}


def test_questions_are_on_where_when_which_way_how_long_and_which_first() -> None:
    told = asked(FIELD)
    expected = {
        "In which part of the frame does something move from 1.10 s to 3.70 s?": "In the left half.",
        'In which part of the frame does "EXIT" stand from 1.60 s to 9.90 s?': "In the upper right quarter.",
        "Name a time at which motion turns back in the lower right quarter.": "At 6.40 s.",
        "Which way does motion go from 5.30 s to 8.20 s?": "Up left.",
        "What does the camera do from 13.30 s to 15.60 s?": "It pans left.",
        "From 5.30 s on, how long does something move in the lower right quarter?": "It does so for 2.90 s.",
        "Between 1.10 s and 8.20 s, where does something move first: in the left half or in the lower right quarter?": (
            "In the left half."
        ),
    }
    assert {question: told.get(question) for question in expected} == expected
    assert not any("10.00 s" in question for question in told)


@pytest.mark.parametrize(
    ("box", "region"),
    [
        (LEFT, "left half"),
        (RIGHT, "lower right quarter"),
        (WIDE, None),
        (Box(x0=0.2, y0=0.1, x1=0.8, y1=0.54), "upper half"),
        (Box(x0=0.2, y0=0.1, x1=0.8, y1=0.56), None),
    ],
)
def test_the_region_follows_from_the_box(box: Box, region: str | None) -> None:
    assert region_of(box) == region


def test_no_changed_value_passes() -> None:
    assert changed_that_pass("spatio_temporal_vqa", FIELD, ARM) == []


@pytest.mark.parametrize(
    ("before", "after"),
    [("left half", "right half"), ("Up left.", "Down."), ("for 2.90 s", "for 4.90 s"), ("At 6.40 s", "At 7.40 s")],
)
def test_an_answer_that_says_another_place_way_or_time_does_not_pass(before: str, after: str) -> None:
    output = compose("spatio_temporal_vqa", FIELD, ARM)
    wrong = next(question for question in output["questions"] if before in question["answer"])
    wrong["answer"] = wrong["answer"].replace(before, after)
    assert not passes(scored("spatio_temporal_vqa", output, FIELD, ARM))


def test_the_second_of_two_is_not_the_first() -> None:
    output = compose("spatio_temporal_vqa", FIELD, ARM)
    order = next(question for question in output["questions"] if question["type"] == "order")
    order["answer"] = "In the lower right quarter."
    assert not passes(scored("spatio_temporal_vqa", output, FIELD, ARM))


def test_without_places_it_says_which_expert_measures_them() -> None:
    with pytest.raises(UnsuitedError, match="no place or direction of motion was measured") as error:
        asked([FIELD[2]])
    assert "expert motion" in error.value.problem.remedy


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(anchors=st.lists(measured(KINDS, WORDS), max_size=15))
def test_whatever_was_measured_what_is_written_is_supported(anchors: list[FactualAnchor]) -> None:
    try:
        output = compose("spatio_temporal_vqa", anchors, ARM)
    except UnsuitedError:
        return
    score = scored("spatio_temporal_vqa", output, anchors, ARM)
    assert (score.format_errors, score.unsupported) == ((), ())
    assert passes(score)

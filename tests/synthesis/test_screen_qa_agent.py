"""screen_qa: answers are on the screen, at the part of it that they tell, and no changed value passes."""

from __future__ import annotations

from typing import Any

import pytest
from facts import anchor, evidence, stream
from handled import DESK, OFFICE, changed_that_pass, compose, line, measured, scored
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.anchor import AnchorKind, FactualAnchor
from schemas.errors import UnsuitedError
from schemas.geometry import Box, Point
from schemas.stream import Domain
from synthesis.agents.roster import agent_for
from synthesis.agents.screen_qa import region_of
from synthesis.verification.verify import passes

TASK = "screen_qa"
PHONE = [
    anchor(AnchorKind.SCREEN, 0.0, 2.0, "00ff", value=0.0),
    anchor(AnchorKind.SCREEN, 2.5, 4.5, "11ff", value=1.0),
    anchor(AnchorKind.SCREEN, 5.0, 9.0, "22ff", value=2.0),
    line(0.0, 4.5, "Reading lamp", 0.1, 0.1),
    line(0.0, 4.5, "Add to basket", 0.4, 0.8),
    line(0.0, 4.5, "10:24", 0.02, 0.01),
    line(2.5, 4.5, "One lamp added", 0.1, 0.5),
    line(5.0, 9.0, "Your basket", 0.1, 0.1),
    line(5.0, 9.0, "Pay now", 0.7, 0.9),
    anchor(AnchorKind.TAP, 2.0, point=Point(x=0.45, y=0.82)),
]


def questions(anchors: list[FactualAnchor]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = compose(TASK, anchors, DESK)["questions"]
    return found


def of(type: str, anchors: list[FactualAnchor] = PHONE) -> dict[str, Any]:
    return next(question for question in questions(anchors) if question["type"] == type)


def refuses(question: dict[str, Any], anchors: list[FactualAnchor] = PHONE) -> bool:
    return not passes(scored(TASK, {"questions": [question]}, anchors, DESK))


@pytest.mark.parametrize(
    ("x", "y", "region"),
    [
        (0.1, 0.1, "at the top left"),
        (0.5, 0.1, "at the top"),
        (0.9, 0.5, "on the right"),
        (0.5, 0.5, "in the middle"),
        (0.5, 0.9, "at the bottom"),
        (0.9, 0.9, "at the bottom right"),
    ],
)
def test_a_region_is_the_third_in_which_the_middle_of_the_box_lies(x: float, y: float, region: str) -> None:
    assert region_of(Box(x0=x - 0.05, y0=y - 0.05, x1=x + 0.05, y1=y + 0.05)) == region


def test_what_is_asked_is_answered_from_the_screen() -> None:
    assert {question["type"] for question in questions(PHONE)} == {"where", "present", "appeared", "tapped"}
    assert of("appeared")["answer"] == '"One lamp added".'
    assert of("tapped")["answer"] == '"Add to basket".'
    assert {question["type"] for question in questions(OFFICE)} >= {"clicked", "typed", "appeared"}
    assert of("clicked", OFFICE)["answer"] == '"Open", at the top left.'
    assert of("typed", OFFICE)["answer"] == '"weekly plan".'


def test_a_text_that_stands_elsewhere_only_is_not_there() -> None:
    absent = next(q for q in questions(PHONE) if q["type"] == "present" and q["answer"].startswith("No"))
    fact = absent["evidence"][0]
    assert not fact["t0"] <= absent["frame_time"] <= fact["t1"]
    assert refuses(absent | {"answer": "Yes."})
    assert refuses(absent | {"frame_time": (fact["t0"] + fact["t1"]) / 2})


def test_what_was_read_badly_and_what_shows_the_time_is_not_asked_for() -> None:
    assert "Rernt" not in str(questions(OFFICE))
    assert "10:24" not in str(questions(PHONE))


@pytest.mark.parametrize("anchors", [PHONE, OFFICE], ids=["phone", "desk"])
def test_no_changed_value_passes(anchors: list[FactualAnchor]) -> None:
    assert changed_that_pass(TASK, anchors, DESK) == []


def test_another_part_of_the_screen_does_not_pass() -> None:
    where = of("where")
    assert not refuses(where)
    for region in ("at the top right", "in the middle", "on the left"):
        assert refuses(where | {"answer": f'"{where["evidence"][0]["content"]}" stands {region}.'})


def test_all_that_is_new_must_be_named() -> None:
    new = of("appeared")
    assert not refuses(new)
    assert refuses(new, [*PHONE, line(3.0, 4.5, "Go to basket", 0.5, 0.5)])
    assert refuses(new, [*PHONE, line(0.0, 1.0, "One lamp added", 0.5, 0.5)])


def test_a_text_that_stands_twice_is_not_asked_for() -> None:
    twin = line(0.0, 4.5, "Reading lamp", 0.6, 0.6)
    where = next(q for q in questions(PHONE) if "Reading lamp" in q["question"])
    assert refuses(where, [*PHONE, twin])
    assert '"Reading lamp" stands' not in str(questions([*PHONE, twin]))


def test_the_type_and_the_wording_agree() -> None:
    clicked = of("clicked", OFFICE)
    for other in ("where", "present", "appeared", "tapped", "typed"):
        assert refuses(clicked | {"type": other}, OFFICE)
    assert refuses(clicked | {"question": "What is not clicked at 5.1 s?"}, OFFICE)
    assert refuses(clicked | {"difficulty": "hard"}, OFFICE)


def test_screens_without_text_say_so() -> None:
    with pytest.raises(UnsuitedError, match=r"no line that was read .* \(0 lines were read\)"):
        compose(TASK, PHONE[:3], stream(Domain.GUI))


def test_repair_takes_out_the_question_that_does_not_hold() -> None:
    agent, given_ = agent_for(TASK), evidence(TASK, PHONE, DESK)
    output = agent.compose(given_).model_dump(mode="json")
    output["questions"][0]["answer"] = "Nowhere."
    score = scored(TASK, output, PHONE, DESK)
    mended = agent.repair(agent.output.model_validate(output), score.unsupported, given_)
    assert mended is not None
    assert len(mended.questions) == len(output["questions"]) - 1


KINDS = ("text.screen", "screen.state", "screen.tap", "input.click", "input.double_click", "input.type")
WORDS = ["Save file", "Save", "Open it", 'Say "go"', "at 3.0 s", "No way", "x", "10:24", ""]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(measured(KINDS, WORDS), max_size=16))
def test_whatever_was_measured_what_is_asked_is_supported(anchors: list[FactualAnchor]) -> None:
    try:
        output = compose(TASK, anchors, DESK)
    except UnsuitedError:
        return
    score = scored(TASK, output, anchors, DESK)
    assert (score.format_errors, score.unsupported) == ((), ())
    assert passes(score)

"""grounding: each expression means one place, and no changed one passes."""

from __future__ import annotations

import pytest
from facts import anchor
from handled import DESK, OFFICE, changed_that_pass, compose, line, measured, scored
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.anchor import AnchorKind, FactualAnchor
from schemas.errors import UnsuitedError
from synthesis.verification.verify import passes

LIST = [
    anchor(AnchorKind.SCREEN, 0.0, 4.6, "00ff", value=0.0),
    line(0.0, 4.6, "Remove", 0.7, 0.2),
    line(0.0, 4.6, "Remove", 0.7, 0.4),
    line(0.0, 4.6, "Anna", 0.1, 0.2),
    line(0.0, 4.6, "Bert", 0.1, 0.4),
]
KINDS = ("text.screen", "screen.state", "input.click", "input.drag")


def told(anchors: list[FactualAnchor]) -> dict[str, float]:
    pairs = compose("grounding", anchors, DESK)["pairs"]
    return {pair["expression"]: round(pair["box"]["y0"], 2) for pair in pairs}


def test_texts_are_taken_where_they_are_first_shown_and_elements_where_they_are_clicked() -> None:
    pairs = compose("grounding", OFFICE, DESK)["pairs"]
    assert [(pair["expression"], pair["time"]) for pair in pairs] == [
        ('the text "Recent files"', 4.6),
        ('the text "Start"', 4.6),
        ('the element "Open"', 5.1),
        ('the text "Save"', 10.4),
        ('the text "weekly plan"', 19.1),
    ]


def test_a_text_that_stands_twice_is_told_by_its_place() -> None:
    assert told(LIST) == {
        'the text "Anna"': 0.2,
        'the first "Remove" from the top': 0.2,
        'the text "Bert"': 0.4,
        'the second "Remove" from the top': 0.4,
    }


def test_a_text_that_is_part_of_another_is_left_out() -> None:
    assert 'the text "Anna"' not in told([*LIST, line(0.0, 4.6, "Anna Smith", 0.1, 0.6)])


def test_a_line_that_a_window_cuts_is_left_out() -> None:
    cut = [
        anchor(AnchorKind.SCREEN, 0.0, 4.6, "00ff", value=0.0),
        anchor(AnchorKind.SCREEN, 6.0, 9.4, "11ff", value=1.0),
        line(0.0, 4.6, "Settings", 0.1, 0.2),
        line(6.0, 9.4, "Setti", 0.1, 0.2),
        line(6.0, 9.4, "OK", 0.5, 0.5),
        line(6.0, 9.4, "12:31", 0.8, 0.9),
    ]
    assert list(told(cut)) == ['the text "Settings"', 'the text "OK"']


@pytest.mark.parametrize("anchors", [OFFICE, LIST], ids=["session", "list"])
def test_no_changed_value_passes(anchors: list[FactualAnchor]) -> None:
    assert changed_that_pass("grounding", anchors, DESK) == []


def test_other_words_may_mean_the_one_place_of_a_text() -> None:
    output = compose("grounding", LIST, DESK)
    anna = next(pair for pair in output["pairs"] if pair["text"] == "Anna")
    for expression, sound in (('Click on "Anna"', True), ("Click on Bert", False), ('the third "Anna"', False)):
        anna["expression"] = expression
        assert passes(scored("grounding", output, LIST, DESK)) is sound


def test_an_ambiguous_text_that_is_said_to_be_one_does_not_pass() -> None:
    output = compose("grounding", LIST, DESK)
    twice = next(pair for pair in output["pairs"] if pair["others"])
    twice |= {"others": [], "expression": 'the text "Remove"'}
    assert not passes(scored("grounding", output, LIST, DESK))


def test_a_screen_without_readable_lines_is_not_suited() -> None:
    with pytest.raises(UnsuitedError, match="nothing readable on a still screen"):
        compose("grounding", [*LIST[:1], line(0.0, 4.6, "x", 0.1, 0.1)], DESK)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    anchors=st.lists(
        measured(
            KINDS, ["Open", "open", "Open file", "Save", "Setti", "Settings", 'He said "go"', "1:14", "", "\ufffd"]
        ),
        max_size=20,
    )
)
def test_whatever_was_measured_what_is_written_is_supported(anchors: list[FactualAnchor]) -> None:
    try:
        output = compose("grounding", anchors, DESK)
    except UnsuitedError:
        return
    score = scored("grounding", output, anchors, DESK)
    assert (score.format_errors, score.unsupported) == ((), ())
    assert passes(score)

"""world_model: states rest on nothing later than their frame, actions lie between two, and no changed one passes."""

from __future__ import annotations

import json

import pytest
from facts import anchor, evidence
from handled import ARM, DESK, OFFICE, PICK, TASK, changed_that_pass, compose, measured, scored
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.anchor import AnchorKind, FactualAnchor
from schemas.errors import UnsuitedError
from schemas.geometry import Point
from synthesis.agents.gui.timeline import INPUTS, MARKS
from synthesis.agents.handling import HANDLED
from synthesis.agents.roster import agent_for
from synthesis.backends.base import to_json
from synthesis.verification.verify import passes

SCREEN_KINDS = (*INPUTS, *MARKS, "screen.state", "screen.change", "text.screen", "ui.window", "text.given")


def conditions(state: dict) -> set[str]:  # type: ignore[type-arg]
    return {f"{fact['subject']} {fact['condition']}" for fact in state["facts"]}


def test_a_manipulation_is_cut_where_something_begins_or_ends() -> None:
    output = compose("world_model", PICK, ARM)
    assert output["task"] == TASK
    assert [(t["action"]["type"], t["action"]["t0"], t["action"]["t1"]) for t in output["transitions"]] == [
        ("move", 0.0, 4.1),
        ("close_gripper", 4.1, 4.8),
        ("move", 4.8, 6.9),
        ("turn_back", 6.9, 9.2),
        ("open_gripper", 9.2, 9.9),
        ("move", 9.9, 11.3),
        ("rest", 11.3, 15.7),
        ("move", 15.7, 18.4),
    ]
    assert output["transitions"][7]["action"]["direction"] == "up left"


def test_a_state_is_what_was_measured_up_to_its_frame() -> None:
    first, grip, carry, *_ = compose("world_model", PICK, ARM)["transitions"]
    assert conditions(first["state"]) == {"scene moving"}
    assert conditions(grip["state"]) == {"right_hand open", "scene moving"}
    assert conditions(grip["next_state"]) == {"right_hand closed", "right_hand in_contact", "scene moving"}
    assert conditions(carry["next_state"]) == conditions(grip["next_state"]) | {"right_arm turning"}


def test_a_click_leads_from_the_last_screen_before_it_to_the_next() -> None:
    click, typing = compose("world_model", OFFICE, DESK)["transitions"]
    assert (click["state"]["time"], click["next_state"]["time"]) == (4.6, 6.2)
    assert click["action"]["target"] == "Open"
    assert [line["text"] for line in click["state"]["lines"]] == ["Open", "Recent files", "Start"]
    assert conditions(click["next_state"]) == {"editor in_front"}
    assert typing["action"]["text"] == "weekly plan"
    assert "weekly plan" not in [line["text"] for line in typing["state"]["lines"]]


def test_where_there_is_a_log_marks_on_the_picture_are_no_actions() -> None:
    mark = anchor(AnchorKind.TAP, 5.5, point=Point(x=0.15, y=0.22))
    assert compose("world_model", [*OFFICE, mark], DESK) == compose("world_model", OFFICE, DESK)


@pytest.mark.parametrize(("anchors", "on"), [(PICK, ARM), (OFFICE, DESK)], ids=["hands", "screen"])
def test_no_changed_value_passes(anchors: list, on: object) -> None:  # type: ignore[type-arg]
    assert changed_that_pass("world_model", anchors, on) == []  # type: ignore[arg-type]


def test_a_state_that_knows_the_future_does_not_pass() -> None:
    output = compose("world_model", PICK, ARM)
    output["transitions"][1]["state"]["facts"] = output["transitions"][1]["next_state"]["facts"]
    assert not passes(scored("world_model", output, PICK, ARM))


def test_the_order_is_claimed() -> None:
    output = compose("world_model", PICK, ARM)
    output["transitions"].reverse()
    assert not passes(scored("world_model", output, PICK, ARM))


def test_repair_takes_out_a_transition_that_was_not_measured() -> None:
    agent, ev = agent_for("world_model"), evidence("world_model", PICK, ARM)
    output = agent.compose(ev)
    wrong = json.loads(to_json(output))
    wrong["transitions"][2]["action"]["t1"] = 5.9
    mended = agent.repair(agent.output.model_validate(wrong), scored("world_model", wrong, PICK, ARM).unsupported, ev)
    assert mended is not None
    assert len(mended.transitions) == len(output.transitions) - 1  # type: ignore[attr-defined]


def test_without_an_action_it_says_what_is_missing() -> None:
    with pytest.raises(UnsuitedError, match="no action was measured in it"):
        compose("world_model", PICK[:1], ARM)


@pytest.mark.parametrize(
    ("kinds", "words", "on"),
    [
        (HANDLED, ["right_hand", "hand", "right_arm", "up", "in place", ""], ARM),
        (SCREEN_KINDS, ["Open", "Save as", "down", "up then down", " ", "ab\ufffd"], DESK),
    ],
    ids=["hands", "screen"],
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_whatever_was_measured_what_is_written_is_supported(
    kinds: tuple[str, ...], words: list[str], on: object, data: st.DataObject
) -> None:
    anchors: list[FactualAnchor] = data.draw(st.lists(measured(kinds, words), max_size=20))
    try:
        output = compose("world_model", anchors, on)  # type: ignore[arg-type]
    except UnsuitedError:
        return
    score = scored("world_model", output, anchors, on)  # type: ignore[arg-type]
    assert (score.format_errors, score.unsupported) == ((), ())
    assert passes(score)

"""planning_decision: situations end with their decision, plans begin with it, and no changed value passes."""

from __future__ import annotations

import re

import pytest
from facts import anchor
from handled import ARM, PICK, TASK, changed_that_pass, compose, measured, scored
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.anchor import AnchorKind, FactualAnchor
from schemas.errors import UnsuitedError
from synthesis.agents.handling import HANDLED
from synthesis.verification.verify import passes

SLIP = [
    *PICK[:3],
    anchor(AnchorKind.CONTACT, 4.8, 6.3, "right_hand"),
    anchor(AnchorKind.GRIPPER_OPEN, 6.3, 6.9, "right_hand"),
    anchor(AnchorKind.GRIPPER_CLOSE, 8.2, 8.9, "right_hand", value=0.05),
    anchor(AnchorKind.JOINT_STALL, 7.6, 8.1, "right_arm"),
]
LOOP = [
    anchor(AnchorKind.MOTION, 0.0, 9.7, "in place", value=0.4),
    anchor(AnchorKind.OSCILLATION, 2.2, 9.7, "same way back", value=3.0),
    anchor(AnchorKind.REVERSAL, 4.6, content="same way back", value=-1.0),
    anchor(AnchorKind.REVERSAL, 6.4, content="same way back", value=-1.0),
]


def test_without_a_fault_the_plan_is_what_was_done_next() -> None:
    output = compose("planning_decision", PICK, ARM)
    assert output["task"] == TASK
    assert [d["time"] for d in output["decisions"]] == [0.0, 4.1, 4.8, 9.2, 9.9]
    grip = output["decisions"][1]
    assert (grip["choice"], grip["reason"]) == ("go_on", "At 4.10 s the right hand is open and the scene moves.")
    assert [a["type"] for a in grip["situation"]["history"]] == ["move"]
    assert [(s["action"]["type"], s["reason"]) for s in grip["plan"]] == [
        ("close_gripper", "At 4.10 s the right hand is open."),
        ("move", "At 4.80 s the right hand is closed."),
        ("turn_back", "At 6.90 s the right hand is closed."),
    ]


def test_a_slip_is_corrected_when_the_first_grasp_has_failed() -> None:
    decision = compose("planning_decision", SLIP, ARM)["decisions"][-1]
    assert (decision["time"], decision["fault"], decision["choice"]) == (6.3, "unstable_grasp", "correct")
    assert [risk["type"] for risk in decision["risks"]] == ["second_grasp", "stall"]
    assert decision["plan"][0]["advice"].startswith("Open the gripper")
    assert all(action["t1"] <= 6.3 for action in decision["situation"]["history"])


def test_what_threatens_is_told_in_the_reason() -> None:
    decision = compose("planning_decision", LOOP, ARM)["decisions"][-1]
    assert decision["reason"] == (
        "At 2.20 s the scene moves. Without a new plan, the scene goes to and fro from 2.20 s to 9.70 s."
    )


def test_no_changed_value_passes() -> None:
    assert changed_that_pass("planning_decision", PICK, ARM) == []


@pytest.mark.parametrize("anchors", [SLIP, LOOP], ids=["slip", "loop"])
def test_only_advice_may_be_put_in_other_words(anchors: list[FactualAnchor]) -> None:
    """What should have followed was not measured: nothing can prove or refute it."""
    found = changed_that_pass("planning_decision", anchors, ARM)
    assert all(re.search(r"/plan/\d/(?:advice|reason)$", path) for path in found)


def test_a_situation_that_tells_what_comes_later_does_not_pass() -> None:
    output = compose("planning_decision", PICK, ARM)
    later = output["decisions"][3]["situation"]
    output["decisions"][1]["situation"]["history"] = later["history"]
    assert not passes(scored("planning_decision", output, PICK, ARM))


def test_a_reason_that_says_what_was_not_measured_does_not_pass() -> None:
    output = compose("planning_decision", PICK, ARM)
    output["decisions"][1]["reason"] = "At 4.10 s the right hand is closed."
    assert not passes(scored("planning_decision", output, PICK, ARM))


def test_the_order_is_claimed() -> None:
    output = compose("planning_decision", PICK, ARM)
    output["decisions"].reverse()
    assert not passes(scored("planning_decision", output, PICK, ARM))


def test_without_anything_measured_it_says_what_is_missing() -> None:
    with pytest.raises(UnsuitedError, match="no moment of decision in it"):
        compose("planning_decision", PICK[:1], ARM)


WORDS = ["right_hand", "left_hand", "right_arm", "same way back", "changed on the way back", "up", "in place", ""]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(anchors=st.lists(measured(HANDLED, WORDS), max_size=20))
def test_whatever_was_measured_what_is_written_is_supported(anchors: list[FactualAnchor]) -> None:
    try:
        output = compose("planning_decision", anchors, ARM)
    except UnsuitedError:
        return
    score = scored("planning_decision", output, anchors, ARM)
    assert (score.format_errors, score.unsupported) == ((), ())
    assert passes(score)

"""action_segments: stretches as measured, in order, and no changed one passes."""

from __future__ import annotations

import json

import pytest
from facts import FILM, LINES, ROBOT, evidence, leaves, put, spec

from schemas.errors import UnsuitedError
from synthesis.agents.roster import agent_for
from synthesis.backends.base import to_json
from synthesis.verification.verify import passes, score_output


def scored(output: object, anchors: list) -> object:  # type: ignore[type-arg]
    given = evidence("action_segments", anchors)
    return score_output(json.dumps(output), given.spec, given.streams, given.anchors)


def test_a_film_is_cut_at_its_shots_with_what_is_said_in_each() -> None:
    output = agent_for("action_segments").compose(evidence("action_segments", FILM))
    assert [(s.label, s.t0, s.t1) for s in output.segments][:2] == [("shot", 0.0, 5.5), ("shot", 5.5, 10.5)]
    assert [line.text for line in output.segments[0].lines] == ["Good morning.", "Today we cook an omelette."]
    assert passes(scored(json.loads(to_json(output)), FILM))


def test_measured_actions_come_before_shots() -> None:
    output = agent_for("action_segments").compose(evidence("action_segments", ROBOT))
    assert [(s.label, s.detail) for s in output.segments] == [
        ("gripper_close", "right_hand"),
        ("gripper_open", "right_hand"),
        ("gripper_close", "right_hand"),
        ("stall", None),
    ]


def test_without_anything_that_lasts_it_says_so() -> None:
    with pytest.raises(UnsuitedError, match="nothing in it was measured to last"):
        agent_for("action_segments").compose(evidence("action_segments", []))


@pytest.mark.parametrize("anchors", [FILM, ROBOT], ids=["film", "robot"])
def test_no_changed_value_passes(anchors: list) -> None:  # type: ignore[type-arg]
    sound = json.loads(to_json(agent_for("action_segments").compose(evidence("action_segments", anchors))))
    for path, value in leaves(sound):
        broken = json.loads(json.dumps(sound))
        put(broken, path, value + 3.0 if isinstance(value, float) else "dancing")
        assert not passes(scored(broken, anchors)), path


def test_the_order_is_claimed() -> None:
    sound = json.loads(to_json(agent_for("action_segments").compose(evidence("action_segments", FILM))))
    sound["segments"].reverse()
    assert not passes(scored(sound, [*FILM, *LINES]))


def test_repair_takes_out_what_nothing_supports() -> None:
    agent = agent_for("action_segments")
    given = evidence("action_segments", FILM)
    output = agent.compose(given)
    wrong = output.model_copy(
        update={"segments": (*output.segments[:1], output.segments[1].model_copy(update={"t1": 9.0}))}
    )
    score = score_output(to_json(wrong), spec("action_segments"), given.streams, given.anchors)
    mended = agent.repair(wrong, score.unsupported, given)
    assert mended is not None
    assert mended.segments == output.segments[:1]

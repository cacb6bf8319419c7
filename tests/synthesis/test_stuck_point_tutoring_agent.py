"""stuck_point_tutoring: the question knows nothing of what comes, the answer is what came, no changed value passes."""

from __future__ import annotations

import json

import pytest
from facts import BOARD, LINES, anchor, evidence, stream
from handled import changed_that_pass, compose, line, measured, scored
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.anchor import AnchorKind, FactualAnchor
from schemas.errors import UnsuitedError
from schemas.stream import Domain
from synthesis.agents.roster import agent_for
from synthesis.verification.verify import passes

TASK = "stuck_point_tutoring"
CLASS = stream(Domain.EDUCATION, "equation", 24.0)
LESSON = [
    line(1.0, 23.6, "Solve 3x + 5 = 20", 0.1, 0.1),
    line(5.0, 23.6, "Subtract 5 from both sides", 0.1, 0.2),
    line(8.0, 23.6, "3x = 15", 0.1, 0.3),
    line(15.0, 23.6, "Divide both sides by 3", 0.1, 0.4),
    line(18.0, 23.6, "so x = 5", 0.1, 0.5),
    anchor(AnchorKind.SCREEN, 8.0, 14.6, "00ff", value=3.0),
    anchor(AnchorKind.SUBTITLE, 8.4, 11.8, "What would you do next?"),
    anchor(AnchorKind.SUBTITLE, 15.2, 17.6, "Divide both sides by three."),
    anchor(AnchorKind.SUBTITLE, 18.5, 21.0, "That is all."),
]


def test_a_learner_is_stuck_in_the_longest_pause_before_new_writing() -> None:
    output = compose(TASK, LESSON, CLASS)
    assert output["medium"] == "board"
    assert output["pause"] == {"t0": 8.0, "t1": 15.0}
    assert output["frame_time"] == 14.6
    assert [known["text"] for known in output["known"]] == [
        "Solve 3x + 5 = 20",
        "Subtract 5 from both sides",
        "3x = 15",
        "What would you do next?",
    ]
    assert [told["text"] for told in output["answer"]["lines"]] == [
        "Divide both sides by 3",
        "Divide both sides by three.",
    ]
    assert [step["time"] for step in output["steps"]] == [18.0]


def test_nothing_of_the_future_stands_in_the_question() -> None:
    output = compose(TASK, LESSON, CLASS)
    later = [one.content for one in LESSON if one.t0 > output["frame_time"]]
    assert not any(text in output["question"] for text in later)
    leaking = output | {"question": 'I have "3x = 15". Shall I "Divide both sides by 3"?'}
    assert not passes(scored(TASK, leaking, LESSON, CLASS))
    known = [*output["known"], {"time": 15.0, "text": "Divide both sides by 3"}]
    assert not passes(scored(TASK, leaking | {"known": known}, LESSON, CLASS))
    assert not passes(scored(TASK, output | {"frame_time": 15.0}, LESSON, CLASS))
    assert not passes(scored(TASK, output | {"question": "What comes at 15.0 s?"}, LESSON, CLASS))


def test_an_answer_that_was_on_the_board_before_is_none() -> None:
    output = compose(TASK, LESSON, CLASS)
    before = line(2.0, 4.0, "Divide both sides by 3", 0.1, 0.4)
    assert not passes(scored(TASK, output, [*LESSON, before], CLASS))


def test_without_a_board_the_longest_pause_in_speech_is_taken() -> None:
    output = compose(TASK, LINES, stream())
    assert output["medium"] == "speech"
    assert output["pause"] == {"t0": 24.0, "t1": 30.0}
    assert output["answer"]["lines"][0]["text"] == "Enjoy your meal."


def test_a_banner_that_outlasts_the_pages_is_no_writing() -> None:
    banner = line(0.0, 23.6, "Academy of Mathematics", 0.7, 0.9)
    turns = [anchor(AnchorKind.SCREEN_CHANGE, time, value=0.5) for time in (0.5, 0.6, 0.7)]
    output = compose(TASK, [*LESSON, banner, *turns], CLASS)
    assert "Academy of Mathematics" not in json.dumps(output)


@pytest.mark.parametrize(
    ("anchors", "domain"),
    [(LESSON, Domain.GUI), (BOARD, Domain.GUI), (LESSON[:1], Domain.EDUCATION), ([], Domain.EDUCATION)],
    ids=["program with short pauses", "program", "one line", "nothing"],
)
def test_where_nobody_is_stuck_it_says_so(anchors: list[FactualAnchor], domain: Domain) -> None:
    spoken = [one for one in anchors if one.t0 != 18.5 and one.kind != AnchorKind.SUBTITLE]
    with pytest.raises(UnsuitedError, match="nobody is stuck in it"):
        compose(TASK, spoken, stream(domain))


@pytest.mark.parametrize("anchors", [LESSON, LINES], ids=["board", "speech"])
def test_no_changed_value_passes(anchors: list[FactualAnchor]) -> None:
    assert changed_that_pass(TASK, anchors, CLASS) == []


def test_the_other_medium_does_not_pass() -> None:
    output = compose(TASK, LESSON, CLASS)
    assert not passes(scored(TASK, output | {"medium": "speech"}, LESSON, CLASS))


def test_the_frame_before_the_help_is_shown_first() -> None:
    output = compose(TASK, LESSON, CLASS)
    times = agent_for(TASK).evidence_times(output | {"steps": output["steps"]}, (CLASS,))
    assert [time for _, time in times] == [14.6, 15.0, 18.0]


def test_repair_takes_out_a_step_that_was_not_seen() -> None:
    agent, given_ = agent_for(TASK), evidence(TASK, LESSON, CLASS)
    output = agent.compose(given_).model_dump(mode="json")
    output["steps"][0]["lines"][0]["text"] = "so x = 6"
    score = scored(TASK, output, LESSON, CLASS)
    mended = agent.repair(agent.output.model_validate(output), score.unsupported, given_)
    assert mended is not None
    assert mended.steps == ()


KINDS = ("text.subtitle", "text.screen", "screen.state", "screen.change", "text.given")
WORDS = ["Now add three.", "x = 3", "x = 3 + 1", 'He said "go" twice', "How many?", "at 3.0 s", "", "What is x = 3?"]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(measured(KINDS, WORDS), max_size=16))
def test_whatever_was_measured_what_is_written_is_supported(anchors: list[FactualAnchor]) -> None:
    try:
        output = compose(TASK, anchors, CLASS)
    except UnsuitedError:
        return
    score = scored(TASK, output, anchors, CLASS)
    assert (score.format_errors, score.unsupported) == ((), ())
    assert passes(score)

"""Bounds of an intent: an output that breaks one has no valid form, and the rules backend keeps them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from facts import FILM, evidence, stream

from schemas.constraints import AnswerForm, Constraints, Count, Difficulty, Window
from schemas.errors import UnsuitedError
from synthesis.agents.roster import agent_for
from synthesis.backends.rules import RulesBackend
from synthesis.base import Evidence
from synthesis.evidence import within
from synthesis.verification.verify import passes, score_output


def asked(task_type: str, **bounds: Any) -> Evidence:
    given = evidence(task_type, FILM)
    spec = given.spec.model_copy(update={"constraints": Constraints(**bounds)})
    return Evidence(given.streams, within(given.anchors, given.streams, spec.constraints.window), spec)


def written(given: Evidence) -> Any:
    text = RulesBackend().write(agent_for(given.spec.task_type), given)
    assert passes(score_output(text, given.spec, given.streams, given.anchors))
    return json.loads(text)


def errors(output: Any, **bounds: Any) -> tuple[str, ...]:
    given = asked("action_segments", **bounds)
    return score_output(
        json.dumps(output), given.spec, given.streams, evidence("action_segments", FILM).anchors
    ).format_errors


def test_no_more_than_asked_are_written_and_they_are_spread() -> None:
    made = written(asked("action_segments", counts=(Count(noun="segments", most=2),)))
    assert [segment["t0"] for segment in made["segments"]] == [0.0, 10.5]


def test_fewer_than_asked_are_refused_in_words() -> None:
    with pytest.raises(UnsuitedError, match="at least 50 segments asked, and what was measured gives 5"):
        written(asked("action_segments", counts=(Count(noun="segments", least=50),)))


def test_only_what_lies_in_the_window_is_looked_at() -> None:
    made = written(asked("action_segments", window=Window(t0=5.0, t1=20.0)))
    assert [(segment["t0"], segment["t1"]) for segment in made["segments"]] == [(5.5, 10.5), (10.5, 18.0)]


def test_a_language_that_rules_cannot_write_is_refused() -> None:
    with pytest.raises(UnsuitedError, match="an output in de is asked"):
        written(asked("temporal_qa", language="de"))
    assert written(asked("temporal_qa", language="en"))


def test_only_questions_as_hard_as_asked_are_kept() -> None:
    made = written(asked("temporal_qa", difficulty=Difficulty.EASY))
    assert {question["difficulty"] for question in made["questions"]} == {"easy"}


def test_each_breach_is_named_with_its_place() -> None:
    output = written(asked("action_segments"))
    assert errors(output, counts=(Count(noun="segments", least=6),)) == (
        "/segments: at least 6 segments asked, the output has 5",
    )
    assert any("lies outside of what is asked" in error for error in errors(output, window=Window(t1=6.0)))
    assert errors(output, most_words=3)[0].endswith("at most 3 are asked")
    assert errors(output, counts=(Count(noun="segments", least=1, most=5),), most_words=500) == ()


def test_prose_in_another_language_than_asked_is_a_breach() -> None:
    given = asked("temporal_qa")
    text = RulesBackend().write(agent_for("temporal_qa"), given)
    spec = given.spec.model_copy(update={"constraints": Constraints(language="de")})
    (error,) = score_output(text, spec, given.streams, given.anchors).format_errors
    assert error == ": it is written in en, where de is asked"


def test_what_speaks_of_the_whole_stream_is_inside_every_window() -> None:
    from facts import anchor

    given = anchor("text.given", 0.0, 40.0, "Cook an omelette")
    assert within([given, *FILM], [stream()], Window(t0=39.0)) == (given,)


def test_constraints_say_themselves_in_words() -> None:
    bounds = Constraints(
        counts=(Count(noun="questions", least=5), Count(noun="clips", least=2, most=2)),
        window=Window(t1=120.0),
        language="de",
        answers=AnswerForm.OPEN,
    )
    assert str(bounds) == ("at least 5 questions; exactly 2 clips; only from 0 s to 120 s; written in de; open answers")


def test_options_are_refused_by_a_form_that_has_none() -> None:
    with pytest.raises(UnsuitedError, match="multiple choice answers are asked, and temporal_qa has none"):
        written(asked("temporal_qa", answers=AnswerForm.MULTIPLE_CHOICE))
    assert written(asked("temporal_qa", answers=AnswerForm.OPEN))
    assert written(asked("video_qa", answers=AnswerForm.MULTIPLE_CHOICE))


def test_steps_that_cannot_be_left_out_are_too_many() -> None:
    assert not agent_for("gui_trajectory").divisible
    assert not agent_for("lesson_outline").divisible

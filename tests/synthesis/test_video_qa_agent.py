"""video_qa: the right option is right, the wrong ones are wrong, and no changed question passes."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from facts import LINES, ROBOT, SCREENS, anchor, evidence, spec, stream
from handled import changed_that_pass, compose, measured, scored
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.anchor import AnchorKind, FactualAnchor
from schemas.constraints import AnswerForm, Constraints, Difficulty
from schemas.errors import UnsuitedError
from schemas.outputs.video_qa import Relation
from schemas.stream import Domain, Stream
from synthesis.agents.roster import agent_for
from synthesis.base import Evidence
from synthesis.verification.verify import passes

HERE = stream()
ARM = stream(Domain.EMBODIED)
SHIP = [
    anchor(AnchorKind.SUBTITLE, 1.0, 3.0, "The harbour lies still."),
    anchor(AnchorKind.SUBTITLE, 4.0, 6.5, "A ship comes in from the north."),
    anchor(AnchorKind.SUBTITLE, 8.0, 11.0, "Two men throw a rope ashore."),
    anchor(AnchorKind.SUBTITLE, 15.0, 18.0, "Nobody waits for them."),
    anchor(AnchorKind.SUBTITLE, 30.0, 33.0, "At night it rains."),
    anchor(AnchorKind.CUT, 7.0, value=0.8),
    anchor(AnchorKind.CUT, 20.0, value=0.8),
    anchor(AnchorKind.CAMERA, 21.0, 24.0, "pan_left"),
]


def questions(anchors: list[FactualAnchor], on: Stream = HERE) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = compose("video_qa", anchors, on)["questions"]
    return found


def of(relation: Relation, anchors: list[FactualAnchor] = SHIP, on: Stream = HERE) -> dict[str, Any]:
    return next(question for question in questions(anchors, on) if question["relation"] == relation)


def refuses(question: dict[str, Any], anchors: list[FactualAnchor] = SHIP, on: Stream = HERE) -> bool:
    return not passes(scored("video_qa", {"questions": [question]}, anchors, on))


def test_what_is_asked_for_is_the_line_next_to_the_one_named() -> None:
    lines = [line.content for line in SHIP if line.kind == AnchorKind.SUBTITLE]
    for question in questions(SHIP):
        if question["relation"] in ("after", "before") and question["asked"][0].get("content"):
            step = 1 if question["relation"] == "after" else -1
            assert question["answer"] == lines[lines.index(question["asked"][0]["content"]) + step]


def test_options_are_other_facts_of_the_recording_and_the_letter_is_the_answers() -> None:
    lines = {line.content for line in SHIP}
    for question in questions(SHIP):
        texts = {option["letter"]: option["text"] for option in question["options"]}
        assert texts[question["letter"]] == question["answer"]
        assert 2 <= len(set(texts.values())) == len(texts)
        if question["relation"] in ("after", "before", "at"):
            assert set(texts.values()) <= lines


def test_letters_are_balanced_in_every_beginning() -> None:
    letters = [question["letter"] for question in questions(SHIP) if len(question["options"]) == 4]
    assert len(letters) >= 8
    counts = Counter(letters)
    assert max(counts.values()) - min(counts[letter] for letter in "ABCD") <= 2


def test_open_questions_have_no_options_and_can_be_answered_without() -> None:
    task = spec("video_qa").model_copy(update={"constraints": Constraints(answers=AnswerForm.OPEN)})
    made = agent_for("video_qa").compose(Evidence(streams=(HERE,), anchors=tuple(SHIP), spec=task))
    assert {question.form for question in made.questions} == {AnswerForm.OPEN}
    assert not any(question.options or "of these" in question.question for question in made.questions)
    assert passes(scored("video_qa", made.model_dump(mode="json"), SHIP, HERE))


def test_every_kind_of_question_is_asked_where_facts_allow_it() -> None:
    assert {question["relation"] for question in questions(SHIP)} == set(Relation)
    assert {question["relation"] for question in questions(ROBOT, ARM)} >= {"when", "count", "first"}
    assert "clicked" in " ".join(question["question"] for question in questions([*SCREENS, *CLICKS]))


CLICKS = [anchor(AnchorKind.CLICK, time, content=name) for time, name in ((20.0, "File"), (24.0, "Save as"))]


def test_a_line_said_twice_is_no_option_and_no_question() -> None:
    assert "Enjoy your meal." not in json.dumps(questions(LINES))


def test_difficulty_is_how_close_the_nearest_wrong_option_lies() -> None:
    after = of(Relation.AFTER)
    assert after["difficulty"] == "hard"
    for level in Difficulty:
        assert refuses(after | {"difficulty": level}) == (level != "hard")


@pytest.mark.parametrize(
    ("anchors", "on"),
    [(SHIP[:6], HERE), (SCREENS + CLICKS, HERE), (ROBOT, ARM)],
    ids=["ship", "screens", "robot"],
)
def test_no_changed_value_passes(anchors: list[FactualAnchor], on: Stream) -> None:
    assert changed_that_pass("video_qa", anchors, on) == []


@pytest.mark.parametrize("relation", sorted(Relation))
def test_another_letter_another_relation_and_swapped_options_do_not_pass(relation: Relation) -> None:
    question = of(relation)
    assert not refuses(question)
    for option in question["options"]:
        if option["letter"] != question["letter"]:
            assert refuses(question | {"letter": option["letter"]})
            assert refuses(question | {"letter": option["letter"], "answer": option["text"]})
            told = {"evidence": [option["fact"]]} if "fact" in option else {}
            assert refuses(question | {"letter": option["letter"], "answer": option["text"]} | told)
    for other in set(Relation) - {relation}:
        assert refuses(question | {"relation": other})
    first, second, *rest = question["options"]
    swapped = [first | {"text": second["text"]}, second | {"text": first["text"]}, *rest]
    assert refuses(question | {"options": swapped}) or relation in (Relation.COUNT, Relation.CAMERA)


def test_a_question_that_asks_for_the_contrary_does_not_pass() -> None:
    after = of(Relation.AFTER)
    name = after["asked"][0]["content"]
    assert not refuses(after | {"question": f'What is said right after "{name}"?'})
    assert refuses(after | {"question": f'What is said right before "{name}"?'})
    assert refuses(after | {"question": f'What is clicked right after "{name}"?'})
    assert refuses(after | {"question": "What is said right after this?"})
    first = of(Relation.FIRST)
    assert refuses(first | {"question": "Which of these is said last?"})


def test_a_wrong_option_that_is_right_as_well_does_not_pass() -> None:
    at = of(Relation.AT)
    twin = [anchor(AnchorKind.SUBTITLE, at["evidence"][0]["t0"], at["evidence"][0]["t1"], "Elsewhere it does not.")]
    place = next(i for i, option in enumerate(at["options"]) if option["letter"] != at["letter"])
    fact = at["evidence"][0] | {"content": "Elsewhere it does not."}
    options = list(at["options"])
    options[place] = options[place] | {"text": fact["content"], "fact": fact}
    assert refuses(at | {"options": options}, [*SHIP, *twin])


def test_a_recording_without_nameable_facts_says_so() -> None:
    with pytest.raises(UnsuitedError, match="too few facts that a question could name: 1 were measured"):
        compose("video_qa", [anchor(AnchorKind.SUBTITLE, 0.0, 2.0, "Hello there.")], HERE)


def test_repair_takes_out_the_question_that_does_not_hold() -> None:
    agent, given_ = agent_for("video_qa"), evidence("video_qa", SHIP)
    output = agent.compose(given_).model_dump(mode="json")
    output["questions"][1]["answer"] = "At night it snows."
    score = scored("video_qa", output, SHIP, HERE)
    mended = agent.repair(agent.output.model_validate(output), score.unsupported, given_)
    assert mended is not None
    assert len(mended.questions) == len(output["questions"]) - 1


KINDS = ("text.subtitle", "text.screen", "input.click", "input.type", "video.cut", "motion.camera", "input.hotkey")
WORDS = [
    "Hello there.",
    "x = 3",
    "Stop it",
    'He said "go" twice',
    "number 2",
    "at 3.0 s",
    "hard cut",
    "pan_left",
    "",
    "5",
]


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(measured(KINDS, WORDS), max_size=20), st.sampled_from([HERE, ARM]))
def test_whatever_was_measured_what_is_asked_is_supported(anchors: list[FactualAnchor], on: Stream) -> None:
    try:
        output = compose("video_qa", anchors, on)
    except UnsuitedError:
        return
    score = scored("video_qa", output, anchors, on)
    assert (score.format_errors, score.unsupported) == ((), ())
    assert passes(score)

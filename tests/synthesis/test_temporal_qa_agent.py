"""Temporal questions: right, unambiguous, spread, and none of their words can be changed without being found out."""

from __future__ import annotations

import json
import random
import re
from itertools import pairwise
from typing import Any

import pytest
from facts import BOARD, CUTS, FILM, LINES, ROBOT, SCREENS, SHOTS, anchor, evidence, leaves, put, stream
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.anchor import AnchorKind, FactualAnchor
from schemas.errors import UnsuitedError
from schemas.outputs.temporal_qa import QuestionType, TemporalQA
from schemas.stream import Domain
from synthesis.agents.roster import agent_for
from synthesis.agents.temporal_questions import MAX_QUESTIONS
from synthesis.backends.rules import RulesBackend
from synthesis.verification.verify import passes, score_output

AGENT = agent_for("temporal_qa")


def written(anchors: list[FactualAnchor]) -> dict[str, Any]:
    return json.loads(RulesBackend().write(AGENT, evidence("temporal_qa", anchors)))


def score(output: Any, anchors: list[FactualAnchor]):
    return score_output(json.dumps(output), evidence("temporal_qa", anchors).spec, [stream()], anchors)


MATERIAL = {"film": FILM, "board": BOARD, "screens": SCREENS, "robot": ROBOT, "silent": CUTS + SHOTS, "speech": LINES}


@pytest.mark.parametrize("name", MATERIAL)
def test_every_claim_of_the_rules_is_supported(name):
    output = written(MATERIAL[name])
    verdict = score(output, MATERIAL[name])
    assert verdict.unsupported == ()
    assert passes(verdict)
    assert 1 <= len(output["questions"]) <= MAX_QUESTIONS


def test_a_film_with_words_gives_every_type_of_question():
    types = {question["type"] for question in written(FILM)["questions"]}
    assert types == set(QuestionType)


def test_questions_are_distinct_and_in_the_order_of_time():
    questions = written(FILM)["questions"]
    assert len({question["question"] for question in questions}) == len(questions)
    starts = [question["events"][0]["t0"] for question in questions]
    assert starts == sorted(starts)


def test_words_that_stand_twice_are_not_asked_for():
    text = json.dumps(written(FILM))
    assert "Enjoy your meal" not in text


def test_words_inside_other_words_are_not_asked_for():
    anchors = [
        anchor(AnchorKind.SUBTITLE, 0.0, 1.0, "Stop"),
        anchor(AnchorKind.SUBTITLE, 5.0, 6.0, "Stop it now"),
        anchor(AnchorKind.SUBTITLE, 9.0, 10.0, "Why?"),
    ]
    asked = " ".join(question["question"] for question in written(anchors)["questions"])
    assert '"Stop"' not in asked
    assert '"Stop it now"' in asked


def test_the_place_of_the_right_answer_tells_nothing():
    anchors = [anchor(AnchorKind.SUBTITLE, 3.0 * i, 3.0 * i + 2, f"word{i} here") for i in range(12)]
    firsts = [
        question["question"].index(question["answer"].rstrip(".").strip('"'))
        < question["question"].index(question["events"][1]["quote"])
        for question in written(anchors)["questions"]
        if question["type"] == "ordering" and len(question["events"]) == 2
    ]
    assert {True, False} == set(firsts)


def test_numbers_do_not_give_an_order_away():
    for question in written(CUTS + SHOTS)["questions"]:
        assert question["type"] != "ordering"


def test_close_moments_are_never_ordered():
    anchors = [anchor(AnchorKind.SUBTITLE, 1.0 + 0.3 * i, 1.2 + 0.3 * i, f"w{i}x yes") for i in range(6)]
    for question in written(anchors)["questions"]:
        starts = [event["t0"] for event in question["events"]]
        assert all(b - a >= 0.5 - 1e-9 for a, b in pairwise(starts))


def test_questions_are_spread_over_a_long_stream():
    anchors = [anchor(AnchorKind.SUBTITLE, 10.0 * i, 10.0 * i + 4, f"line number {i} ends") for i in range(360)]
    output = written(anchors)
    starts = [question["events"][0]["t0"] for question in output["questions"]]
    assert len(starts) == MAX_QUESTIONS
    assert min(starts) < 1000
    assert max(starts) > 2600
    assert score(output, anchors).unsupported == ()


def test_nothing_measured_is_unsuited():
    with pytest.raises(UnsuitedError, match="no event"):
        AGENT.compose(evidence("temporal_qa", []))
    with pytest.raises(UnsuitedError):
        AGENT.compose(evidence("temporal_qa", [anchor(AnchorKind.SHOT, 0.0, 5.0, value=0.0)]))


def test_every_domain_is_served():
    assert AGENT.domains == set(Domain)


PATTERNS = {"time in words": r"\d+\.\d+(?= s)", "quote in words": r'"[^"]+"', "number": r"number \d+|^\d+"}
TIMES = ("t0", "t1")
shifts = st.floats(0.3, 5.0).map(lambda shift: round(shift, 3))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_a_changed_time_a_quote_a_count_or_an_order_is_found_out(data):
    anchors = MATERIAL[data.draw(st.sampled_from(sorted(MATERIAL)))]
    output = written(anchors)
    paths = list(leaves(output))
    change = data.draw(st.sampled_from(["time", "quote", "count", "swap", "time in words", "quote in words", "number"]))
    if change == "time":
        path, time = data.draw(st.sampled_from([leaf for leaf in paths if leaf[0][-1] in TIMES]))
        put(output, path, max(0.0, time + data.draw(shifts) * data.draw(st.sampled_from([-1, 1]))))
        if abs(dict(leaves(output))[path] - time) <= 0.26:
            return
    elif change == "quote":
        quotes = [leaf for leaf in paths if leaf[0][-1] == "quote"]
        if not quotes:
            return
        path, text = data.draw(st.sampled_from(quotes))
        put(output, path, other_letter(data, text))
    elif change == "count":
        counts = [leaf for leaf in paths if leaf[0][-1] == "count"]
        if not counts:
            return
        path, count = data.draw(st.sampled_from(counts))
        put(output, path, count + data.draw(st.sampled_from([-1, 1])))
    elif change == "swap":
        many = [question for question in output["questions"] if len(question["events"]) > 1]
        if not many:
            return
        events = data.draw(st.sampled_from(many))["events"]
        place = data.draw(st.integers(0, len(events) - 2))
        events[place], events[place + 1] = events[place + 1], events[place]
    else:
        pattern = {"time in words": r"\d+\.\d+(?= s)", "quote in words": r'"[^"]+"', "number": r"number \d+|^\d+"}[
            change
        ]
        texts = [leaf for leaf in paths if leaf[0][-1] in ("question", "answer") and re.search(pattern, leaf[1])]
        if not texts:
            return
        path, text = data.draw(st.sampled_from(texts))
        match = data.draw(st.sampled_from(list(re.finditer(pattern, text))))
        if change == "time in words":
            new = f"{float(match[0]) + data.draw(st.sampled_from([0.6, 1.1, 7.0])):.1f}"
        elif change == "quote in words":
            new = f'"{other_letter(data, match[0][1:-1])}"'
        else:
            new = re.sub(r"\d+", lambda digits: str(int(digits[0]) + 1), match[0])
        put(output, path, text[: match.start()] + new + text[match.end() :])
    verdict = score(output, anchors)
    assert verdict.format == 0 or verdict.unsupported, (change, output)
    assert not passes(verdict)


def other_letter(data: Any, text: str) -> str:
    places = [place for place, letter in enumerate(text) if letter.isalnum()]
    place = data.draw(st.sampled_from(places))
    return text[:place] + ("#" if text[place] != "#" else "%") + text[place + 1 :]


def test_an_answer_that_names_the_later_one_is_found_out():
    output = written(FILM)
    question = next(q for q in output["questions"] if q["type"] == "ordering" and len(q["events"]) == 2)
    later = question["events"][1]
    question["answer"] = f'"{later["quote"]}".' if later["quote"] else later["description"] + "."
    assert score(output, FILM).unsupported


def test_an_answer_that_leaves_out_what_was_asked_is_found_out():
    for kind in ("state_change", "ordering", "multi_event", "localisation"):
        output = written(FILM)
        for question in output["questions"]:
            if question["type"] == kind:
                question["answer"] = "Nobody knows."
        assert score(output, FILM).unsupported, kind


def test_repair_keeps_the_questions_that_are_right():
    output = written(FILM)
    output["questions"][2]["events"][0]["t0"] += 0.4
    output["questions"][2]["events"][0]["t1"] += 0.4
    verdict = score(output, FILM)
    mended = RulesBackend().mend(AGENT, json.dumps(output), verdict, evidence("temporal_qa", FILM))
    assert len(json.loads(mended)["questions"]) == len(output["questions"]) - 1
    assert score(json.loads(mended), FILM).unsupported == ()


def test_evidence_shows_an_event_of_every_question_before_a_second_of_any():
    output = TemporalQA.model_validate(written(FILM)).model_dump(mode="json")
    times = AGENT.evidence_times(output, [stream()])
    firsts = {time for _, time in times[: len(output["questions"])]}
    for question in output["questions"]:
        event = question["events"][0]
        assert any(event["t0"] <= time <= event["t1"] for time in firsts)


def test_composing_is_deterministic():
    shuffled = list(FILM)
    random.Random(1).shuffle(shuffled)
    assert written(FILM) == written(shuffled)

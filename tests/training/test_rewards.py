"""The reward that GRPO gets is the verifier's, and nothing is to be gained by hacking it."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from schemas.recipe import RewardSpec, RewardWeights
from schemas.score import Score
from schemas.task_spec import Intent, TaskSpec
from schemas.triplet import Triplet
from synthesis.agents.roster import agent_for
from synthesis.verification.rewards import supported_facts
from synthesis.verification.verify import score_output
from tests.training.rows import row
from training.rewards import Judge, answer_of, facts_of, reward_functions


def spec(task_type: str) -> TaskSpec:
    return TaskSpec(
        task_type=task_type,
        instruction="Make data.",
        intent=Intent(text="Make data."),
        output_schema=agent_for(task_type).output_schema(),
        confidence=1.0,
    )


ROWS = {
    "tutorial": row(1, spec("tutorial"), anchors=12, words=9),
    "temporal_qa": row(2, spec("temporal_qa"), anchors=12, words=9),
    "own form": row(3, anchors=12, words=9),
}
ANSWERS: dict[str, Callable[[Triplet], str]] = {
    "honest": lambda triplet: triplet.output,
    "empty": lambda triplet: "",
    "no JSON": lambda triplet: "I would rather not.",
    "{}": lambda triplet: "{}",
    "prompt copied": lambda triplet: triplet.spec.instruction,
    "anchors dumped": lambda triplet: json.dumps([anchor.content for anchor in triplet.anchors]),
}


@pytest.mark.parametrize("name", ROWS)
def test_each_part_is_the_verifiers_and_none_where_it_does_not_apply(name: str) -> None:
    triplet = ROWS[name]
    answers = [make(triplet) for make in ANSWERS.values()]
    functions, weights = reward_functions(Judge(RewardSpec()))
    assert weights == [1.0, 0.0, 0.0, 0.0, 0.0]
    expected = [score_output(answer, triplet.spec, triplet.streams, triplet.anchors) for answer in answers]
    found = {
        function.__name__: function(completions=answers, facts=[facts_of(triplet)] * len(answers), prompts=None)
        for function in functions
    }
    assert found == {
        "R": [score.reward for score in expected],
        "R_format": [score.format for score in expected],
        "R_anchor": [score.anchor for score in expected],
        "R_eff": [score.efficiency for score in expected],
        "R_cover": [1.0, 0.0, 0.0, 0.0, 0.0, 0.0],
    }
    assert found["R"][0] > 0.9
    assert found["R_anchor"][1] is None


def paid(triplet: Triplet, answer: str, coverage: float) -> float:
    """What TRL makes of the functions: the sum of what they give by their weights, without None."""
    functions, weights = reward_functions(Judge(RewardSpec()), coverage)
    given = [function(completions=[answer], facts=[facts_of(triplet)])[0] for function in functions]
    return sum(weight * value for weight, value in zip(weights, given, strict=True) if value is not None)


def halved(triplet: Triplet) -> str:
    """The honest output with the first half of each list."""

    def half(value: object) -> object:
        if isinstance(value, list):
            return [half(item) for item in value[: max(1, len(value) // 2)]]
        return {key: half(item) for key, item in value.items()} if isinstance(value, dict) else value

    return json.dumps(half(json.loads(triplet.output)))


@pytest.mark.parametrize("name", ROWS)
def test_what_is_left_out_costs_where_coverage_is_paid(name: str) -> None:
    triplet = ROWS[name]
    answers = [triplet.output, halved(triplet)]
    whole, half = (len(supported_facts(score.supports)) for score in scored(triplet, *answers))
    assert 0 < half < whole
    for answer, coverage in zip(answers, (1.0, half / whole), strict=True):
        assert paid(triplet, answer, 0.5) == pytest.approx((paid(triplet, answer, 0.0) + 0.5 * coverage) / 1.5)


@pytest.mark.parametrize("name", ROWS)
def test_more_than_the_row_has_is_not_paid(name: str) -> None:
    """No answer is paid for telling everything: coverage ends where the row ends, and what is not true never counts."""
    triplet = ROWS[name]
    for hack in (copied, repeated):
        assert paid(triplet, hack(triplet), 0.5) <= paid(triplet, triplet.output, 0.5)


def test_rows_in_one_batch_are_judged_by_their_own_facts() -> None:
    triplets = [row(number, anchors=4) for number in range(6)]
    judge = Judge(RewardSpec())
    facts = [facts_of(triplet) for triplet in triplets]
    own = judge.scores(facts, [triplet.output for triplet in triplets])
    others = judge.scores(facts, [triplet.output for triplet in triplets[1:] + triplets[:1]])
    assert all(score.anchor == 1.0 for score in own)
    assert all(score.anchor < 1.0 for score in others if score.anchor is not None)


def scored(triplet: Triplet, *answers: str) -> list[Score]:
    return Judge(RewardSpec()).scores([facts_of(triplet)] * len(answers), answers)


def test_weights_leave_a_part_out() -> None:
    triplet = ROWS["own form"]
    wrong = triplet.output.replace(triplet.anchors[0].content, "Never said")
    assert wrong != triplet.output
    blind = RewardSpec(weights=RewardWeights(format=0.75, anchor=0.0, efficiency=0.25))
    seeing, unseeing = (
        Judge(reward).scores([facts_of(triplet)] * 2, [triplet.output, wrong]) for reward in (RewardSpec(), blind)
    )
    assert seeing[0].reward - seeing[1].reward > unseeing[0].reward - unseeing[1].reward


def repeated(triplet: Triplet) -> str:
    """The honest output with each list five times over."""

    def times(value: object) -> object:
        if isinstance(value, list):
            return [times(item) for item in value] * 5
        return {key: times(item) for key, item in value.items()} if isinstance(value, dict) else value

    return json.dumps(times(json.loads(triplet.output)))


def shortened(triplet: Triplet) -> str:
    """The honest output with each list cut to its first item, and each text to its first word."""

    def cut(value: object) -> object:
        if isinstance(value, list):
            return [cut(item) for item in value[:1]]
        if isinstance(value, dict):
            return {key: cut(item) for key, item in value.items()}
        return value.split()[0] if isinstance(value, str) and value.strip() and " " in value else value

    return json.dumps(cut(json.loads(triplet.output)))


def copied(triplet: Triplet) -> str:
    """The honest output with every anchor in each list of texts and in each answer."""
    everything = [anchor.content for anchor in triplet.anchors]

    def fill(value: object) -> object:
        if isinstance(value, list) and value:
            first = value[0]
            if isinstance(first, dict) and isinstance(first.get("text"), str):
                return [first | {"text": content} for content in everything] * 2
            return [fill(item) for item in value]
        if isinstance(value, dict):
            return {key: " ".join(everything) if key == "answer" else fill(item) for key, item in value.items()}
        return value

    return json.dumps(fill(json.loads(triplet.output)))


REFUSALS = {name: make for name, make in ANSWERS.items() if name != "honest"}


@pytest.mark.parametrize("hack", REFUSALS)
@pytest.mark.parametrize("name", ROWS)
def test_what_answers_nothing_is_worth_nothing(name: str, hack: str) -> None:
    triplet = ROWS[name]
    assert Judge(RewardSpec()).scores([facts_of(triplet)], [REFUSALS[hack](triplet)])[0].reward < 0.4


@pytest.mark.parametrize("hack", [copied, repeated, shortened], ids=lambda hack: hack.__name__)
@pytest.mark.parametrize("name", ROWS)
def test_a_hack_gains_nothing_over_the_honest_output(name: str, hack: Callable[[Triplet], str]) -> None:
    triplet = ROWS[name]
    assert hack(triplet) != json.dumps(json.loads(triplet.output))
    honest, hacked = Judge(RewardSpec()).scores([facts_of(triplet)] * 2, [triplet.output, hack(triplet)])
    assert hacked.reward <= honest.reward


def test_claims_that_are_repeated_cost() -> None:
    triplet = ROWS["own form"]
    honest, often = Judge(RewardSpec()).scores([facts_of(triplet)] * 2, [triplet.output, repeated(triplet)])
    assert often.anchor == honest.anchor == 1.0
    assert often.efficiency < honest.efficiency


def test_completions_are_texts_or_conversations() -> None:
    assert answer_of("a") == "a"
    assert answer_of([{"role": "assistant", "content": "a"}]) == "a"
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert answer_of([{"role": "assistant", "content": parts}]) == "ab"
    assert answer_of([]) == ""

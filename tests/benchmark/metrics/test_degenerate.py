"""Outputs that are no answer score low at the levels that should see it, whatever the task type."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from made import CASES, MATERIAL, SCORER, truth

from benchmark.metrics.score import Truth
from schemas.base import canonical_json
from schemas.sample_score import Level, SampleScore

PAGE = Path(__file__).resolve().parents[3] / "docs" / "benchmark.md"


def backwards(value: Any) -> Any:
    """The same value with all of its lists turned round."""
    if isinstance(value, dict):
        return {name: backwards(item) for name, item in value.items()}
    return [backwards(item) for item in reversed(value)] if isinstance(value, list) else value


def crowded(value: Any, source: Any) -> Any:
    """A value with three times the items of another one behind those of each of its lists."""
    if isinstance(value, dict) and isinstance(source, dict):
        return {name: crowded(item, source.get(name)) for name, item in value.items()}
    return value + 3 * source if isinstance(value, list) and isinstance(source, list) else value


def prompt_of(true: Truth, material: str) -> str:
    facts = "\n".join(canonical_json(fact) for fact in MATERIAL[material][0])
    return f"Make {true.task_type} under this schema: {true.schema}\nFacts:\n{facts}"


def prompt_in_json(true: Truth, material: str) -> str:
    return json.dumps({"asked": prompt_of(true, material), "schema": json.loads(true.schema)})


def all_anchors(true: Truth, material: str) -> str:
    """All anchors in each list of an output."""
    facts = [json.loads(canonical_json(fact)) for fact in MATERIAL[material][0]]
    return json.dumps({name: facts if isinstance(item, list) else item for name, item in true.value.items()})


def elsewhere(true: Truth, material: str) -> Truth:
    return truth(true.task_type, material, elsewhere=True)


def another_form(true: Truth, material: str) -> str:
    """The true output of the task type that comes next."""
    number = next(n for n, case in enumerate(CASES) if case[0] == true.task_type)
    return truth(*CASES[(number + 1) % len(CASES)]).output


MAKE: dict[str, Callable[[Truth, str], str]] = {
    "the true output": lambda true, material: true.output,
    "nothing": lambda true, material: "",
    "`{}`": lambda true, material: "{}",
    "the prompt": prompt_of,
    "the prompt as JSON": prompt_in_json,
    "all anchors in every list": all_anchors,
    "the true output, three times as many wrong items in its lists": lambda true, material: json.dumps(
        crowded(true.value, elsewhere(true, material).value)
    ),
    "the true output, all lists turned round": lambda true, material: json.dumps(backwards(true.value)),
    "the true output of another stream": lambda true, material: elsewhere(true, material).output,
    "the true output of another form": another_form,
}


@cache
def scores(name: str) -> dict[str, SampleScore]:
    """One score for each task type."""
    truths = [truth(*case) for case in CASES]
    outputs = [MAKE[name](true, material) for true, (_, material) in zip(truths, CASES, strict=True)]
    return {score.task_type: score for score in SCORER.score(truths, outputs)}


@pytest.mark.parametrize("task_type", [task_type for task_type, _ in CASES])
class TestOfEveryForm:
    def test_the_true_output_is_perfect(self, task_type: str) -> None:
        found = scores("the true output")[task_type]
        assert (found.json_valid, found.field, found.semantic) == (1.0, 1.0, 1.0)
        assert found.sequence == (None if task_type == "image_editing" else 1.0)
        assert not found.differences
        assert all(field.comparison is not None and field.expected == field.typed for field in found.fields)

    @pytest.mark.parametrize("name", ["nothing", "the prompt"])
    def test_what_is_no_json_is_zero_at_every_level_that_applies(self, task_type: str, name: str) -> None:
        found, perfect = scores(name)[task_type], scores("the true output")[task_type]
        assert found.mean == 0.0
        for level in Level:
            assert (found.level(level) is None) == (perfect.level(level) is None)
        assert found.differences[0].level is Level.JSON

    @pytest.mark.parametrize("name", ["`{}`", "the prompt as JSON"])
    def test_json_without_an_answer_is_json_and_no_more(self, task_type: str, name: str) -> None:
        found = scores(name)[task_type]
        assert (found.json_valid, found.field, found.semantic, found.sequence or 0.0) == (1.0, 0.0, 0.0, 0.0)

    def test_all_anchors_in_every_list_are_no_answer(self, task_type: str) -> None:
        found = scores("all anchors in every list")[task_type]
        if task_type == "image_editing":
            pytest.skip("most of its fields stand outside its list, and are right here")
        assert found.semantic is not None
        assert found.semantic < 0.45
        assert (found.sequence or 0.0) <= 0.4

    def test_wrong_items_beside_the_right_ones_cost(self, task_type: str) -> None:
        found = scores("the true output, three times as many wrong items in its lists")[task_type]
        assert found.semantic is not None
        assert found.semantic < 0.65
        assert found.sequence is None or found.sequence < 0.7

    def test_true_items_in_the_opposite_order_are_right_but_for_their_sequence(self, task_type: str) -> None:
        found = scores("the true output, all lists turned round")[task_type]
        assert (found.field, found.semantic) == (1.0, 1.0)
        if scores("the true output")[task_type].measures.order is None:
            pytest.skip("its sequences have one item")
        assert found.measures.order == 0.0
        assert found.sequence is not None
        assert found.sequence < 0.6

    def test_the_true_output_of_another_stream_has_the_form_and_little_else(self, task_type: str) -> None:
        found = scores("the true output of another stream")[task_type]
        assert found.semantic is not None
        assert found.semantic < 0.6
        assert (found.sequence or 0.0) <= 0.5

    def test_the_true_output_of_another_form_has_nothing(self, task_type: str) -> None:
        found = scores("the true output of another form")[task_type]
        assert found.semantic is not None
        assert found.semantic < 0.2
        assert (found.sequence or 0.0) < 0.1


@pytest.mark.parametrize("text", [" ", "null, sorry", "```json\n{}\n```", '{"title": NaN}', "[" * 100_000, "[1e999]"])
def test_json_is_taken_strictly(text: str) -> None:
    true = truth("temporal_qa", "film")
    assert SCORER.score([true], [text])[0].mean == 0.0


@pytest.mark.parametrize("name", MAKE)
def test_the_page_says_what_they_score(name: str) -> None:
    row = re.search(rf"^\| {re.escape(name)} \| (.+) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert row is not None
    for level, cell in zip((Level.FIELD, Level.SEMANTIC, Level.SEQUENCE), row[1].split(" | "), strict=True):
        found = [score for one in scores(name).values() if (score := one.level(level)) is not None]
        said = [float(figure) for figure in cell.split()]
        assert said == pytest.approx([min(found), sum(found) / len(found), max(found)], abs=0.011)

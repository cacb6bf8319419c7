"""What a score depends on, and what not."""

from __future__ import annotations

import json
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from facts import evidence, leaves, put
from hypothesis import given, settings
from hypothesis import strategies as st
from made import CASES, MATERIAL, SCORER, score, truth

from benchmark.metrics.score import Scorer, Truth
from schemas.errors import UsageError
from schemas.sample_score import SAMPLE_SCORE_SCHEMA, Level, SampleScore
from schemas.score import Score
from schemas.triplet import Provenance, Triplet, triplet_id
from synthesis.intent.meaning import embedding, embeddings

TRUTHS = [truth(*case) for case in CASES]
ODD = st.one_of(
    st.text(max_size=20),
    st.sampled_from([10**400, -1, 0, 1e308, True, False, [], {}, [[]], [1, 2], {"t0": 3}, "5 s"]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.none(),
)


def reordered(value: Any, random: Any) -> Any:
    """The same value with its keys in another order."""
    if isinstance(value, dict):
        return {name: reordered(value[name], random) for name in random.sample(sorted(value), len(value))}
    return [reordered(item, random) for item in value] if isinstance(value, list) else value


def broken(true: Truth, data: st.DataObject) -> Any:
    """A true output with some values replaced."""
    output = json.loads(true.output)
    for _ in range(data.draw(st.integers(1, 4))):
        put(output, data.draw(st.sampled_from([path for path, _ in leaves(output)])), deepcopy(data.draw(ODD)))
    return output


@settings(max_examples=30, deadline=None)
@given(st.data(), st.randoms(use_true_random=False))
def test_the_order_of_keys_and_white_space_do_not_matter(data: st.DataObject, random: Any) -> None:
    true = data.draw(st.sampled_from(TRUTHS))
    output = broken(true, data)
    other = json.dumps(
        reordered(output, random), indent=data.draw(st.sampled_from([None, 1, "\t"])), separators=(" ,", " : ")
    )
    assert score(true, other) == score(true, json.dumps(output))


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_whatever_a_model_writes_has_a_score_that_is_not_above_the_true_one(data: st.DataObject) -> None:
    true = data.draw(st.sampled_from(TRUTHS))
    found, perfect = score(true, broken(true, data)), score(true, true.output)
    for level in Level:
        ours, best = found.level(level), perfect.level(level)
        assert (ours is None) == (best is None)
        assert ours is None or best is None or 0.0 <= ours <= best


@pytest.mark.parametrize("name", ["steps", "goal"])
def test_a_part_that_is_left_out_costs_at_each_level_that_it_is_of(name: str) -> None:
    true = truth("gui_trajectory", "office")
    found = score(true, {key: value for key, value in true.value.items() if key != name})
    assert found.field is not None
    assert found.semantic == found.field < 1.0
    assert (found.sequence is not None and found.sequence < 1.0) == (name == "steps")
    assert [one.path for one in found.differences if one.why == "missing"] == [f"/{name}"]


def test_a_value_of_the_wrong_type_costs_a_field_and_says_so() -> None:
    true = truth("image_editing", "edit")
    found = score(true, true.value | {"before_time": "at the beginning"})
    assert found.field == found.semantic == pytest.approx(4 / 5)
    [one] = found.differences
    assert (one.level, one.path, one.got) == (Level.FIELD, "/before_time", '"at the beginning"')
    assert [(field.expected, field.given, field.typed) for field in found.fields if field.path == "/before_time"] == [
        (1, 1, 0)
    ]


def test_what_the_schema_does_not_declare_costs() -> None:
    true = truth("image_editing", "edit")
    found = score(true, true.value | {"mood": "calm", "notes": ["a", "b"]})
    assert found.field == found.semantic == pytest.approx(2 * 5 / (5 + 8))
    assert {one.path for one in found.differences} == {"/mood", "/notes"}


def test_a_score_is_the_same_whatever_stands_beside_it() -> None:
    some = [case for case in CASES if case[0] in ("gui_trajectory", "world_model", "lesson_outline")]
    truths, outputs = [truth(*case) for case in some], [truth(*case, elsewhere=True).output for case in some]
    together = Scorer().score(truths, outputs)
    assert [Scorer().score([true], [output])[0] for true, output in zip(truths, outputs, strict=True)] == together


def test_sentences_have_the_same_vectors_alone_and_in_a_batch() -> None:
    sentences = ["Put the kettle on.", "Why?", "", *(f"Step {n}: " + "stir and wait " * n for n in range(1, 30))]
    together = embeddings(sentences)
    assert np.allclose(together, [embedding(sentence) for sentence in sentences], atol=1e-5)
    assert np.allclose(np.linalg.norm(together, axis=1), 1.0, atol=1e-5)


def test_the_best_reading_of_a_vague_intent_counts() -> None:
    readings = [truth("tutorial", "film"), truth("lesson_outline", "film")]
    assert SCORER.best(readings, readings[1].output) == score(readings[1], readings[1].output)


def test_differences_are_bounded_and_the_rest_is_counted() -> None:
    true = truth("tutorial", "film")
    found = score(true, {"title": "x", "blocks": [{"type": "text", "text": f"line {n}"} for n in range(300)]})
    assert len(found.differences) == 100
    assert found.more_differences > 190


def test_scores_go_to_arrow_and_back() -> None:
    found = [score(true, output) for true in TRUTHS[:4] for output in ("", true.output, "{}")]
    assert SampleScore.from_table(SampleScore.to_table(found, SAMPLE_SCORE_SCHEMA)) == found
    assert SAMPLE_SCORE_SCHEMA.names == list(SampleScore.model_fields)


def test_a_published_row_is_a_truth() -> None:
    true = truth("image_editing", "edit")
    anchors, of = MATERIAL["edit"]
    spec = evidence("image_editing", anchors, of).spec
    row = Triplet(
        id=triplet_id((of,), spec, tuple(anchors), true.output),
        unit="unit",
        domain=of.domain,
        task_type="image_editing",
        streams=(of,),
        intent=spec.intent,
        spec=spec,
        anchors=tuple(anchors),
        evidence=(),
        output=true.output,
        score=Score(format=1.0, anchor=1.0, efficiency=1.0, reward=1.0),
        provenance=Provenance(
            run="run",
            recipe_hash="0" * 64,
            experts=(),
            backend="rules",
            model=None,
            agent_version="1",
            prompt_version=None,
            repairs=0,
            created=datetime(2026, 1, 2, tzinfo=UTC),
        ),
    )
    found = SCORER.score([Truth.of(row)], [row.output])[0]
    assert (found.sample, found.domain, found.streams) == (row.id, of.domain, (of.sha256,))
    assert (found.field, found.semantic, found.sequence) == (1.0, 1.0, None)


def test_a_truth_that_is_no_json_names_its_sample() -> None:
    true = Truth("s1", TRUTHS[0].domain, "tutorial", ("a" * 64,), "{", TRUTHS[0].schema)
    with pytest.raises(UsageError, match="sample s1"):
        score(true, "{}")

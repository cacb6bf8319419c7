"""The measures of Sequence against plain definitions of them."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made import score, truth
from scipy.stats import kendalltau

from benchmark.metrics.sequence import edit_similarity, rank_correlation, temporal_iou, trajectory_similarity

points = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=8)


@given(st.permutations(range(7)))
def test_rank_correlation_is_kendalls_tau(order: list[int]) -> None:
    assert rank_correlation(order) == pytest.approx(kendalltau(range(7), order).statistic)


def test_ranks_that_are_tied_count_as_neither() -> None:
    assert rank_correlation([0, 1, 1, 2]) == 1.0
    assert rank_correlation([1, 1]) == 0.0


@given(st.lists(st.integers(0, 3), max_size=6), st.lists(st.integers(0, 3), max_size=6))
def test_edit_similarity_is_that_of_the_recursive_definition(one: list[int], other: list[int]) -> None:
    @cache
    def distance(i: int, j: int) -> int:
        if not i or not j:
            return i + j
        kept = distance(i - 1, j - 1) + (one[i - 1] != other[j - 1])
        return min(kept, distance(i - 1, j) + 1, distance(i, j - 1) + 1)

    longest = max(len(one), len(other), 1)
    assert edit_similarity(one, other) == pytest.approx(1 - distance(len(one), len(other)) / longest)


@given(points, points)
def test_trajectories_are_warped_as_the_recursive_definition_says(
    one: list[tuple[float, float]], other: list[tuple[float, float]]
) -> None:
    @cache
    def cost(i: int, j: int) -> float:
        here = float(np.hypot(one[i][0] - other[j][0], one[i][1] - other[j][1]))
        if i == j == 0:
            return 2 * here
        ways = [cost(i - 1, j - 1) + 2 * here] if i and j else []
        ways += [cost(i - 1, j) + here] if i else []
        return min(ways + ([cost(i, j - 1) + here] if j else []))

    mean = cost(len(one) - 1, len(other) - 1) / (len(one) + len(other))
    expected = min(1.0, max(0.0, (0.1 - mean) / 0.08))
    assert trajectory_similarity(np.array(one), np.array(other)) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("one", "other", "iou"),
    [((0, 4), (0, 4), 1.0), ((0, 4), (4, 8), 0.0), ((3, 3), (3, 3), 1.0), ((0, 4), (2, 2), 0.0), ((0, 4), (4, 0), 0.0)],
)
def test_spans_and_moments(one: tuple[float, float], other: tuple[float, float], iou: float) -> None:
    assert temporal_iou(one, other) == iou


def test_steps_that_begin_together_stand_in_either_order() -> None:
    true = truth("grounding", "office")
    pairs = true.value["pairs"]
    together = [pair for pair in pairs if pair["time"] == pairs[0]["time"]]
    assert len(together) > 1
    swapped = [*reversed(together), *pairs[len(together) :]]
    assert score(true, {"pairs": swapped}).sequence == 1.0
    assert score(true, {"pairs": pairs[::-1]}).measures.order == 0.0


def test_a_drawing_in_other_places_has_its_steps_and_not_its_way() -> None:
    true = truth("drawing_sequence", "house")
    moved = true.value | {
        "strokes": [
            stroke | {"start": {"x": 1 - stroke["start"]["x"], "y": stroke["start"]["y"]}}
            for stroke in true.value["strokes"]
        ]
    }
    found = score(true, moved).measures
    assert (found.edit, found.order, found.spans) == (1.0, 1.0, 1.0)
    assert found.trajectory == 0.0


def test_a_sequence_that_should_not_be_there_counts_as_nothing() -> None:
    true = truth("gui_trajectory", "office")
    assert not true.value["omitted"]
    omitted = [{"source": "session", "time": float(n), "reason": "no effect"} for n in range(len(true.value["steps"]))]
    found, perfect = score(true, true.value | {"omitted": omitted}), score(true, true.output)
    assert found.measures.edit is not None
    assert perfect.measures.edit == 1.0
    steps = len(true.value["steps"])
    assert found.measures.edit == pytest.approx((1 + steps) / (1 + 2 * steps))

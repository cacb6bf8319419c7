"""Means, intervals over families of streams, and the paired comparison of two models."""

from __future__ import annotations

import numpy as np
import pytest

from benchmark.metrics.aggregate import by_domain, overall, paired
from schemas.errors import UsageError
from schemas.sample_score import Level, SampleScore
from schemas.stream import Domain


def scored(number: int, semantic: float | None, *streams: int, domain: Domain = Domain.GUI) -> SampleScore:
    return SampleScore(
        sample=f"s{number}",
        domain=domain,
        task_type="tutorial",
        streams=tuple(f"{stream:064x}" for stream in streams or (number,)),
        json_valid=1.0,
        field=1.0,
        semantic=semantic,
        sequence=None,
    )


def test_levels_that_do_not_apply_are_left_out() -> None:
    found = overall([scored(0, 0.2), scored(1, None), scored(2, 0.6)])
    assert found.semantic is not None
    assert (found.semantic.mean, found.semantic.samples) == (pytest.approx(0.4), 2)
    assert found.sequence is None
    assert found.mean.mean == pytest.approx((2.2 / 3 + 1.0 + 2.6 / 3) / 3)


def test_each_domain_has_its_own_means() -> None:
    found = by_domain([scored(0, 0.2), scored(1, 0.4, domain=Domain.AIGC), scored(2, 0.8, domain=Domain.AIGC)])
    assert list(found) == [Domain.GUI, Domain.AIGC]
    assert found[Domain.AIGC].semantic is not None
    assert found[Domain.AIGC].semantic.mean == pytest.approx(0.6)


def test_samples_that_streams_join_are_one_cluster() -> None:
    found = overall([scored(0, 0.1, 1), scored(1, 0.2, 1, 2), scored(2, 0.3, 2), scored(3, 0.4, 3)])
    assert found.mean.clusters == 2
    assert found.mean.low is not None
    alone = overall([scored(0, 0.1, 1), scored(1, 0.2, 1, 2)])
    assert (alone.mean.clusters, alone.mean.low, alone.mean.high) == (1, None, None)


def test_ten_samples_of_each_stream_say_no_more_than_one() -> None:
    values = [0.1, 0.9, 0.4, 0.6, 0.2]
    once = overall([scored(n, value) for n, value in enumerate(values)])
    often = overall([scored(10 * n + k, value, n) for n, value in enumerate(values) for k in range(10)])
    apart = overall([scored(10 * n + k, value) for n, value in enumerate(values) for k in range(10)])
    assert once.semantic is not None
    assert often.semantic is not None
    assert apart.semantic is not None
    assert (often.semantic.low, often.semantic.high) == pytest.approx((once.semantic.low, once.semantic.high))
    width = once.semantic.high - once.semantic.low
    assert apart.semantic.high - apart.semantic.low < 0.5 * width


def test_the_interval_is_that_of_the_normal_approximation_where_that_holds() -> None:
    values = np.random.default_rng(1).beta(4, 2, size=400)
    found = overall([scored(n, float(value)) for n, value in enumerate(values)]).semantic
    assert found is not None
    half = 1.96 * values.std() / len(values) ** 0.5
    assert (found.low, found.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.1 * half)


def test_equal_models_do_not_differ() -> None:
    ours = [scored(n, n / 10) for n in range(8)]
    found = paired(ours, ours, Level.SEMANTIC)
    assert found is not None
    assert (found.difference, found.low, found.high, found.p, found.better, found.worse) == (0, 0, 0, 1, 0, 0)


def test_a_model_that_is_better_everywhere_is_surely_better_and_the_other_surely_worse() -> None:
    a, b = [scored(n, 0.8 - n / 100) for n in range(40)], [scored(n, 0.6) for n in range(20)]
    b += [scored(n, 0.3) for n in range(20, 40)]
    found, back = paired(a, b[::-1], Level.SEMANTIC), paired(b, a, Level.SEMANTIC)
    assert found is not None
    assert back is not None
    assert found.p is not None
    assert found.p < 0.001
    assert found.low is not None
    assert found.low > 0
    assert (found.better, found.worse) == (back.worse, back.better)
    assert back.difference == pytest.approx(-found.difference)


def test_what_comes_of_one_stream_is_swapped_together() -> None:
    a, b = [scored(n, 0.9, n // 10) for n in range(30)], [scored(n, 0.1, n // 10) for n in range(30)]
    found = paired(a, b, Level.SEMANTIC)
    assert found is not None
    assert (found.clusters, found.p) == (3, 2 / 2**3)


def test_p_is_uniform_where_models_do_not_differ() -> None:
    random = np.random.default_rng(0)
    ps = []
    for _ in range(100):
        a, b = random.uniform(size=(2, 10))
        found = paired([scored(n, x) for n, x in enumerate(a)], [scored(n, x) for n, x in enumerate(b)], Level.SEMANTIC)
        assert found is not None
        assert found.p is not None
        ps.append(found.p)
    # 10 of 100 are expected at or below 0.1, with a standard deviation of 3.
    assert 2 <= sum(p <= 0.1 for p in ps) <= 19


def test_samples_of_one_model_only_are_refused() -> None:
    with pytest.raises(UsageError, match="sample s1"):
        paired([scored(0, 0.1), scored(1, 0.1)], [scored(0, 0.1)])
    with pytest.raises(UsageError, match="more than one score"):
        paired([scored(0, 0.1), scored(0, 0.1)], [scored(0, 0.1)])


def test_a_level_that_applies_to_no_sample_is_not_compared() -> None:
    assert paired([scored(0, 0.1)], [scored(0, 0.1)], Level.SEQUENCE) is None

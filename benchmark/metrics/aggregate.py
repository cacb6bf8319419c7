"""Means over samples with their uncertainty, and two models compared on the same samples.

What comes of one stream is no independent evidence: intervals and tests draw whole families of streams (clusters), as
Miller, Adding Error Bars to Evals (2024), section 2.2, asks for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.stats import bootstrap, permutation_test

from schemas.errors import UsageError
from schemas.sample_score import Estimate, Level, LevelScores, PairedDifference, SampleScore
from schemas.stream import Domain

RESAMPLES = 9999
SEED = 0
Value = Callable[[SampleScore], float | None]


def overall(scores: Sequence[SampleScore]) -> LevelScores:
    """All levels over some samples, each of which weighs the same.

    Raises:
        UsageError: there is no sample.
    """
    if not scores:
        raise UsageError("scores", "there is no sample", "Give the scores of one sample at least")
    estimates = {level: _estimate(scores, _at(level)) for level in (*Level, None)}
    return LevelScores.model_validate(
        {
            "json_valid": estimates[Level.JSON],
            "field": estimates[Level.FIELD],
            "semantic": estimates[Level.SEMANTIC],
            "sequence": estimates[Level.SEQUENCE],
            "mean": estimates[None],
        }
    )


def by_domain(scores: Sequence[SampleScore]) -> dict[Domain, LevelScores]:
    """:func:`overall` of each domain that has a sample."""
    groups: dict[Domain, list[SampleScore]] = defaultdict(list)
    for score in scores:
        groups[score.domain].append(score)
    return {domain: overall(groups[domain]) for domain in Domain if domain in groups}


def paired(a: Sequence[SampleScore], b: Sequence[SampleScore], level: Level | None = None) -> PairedDifference | None:
    """How much better model A is than B on the same samples: the mean difference, its 95 % bootstrap interval over
    clusters, and p of the permutation test that swaps the models' outputs, a cluster at a time (exact where there are
    few). None for a level that applies to no sample.

    Args:
        level: None compares the means of the levels.

    Raises:
        UsageError: a sample has a score of one model only, or more than one.
    """
    ours, theirs = _by_sample(a, "A"), _by_sample(b, "B")
    if ours.keys() != theirs.keys():
        lone = sorted(ours.keys() ^ theirs.keys())
        raise UsageError(
            f"sample {lone[0]}", f"{len(lone)} samples have a score of one model only", "Run both models on all samples"
        )
    value = _at(level)
    scores = [(ours[sample], value(ours[sample]), value(theirs[sample])) for sample in sorted(ours)]
    known = [(score, one, other) for score, one, other in scores if one is not None and other is not None]
    if not known:
        return None
    clusters = _clusters([score for score, _, _ in known])
    first, second = np.array([(one, other) for _, one, other in known]).T
    sums, others, counts = (np.bincount(clusters, weights=each) for each in (first, second, np.ones(len(known))))
    low, high = _interval(sums - others, counts)
    return PairedDifference(
        level=level,
        difference=float((first - second).mean()),
        low=low,
        high=high,
        p=_p(sums, others) if len(counts) > 1 else None,
        samples=len(known),
        clusters=len(counts),
        better=int((first > second).sum()),
        worse=int((first < second).sum()),
    )


def _at(level: Level | None) -> Value:
    return (lambda score: score.mean) if level is None else (lambda score: score.level(level))


def _by_sample(scores: Sequence[SampleScore], model: str) -> dict[str, SampleScore]:
    found = {score.sample: score for score in scores}
    if len(found) < len(scores):
        raise UsageError(f"model {model}", "a sample has more than one score", "Give one score for each sample")
    return found


def _estimate(scores: Sequence[SampleScore], value: Value) -> Estimate | None:
    known = [(score, number) for score in scores if (number := value(score)) is not None]
    if not known:
        return None
    values = np.array([number for _, number in known])
    clusters = _clusters([score for score, _ in known])
    sums, counts = np.bincount(clusters, weights=values), np.bincount(clusters)
    low, high = _interval(sums, counts)
    return Estimate(mean=float(values.mean()), low=low, high=high, samples=len(known), clusters=len(counts))


def _clusters(scores: Sequence[SampleScore]) -> NDArray[np.int64]:
    """For each sample the number of its cluster: samples are in one when streams join them, directly or by others."""
    numbers = {stream: n for n, stream in enumerate(dict.fromkeys(s for score in scores for s in score.streams))}
    pairs = [(place, len(scores) + numbers[stream]) for place, score in enumerate(scores) for stream in score.streams]
    rows, columns = np.array(pairs).T
    size = len(scores) + len(numbers)
    labels = connected_components(coo_array((np.ones(len(pairs)), (rows, columns)), (size, size)), directed=False)[1]
    return np.unique(labels[: len(scores)], return_inverse=True)[1]


def _interval(sums: NDArray[Any], counts: NDArray[Any]) -> tuple[float | None, float | None]:
    """95 % percentile interval of the mean over samples when clusters are drawn with replacement (Efron 1979)."""
    if len(counts) < 2:
        return None, None
    drawn = bootstrap(
        (sums, counts),
        lambda total, number, axis: total.sum(axis=axis) / number.sum(axis=axis),
        paired=True,
        vectorized=True,
        n_resamples=RESAMPLES,
        method="percentile",
        rng=np.random.default_rng(SEED),
    )
    return float(drawn.confidence_interval.low), float(drawn.confidence_interval.high)


def _p(sums: NDArray[Any], others: NDArray[Any]) -> float:
    test = permutation_test(
        (sums, others),
        lambda one, other, axis: (one - other).sum(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=RESAMPLES,
        rng=np.random.default_rng(SEED),
    )
    return float(test.pvalue)

"""Sequence: are the right steps there in the right order, at the right time, along the right way?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from benchmark.metrics.align import AlignedList, Alignment, sequences
from benchmark.metrics.forms import Form
from benchmark.metrics.likeness import POINT_TOLERANCE, TIME_TOLERANCE, closeness
from schemas.sample_score import Comparison, SequenceScore
from synthesis.verification.grounding import point_of

SAME_STEP = 0.6
"""Likeness from which an item counts as the one that it was aligned with."""


@dataclass(frozen=True)
class Measured:
    """The measures of one list, and which true item (its place, or None) each given one is."""

    found: AlignedList
    scores: SequenceScore
    order: tuple[int | None, ...]


def sequence(alignment: Alignment) -> tuple[SequenceScore, list[Measured]]:
    """The measures over all outermost sequences of an output, each weighted by its items; a sequence that should not be
    there counts as 0. A measure is None where no true sequence has anything that it measures."""
    measured = [_measured(found) for found in sequences(alignment)]
    return SequenceScore(**{name: _mean(measured, name) for name in SequenceScore.model_fields}), measured


def edit_similarity(true: Sequence[int], got: Sequence[int | None]) -> float:
    """1 - D / max(n, m), with D the Levenshtein distance of two sequences of n and m steps.

    Example:
        For 0 1 2 3 an output has 0 2 1, one of its own, and 3: D = 2 (insert 2, replace 2), 1 - 2 / 5 = 0.6.
    """
    if not true and not got:
        return 1.0
    before = list(range(len(got) + 1))
    for row, one in enumerate(true, 1):
        now = [row]
        for column, other in enumerate(got, 1):
            now.append(min(before[column] + 1, now[-1] + 1, before[column - 1] + (one != other)))
        before = now
    return 1 - before[-1] / max(len(true), len(got))


def rank_correlation(ranks: Sequence[float]) -> float:
    """Kendall's tau of the order in which steps come, given the true rank of each: (C - D) / (C + D), with C pairs of
    steps in the true order and D in the opposite one. Pairs of one rank count as neither; 0 where there is no other.

    Example:
        Steps come as 1 3 2: C = 2, D = 1, tau = 1/3.
    """
    values = np.asarray(ranks, dtype=float)
    signs = np.sign(values[None, :] - values[:, None])[np.triu_indices(len(values), 1)]
    counted = np.abs(signs).sum()
    return float(signs.sum() / counted) if counted else 0.0


def temporal_iou(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Intersection over union of two stretches; of two moments, how close they are (tolerance 0.25 s).

    Example:
        2 s to 6 s and 4 s to 8 s: 2 / 6 = 1/3.
    """
    if one[0] == one[1] and other[0] == other[1]:
        return closeness(abs(one[0] - other[0]), TIME_TOLERANCE)
    shared = min(one[1], other[1]) - max(one[0], other[0])
    union = max(one[1], other[1]) - min(one[0], other[0])
    return max(0.0, shared) / union if union > 0 else 0.0


def trajectory_similarity(true: NDArray[np.float64], got: NDArray[np.float64]) -> float:
    """How alike two ways over the frame, (n, 2) and (m, 2), are in place and shape, however fast they are gone.

    Dynamic time warping (Sakoe and Chiba 1978, symmetric form: a step on both ways weighs 2) gives the least sum of
    distances; that over n + m is a mean distance, of which :func:`closeness` is taken with a tolerance of 0.02 frames.

    Example:
        (0, 0), (1, 0) and the same 0.05 lower: (2 x 0.05 + 2 x 0.05) / 4 = 0.05, closeness (0.1 - 0.05) / 0.08 = 0.625.
    """
    if not len(true) or not len(got):
        return 0.0
    return closeness(_warped(cdist(true, got)) / (len(true) + len(got)), POINT_TOLERANCE)


def _warped(distances: NDArray[np.float64]) -> float:
    """The cheapest warping, one anti-diagonal at a time: all of its cells follow from the two before."""
    rows, columns = distances.shape
    earlier, before = np.full(rows + 1, np.inf), np.full(rows + 1, np.inf)
    earlier[0] = 0.0
    for diagonal in range(rows + columns - 1):
        now = np.full(rows + 1, np.inf)
        row = np.arange(max(0, diagonal - columns + 1), min(rows, diagonal + 1))
        here = distances[row, diagonal - row]
        now[row + 1] = np.minimum(np.minimum(before[row], before[row + 1]) + here, earlier[row] + 2 * here)
        earlier, before = before, now
    return float(before[rows])


def _measured(found: AlignedList) -> Measured:
    same = {other: place for place, (other, inner) in found.matches.items() if inner.likeness >= SAME_STEP}
    order = tuple(same.get(other) for other in range(len(found.got)))
    ranks = _ranks(found.form, found.true)
    scores = SequenceScore(
        edit=edit_similarity(range(len(found.true)), _settled(order, ranks)),
        order=_order(found, order, ranks),
        spans=_spans(found, order, ranks),
        trajectory=_trajectory(found),
    )
    return Measured(found, scores, order)


def _mean(measured: Sequence[Measured], name: str) -> float | None:
    parts = [(one.found, score) for one in measured if (score := getattr(one.scores, name)) is not None]
    if not any(found.true for found, _ in parts):
        return None
    weights = [len(found.true or found.got) for found, _ in parts]
    return float(np.average([score for _, score in parts], weights=weights))


def _ranks(form: Form, items: list[Any]) -> list[float]:
    """Where each item stands in the order: what happens at one time has one rank, where time makes the order."""
    times = [form.item.time(value) if form.item else None for value in items]
    known = [time for time in times if time is not None]
    return known if len(known) == len(items) and known == sorted(known) else [float(n) for n in range(len(items))]


def _settled(order: Sequence[int | None], ranks: Sequence[float]) -> list[int | None]:
    """The order with steps of one rank, where they follow each other, as they are in the true output."""
    settled: list[int | None] = []
    for rank, run in groupby(order, key=lambda place: None if place is None else ranks[place]):
        places = list(run)
        settled += places if rank is None else sorted(place for place in places if place is not None)
    return settled


def _order(found: AlignedList, order: Sequence[int | None], ranks: Sequence[float]) -> float | None:
    if len(set(ranks or _ranks(found.form, found.got))) < 2:
        return None
    matched = [ranks[place] for place in order if place is not None]
    return max(0.0, rank_correlation(matched)) * 2 * len(matched) / (len(found.true) + len(found.got))


def _spans(found: AlignedList, order: Sequence[int | None], ranks: Sequence[float]) -> float | None:
    item = found.form.item
    if item is None:
        return None
    true, got = ([item.span(value) for value in side] for side in (found.true, found.got))
    if all(span is None for span in true or got):
        return None
    steps = [(place, other) for other, place in enumerate(order) if place is not None]
    pairs = [(true[place], got[other]) for place, other in _rising(steps, ranks)]
    shared = sum(temporal_iou(one, two) for one, two in pairs if one is not None and two is not None)
    return 2 * shared / sum(span is not None for span in (*true, *got))


def _rising(steps: Sequence[tuple[int, int]], ranks: Sequence[float]) -> list[tuple[int, int]]:
    """The most of some steps (true place, given place) that stand in their true order."""
    chains: list[list[tuple[int, int]]] = []
    for step in steps:
        before = (chain for chain in chains if ranks[chain[-1][0]] <= ranks[step[0]])
        chains.append([*max(before, key=len, default=[]), step])
    return max(chains, key=len, default=[])


def _trajectory(found: AlignedList) -> float | None:
    true, got = (np.array(list(_points(found.form, side))) for side in (found.true, found.got))
    return trajectory_similarity(true, got) if len(true if found.true else got) > 1 else None


def _points(form: Form | None, value: Any) -> Iterator[tuple[float, float]]:
    """The points in a value, in the order of its schema."""
    if form is None:
        return
    if form.comparison(value) is Comparison.POINT:
        point = point_of(value)
        if point is not None:
            yield point.x, point.y
    elif isinstance(value, dict):
        for name in form.names(value):
            yield from _points(form.property(name), value[name])
    elif isinstance(value, list):
        for item in value:
            yield from _points(form.item, item)

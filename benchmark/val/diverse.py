"""Which of many rows: shares over strata, and in each the rows that are farthest from one another."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from synthesis.intent.meaning import embeddings

Key = TypeVar("Key", bound=str)
_MOST_WORDS = 120
"""The embedding model reads about as many."""


def shared_out(there: Mapping[Key, int], size: int) -> dict[Key, int]:
    """How many of each stratum: equally many, and what one lacks is taken of the others."""
    shares = dict.fromkeys(sorted(there), 0)
    while sum(shares.values()) < size and (open_ := [key for key in shares if shares[key] < there[key]]):
        for key in open_[: size - sum(shares.values())]:
            shares[key] += 1
    return shares


def vectors(intents: Sequence[str], outputs: Sequence[str]) -> NDArray[np.float32]:
    """Unit vectors, (n, 384), of what rows are about: what was asked, and the words of the true output."""
    return embeddings([about(intent, output) for intent, output in zip(intents, outputs, strict=True)])


def about(intent: str, output: str) -> str:
    """The words of a row: of the output those of its texts, as far as the model reads."""
    return " ".join(" ".join((intent, *_texts(json.loads(output)))).split()[:_MOST_WORDS])


def farthest(
    points: NDArray[np.float32], count: int, taken: NDArray[np.float32], rng: np.random.Generator
) -> list[int]:
    """The places of `count` points, each the one farthest from all before it and from those taken already: the greedy
    2-approximation of the k-center problem (Gonzalez, Clustering to minimize the maximum intercluster distance, 1985).

    The first is drawn where nothing is taken yet. Of points equally far the first one counts; distances are compared to
    five digits, since what is embedded beside a text moves the seventh.
    """
    if not count:
        return []
    chosen: list[int] = [] if len(taken) else [int(rng.integers(len(points)))]
    nearest = _distance(points, taken if len(taken) else points[chosen])
    while len(chosen) < count:
        nearest[chosen] = -1.0
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, _distance(points, points[chosen[-1:]]))
    return chosen


def _distance(points: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float64]:
    """The cosine distance of each point from the nearest of the others."""
    likeness: NDArray[np.float64] = (points @ others.T).max(axis=1).astype(np.float64)
    return np.round(1.0 - likeness, 5)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)

"""How alike two texts are in what they say: sentence embeddings, corrected for what these cannot tell."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from benchmark.metrics.likeness import plain
from synthesis.intent.meaning import Vector, embeddings

UNRELATED = 0.4
"""Cosine that counts as nothing in common: of texts of unlike outputs, 19 in 20 pairs are below it."""
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")


class Texts:
    """Compares texts. Vectors of true ones are kept: every model is compared with the same."""

    def __init__(self) -> None:
        self._true: dict[str, Vector] = {}

    def likenesses(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """How alike the texts of each pair (true, given) are, in [0, 1]: :func:`text_likeness` of their cosines."""
        wanted = dict.fromkeys(plain(text) for pair in pairs for text in pair)
        new = [text for text in wanted if text not in self._true]
        vectors = self._true | dict(zip(new, embeddings(new), strict=True))
        self._true |= {plain(true): vectors[plain(true)] for true, _ in pairs}
        return [text_likeness(true, got, float(vectors[plain(true)] @ vectors[plain(got)])) for true, got in pairs]


def text_likeness(true: str, got: str, cosine: float) -> float:
    """max(0, (c - 0.4) / 0.6) times 2 |N & M| / (|N| + |M|), for a cosine c and the numbers N and M that the texts
    name, each as often as it is named; without numbers the second factor is 1.

    Sentences of one form are near in meaning whatever number stands in them: an embedding alone would take `at 3 s` for
    `at 9 s`. The first factor is the rescaling by a baseline of Zhang et al., BERTScore (2020), section 3.

    Example:
        c = 0.85, `from 3 s to 9 s` and `from 3 s to 8 s`: 0.45 / 0.6 = 0.75, times 2 / 4, is 0.375.
    """
    ours, theirs = Counter(_NUMBER.findall(true)), Counter(_NUMBER.findall(got))
    named = ours.total() + theirs.total()
    numbers = 2 * (ours & theirs).total() / named if named else 1.0
    return min(1.0, max(0.0, (cosine - UNRELATED) / (1 - UNRELATED))) * numbers

"""What agents that offer options share: which letter is right, which wrong options are worth offering."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import TypeVar

from schemas.base import digest
from synthesis.agents.passages import ALIKE
from synthesis.verification.check import normalise, stands_in

LETTERS = "ABCD"
MOST_OPTIONS = len(LETTERS)
SHORT = 6
"""Characters below which one letter makes another word."""
Item = TypeVar("Item")


def chosen(items: Sequence[Item], *seed: object) -> Item:
    """One of the items, by the content of the seed: varied over outputs, the same for equal ones."""
    return items[int(digest([str(part) for part in seed])[:8], 16) % len(items)]


def balanced(sizes: Sequence[int], seed: str) -> list[str]:
    """The right letters of questions with so many options: each as often as the others, also in every beginning."""
    used: Counter[str] = Counter()
    letters = []
    for place, size in enumerate(sizes):
        pool = LETTERS[:size]
        least = min(used[letter] for letter in pool)
        letter = chosen([letter for letter in pool if used[letter] == least], seed, place)
        used[letter] += 1
        letters.append(letter)
    return letters


def arranged(right: Item, wrong: Sequence[Item], letter: str, seed: str) -> list[Item]:
    """The options in their order: the right one at its letter, the others in an order that tells nothing."""
    others = [item for _, item in sorted((digest([seed, str(place)]), item) for place, item in enumerate(wrong))]
    others.insert(LETTERS.index(letter), right)
    return others


def alike(one: str, other: str) -> bool:
    """Whether two texts could be taken for one another: one stands in the other, or they differ by a misread letter."""
    one, other = normalise(one).lower(), normalise(other).lower()
    if stands_in(one, other) or stands_in(other, one):
        return True
    matcher = SequenceMatcher(None, one, other, autojunk=False)
    return (
        min(len(one), len(other)) >= SHORT
        and matcher.real_quick_ratio() >= ALIKE
        and matcher.quick_ratio() >= ALIKE
        and matcher.ratio() >= ALIKE
    )


def unlike(items: Sequence[Item], texts: Sequence[str], taken: Sequence[str], count: int) -> list[Item]:
    """At most `count` items, the first ones, whose texts differ from each other and from those taken."""
    kept: list[Item] = []
    seen = list(taken)
    for item, text in zip(items, texts, strict=True):
        if len(kept) < count and not any(alike(text, other) for other in seen):
            kept.append(item)
            seen.append(text)
    return kept

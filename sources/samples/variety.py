"""What seeds after the first one tell and show: sentences, sums, names and colours, put together by chance.

Seed 0 makes the streams that the documentation tells of. Every other seed makes streams that are like them in form and
unlike them, and each other, in what is said, seen and done: a corpus of many seeds is no corpus of copies.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from sources.samples.media import Colour, Spoken

T = TypeVar("T")

COLOURS: dict[str, Colour] = {
    "yellow": (250, 220, 60),
    "red": (200, 50, 44),
    "blue": (40, 80, 190),
    "green": (60, 140, 70),
    "orange": (236, 130, 40),
    "purple": (120, 60, 160),
    "white": (246, 246, 240),
    "brown": (120, 72, 40),
    "pink": (232, 140, 170),
    "black": (30, 30, 34),
}
_FIRST = ("First", "To begin", "At the start", "Before anything else")
_NEXT = ("Then", "Next", "After that", "Now", "When that is done")
_LAST = ("At last", "In the end", "Finally")
_DOINGS = (
    "wash", "peel", "cut", "dry", "warm", "fold", "clean", "open", "measure", "mark", "cover", "turn", "lift",
    "weigh", "brush", "press", "sort", "tie", "fill", "shake",
)  # fmt: skip
_THINGS = (
    "the carrots", "the potatoes", "the dough", "the old cloth", "the wooden board", "the glass jar",
    "the small screws", "the paper", "the copper wire", "the rice", "the wet boots", "the garden tools",
    "the lamp", "the chain", "the apples", "the letters", "the blue paint", "the shelf", "the seeds",
    "the window frame",
)  # fmt: skip
_WITH = (
    "in cold water", "with a soft brush", "on the table", "by the window", "with both hands", "for two minutes",
    "one by one", "with a sharp knife", "over a low flame", "until nothing moves", "in a clean bowl",
    "with a ruler", "under the tap", "next to the stove", "very slowly", "from left to right",
)  # fmt: skip
NAMES = (
    "garden", "travel", "summer", "kitchen", "music", "family", "winter", "school", "letter", "market",
    "weekly", "money", "river", "birthday", "holiday", "reading",
)  # fmt: skip
KINDS = ("plan", "list", "notes", "draft", "ideas", "budget", "menu", "rules", "story", "diary")


def one_of(rng: np.random.Generator, values: Sequence[T]) -> T:
    return values[int(rng.integers(len(values)))]


def some_of(rng: np.random.Generator, values: Sequence[T], count: int) -> list[T]:
    """Different ones, in any order."""
    return [values[int(place)] for place in rng.choice(len(values), count, replace=False)]


def steps(rng: np.random.Generator, count: int) -> list[str]:
    """Sentences of somebody who says what is done, in order."""
    doings, things, ways = (some_of(rng, words, count) for words in (_DOINGS, _THINGS, _WITH))
    begins = [one_of(rng, _FIRST), *(one_of(rng, _NEXT) for _ in range(count - 2)), one_of(rng, _LAST)]
    return [f"{begin}, {' '.join(said)}." for begin, *said in zip(begins, doings, things, ways, strict=True)]


def spoken(rng: np.random.Generator, sentences: Sequence[str], scenes: Sequence[float]) -> list[Spoken]:
    """A cue in each scene, whose lengths are given in seconds."""
    cues, start = [], 0.0
    for sentence, seconds in zip(sentences, scenes, strict=True):
        begin = float(rng.uniform(0.2, 0.3 * seconds))
        end = float(rng.uniform(0.7 * seconds, 0.9 * seconds))
        cues.append((round(start + begin, 1), round(start + end, 1), sentence))
        start += seconds
    return cues

"""What the agents of daily life and education share: facts that words carry, and how to spread over a stream."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import TypeVar

from schemas.anchor import AnchorKind, FactualAnchor
from synthesis.base import Evidence
from synthesis.verification.check import UNSPACED, normalise

Item = TypeVar("Item")

LEAST_CONFIDENCE = 0.6
"""Facts measured with less confidence are not spoken of."""
READ_WELL = 0.9
"""Lines read on screen with less confidence are not quoted: a misread line is verbatim of the reading only."""
LEAST_LETTERS = 6
"""A line of two words or more has so many letters and digits, or says too little to be quoted."""
ALIKE = 0.85
"""Lines with this share of characters in common (difflib's ratio) are one line read twice."""
MAX_COMPARED = 200
"""A line is compared with so many before it: what was gone for longer may well come again."""
_FORMULA = re.compile(r"[^\W_].*[=<>≤≥≈].*[^\W_]|[^\W_]{2,}.*=")
_ENDED_TWICE = re.compile(r"([.?!][\"”])\.")
SPOKEN = (AnchorKind.SUBTITLE,)
SHOWN = (AnchorKind.SCREEN_TEXT,)


def ended_once(text: str) -> str:
    """A sentence that ends with a quoted sentence is ended by it: `He said "Stop."` and not `He said "Stop.".`"""
    return _ENDED_TWICE.sub(r"\1", text)


def spoken(evidence: Evidence, stream: str) -> list[FactualAnchor]:
    """Subtitle cues, in the order of time."""
    return [anchor for anchor in evidence.of(*SPOKEN, stream=stream) if normalise(anchor.content)]


def shown(evidence: Evidence, stream: str) -> list[FactualAnchor]:
    """Lines of text and formulas that came on the screen, each where it came first, in the order of time.

    Single words are labels and badges more often than content; a line that differs little from one already there is the
    same line read again.
    """
    kept: list[tuple[FactualAnchor, str]] = []
    for anchor in evidence.of(*SHOWN, stream=stream):
        content = normalise(anchor.content)
        if anchor.confidence >= READ_WELL and _tells(content) and not _read_again(content, kept):
            kept.append((anchor, content))
    return [anchor for anchor, _ in kept]


def _tells(content: str) -> bool:
    letters = sum(character.isalnum() for character in content)
    wide = sum(bool(UNSPACED.match(character)) for character in content)
    return (letters >= LEAST_LETTERS and " " in content) or wide >= LEAST_LETTERS or bool(_FORMULA.search(content))


def _read_again(content: str, kept: Sequence[tuple[FactualAnchor, str]]) -> bool:
    matcher = SequenceMatcher(None, b=content, autojunk=False)
    for _, other in reversed(kept[-MAX_COMPARED:]):
        matcher.set_seq1(other)
        # A digit more or less is another step of a calculation; the three ratios are from cheap to exact.
        if other == content or (
            min(len(content), len(other)) >= 16
            and matcher.real_quick_ratio() >= ALIKE
            and matcher.quick_ratio() >= ALIKE
            and matcher.ratio() >= ALIKE
        ):
            return True
    return False


def spread(items: Sequence[Item]) -> list[Item]:
    """The same items in an order of which every beginning is spread over the whole: first the middle one, then those
    between, by the van der Corput sequence."""
    count = len(items)
    order: dict[int, None] = {}
    number = 1
    while len(order) < count:
        value, bits, fraction = number, 0.5, 0.0
        while value:
            fraction += bits * (value & 1)
            value >>= 1
            bits /= 2
        order.setdefault(min(int(fraction * count), count - 1))
        number += 1
    return [items[place] for place in order]


def evenly(items: Sequence[Item], count: int) -> list[Item]:
    """At most `count` items, evenly spread, in their order."""
    if len(items) <= count:
        return list(items)
    return [items[(2 * place + 1) * len(items) // (2 * count)] for place in range(count)]

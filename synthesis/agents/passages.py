"""What the agents of daily life and education share: facts that words carry, and how to spread over a stream."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from schemas.anchor import AnchorKind, FactualAnchor
from synthesis.base import Evidence
from synthesis.verification.check import normalise

Item = TypeVar("Item")

LEAST_CONFIDENCE = 0.6
"""Lines read with less confidence are not quoted: a misread line is verbatim of the reading, not of the screen."""
LEAST_LETTERS = 2
"""A line read on screen with fewer letters or digits says nothing."""
SPOKEN = (AnchorKind.SUBTITLE,)
SHOWN = (AnchorKind.SCREEN_TEXT,)


def spoken(evidence: Evidence, stream: str) -> list[FactualAnchor]:
    """Subtitle cues, in the order of time."""
    return [anchor for anchor in evidence.of(*SPOKEN, stream=stream) if normalise(anchor.content)]


def shown(evidence: Evidence, stream: str) -> list[FactualAnchor]:
    """Lines that came on the screen, each where it came first, in the order of time."""
    seen: set[str] = set()
    lines = []
    for anchor in evidence.of(*SHOWN, stream=stream):
        content = normalise(anchor.content)
        letters = sum(character.isalnum() for character in content)
        if anchor.confidence >= LEAST_CONFIDENCE and letters >= LEAST_LETTERS and content not in seen:
            seen.add(content)
            lines.append(anchor)
    return lines


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

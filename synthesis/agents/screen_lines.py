"""Lines of a screen that are worth showing: read with certainty, and not a letter of a keyboard or an icon."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher

from schemas.anchor import FactualAnchor
from schemas.geometry import Box
from synthesis.verification.check import stands_in

SURE = 0.95
"""Below, one line in a few is misread."""
LEAST_SIDE = 0.004
"""Of the frame: a box that is thinner shows nothing to point at."""
LARGEST = 0.5
"""Share of the frame: a larger box points at everything."""

_SAME_PLACE = 0.6
"""Share of a line's box that another line's box covers where both are the same line, seen at different times."""
_ALIKE = 0.6


def readable(line: FactualAnchor) -> bool:
    """Whether a line (or a named element) can be quoted and pointed at."""
    text, box = line.content.strip(), line.box
    return (
        box is not None
        and line.confidence >= SURE
        and sum(letter.isalnum() for letter in text) >= 2
        and any(len(word) > 1 for word in text.split())
        and "\ufffd" not in text
        and sensible(box)
    )


def partial(line: FactualAnchor, lines: Iterable[FactualAnchor]) -> bool:
    """Whether a line is but a part of a word, or a worse reading, of what was read at the same place at another time:
    a window stood before it, or it was moving."""
    return any(
        other.content != line.content and _covers(other.box, line.box) and _says_better(other, line) for other in lines
    )


def _covers(box: Box | None, part: Box | None) -> bool:
    if box is None or part is None or part.area <= 0:
        return False
    width = min(box.x1, part.x1) - max(box.x0, part.x0)
    height = min(box.y1, part.y1) - max(box.y0, part.y0)
    return max(width, 0.0) * max(height, 0.0) >= _SAME_PLACE * part.area


def _says_better(other: FactualAnchor, line: FactualAnchor) -> bool:
    whole, part = other.content.casefold(), line.content.casefold()
    if part in whole:
        return not stands_in(part, whole)
    if (other.confidence, other.t1 - other.t0) <= (line.confidence, line.t1 - line.t0):
        return False
    return SequenceMatcher(None, whole, part, autojunk=False).ratio() >= _ALIKE


def sensible(box: Box) -> bool:
    """Whether a box points at something."""
    return min(box.x1 - box.x0, box.y1 - box.y0) >= LEAST_SIDE and box.area <= LARGEST


def in_reading_order(lines: Sequence[FactualAnchor]) -> list[FactualAnchor]:
    """From top to bottom, and from left to right in a row (a fiftieth of the frame)."""
    return sorted(
        lines, key=lambda line: (round(line.box.y0 * 50), line.box.x0, line.content) if line.box else (99, 0.0, "")
    )

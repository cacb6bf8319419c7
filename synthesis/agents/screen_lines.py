"""Lines of a screen that are worth showing: read with certainty, and not a letter of a keyboard or an icon."""

from __future__ import annotations

from collections.abc import Sequence

from schemas.anchor import FactualAnchor
from schemas.geometry import Box

SURE = 0.95
"""Below, one line in a few is misread."""
LEAST_SIDE = 0.004
"""Of the frame: a box that is thinner shows nothing to point at."""
LARGEST = 0.5
"""Share of the frame: a larger box points at everything."""


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


def sensible(box: Box) -> bool:
    """Whether a box points at something."""
    return min(box.x1 - box.x0, box.y1 - box.y0) >= LEAST_SIDE and box.area <= LARGEST


def in_reading_order(lines: Sequence[FactualAnchor]) -> list[FactualAnchor]:
    """From top to bottom, and from left to right in a row (a fiftieth of the frame)."""
    return sorted(
        lines, key=lambda line: (round(line.box.y0 * 50), line.box.x0, line.content) if line.box else (99, 0.0, "")
    )

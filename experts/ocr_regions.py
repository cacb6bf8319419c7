"""Where on a screen there is something to read: tiles with ink, groups of tiles, boxes to cut out around them.

Masks of tiles are (rows, columns) bool as :func:`experts.pixels.tiles` makes them; boxes to cut out are (x0, y0, x1,
y1) in pixels of the picture that is read.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from experts.pixels import TILE, Mask
from schemas.geometry import Box
from sources.frame import Pixels

Cut = tuple[int, int, int, int]

# The faintest letters that the engine reads differ from their paper by more levels of luma than this.
_INK = 24
# A crop reaches this far beyond what changed, in tiles: the engine wants a margin around letters.
_MARGIN = 1.5


def per_tile(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The largest of the values (height, width) in each tile; values must not be negative."""
    height, width = values.shape
    rows, columns = -(-height // TILE), -(-width // TILE)
    padded = np.zeros((rows * TILE, columns * TILE), values.dtype)
    padded[:height, :width] = values
    return np.asarray(padded.reshape(rows, TILE, columns, TILE).max(axis=(1, 3)))


def ink(gray: Pixels) -> Mask:
    """Tiles where luma varies enough for a letter: elsewhere there is nothing to read, and nothing to lose."""
    local = cv2.morphologyEx(gray, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    return np.asarray(per_tile(local.astype(np.float64)) > _INK)


def in_pixels(mask: Mask, shape: tuple[int, ...]) -> Mask:
    """A mask of tiles as a mask of pixels of the thumbnail (height, width)."""
    return np.asarray(np.kron(mask, np.ones((TILE, TILE), np.bool_))[: shape[0], : shape[1]])


def _span(box: Box, rows: int, columns: int) -> tuple[slice, slice]:
    # Tiles at the edge may be smaller than the rest; a tile's worth of error there does no harm.
    y0, y1 = int(box.y0 * rows), int(np.ceil(box.y1 * rows))
    x0, x1 = int(box.x0 * columns), int(np.ceil(box.x1 * columns))
    return slice(y0, max(y1, y0 + 1)), slice(x0, max(x1, x0 + 1))


def touches(box: Box, region: Mask) -> bool:
    """Whether any tile of a region lies under a box."""
    return bool(region[_span(box, *region.shape)].any())


def set_under(box: Box, region: Mask) -> None:
    """Sets the tiles that lie under a box."""
    region[_span(box, *region.shape)] = True


def groups(mask: Mask) -> list[Mask]:
    """Connected groups of tiles, where a gap within a line of text still connects."""
    wide = cv2.dilate(mask.astype(np.uint8), np.ones((3, 9), np.uint8))
    count, labels = cv2.connectedComponents(wide, connectivity=8)
    return [np.asarray((labels == label) & mask) for label in range(1, count)]


def crops(region: Mask, lines: Sequence[Box], height: int, width: int, scale: float) -> list[Cut]:
    """Boxes around the groups of a region, in a picture of this size (pixels), padded, none cutting a known line.

    `scale` is how many pixels of the picture a pixel of the thumbnail stands for.
    """
    step = TILE * scale
    pad = _MARGIN * step
    boxes: list[list[float]] = []
    for group in groups(region):
        rows, columns = np.flatnonzero(group.any(axis=1)), np.flatnonzero(group.any(axis=0))
        boxes.append(
            [
                columns[0] * step - pad,
                rows[0] * step - pad,
                (columns[-1] + 1) * step + pad,
                (rows[-1] + 1) * step + pad,
            ]
        )
    known = [(line.x0 * width, line.y0 * height, line.x1 * width, line.y1 * height) for line in lines]
    for _ in range(8):
        before = [list(box) for box in boxes]
        boxes = _merged([_around_lines(box, known) for box in boxes])
        if boxes == before:
            break
    cut = [
        (max(0, int(x0)), max(0, int(y0)), min(width, int(np.ceil(x1))), min(height, int(np.ceil(y1))))
        for x0, y0, x1, y1 in boxes
    ]
    return [box for box in sorted(cut, key=lambda b: (b[1], b[0])) if box[2] > box[0] and box[3] > box[1]]


def _around_lines(box: list[float], lines: Sequence[tuple[float, float, float, float]]) -> list[float]:
    """The box, wide enough to hold whole every line that it would cut."""
    for line in lines:
        if _overlap(box, line):
            box = [
                min(box[0], line[0] - 4),
                min(box[1], line[1] - 4),
                max(box[2], line[2] + 4),
                max(box[3], line[3] + 4),
            ]
    return box


def _overlap(one: Sequence[float], other: Sequence[float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _merged(boxes: list[list[float]]) -> list[list[float]]:
    merged: list[list[float]] = []
    for box in boxes:
        current = list(box)
        while True:
            hit = next((other for other in merged if _overlap(current, other)), None)
            if hit is None:
                break
            merged.remove(hit)
            current = [
                min(current[0], hit[0]),
                min(current[1], hit[1]),
                max(current[2], hit[2]),
                max(current[3], hit[3]),
            ]
        merged.append(current)
    return merged

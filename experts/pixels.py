"""What the screen experts share: how two pictures of a screen differ, marks drawn over it, and screen signatures.

All work on thumbnails whose longer side has at most :data:`SIDE` pixels, so that memory stays small.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from schemas.geometry import Box, Point
from sources.base import InputEvent
from sources.frame import Pixels

SIDE = 640
TILE = 8
Mask = NDArray[np.bool_]

# Encoders wobble by a few levels on still screens; letters that change differ by far more.
_NOISE = 16
STATUS_BAR = 0.05
"""Share of a portrait frame's height that holds clock, battery and signal, which change on their own."""


def changed_pixels(before: Pixels, now: Pixels) -> Mask:
    """Where two gray thumbnails of equal size differ by more than coding noise."""
    difference = cv2.absdiff(cv2.blur(before, (3, 3)), cv2.blur(now, (3, 3)))
    return np.asarray(difference > _NOISE)


def tiles(mask: Mask) -> Mask:
    """Which tiles of TILE x TILE pixels hold at least two pixels of a mask; tiles at the edge may be smaller."""
    height, width = mask.shape
    rows, columns = -(-height // TILE), -(-width // TILE)
    padded = np.zeros((rows * TILE, columns * TILE), np.uint8)
    padded[:height, :width] = mask
    return np.asarray(padded.reshape(rows, TILE, columns, TILE).sum(axis=(1, 3)) >= 2)


def tile_box(mask: Mask, height: int, width: int) -> Box:
    """The normalised box around the tiles set in a mask (at least one) of a thumbnail of this size."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return Box.clipped(
        columns[0] * TILE / width,
        rows[0] * TILE / height,
        (columns[-1] + 1) * TILE / width,
        (rows[-1] + 1) * TILE / height,
    )


def fill(mask: Mask, box: Box) -> None:
    """Sets the part of a pixel mask that a normalised box covers."""
    height, width = mask.shape
    mask[int(box.y0 * height) : int(np.ceil(box.y1 * height)), int(box.x0 * width) : int(np.ceil(box.x1 * width))] = (
        True
    )


class Pointer:
    """Where the mouse pointer was, from the event log: what it covers says nothing about the screen."""

    # The arrow hangs right and down from its hot spot; shares of the longer side, generous for big pointers.
    _LEFT, _RIGHT, _UP, _DOWN = 0.008, 0.018, 0.008, 0.026

    def __init__(self, events: Sequence[InputEvent]) -> None:
        located = [(event.time, event.x, event.y) for event in events if event.x is not None and event.y is not None]
        self._times = np.array([time for time, _, _ in located])
        self._places = np.array([(x, y) for _, x, y in located], dtype=np.float64).reshape(-1, 2)

    def cover(self, mask: Mask, before: float, now: float) -> None:
        """Sets in a pixel mask what the pointer covered around two times, if it moved in between."""
        places = np.concatenate([self._around(before), self._around(now)])
        if len(places) < 2 or np.ptp(places, axis=0).max() < 0.002:
            return
        height, width = mask.shape
        side = max(height, width)
        for x, y in np.unique(places.round(3), axis=0):
            fill(
                mask,
                Box.clipped(
                    x - self._LEFT * side / width,
                    y - self._UP * side / height,
                    x + self._RIGHT * side / width,
                    y + self._DOWN * side / height,
                ),
            )

    def _around(self, time: float) -> NDArray[np.float64]:
        # A recorder writes a frame a little after the events that it shows.
        last = int(np.searchsorted(self._times, time + 0.1, side="right"))
        first = int(np.searchsorted(self._times, time - 0.3, side="left"))
        return self._places[max(0, min(first, last - 1)) : last]


@dataclass(frozen=True)
class Mark:
    """A dot or a straight line drawn over a screen that is otherwise unchanged."""

    line: bool
    begin: Point
    end: Point | None
    """The other end of a line. The drawing itself does not tell which end came first."""
    saturated: bool
    area: Mask
    colour: NDArray[np.float64]

    def stands_in(self, rgb: Pixels) -> bool:
        """Whether a picture shows the mark's colour where the mark was: then it is part of the screen, no mark."""
        if rgb.shape[:2] != self.area.shape:
            return False
        off = np.abs(rgb[self.area].astype(np.float64) - self.colour).max(axis=1)
        return bool((off < 60).mean() > 0.5)


def find_mark(before: Pixels, now: Pixels, ignore: Mask) -> Mark | None:
    """The mark that `now` shows over `before` (RGB thumbnails); None when there is none or more than it changed."""
    difference = cv2.absdiff(before, now).max(axis=2)
    drawn = (difference > 40) & ~ignore
    if not drawn.any() or drawn.mean() > 0.03:
        return None
    height, width = drawn.shape
    side = max(height, width)
    closed = cv2.morphologyEx(drawn.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(closed, connectivity=8)
    found: list[tuple[int, Mark]] = []
    for label in range(1, count):
        size = int(stats[label, cv2.CC_STAT_AREA])
        if size < 6:
            continue
        mark = _shape(np.asarray(labels == label), difference, now, side)
        if mark is not None:
            found.append((size, mark))
    if not found:
        return None
    found.sort(key=lambda item: (item[1].saturated, item[0]), reverse=True)
    size, mark = found[0]
    # A mark comes alone: whatever else changed must be a trifle (a cursor that blinks).
    rest = int(closed.sum()) - size
    return mark if rest <= max(0.0015 * closed.size, 0.5 * size) else None


def _shape(area: Mask, difference: Pixels, rgb: Pixels, side: int) -> Mark | None:
    ys, xs = np.nonzero(area)
    height, width = area.shape
    tall, wide = int(np.ptp(ys)) + 1, int(np.ptp(xs)) + 1
    core = area & (difference >= np.quantile(difference[area], 0.4))
    colours = rgb[core].astype(np.float64)
    colour = np.median(colours, axis=0)
    spread = float(np.median(np.abs(colours - colour).max(axis=1)))
    saturated = bool(colour.max() - colour.min() > 0.5 * colour.max() and colour.max() > 100)
    # Thin lines and chroma subsampling blend a mark with what it covers.
    if spread > (48 if saturated else 25):
        return None

    def point(x: float, y: float) -> Point:
        return Point(x=min((x + 0.5) / width, 1.0), y=min((y + 0.5) / height, 1.0))

    largest = max(tall, wide)
    if 0.5 <= tall / wide <= 2 and 0.006 * side <= largest <= 0.1 * side and len(xs) >= 0.6 * tall * wide:
        return Mark(False, point(float(xs.mean()), float(ys.mean())), None, saturated, core, colour)
    centred = np.stack([xs - xs.mean(), ys - ys.mean()]).astype(np.float64)
    _, axes = np.linalg.eigh(centred @ centred.T)
    along, across = axes[:, 1] @ centred, axes[:, 0] @ centred
    length = float(np.ptp(along))
    thick = len(xs) / max(length, 1.0)
    if saturated and length >= 0.05 * side and length >= 5 * thick and float(np.abs(across).max()) <= 0.012 * side:
        # The ends lie inside the round caps, not at their rim.
        inset = min(float(np.ptp(across)) / 2, length / 8)
        axis = axes[:, 1] if axes[np.abs(axes[:, 1]).argmax(), 1] > 0 else -axes[:, 1]
        along = axis @ centred
        low, high = axis * (along.min() + inset), axis * (along.max() - inset)
        mean = np.array([xs.mean(), ys.mean()])
        (x0, y0), (x1, y1) = mean + low, mean + high
        return Mark(True, point(max(x0, 0), max(y0, 0)), point(max(x1, 0), max(y1, 0)), True, core, colour)
    return None


_LONG, _SHORT = 16, 8


def signature(gray: Pixels) -> str:
    """128 hex digits: mean luma (0 to f) of 8 x 16 cells, row by row; the longer side has 16.

    Black borders are cut away first, so that a screen keeps its signature when it is shown small inside another
    frame; so is the status bar of a portrait screen.
    """
    shown = _without_borders(gray)
    height, width = shown.shape
    if height > width:
        shown = shown[round(height * STATUS_BAR) :]
    columns, rows = (_SHORT, _LONG) if height > width else (_LONG, _SHORT)
    cells = cv2.resize(shown, (columns, rows), interpolation=cv2.INTER_AREA)
    return "".join(f"{int(value) // 16:x}" for value in cells.ravel())


def _without_borders(gray: Pixels) -> Pixels:
    lit = gray > 24
    rows, columns = np.flatnonzero(lit.mean(axis=1) > 0.02), np.flatnonzero(lit.mean(axis=0) > 0.02)
    if not len(rows) or not len(columns):
        return gray
    height, width = gray.shape
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    # A dark wallpaper is no border: bars must stand on both sides of a picture, and be broad.
    if min(left, width - right) > 0.04 * width or min(top, height - bottom) > 0.04 * height:
        return gray[top:bottom, left:right]
    return gray


def unlikeness(one: str, other: str) -> float:
    """How far two signatures differ: share of cells in [0, 1] more than one level apart; 1 for unequal lengths."""
    if len(one) != len(other) or not one:
        return 1.0
    apart = sum(abs(int(a, 16) - int(b, 16)) > 1 for a, b in zip(one, other, strict=True))
    return apart / len(one)

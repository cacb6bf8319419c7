"""Where two images differ: the region that an edit changed."""

from __future__ import annotations

from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from experts.base import Expert, Observer
from schemas.anchor import AnchorKind, FactualAnchor
from schemas.errors import unknown_name
from schemas.geometry import Box
from schemas.recipe import Scalar
from schemas.segment import Segment
from schemas.stream import TrackKind
from sources.base import Recording
from sources.frame import Frame, Pixels

_SIDE = 384
"""Longer side in pixels at which images are compared: a region that counts is larger than a pixel of this."""
_JITTER = 2
"""Pixels of that size by which an unchanged detail may have moved after resizing and saving again."""


class EditRegion(Expert):
    """One `edit.region` for each stretch of the frame that differs between the two images of a stream.

    The difference of a pixel is the least over shifts of up to 2 pixels, in Lab, so that a pair saved at slightly
    different sizes or with other JPEG settings does not differ everywhere. Streams of more or fewer images have none.

    Parameters:
        threshold: difference (0 to 255, largest Lab channel) from which a pixel counts as changed.
        min_area: share of the frame below which a region is taken for noise, a watermark for one.
    """

    name: ClassVar[str] = "edit_region"
    version: ClassVar[str] = "1"
    reads: ClassVar[frozenset[TrackKind]] = frozenset({TrackKind.IMAGES})
    rate: ClassVar[float | str | None] = None

    def __init__(self, **parameters: Scalar) -> None:
        super().__init__(**parameters)
        known = {"threshold": 12.0, "min_area": 0.002}
        for name in parameters:
            if name not in known:
                raise unknown_name("parameter", name, known, f"expert {self.name}")
        self.threshold = float(parameters.get("threshold", known["threshold"]))
        self.min_area = float(parameters.get("min_area", known["min_area"]))

    def start(self, recording: Recording, segment: Segment) -> Observer:
        return _Pair(self, segment)


class _Pair(Observer):
    def __init__(self, expert: EditRegion, segment: Segment) -> None:
        self._expert = expert
        self._segment = segment
        self._pictures: list[tuple[float, Pixels]] = []
        self._count = 0

    def observe(self, frame: Frame) -> None:
        self._count += 1
        if self._count <= 2:
            self._pictures.append((frame.time, frame.rgb(_SIDE).copy()))

    def finish(self) -> list[FactualAnchor]:
        if self._count != 2 or self._segment.count != 1:
            return []
        self.calls = 1
        (t0, before), (t1, after) = self._pictures
        return [
            self._expert.anchor(
                self._segment, AnchorKind.EDIT_REGION, t0, t1, box=box, value=round(share, 6), confidence=sure
            )
            for box, share, sure in changed_regions(before, after, self._expert.threshold, self._expert.min_area)
        ]


def changed_regions(
    before: Pixels, after: Pixels, threshold: float = 12.0, min_area: float = 0.002
) -> list[tuple[Box, float, float]]:
    """Regions that differ, as (box, share of the frame's pixels that changed there, confidence), largest first.

    Args:
        before, after: (height, width, 3) RGB; `after` is brought to the size of `before`.
    """
    height, width = before.shape[:2]
    if after.shape[:2] != (height, width):
        after = np.asarray(cv2.resize(after, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    difference = _difference(before, after)
    changed = (difference > threshold).astype(np.uint8)
    changed = np.asarray(cv2.morphologyEx(changed, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)), dtype=np.uint8)
    # Parts of one edit lie close together: what a gap of a twentieth of the frame parts is one region.
    gap = max(3, round(max(height, width) / 20)) | 1
    joined = cv2.morphologyEx(changed, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (gap, gap)))
    count, labels = cv2.connectedComponents(np.asarray(joined, dtype=np.uint8))
    regions = []
    for label in range(1, count):
        inside = (labels == label) & (changed > 0)
        pixels = int(inside.sum())
        if pixels < min_area * height * width:
            continue
        rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
        box = Box.clipped(
            float(columns[0]) / width,
            float(rows[0]) / height,
            float(columns[-1] + 1) / width,
            float(rows[-1] + 1) / height,
        )
        # Noise hardly passes the threshold; where a tenth of a region reaches three times as much, there is no doubt.
        sure = min(1.0, float(np.percentile(difference[inside], 90)) / (3 * threshold))
        regions.append((box, pixels / (height * width), sure))
    return sorted(regions, key=lambda region: (-region[1], region[0].x0, region[0].y0))


def _difference(before: Pixels, after: Pixels) -> NDArray[np.float32]:
    """(height, width): the largest Lab channel difference, least over small shifts, smoothed."""
    one, other = (
        cv2.GaussianBlur(cv2.cvtColor(picture, cv2.COLOR_RGB2LAB), (0, 0), 1.2).astype(np.float32)
        for picture in (before, after)
    )
    height, width = before.shape[:2]
    padded = cv2.copyMakeBorder(other, _JITTER, _JITTER, _JITTER, _JITTER, cv2.BORDER_REPLICATE)
    least = np.full((height, width), np.inf, dtype=np.float32)
    for dy in range(2 * _JITTER + 1):
        for dx in range(2 * _JITTER + 1):
            shifted = padded[dy : dy + height, dx : dx + width]
            np.minimum(least, np.abs(one - shifted).max(axis=2), out=least)
    return np.asarray(cv2.GaussianBlur(least, (0, 0), 1.0), dtype=np.float32)

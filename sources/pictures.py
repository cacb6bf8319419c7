"""Recordings of still pictures, each on screen from its time until the next: which of them are asked for."""

from __future__ import annotations

from abc import abstractmethod
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from typing import cast

import cv2

from sources.base import Recording
from sources.frame import Frame, Pixels
from sources.sizes import fit, shrink

_SLACK = 1e-6
"""Seconds by which a sum of times may be off."""


class PictureFrame:
    """A picture as a frame: see :class:`sources.frame.Frame`."""

    def __init__(self, pixels: Pixels, time: float, index: int) -> None:
        self.time = time
        self.index: int | None = index
        self.height, self.width = pixels.shape[:2]
        self._pixels = pixels
        self._cache: dict[tuple[str, int, int], Pixels] = {}

    def rgb(self, max_side: int | None = None) -> Pixels:
        size = fit(self.width, self.height, max_side)
        key = ("rgb", *size)
        if key not in self._cache:
            self._cache[key] = shrink(self._pixels, *size)
        return self._cache[key]

    def gray(self, max_side: int | None = None) -> Pixels:
        size = fit(self.width, self.height, max_side)
        key = ("gray", *size)
        if key not in self._cache:
            self._cache[key] = cast(Pixels, cv2.cvtColor(self.rgb(max_side), cv2.COLOR_RGB2GRAY))
        return self._cache[key]


class StillRecording(Recording):
    """Pictures of which picture i comes on screen at `begins[i]` seconds (ascending). Each is made when asked for."""

    def __init__(self, begins: Sequence[float]) -> None:
        self._begins = begins

    @abstractmethod
    def pixels(self, index: int) -> Pixels:
        """Picture `index` as (height, width, 3) uint8.

        Raises:
            schemas.errors.InputError: it cannot be read.
        """

    def frames(self, t0: float, t1: float, rate: float | None, include_end: bool = False) -> Iterator[Frame]:
        end = (bisect_right if include_end else bisect_left)(self._begins, t1)
        tick = 0
        for index in range(bisect_left(self._begins, t0), end):
            if rate is not None:
                time = self._begins[index]
                if time < t0 + tick / rate - _SLACK:
                    continue
                tick = int((time - t0) * rate + _SLACK) + 1
            yield self._frame(index)

    def frames_at(self, times: Sequence[float]) -> Iterator[Frame]:
        shown: PictureFrame | None = None
        for time in sorted(times if self._begins else ()):
            index = max(bisect_right(self._begins, time + _SLACK) - 1, 0)
            if shown is None or shown.index != index:
                shown = self._frame(index)
            yield shown

    def _frame(self, index: int) -> PictureFrame:
        return PictureFrame(self.pixels(index), self._begins[index], index)

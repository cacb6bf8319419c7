"""Films of pictures drawn in a test: luma only, at a steady rate or at times of their own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from sources.base import Recording


@dataclass
class Picture:
    """A frame whose pixels (height, width) are its luma."""

    time: float
    pixels: np.ndarray
    index: int | None = None

    @property
    def height(self) -> int:
        return self.pixels.shape[0]

    @property
    def width(self) -> int:
        return self.pixels.shape[1]

    def gray(self, max_side: int | None = None) -> np.ndarray:
        scale = min(1.0, (max_side or 10**6) / max(self.width, self.height))
        size = max(1, round(self.width * scale)), max(1, round(self.height * scale))
        return cv2.resize(self.pixels, size, interpolation=cv2.INTER_AREA)


class Film(Recording):
    def __init__(self, pictures: Sequence[np.ndarray], rate: float = 25.0, times: Sequence[float] | None = None):
        self.times = times or [number / rate for number in range(len(pictures))]
        self.pictures = pictures

    def close(self) -> None:
        pass

    def frames(self, t0, t1, rate, include_end=False) -> Iterator[Picture]:  # type: ignore[no-untyped-def]
        for time, pixels in zip(self.times, self.pictures, strict=True):
            if t0 <= time < t1 or (include_end and time == t1):
                yield Picture(time, pixels)

"""One decoded picture, converted only to what is asked of it, and only once."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


class Frame(Protocol):
    """A picture of a recording.

    `time` is its exact presentation time in seconds from the start of the stream, `index` its number in decode
    order when the reader knows it (None after a seek), `width` and `height` are pixels after rotation.
    """

    time: float
    index: int | None
    width: int
    height: int

    def rgb(self, max_side: int | None = None) -> Pixels:
        """(height, width, 3) uint8; no side longer than `max_side`. Cached per size: do not write into it."""
        ...

    def gray(self, max_side: int | None = None) -> Pixels:
        """(height, width) uint8 luma; no side longer than `max_side`. Cached per size: do not write into it."""
        ...

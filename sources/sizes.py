"""How large a picture becomes when it is asked for smaller, and how it gets there."""

from __future__ import annotations

from typing import cast

import cv2

from sources.frame import Pixels


def fit(width: int, height: int, max_side: int | None) -> tuple[int, int]:
    """The size with the same shape and no side longer than `max_side`; never larger than it was."""
    if max_side is None or max(width, height) <= max_side:
        return width, height
    scale = max_side / max(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def shrink(pixels: Pixels, width: int, height: int) -> Pixels:
    """Pixels at a smaller size. Halves by averaging while it can, then interpolates: on 1276x718 ten times faster than
    one averaging pass. When it becomes eight times smaller or more, every second row is enough to average over."""
    if pixels.shape[0] >= 8 * height and pixels.shape[1] >= 8 * width:
        pixels = pixels[::2]
    while pixels.shape[1] >= 2 * width and pixels.shape[0] >= 2 * height:
        half = (pixels.shape[1] // 2, pixels.shape[0] // 2)
        pixels = cast(Pixels, cv2.resize(pixels[: 2 * half[1], : 2 * half[0]], half, interpolation=cv2.INTER_AREA))
    if pixels.shape[1::-1] == (width, height):
        return pixels
    return cast(Pixels, cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR))

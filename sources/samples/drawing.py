"""What the samples are drawn with: text, and surfaces that flow can hold on to."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from sources.samples.media import Colour, font

WHITE: Colour = (255, 255, 255)
BLACK: Colour = (20, 20, 24)


def write(
    draw: ImageDraw.ImageDraw,
    place: tuple[float, float],
    text: str,
    size: int,
    colour: Colour = BLACK,
    anchor: str = "lm",
) -> None:
    """Text in Pillow's own font; `anchor` as Pillow has it, by default left and middle."""
    draw.text(place, text, fill=colour, font=font(size), anchor=anchor)


def textured(width: int, height: int, colour: Colour, grain: int, rng: np.random.Generator) -> Image.Image:
    """A surface of one colour with soft grain, as cloth or wood has it."""
    coarse = rng.integers(-grain, grain + 1, (height // 4 + 2, width // 4 + 2)).astype(np.int16)
    grains = np.kron(coarse, np.ones((4, 4), np.int16))[:height, :width, None]
    pixels = np.clip(np.array(colour, np.int16) + grains, 0, 255).astype(np.uint8)
    return Image.fromarray(pixels)

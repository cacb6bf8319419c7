"""Everyday films: scenes that differ at a glance, cuts and a dissolve at known times, and what is said in them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sources.samples.media import Spoken, write_json, write_srt, write_video, write_vtt

RATE = 12
SIZE = (320, 240)
SCENE = 5.0
DISSOLVE = 1.0

TEA: list[Spoken] = [
    (0.5, 3.5, "First, fill the kettle with cold water."),
    (5.5, 9.0, "Then put two spoons of tea into the pot."),
    (10.4, 13.6, "Pour the boiling water over the leaves."),
    (16.0, 19.2, "After four minutes the tea is ready."),
]
BIKE: list[Spoken] = [
    (0.4, 2.6, "The wheel comes off with one lever."),
    (3.4, 5.6, "Now the new tyre goes on."),
]


def make(folder: Path, seed: int) -> None:
    rng = np.random.default_rng([seed, 1])
    tea, bike = folder / "making_tea.mp4", folder / "tyre.webm"
    scenes = [_Scene(rng, hue) for hue in (10, 55, 100, 145)]
    write_video(tea, _film(scenes, dissolve_into=3), RATE)
    write_srt(tea.with_suffix(".srt"), TEA)
    write_json(
        folder / "making_tea.truth.json",
        {
            "cuts": [SCENE, 2 * SCENE],
            "dissolves": [[3 * SCENE - DISSOLVE / 2, 3 * SCENE + DISSOLVE / 2]],
            "cues": TEA,
            "duration": 4 * SCENE,
        },
    )
    write_video(bike, _film([_Scene(rng, hue) for hue in (30, 120)], seconds=3.0), RATE, quality=24)
    write_vtt(folder / "tyre.en.vtt", BIKE)
    write_json(folder / "tyre.truth.json", {"cuts": [3.0], "dissolves": [], "cues": BIKE, "duration": 6.0})


class _Scene:
    """A textured background of one hue with a disc that moves across it."""

    def __init__(self, rng: np.random.Generator, hue: int) -> None:
        coarse = rng.integers(0, 255, (6, 8), dtype=np.uint8)
        texture = cv2.resize(coarse, SIZE, interpolation=cv2.INTER_CUBIC)
        colour = np.stack([np.full_like(texture, hue), np.full_like(texture, 170), texture // 2 + 80], axis=-1)
        self._background = cv2.cvtColor(colour, cv2.COLOR_HSV2RGB)
        self._disc = tuple(int(value) for value in rng.integers(120, 255, 3))
        self._y = int(rng.integers(70, 170))

    def at(self, share: float) -> NDArray[np.uint8]:
        picture = self._background.copy()
        centre = (int(40 + share * (SIZE[0] - 80)), self._y)
        cv2.circle(picture, centre, 24, self._disc, -1, cv2.LINE_AA)
        return np.asarray(picture, np.uint8)


def _film(scenes: list[_Scene], seconds: float = SCENE, dissolve_into: int | None = None) -> Iterator[Image.Image]:
    for index in range(round(len(scenes) * seconds * RATE)):
        time = index / RATE
        number = min(int(time / seconds + 1e-9), len(scenes) - 1)
        picture = scenes[number].at(time / seconds - number)
        if dissolve_into is not None:
            share = (time - dissolve_into * seconds) / DISSOLVE + 0.5
            if 0 <= share <= 1:
                before, after = scenes[dissolve_into - 1].at(1.0), scenes[dissolve_into].at(0.0)
                picture = np.asarray(cv2.addWeighted(before, 1 - share, after, share, 0), np.uint8)
        yield Image.fromarray(picture)

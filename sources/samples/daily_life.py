"""Everyday films: scenes that differ at a glance, cuts and a dissolve at known times, and what is said in them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sources.samples import variety
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


@dataclass(frozen=True)
class _Story:
    """A film: how long each scene is in seconds, into which one the film dissolves, and what is said."""

    scenes: tuple[float, ...]
    hues: tuple[int, ...]
    cues: list[Spoken]
    dissolve_into: int | None = None

    @property
    def starts(self) -> list[float]:
        return [sum(self.scenes[:number]) for number in range(len(self.scenes))]

    @property
    def truth(self) -> dict[str, object]:
        soft = [] if self.dissolve_into is None else [self.starts[self.dissolve_into]]
        return {
            "cuts": [start for start in self.starts[1:] if start not in soft],
            "dissolves": [[start - DISSOLVE / 2, start + DISSOLVE / 2] for start in soft],
            "cues": self.cues,
            "duration": sum(self.scenes),
        }


def make(folder: Path, seed: int) -> None:
    rng = np.random.default_rng([seed, 1])
    if seed == 0:
        tea = _Story((SCENE,) * 4, (10, 55, 100, 145), TEA, dissolve_into=3)
        bike = _Story((3.0, 3.0), (30, 120), BIKE)
        names = "making_tea.mp4", "tyre.webm"
    else:
        told = np.random.default_rng([seed, 11])
        tea, bike = _told(told, int(told.integers(3, 6)), dissolve=True), _told(told, 2, dissolve=False)
        names = "long_film.mp4", "short_film.webm"
    long, short = (folder / name for name in names)
    write_video(long, _film(tea, rng), RATE)
    write_srt(long.with_suffix(".srt"), tea.cues)
    write_json(long.with_suffix(".truth.json"), tea.truth)
    write_video(short, _film(bike, rng), RATE, quality=24)
    write_vtt(short.with_suffix(".en.vtt"), bike.cues)
    write_json(short.with_suffix(".truth.json"), bike.truth)


def _told(rng: np.random.Generator, count: int, dissolve: bool) -> _Story:
    scenes = tuple(round(float(rng.uniform(3.5, 6.0)) * RATE) / RATE for _ in range(count))
    hues = tuple(int((rng.integers(180) + 180 * number / count) % 180) for number in range(count))
    cues = variety.spoken(rng, variety.steps(rng, count), scenes)
    return _Story(scenes, hues, cues, int(rng.integers(1, count)) if dissolve else None)


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


def _film(story: _Story, rng: np.random.Generator) -> Iterator[Image.Image]:
    scenes = [_Scene(rng, hue) for hue in story.hues]
    starts = story.starts
    for index in range(round(sum(story.scenes) * RATE)):
        time = index / RATE
        number = bisect_right(starts, time + 1e-9) - 1
        picture = scenes[number].at((time - starts[number]) / story.scenes[number])
        if (into := story.dissolve_into) is not None:
            share = (time - starts[into]) / DISSOLVE + 0.5
            if 0 <= share <= 1:
                before, after = scenes[into - 1].at(1.0), scenes[into].at(0.0)
                picture = np.asarray(cv2.addWeighted(before, 1 - share, after, share, 0), np.uint8)
        yield Image.fromarray(picture)

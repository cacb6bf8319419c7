"""A lesson at the board: lines that appear one by one, a pause before the step that matters, and what is said."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from sources.samples import variety
from sources.samples.media import Spoken, canvas, font, write_json, write_srt, write_video

RATE = 5
SECONDS = 24.0

LINES = [
    (1.0, "Solve 3x + 5 = 20"),
    (5.0, "Subtract 5 from both sides"),
    (8.0, "3x = 15"),
    (15.0, "Divide both sides by 3"),
    (18.0, "x = 5"),
]
"""When a line appears, in seconds, and the line."""

PAUSE = (8.2, 15.0)
"""Nothing happens on the board: time to think."""

SPOKEN: list[Spoken] = [
    (1.2, 4.4, "We want to know which number x is."),
    (5.2, 7.6, "Subtract five from both sides first."),
    (8.4, 11.8, "Stop for a moment. What would you do next?"),
    (15.2, 17.6, "Divide both sides by three."),
    (18.2, 21.0, "So x is five."),
]


@dataclass(frozen=True)
class _Lesson:
    lines: list[tuple[float, str]]
    pause: tuple[float, float]
    cues: list[Spoken]
    seconds: float = SECONDS


def make(folder: Path, seed: int) -> None:
    lesson = _Lesson(LINES, PAUSE, SPOKEN) if seed == 0 else _other(np.random.default_rng([seed, 2]))
    film = folder / "equation.mp4"
    write_video(film, _board(lesson, seed), RATE)
    write_srt(film.with_suffix(".srt"), lesson.cues)
    write_json(
        folder / "equation.truth.json",
        {
            "lines": [{"time": time, "text": text} for time, text in lesson.lines],
            "pause": lesson.pause,
            "cues": lesson.cues,
        },
    )


def _other(rng: np.random.Generator) -> _Lesson:
    """Another equation of the first degree, at another pace."""
    factor, x, term = int(rng.integers(2, 10)), int(rng.integers(2, 13)), int(rng.integers(1, 30))
    added = bool(rng.integers(2))
    sign, total = ("+", factor * x + term) if added else ("-", factor * x - term)
    does = f"Subtract {term} from both sides" if added else f"Add {term} to both sides"
    name = variety.one_of(rng, ("x", "y", "z", "n", "t"))
    texts = [
        f"Solve {factor}{name} {sign} {term} = {total}",
        does,
        f"{factor}{name} = {factor * x}",
        f"Divide both sides by {factor}",
        f"{name} = {x}",
    ]
    says = [
        f"We want to know which number {name} is.",
        f"{does} first.",
        variety.one_of(rng, ("Stop for a moment. What would you do next?", "Wait here and think about the next step.")),
        f"Divide both sides by {factor}.",
        f"So {name} is {x}.",
    ]
    pace = float(rng.uniform(0.85, 1.2))
    lines = [(round(time * pace * RATE) / RATE, text) for (time, _), text in zip(LINES, texts, strict=True)]
    cues = [(round(t0 * pace, 1), round(t1 * pace, 1), text) for (t0, t1, _), text in zip(SPOKEN, says, strict=True)]
    return _Lesson(lines, (round(PAUSE[0] * pace, 2), lines[3][0]), cues, round(SECONDS * pace * RATE) / RATE)


def _board(lesson: _Lesson, seed: int) -> Iterator[Image.Image]:
    ink = ((20, 30, 90), (20, 70, 30), (90, 20, 30))[seed % 3]
    for index in range(round(lesson.seconds * RATE)):
        picture, pen = canvas((640, 360), (252, 252, 246))
        for number, (time, text) in enumerate(lesson.lines):
            if index / RATE >= time:
                pen.text((40, 30 + 60 * number), text, ink, font(30))
        yield picture

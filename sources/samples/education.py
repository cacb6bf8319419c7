"""A lesson at the board: lines that appear one by one, a pause before the step that matters, and what is said."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from PIL import Image

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


def make(folder: Path, seed: int) -> None:
    lesson = folder / "equation.mp4"
    write_video(lesson, _board(seed), RATE)
    write_srt(lesson.with_suffix(".srt"), SPOKEN)
    write_json(
        folder / "equation.truth.json",
        {"lines": [{"time": time, "text": text} for time, text in LINES], "pause": PAUSE, "cues": SPOKEN},
    )


def _board(seed: int) -> Iterator[Image.Image]:
    ink = ((20, 30, 90), (20, 70, 30), (90, 20, 30))[seed % 3]
    for index in range(round(SECONDS * RATE)):
        picture, pen = canvas((640, 360), (252, 252, 246))
        for number, (time, text) in enumerate(LINES):
            if index / RATE >= time:
                pen.text((40, 30 + 60 * number), text, ink, font(30))
        yield picture

"""Image edits with the edited box known, and drawings stroke by stroke."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sources.samples.media import canvas, write_json

SIZE = (320, 240)
_SUN = (220, 20, 290, 90)
_DOOR = (96, 150, 128, 200)

DRAWINGS: list[list[list[tuple[int, int]]]] = [
    [[(0, 0), (40, 0), (40, 40), (0, 40), (0, 0)], [(0, 0), (20, -25), (40, 0)]],
    [[(0, 0), (0, 50)], [(-20, 20), (20, 20)], [(-20, 60), (0, 50), (20, 60)]],
    [[(0, 0), (20, 40), (40, 0)], [(10, 20), (30, 20)]],
]
"""Drawings as strokes as points."""


def make(folder: Path, seed: int) -> None:
    pairs = folder / "edit_pairs"
    pairs.mkdir(exist_ok=True)
    edits = [("Add a sun to the sky.", _SUN), ("Paint the door blue.", _DOOR)]
    truth = {}
    for number, (_, box) in enumerate(edits, 1):
        _house(seed, sun=False, door=(120, 60, 30)).save(pairs / f"{number}_source.png")
        edited = _house(seed, sun=number == 1, door=(120, 60, 30) if number == 1 else (40, 80, 190))
        edited.save(pairs / f"{number}_edited.png")
        truth[str(number)] = {"box": [side / SIZE[axis % 2] for axis, side in enumerate(box)]}
    write_json(
        pairs / "pairs.json",
        [
            {"id": n, "source": f"{n}_source.png", "edited": f"{n}_edited.png", "instruction": instruction}
            for n, (instruction, _) in enumerate(edits, 1)
        ],
    )
    write_json(pairs / "truth.json", truth)
    drawings = folder / "drawings.npz"
    held = np.empty(len(DRAWINGS), object)
    held[:] = [_stroke3(strokes) for strokes in DRAWINGS]
    np.savez(drawings, train=held)
    write_json(folder / "drawings.truth.json", {"strokes": [len(strokes) for strokes in DRAWINGS]})


def _house(seed: int, sun: bool, door: tuple[int, int, int]) -> Image.Image:
    picture, pen = canvas(SIZE, (170, 205, 235))
    rng = np.random.default_rng([seed, 5])
    pen.rectangle((0, 200, *SIZE), (90, 150, 80))
    for _ in range(40):
        x, y = int(rng.integers(0, SIZE[0])), int(rng.integers(205, SIZE[1]))
        pen.line((x, y, x + 2, y - 6), (60, 120, 50), 1)
    pen.rectangle((60, 110, 170, 200), (225, 205, 170))
    pen.polygon([(50, 110), (115, 60), (180, 110)], (150, 60, 50))
    pen.rectangle(_DOOR, door)
    if sun:
        pen.ellipse(_SUN, (250, 220, 60))
    return picture


def _stroke3(strokes: list[list[tuple[int, int]]]) -> NDArray[np.int16]:
    """Rows of (dx, dy, pen lifted after it), as Sketch-RNN has them."""
    rows, last = [], (0, 0)
    for stroke in strokes:
        for number, point in enumerate(stroke, 1):
            rows.append((point[0] - last[0], point[1] - last[1], int(number == len(stroke))))
            last = point
    return np.array(rows, np.int16)

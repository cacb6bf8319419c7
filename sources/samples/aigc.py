"""Image edits with the edited box known, and drawings stroke by stroke."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sources.samples import variety
from sources.samples.media import Colour, canvas, write_json
from sources.samples.variety import COLOURS

Box = tuple[int, int, int, int]

SIZE = (320, 240)
_SUN: Box = (220, 20, 290, 90)
_WALL: Box = (60, 110, 170, 200)
_DOOR: Box = (96, 150, 128, 200)
_SHAPES = {"balloon": "disc", "sun": "disc", "moon": "disc", "kite": "triangle", "sail": "triangle", "sign": "box"}

DRAWINGS: list[list[list[tuple[int, int]]]] = [
    [[(0, 0), (40, 0), (40, 40), (0, 40), (0, 0)], [(0, 0), (20, -25), (40, 0)]],
    [[(0, 0), (0, 50)], [(-20, 20), (20, 20)], [(-20, 60), (0, 50), (20, 60)]],
    [[(0, 0), (20, 40), (40, 0)], [(10, 20), (30, 20)]],
]
"""Drawings as strokes as points."""


@dataclass(frozen=True)
class _House:
    """What a picture shows. `sky`: colour, outline and place of what stands in the sky."""

    wall: Colour = (225, 205, 170)
    roof: Colour = (150, 60, 50)
    door: Colour = (120, 60, 30)
    sky: tuple[Colour, str, Box] | None = None


def make(folder: Path, seed: int) -> None:
    pairs = folder / "edit_pairs"
    pairs.mkdir(exist_ok=True)
    truth, listed = {}, []
    for number, (instruction, before, after, box) in enumerate(_edits(seed), 1):
        _drawn(seed, before).save(pairs / f"{number}_source.png")
        _drawn(seed, after).save(pairs / f"{number}_edited.png")
        truth[str(number)] = {"box": [side / SIZE[axis % 2] for axis, side in enumerate(box)]}
        listed.append(
            {
                "id": number,
                "source": f"{number}_source.png",
                "edited": f"{number}_edited.png",
                "instruction": instruction,
            }
        )
    write_json(pairs / "pairs.json", listed)
    write_json(pairs / "truth.json", truth)
    drawings = folder / "drawings.npz"
    held = np.empty(len(DRAWINGS), object)
    held[:] = [_stroke3(strokes) for strokes in _turned(seed)]
    np.savez(drawings, train=held)
    write_json(folder / "drawings.truth.json", {"strokes": [len(strokes) for strokes in DRAWINGS]})


def _edits(seed: int) -> list[tuple[str, _House, _House, Box]]:
    """The instruction of each edit, the picture before and after it, and where it changed."""
    house = _House()
    if seed == 0:
        return [
            ("Add a sun to the sky.", house, replace(house, sky=(COLOURS["yellow"], "disc", _SUN)), _SUN),
            ("Paint the door blue.", house, replace(house, door=COLOURS["blue"]), _DOOR),
        ]
    rng = np.random.default_rng([seed, 15])
    (_, wall), (_, roof), (_, door) = variety.some_of(rng, list(COLOURS.items()), 3)
    house = _House(wall, roof, door)
    colour, thing = variety.one_of(rng, list(COLOURS)), variety.one_of(rng, list(_SHAPES))
    size = int(rng.integers(40, 80))
    left, top = int(rng.integers(190, SIZE[0] - size - 6)), int(rng.integers(6, 100))
    place = left, top, left + size, top + size
    part, box = variety.one_of(rng, [("door", _DOOR), ("wall", _WALL)])
    paint = variety.one_of(rng, [name for name, tone in COLOURS.items() if tone not in (wall, roof, door)])
    article = "an" if colour[0] in "aeiou" else "a"
    return [
        (
            f"Add {article} {colour} {thing} to the sky.",
            house,
            replace(house, sky=(COLOURS[colour], _SHAPES[thing], place)),
            place,
        ),
        (
            f"Paint the {part} {paint}.",
            house,
            replace(house, door=COLOURS[paint]) if part == "door" else replace(house, wall=COLOURS[paint]),
            box,
        ),
    ]


def _drawn(seed: int, house: _House) -> Image.Image:
    picture, pen = canvas(SIZE, (170, 205, 235))
    rng = np.random.default_rng([seed, 5])
    pen.rectangle((0, 200, *SIZE), (90, 150, 80))
    for _ in range(40):
        x, y = int(rng.integers(0, SIZE[0])), int(rng.integers(205, SIZE[1]))
        pen.line((x, y, x + 2, y - 6), (60, 120, 50), 1)
    pen.rectangle(_WALL, house.wall)
    pen.polygon([(50, 110), (115, 60), (180, 110)], house.roof)
    pen.rectangle(_DOOR, house.door)
    if house.sky is not None:
        colour, shape, box = house.sky
        middle = (box[0] + box[2]) // 2
        if shape == "disc":
            pen.ellipse(box, colour)
        elif shape == "box":
            pen.rectangle(box, colour)
        else:
            pen.polygon([(middle, box[1]), (box[2], box[3]), (box[0], box[3])], colour)
    return picture


def _turned(seed: int) -> list[list[list[tuple[int, int]]]]:
    """The drawings, of other proportions for each seed."""
    if seed == 0:
        return DRAWINGS
    wide, high = np.random.default_rng([seed, 16]).uniform(0.6, 1.8, 2)
    return [[[(round(x * wide), round(y * high)) for x, y in stroke] for stroke in strokes] for strokes in DRAWINGS]


def _stroke3(strokes: list[list[tuple[int, int]]]) -> NDArray[np.int16]:
    """Rows of (dx, dy, pen lifted after it), as Sketch-RNN has them."""
    rows, last = [], (0, 0)
    for stroke in strokes:
        for number, point in enumerate(stroke, 1):
            rows.append((point[0] - last[0], point[1] - last[1], int(number == len(stroke))))
            last = point
    return np.array(rows, np.int16)

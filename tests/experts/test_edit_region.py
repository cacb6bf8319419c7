"""The region that an edit changed, and not what saving again changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from experts.edit_region import EditRegion, changed_regions
from schemas.errors import UsageError
from schemas.geometry import Box
from schemas.segment import Segment
from sources.base import Recording


def scene(width: int = 384, height: int = 288) -> np.ndarray:
    """A textured picture with edges, as a photograph has them."""
    rng = np.random.default_rng(3)
    coarse = rng.integers(30, 220, (height // 16, width // 16, 3), dtype=np.uint8)
    picture = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    for x in range(0, width, 32):
        cv2.line(picture, (x, 0), (width - x, height), (20, 20, 20), 1)
    return picture


def resaved(picture: np.ndarray, quality: int = 70) -> np.ndarray:
    return cv2.imdecode(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)


def edited(picture: np.ndarray, box: Box) -> np.ndarray:
    height, width = picture.shape[:2]
    changed = picture.copy()
    x0, y0, x1, y1 = round(box.x0 * width), round(box.y0 * height), round(box.x1 * width), round(box.y1 * height)
    cv2.rectangle(changed, (x0, y0), (x1 - 1, y1 - 1), (240, 240, 10), -1)
    return changed


BOX = Box(x0=0.25, y0=0.3, x1=0.45, y1=0.6)


def test_one_edit_is_one_box():
    ((box, share, sure),) = changed_regions(scene(), resaved(edited(scene(), BOX)))
    assert box.iou(BOX) > 0.85
    assert share == pytest.approx(BOX.area, rel=0.15)
    assert sure > 0.8


def test_two_edits_far_apart_are_two_boxes_largest_first():
    other = Box(x0=0.7, y0=0.7, x1=0.8, y1=0.8)
    found = changed_regions(scene(), resaved(edited(edited(scene(), other), BOX)))
    assert [box.iou(wanted) > 0.7 for (box, _, _), wanted in zip(found, [BOX, other], strict=True)] == [True, True]


@pytest.mark.parametrize("quality", [40, 70, 95])
def test_saving_again_changes_nothing(quality):
    assert changed_regions(scene(), resaved(scene(), quality)) == []


def test_a_picture_saved_at_another_size_or_a_pixel_aside_changes_nothing():
    smaller = cv2.resize(scene(), (381, 287), interpolation=cv2.INTER_AREA)
    assert changed_regions(scene(), resaved(smaller)) == []
    assert changed_regions(scene(), np.roll(scene(), 1, axis=1)) == []


def test_a_small_mark_in_the_corner_is_no_edit():
    marked = edited(scene(), Box(x0=0.95, y0=0.98, x1=1.0, y1=1.0))
    assert changed_regions(scene(), marked) == []


class Picture:
    index = None

    def __init__(self, time: float, pixels: np.ndarray) -> None:
        self.time, self._pixels = time, pixels
        self.height, self.width = pixels.shape[:2]

    def rgb(self, max_side: int | None = None) -> Any:
        scale = min(1.0, (max_side or 10**9) / max(self.width, self.height))
        return cv2.resize(self._pixels, (round(self.width * scale), round(self.height * scale)))


def seen(*pictures: np.ndarray):
    segment = Segment(stream="a" * 64, index=0, count=1, t0=0.0, t1=float(len(pictures) - 1))
    observer = EditRegion().start(Recording, segment)  # type: ignore[arg-type, type-abstract]
    for time, picture in enumerate(pictures):
        observer.observe(Picture(float(time), picture))  # type: ignore[arg-type]
    return observer.finish()


def test_a_pair_gives_anchors_from_the_first_picture_to_the_second():
    (found,) = seen(scene(), edited(scene(), BOX))
    assert (found.kind, found.t0, found.t1) == ("edit.region", 0.0, 1.0)
    assert found == seen(scene(), edited(scene(), BOX))[0]


def test_one_picture_or_many_are_no_pair():
    assert seen(scene()) == []
    assert seen(scene(), edited(scene(), BOX), scene()) == []


def test_unknown_parameters_are_refused():
    with pytest.raises(UsageError, match="Did you mean 'threshold'"):
        EditRegion(treshold=3)


# Boxes around what a person sees changed in each pair.
SEEN = {
    1: Box(x0=0.52, y0=0.31, x1=0.96, y1=0.83),
    2: Box(x0=0.24, y0=0.58, x1=0.45, y1=0.76),
    3: Box(x0=0.55, y0=0.0, x1=1.0, y1=0.57),
    4: Box(x0=0.64, y0=0.05, x1=0.86, y1=0.34),
    5: Box(x0=0.54, y0=0.42, x1=0.64, y1=0.65),
}


@pytest.mark.streams
@pytest.mark.parametrize("number", sorted(SEEN))
def test_real_edits_are_found_where_a_person_sees_them(streams: Path, number: int):
    pairs = {pair["id"]: pair for pair in json.loads((streams / "aigc/edit_pairs/pairs.json").read_text())}
    pictures = []
    for role in ("source", "edited"):
        picture = cv2.imread(str(streams / "aigc/edit_pairs" / pairs[number][role]))
        pictures.append(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
    (found,) = seen(*pictures)
    assert found.box is not None
    assert found.box.iou(SEEN[number]) > 0.6

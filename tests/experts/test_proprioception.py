"""Proprioception reads grips, stalls, turns and contact from signals of unknown units."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from experts.proprioception import Proprioception
from schemas.anchor import FactualAnchor
from schemas.errors import UsageError
from schemas.segment import cut_segments
from schemas.stream import Domain, Stream
from sources.base import Recording, Signals

RATE = 30.0


class Robot(Recording):
    def __init__(self, signals: Signals | None):
        self._signals = signals

    def close(self) -> None:
        pass

    def signals(self) -> Signals | None:
        return self._signals


def path(*legs: tuple[float, ...]) -> np.ndarray:
    """Smooth motion over (seconds, x, y, gripper) key points; the gripper is 0 open, 1 closed."""
    points = [np.array(legs[0][1:])]
    for (_, *start), (seconds, *end) in itertools.pairwise(legs):
        share = np.linspace(0, 1, max(2, round(seconds * RATE)) + 1)[1:, None]
        share = share * share * (3 - 2 * share)
        points.extend(np.array(start) + share * (np.array(end) - np.array(start)))
    return np.array(points)


REST, ABOVE, GRASP, AWAY = (0.0, 1.0), (0.6, 0.5), (0.6, 0.0), (1.2, 0.5)
START = [(0, *REST, 0), (0.4, *REST, 0)]
CLEAN = [*START, (1, *ABOVE, 0), (1, *GRASP, 0), (0.4, *GRASP, 1), (1, *ABOVE, 1), (1, *AWAY, 1), (1, 1.2, 0, 1)]
CLEAN = [*CLEAN, (0.4, 1.2, 0, 0), (1, *AWAY, 0)]
SLIP = [*START, (1, *ABOVE, 0), (1, *GRASP, 0), (0.4, *GRASP, 1), (0.5, 0.6, 0.2, 1), (0.3, 0.6, 0.2, 0)]
SLIP = [*SLIP, (0.5, *GRASP, 0), (0.4, *GRASP, 1), (1, *ABOVE, 1), (1, *AWAY, 1)]
LOOP = [*START, (1, *ABOVE, 0), (0.7, 0.6, 0.15, 0)] + [(0.6, *ABOVE, 0), (0.6, 0.6, 0.15, 0)] * 2
STALL = [*START, (1, *ABOVE, 0), (0.5, 0.6, 0.3, 0), (2, 0.6, 0.3, 0)]


def signals(legs, *, unit=1.0, noise=0.0, open_is_high=False, names=("x", "y", "gripper"), groups=None, seed=0):
    values = path(*legs)
    if open_is_high:
        values[:, 2] = 1 - values[:, 2]
    values = (values + np.random.default_rng(seed).normal(0, noise, values.shape)) * unit
    return Signals(np.arange(len(values)) / RATE, names, values, None, groups or {})


def read(given: Signals | None, segment_seconds: float = 300.0) -> list[FactualAnchor]:
    duration = float(given.times[-1]) if given is not None else 1.0
    stream = Stream(
        sha256="0" * 64, uri="x", name="x", domain=Domain.EMBODIED, format="x", parts=(), tracks=(), duration=duration
    )
    expert = Proprioception()
    found = []
    for segment in cut_segments(stream, segment_seconds):
        found += expert.start(Robot(given), segment).finish()
    return expert.join(stream, found)


def grips(anchors):
    return [a.kind.split("_")[-1] for a in anchors if "gripper" in a.kind]


@pytest.mark.parametrize("unit", [1.0, 0.001, 57.3])
@pytest.mark.parametrize("noise", [0.0, 0.004])
@pytest.mark.parametrize("open_is_high", [False, True])
def test_a_pick_and_place_closes_once_and_opens_once(unit, noise, open_is_high):
    anchors = read(signals(CLEAN, unit=unit, noise=noise, open_is_high=open_is_high))
    assert grips(anchors) == ["close", "open"]
    close = next(a for a in anchors if a.kind == "proprio.gripper_close")
    assert 2.3 <= close.t0 <= close.t1 <= 2.9
    assert close.value is None


@pytest.mark.parametrize("noise", [0.0, 0.004])
def test_a_slip_closes_again_near_where_it_closed(noise):
    anchors = read(signals(SLIP, noise=noise))
    assert grips(anchors) == ["close", "open", "close"]
    again = [a for a in anchors if a.kind == "proprio.gripper_close"][1]
    assert again.value < 0.1


def test_the_names_tell_which_way_a_gripper_closes():
    by_name = read(signals(CLEAN, open_is_high=True, names=("x", "y", "gripper_open")))
    assert grips(by_name) == ["close", "open"]
    assert min(a.confidence for a in by_name if "gripper" in a.kind) == 0.9


@pytest.mark.parametrize("noise", [0.0, 0.004])
def test_a_hesitation_turns_back_the_way_it_came(noise):
    anchors = read(signals(LOOP, noise=noise))
    turns = [a for a in anchors if a.kind == "proprio.reversal"]
    assert len(turns) == 4
    assert [a.t0 for a in turns] == pytest.approx([2.1, 2.7, 3.3, 3.9], abs=0.15)
    assert grips(anchors) == []


def test_a_pick_and_place_has_no_run_of_turns_between_its_grips():
    anchors = read(signals(CLEAN))
    turns = [a.t0 for a in anchors if a.kind == "proprio.reversal"]
    assert all(later - earlier > 1.0 for earlier, later in itertools.pairwise(turns))


@pytest.mark.parametrize("noise", [0.0, 0.002])
def test_a_stop_for_good_is_a_stall_to_the_end(noise):
    given = signals(STALL, noise=noise)
    (stall,) = [a for a in read(given) if a.kind == "proprio.stall"]
    assert stall.t0 == pytest.approx(1.85, abs=0.25)
    assert stall.t1 == pytest.approx(given.times[-1], abs=0.05)


def test_noise_alone_is_nothing():
    rng = np.random.default_rng(1)
    assert read(Signals(np.arange(200) / RATE, ("x", "gripper"), rng.normal(0, 0.01, (200, 2)), None)) == []


def test_contact_is_a_command_that_goes_on_where_the_hand_has_stopped():
    state = path(*CLEAN)
    action = state.copy()
    state[:, 2] = np.minimum(state[:, 2], 0.6)  # the object holds the fingers at 0.6
    given = Signals(np.arange(len(state)) / RATE, ("x", "y", "gripper"), state, action)
    (contact,) = [a for a in read(given) if a.kind == "proprio.contact"]
    assert 2.4 <= contact.t0 <= 3.0
    assert contact.t1 == pytest.approx(6.2, abs=0.4)
    free = Signals(given.times, given.names, action, action)
    assert not [a for a in read(free) if a.kind == "proprio.contact"]


def test_groups_that_came_with_the_signals_are_used():
    given = signals(CLEAN, names=("m0", "m1", "m2"), groups={"right_arm": (0, 2), "right_hand": (2, 3)})
    assert {a.content for a in read(given)} <= {"right_arm", "right_hand"}
    assert grips(read(given)) == ["close", "open"]


def test_a_hand_that_only_shakes_does_not_grip():
    values = path(*CLEAN)
    idle = 0.02 * np.sin(np.arange(len(values)))[:, None]
    given = Signals(
        np.arange(len(values)) / RATE, ("x", "y", "right_gripper", "left_gripper"), np.hstack([values, idle]), None
    )
    assert {a.content for a in read(given) if "gripper" in a.kind} == {"right_hand"}


def test_segments_change_nothing():
    given = signals(SLIP, noise=0.002)
    assert read(given, 1.0) == read(given)


def test_gaps_in_the_signals_do_no_harm():
    given = signals(SLIP)
    given.state[10:14, 1] = np.nan
    given.state[40, 2] = np.inf
    assert grips(read(given)) == ["close", "open", "close"]


@pytest.mark.parametrize("count", [0, 1, 3])
def test_hardly_any_rows_are_no_episode(count):
    assert read_rows(count) == []


def read_rows(count: int) -> list[FactualAnchor]:
    given = Signals(np.arange(count) / RATE, ("x",), np.zeros((count, 1)), None)
    stream = Stream(
        sha256="0" * 64, uri="x", name="x", domain=Domain.EMBODIED, format="x", parts=(), tracks=(), duration=1.0
    )
    return Proprioception().start(Robot(given), cut_segments(stream, 300.0)[0]).finish()


def test_no_signals_no_anchors():
    assert read(None) == []


def test_an_unknown_parameter_is_refused():
    with pytest.raises(UsageError):
        Proprioception(noise=1.0)

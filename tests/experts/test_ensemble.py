"""One decode pass for all experts: who sees which frame, and what segment borders change (nothing)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from experts.base import Expert, Observer
from experts.ensemble import Ensemble, Stopwatch, shared_rate
from schemas.anchor import AnchorKind, FactualAnchor
from schemas.errors import InputError
from schemas.recipe import Sampling
from schemas.segment import Segment
from schemas.stream import TrackKind
from sources.base import Recording
from sources.frame import Frame, Pixels

STREAM = "a" * 64


@dataclass
class Still:
    time: float
    index: int | None = None
    width: int = 4
    height: int = 4

    def rgb(self, max_side: int | None = None) -> Pixels:
        return np.zeros((4, 4, 3), np.uint8)

    def gray(self, max_side: int | None = None) -> Pixels:
        return np.zeros((4, 4), np.uint8)


class Film(Recording):
    """Frames every 40 ms for ten seconds; counts what is asked of it."""

    def __init__(self, breaks_at: float | None = None) -> None:
        self.passes: list[float | None] = []
        self.breaks_at = breaks_at

    def close(self) -> None:
        return None

    def frames(self, t0: float, t1: float, rate: float | None, include_end: bool = False) -> Iterator[Frame]:
        self.passes.append(rate)
        tick = -1
        for index in range(251):
            moment = index / 25
            if self.breaks_at is not None and moment >= self.breaks_at:
                raise InputError("film", "cut off", "Copy it again")
            if not (t0 <= moment < t1 or (include_end and moment == t1)):
                continue
            if rate is not None:
                due = int((moment - t0 + 1e-6) * rate)
                if due <= tick:
                    continue
                tick = due
            yield Still(moment, index)


def watcher(label: str, frame_rate: float | str | None, lead_seconds: float = 0.0) -> Expert:
    class Seen(Observer):
        def __init__(self, expert: Expert, segment: Segment) -> None:
            self.expert, self.segment, self.times = expert, segment, []

        def observe(self, frame: Frame) -> None:
            self.calls += 1
            self.times.append(frame.time)

        def finish(self) -> list[FactualAnchor]:
            return [self.expert.anchor(self.segment, AnchorKind.CUT, time, confidence=1.0) for time in self.times]

    class Watcher(Expert):
        name, version, reads = label, "1", frozenset({TrackKind.VIDEO})
        rate, lead = frame_rate, lead_seconds

        def start(self, recording: Recording, segment: Segment) -> Observer:
            return Seen(self, segment)

    return Watcher()


def whole() -> Segment:
    return Segment(stream=STREAM, index=0, count=1, t0=0.0, t1=10.0)


def times(anchors: Sequence[FactualAnchor]) -> list[float]:
    return [anchor.t0 for anchor in anchors]


@pytest.mark.parametrize(
    ("rates", "shared"), [([2.0, 10.0], 10.0), ([2.0, 3.0], None), ([None, 2.0], None), ([2.0], 2.0), ([0.5, 2.0], 2.0)]
)
def test_a_shared_rate_serves_every_expert_exactly(rates: list[float | None], shared: float | None) -> None:
    assert shared_rate(rates) == shared


def test_all_experts_share_one_decode_pass() -> None:
    film = Film()
    found = Ensemble([watcher("a", 2.0), watcher("b", None), watcher("c", "recipe")], Sampling(frame_rate=1.0))(
        film, whole(), Stopwatch()
    )
    assert film.passes == [None]
    assert len(found.anchors["b"]) == 251
    assert times(found.anchors["c"]) == [float(second) for second in range(11)]


def test_what_an_expert_sees_does_not_depend_on_its_company() -> None:
    alone = Ensemble([watcher("a", 3.0)], Sampling())(Film(), whole(), Stopwatch())
    together = Ensemble([watcher("a", 3.0), watcher("b", 2.0), watcher("c", None)], Sampling())(
        Film(), whole(), Stopwatch()
    )
    assert times(alone.anchors["a"]) == times(together.anchors["a"])


def test_segment_borders_change_no_sample_and_double_none() -> None:
    expert = watcher("a", 2.0, lead_seconds=1.0)
    joined: list[float] = []
    for index in range(5):
        segment = Segment(stream=STREAM, index=index, count=5, t0=index * 2.0, t1=(index + 1) * 2.0)
        joined += times(Ensemble([expert], Sampling())(Film(), segment, Stopwatch()).anchors["a"])
    assert joined == times(Ensemble([expert], Sampling())(Film(), whole(), Stopwatch()).anchors["a"])


def test_what_was_read_before_a_break_is_used_and_the_break_is_told() -> None:
    found = Ensemble([watcher("a", None)], Sampling())(Film(breaks_at=2.0), whole(), Stopwatch())
    assert len(found.anchors["a"]) == 50
    assert found.problem is not None
    assert found.problem.cause == "cut off"


def test_a_film_that_cannot_be_read_at_all_raises() -> None:
    with pytest.raises(InputError, match="cut off"):
        Ensemble([watcher("a", None)], Sampling())(Film(breaks_at=0.0), whole(), Stopwatch())


def test_costs_name_decode_and_each_expert() -> None:
    watch = Stopwatch()
    Ensemble([watcher("a", 2.0)], Sampling())(Film(), whole(), watch)
    costs = {cost.stage: cost for cost in watch.costs()}
    assert costs["expert:a"].calls == 21
    assert costs["decode"].wall > 0

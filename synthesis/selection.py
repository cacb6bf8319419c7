"""Evidence selection: which moments of a recording to show, within a budget of frames and tokens.

Greedy maximisation of a monotone submodular score (Nemhauser et al. 1978: at least 1 - 1/e of the best one): each
chosen moment covers the anchors it shows, weighted by their salience, and a stretch of time around it. What is covered
counts once, so redundancy pays nothing; time not yet covered pays a little, so that quiet stretches are seen too.
"""

from __future__ import annotations

import heapq
import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from schemas.anchor import AnchorKind, FactualAnchor

SALIENCE: dict[str, float] = {
    AnchorKind.CUT: 1.0,
    AnchorKind.DISSOLVE: 0.8,
    AnchorKind.SCREEN_CHANGE: 1.0,
    AnchorKind.SCREEN_RETURN: 0.8,
    AnchorKind.SCREEN: 0.5,
    AnchorKind.TAP: 1.0,
    AnchorKind.SWIPE: 1.0,
    AnchorKind.SCROLL: 0.6,
    AnchorKind.CLICK: 1.0,
    AnchorKind.DOUBLE_CLICK: 1.0,
    AnchorKind.RIGHT_CLICK: 1.0,
    AnchorKind.DRAG: 1.0,
    AnchorKind.TYPING: 0.8,
    AnchorKind.HOTKEY: 0.8,
    AnchorKind.SUBTITLE: 0.8,
    AnchorKind.SCREEN_TEXT: 0.3,
    AnchorKind.GRIPPER_CLOSE: 1.0,
    AnchorKind.GRIPPER_OPEN: 1.0,
    AnchorKind.CONTACT: 0.9,
    AnchorKind.JOINT_REVERSAL: 0.5,
    AnchorKind.JOINT_STALL: 0.6,
    AnchorKind.REVERSAL: 0.5,
    AnchorKind.STALL: 0.7,
    AnchorKind.OSCILLATION: 0.9,
    AnchorKind.EDIT_REGION: 1.0,
}
"""How much a moment of each kind is worth showing; the others are worth nothing by themselves."""
REACH = 0.3
"""Seconds around a moment in which a frame still shows it."""
COVERAGE = 0.5
"""What all of the time is worth beside one salient anchor per frame of the budget."""
_BINS_PER_FRAME = 4


Item = TypeVar("Item")


@dataclass(frozen=True)
class Budget:
    """What may be shown: at most `frames` pictures and `tokens` tokens, of which each picture takes `frame_tokens`."""

    frames: int
    tokens: int = 1 << 30
    frame_tokens: int = 256

    @property
    def most(self) -> int:
        return max(0, min(self.frames, self.tokens // max(1, self.frame_tokens)))


def select_moments(anchors: Iterable[FactualAnchor], t0: float, t1: float, budget: Budget) -> list[float]:
    """The moments of one stream to show, in seconds, ascending.

    Args:
        anchors: those of the stream, in any order.
        t0, t1: the stretch to choose from.
        budget: bounds on what is shown.

    Equal input gives equal moments.
    """
    if budget.most == 0 or t1 < t0:
        return []
    targets = _targets(anchors, t0, t1)
    scene = _Scene(targets, t0, t1, budget.most)
    times = sorted({time for target in targets for time in target.shown_at} | set(scene.centres))
    return sorted(_greedy(times, scene, budget.most))


def thinned(items: Sequence[Item], most: int) -> list[Item]:
    """At most so many items, evenly spread from the first on, in their order."""
    return list(items) if len(items) <= most else [items[place * len(items) // most] for place in range(most)]


def select_anchors_for_prompt(
    anchors: Sequence[FactualAnchor], tokens: int, cost: Callable[[FactualAnchor], int]
) -> list[FactualAnchor]:
    """The anchors to tell a model of within a number of tokens: the most salient ones, first of every kind by turns, so
    that a chatty expert does not silence the others; in their own order. `cost`: tokens that telling one takes."""
    by_kind: dict[str, list[int]] = {}
    for place, anchor in enumerate(anchors):
        by_kind.setdefault(anchor.kind, []).append(place)
    turns = [
        (-_salience(anchors[places[number]]) / (1 + number), place)
        for places in by_kind.values()
        for number, place in enumerate(places)
    ]
    chosen, spent = set(), 0
    for _, place in sorted(turns):
        takes = cost(anchors[place])
        if spent + takes <= tokens:
            spent += takes
            chosen.add(place)
    return [anchor for place, anchor in enumerate(anchors) if place in chosen]


@dataclass(frozen=True)
class _Target:
    """Something worth showing, and the stretch in which a frame shows it."""

    weight: float
    low: float
    high: float

    @property
    def shown_at(self) -> tuple[float, ...]:
        return (self.low, round((self.low + self.high) / 2, 6))


def _targets(anchors: Iterable[FactualAnchor], t0: float, t1: float) -> list[_Target]:
    found: dict[tuple[float, float, str], _Target] = {}
    for anchor in anchors:
        weight = _salience(anchor)
        low = max(anchor.t0, t0)
        # What lasts is new at its beginning: that is the moment to see.
        high = min(max(anchor.t0 + REACH, min(anchor.t1, anchor.t0 + 2 * REACH)), t1)
        if weight > 0 and low <= high and anchor.t0 <= t1:
            key = (low, high, anchor.kind)
            if key not in found or found[key].weight < weight:
                found[key] = _Target(weight, low, high)
    return sorted(found.values(), key=lambda target: (target.low, target.high))


def _salience(anchor: FactualAnchor) -> float:
    """The kind's worth, weighed by how sure its expert was."""
    return SALIENCE.get(anchor.kind, 0.0) * anchor.confidence


class _Scene:
    """What is still uncovered."""

    def __init__(self, targets: Sequence[_Target], t0: float, t1: float, frames: int) -> None:
        self._targets = targets
        self._lows = [target.low for target in targets]
        self._longest = max((target.high - target.low for target in targets), default=0.0)
        self._open = [True] * len(targets)
        bins = max(1, frames * _BINS_PER_FRAME)
        self._t0, self._width = t0, max((t1 - t0) / bins, 1e-9)
        self._bins = [True] * bins
        self._bin_worth = COVERAGE * max(1, frames) / bins
        step = (t1 - t0) / max(1, frames)
        self.centres = [round(t0 + step * (place + 0.5), 6) for place in range(frames)]

    def gain(self, time: float) -> float:
        worth = sum(self._targets[place].weight for place in self._showing(time))
        return worth + self._bin_worth * sum(self._bins[place] for place in self._near(time))

    def cover(self, time: float) -> None:
        for place in self._showing(time):
            self._open[place] = False
        for place in self._near(time):
            self._bins[place] = False

    def _showing(self, time: float) -> list[int]:
        first = bisect_left(self._lows, time - self._longest)
        last = bisect_right(self._lows, time)
        return [place for place in range(first, last) if self._open[place] and self._targets[place].high >= time]

    def _near(self, time: float) -> range:
        middle = min(len(self._bins) - 1, int((time - self._t0) / self._width))
        return range(max(0, middle - _BINS_PER_FRAME // 2), min(len(self._bins), middle + _BINS_PER_FRAME // 2 + 1))


def _greedy(times: Sequence[float], scene: _Scene, most: int) -> list[float]:
    """Lazy greedy: a gain never grows, so the best old gain that still stands is the best."""
    heap = [(-scene.gain(time), time) for time in times]
    heapq.heapify(heap)
    chosen: list[float] = []
    while heap and len(chosen) < most:
        _, time = heapq.heappop(heap)
        gain = scene.gain(time)
        if heap and gain < -heap[0][0] and not math.isclose(gain, -heap[0][0]):
            heapq.heappush(heap, (-gain, time))
            continue
        if gain <= 0:
            break
        scene.cover(time)
        chosen.append(time)
    return chosen

"""Proprioception: what a robot's own signals say of its grippers and joints.

Nothing is known of the units (radians, metres, normalised commands), so everything is measured against the signal
itself: positions against the range that a group of joints covers in the episode, speeds against that range per second,
and both against the signal's noise (1.4826 times the median absolute second difference, over the root of 6).

Which way a gripper closes is not in the signals either. Where the joints' names do not tell, the posture that the
hand keeps for longer once it has first moved is the closed one (what is gripped is carried, then let go); where both
last about as long, the hand was open at the start. The confidence says which of these decided.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from experts.base import Expert, Observer
from schemas.anchor import AnchorKind, FactualAnchor
from schemas.segment import Segment
from schemas.stream import TrackKind
from sources.base import Recording, Signals

_HAND = re.compile(r"hand|grip|finger|thumb|claw|jaw|pinky", re.IGNORECASE)
_OPENS = re.compile(r"open|width|aperture|stroke", re.IGNORECASE)
_CLOSES = re.compile(r"clos", re.IGNORECASE)
_SIDE = re.compile(r"left|right", re.IGNORECASE)

_PASSAGE = 0.45  # of a hand's range that it must go for a transition
_IDLE_HAND = 0.25  # of the range of the hand that moves most: one that moves less holds still
_NOISES = 8.0  # a range of less than so many noises is none
_LONGER = 1.3  # times as long a posture must be kept to be the closed one
_SMOOTH = 0.15  # seconds of the median that speeds are taken over
_STILL = 0.01  # of a group's range: what a stall may creep
_STALL = 0.5  # least seconds of a stall
_LEG = 0.2  # least leg of a reversal, of the group's range
_RETRACE = 0.3  # most that a way back may lie off the way there, of the leg
_PUSH = 0.1  # of a hand's range by which the command goes on where the hand has stopped

_Array = NDArray[np.float64]


@dataclass(frozen=True)
class _Group:
    """Joints that move together: name, columns, whether they are a hand."""

    name: str
    columns: tuple[int, ...]
    hand: bool


@dataclass(frozen=True)
class _Grip:
    t0: float
    t1: float
    closes: bool
    confidence: float
    away: float | None
    """For a closing: how far the arm is from where the hand closed before, in the arm's range."""


class Proprioception(Expert):
    """Finds `proprio.gripper_close`, `proprio.gripper_open`, `proprio.stall`, `proprio.reversal`, `proprio.contact`.

    The value of a `proprio.gripper_close` is how far the arm is from where the same hand closed before, in the arm's
    range (none for the first closing). A reversal is a turn after which the arm goes back the way it came.
    """

    name = "proprioception"
    version = "1"
    reads: ClassVar[frozenset[TrackKind]] = frozenset({TrackKind.SIGNALS})

    known = ()

    def start(self, recording: Recording, segment: Segment) -> Observer:
        return _SignalObserver(self, segment, recording.signals())


class _SignalObserver(Observer):
    """Reads the whole episode at once: it is small, and ranges and postures are those of the whole.

    Each segment keeps what begins in it, so a border cuts nothing and there is nothing to join.
    """

    def __init__(self, expert: Proprioception, segment: Segment, signals: Signals | None) -> None:
        self.expert, self.segment, self.signals = expert, segment, signals

    def finish(self) -> list[FactualAnchor]:
        if self.signals is None or len(self.signals.times) < 4:
            return []
        segment = self.segment
        anchors = [
            anchor
            for anchor in self._anchors(self.signals)
            if segment.t0 <= anchor.t0 and (anchor.t0 < segment.t1 or segment.last)
        ]
        return sorted(anchors, key=lambda a: (a.t0, a.t1, a.kind, a.content))

    def _anchors(self, signals: Signals) -> Iterator[FactualAnchor]:
        self.calls += 1
        expert, segment = self.expert, self.segment
        positions = signals.state if signals.state is not None else signals.action
        if positions is None or positions.shape[1] == 0:
            return
        positions = _filled(positions)
        times = signals.times
        groups = _groups(signals, positions.shape[1])
        hands = [group for group in groups if group.hand]
        arms = [group for group in groups if not group.hand]
        widest = max((_width(positions[:, group.columns]) for group in hands), default=0.0)
        for hand in hands:
            joints = positions[:, hand.columns]
            if widest <= 0 or _width(joints) < _IDLE_HAND * widest:
                continue
            arm = _arm_of(hand, arms, positions)
            names = [signals.names[column] for column in hand.columns if column < len(signals.names)]
            grips = _grips(times, joints, arm, [hand.name, *names])
            for grip in grips:
                kind = AnchorKind.GRIPPER_CLOSE if grip.closes else AnchorKind.GRIPPER_OPEN
                value = None if grip.away is None else round(grip.away, 4)
                yield expert.anchor(
                    segment, kind, grip.t0, grip.t1, content=hand.name, value=value, confidence=grip.confidence
                )
            if signals.state is not None and signals.action is not None:
                commands = _filled(signals.action)[:, hand.columns]
                for t0, t1, push in _contacts(times, joints, commands, grips):
                    sure = 0.4 + min(push, 1.0) / 3
                    yield expert.anchor(segment, AnchorKind.CONTACT, t0, t1, content=hand.name, confidence=sure)
        reach = max((_width(positions[:, group.columns]) for group in arms), default=0.0)
        for arm_group in arms:
            path = positions[:, arm_group.columns]
            # Legs and a waist that hold a pose only shake; what counts is the group that does the work.
            if reach <= 0 or _width(path) < _IDLE_HAND * reach:
                continue
            scaled = _scaled(path)
            if scaled is None:
                continue
            for t0, t1 in _stalls(times, scaled):
                sure = 0.6 + 0.3 * min((t1 - t0) / 2.0, 1.0)
                yield expert.anchor(segment, AnchorKind.JOINT_STALL, t0, t1, content=arm_group.name, confidence=sure)
            for moment, leg, off in _reversals(times, scaled):
                sure = 0.5 + 0.2 * min(leg, 1.0) + 0.25 * (1 - off / _RETRACE)
                yield expert.anchor(
                    segment,
                    AnchorKind.JOINT_REVERSAL,
                    moment,
                    content=arm_group.name,
                    value=round(leg, 4),
                    confidence=sure,
                )


# --- groups --------------------------------------------------------------------------------------------------------


def _groups(signals: Signals, width: int) -> list[_Group]:
    """The groups that came with the signals; else joints by the side and kind that their names tell."""
    if signals.groups:
        return [
            _Group(name, tuple(range(first, min(last, width))), bool(_HAND.search(name)))
            for name, (first, last) in sorted(signals.groups.items(), key=lambda item: item[1])
            if first < min(last, width)
        ]
    found: dict[tuple[str, bool], list[int]] = {}
    for column in range(width):
        name = signals.names[column] if column < len(signals.names) else ""
        side = _SIDE.search(name)
        key = (side.group(0).lower() if side else "", bool(_HAND.search(name)))
        found.setdefault(key, []).append(column)
    return [
        _Group("_".join(part for part in (side, "hand" if hand else "arm") if part), tuple(columns), hand)
        for (side, hand), columns in sorted(found.items())
    ]


def _arm_of(hand: _Group, arms: list[_Group], positions: _Array) -> _Array | None:
    """The joints that carry a hand: those of its side, or all that are no hand."""
    side = _SIDE.search(hand.name)
    mine = [arm for arm in arms if side is not None and side.group(0).lower() in arm.name.lower()] or arms
    columns = [column for arm in mine for column in arm.columns]
    return _scaled(positions[:, columns]) if columns else None


def _filled(values: _Array) -> _Array:
    """Values with each gap (NaN or infinite) holding the last value before it; a column of gaps is 0."""
    values = np.array(values, np.float64)
    for column in values.T:
        good = np.isfinite(column)
        if not good.all():
            places = np.maximum.accumulate(np.where(good, np.arange(len(column)), -1))
            first = column[good][0] if good.any() else 0.0
            column[:] = np.where(places >= 0, column[np.maximum(places, 0)], first)
    return values


def _noise(values: _Array) -> _Array:
    """Standard deviation of the noise of each column: robust, from second differences, which a motion has few of."""
    return np.asarray(1.4826 * np.median(np.abs(np.diff(values, 2, axis=0)), axis=0) / 6**0.5)


def _span(values: _Array) -> _Array:
    """Range of each column without its outliers, and without the noise that every range holds."""
    low, high = np.percentile(values, [1, 99], axis=0)
    return np.asarray(np.maximum(high - low - 4 * _noise(values), 0.0))


def _width(values: _Array) -> float:
    """Length of the diagonal of the box that a group covers."""
    return float(np.hypot.reduce(_span(values))) if values.shape[1] else 0.0


def _scaled(values: _Array) -> _Array | None:
    """A group's path in units of its own range; None when it is noise alone."""
    width = _width(values)
    noise = float(np.hypot.reduce(_noise(values))) if values.shape[1] else 0.0
    return values / width if width > _NOISES * noise and width > 0 else None


# --- hands ---------------------------------------------------------------------------------------------------------


def _grips(times: _Array, joints: _Array, arm: _Array | None, names: list[str]) -> list[_Grip]:
    """Transitions of a hand between its two postures, along the first principal component of its joints."""
    centred = joints - np.median(joints, axis=0)
    span = _span(joints)
    if float(np.hypot.reduce(span)) <= _NOISES * float(np.hypot.reduce(_noise(joints))):
        return []
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    axis = axes[0] if axes[0][np.argmax(np.abs(axes[0]))] > 0 else -axes[0]  # a sign that does not depend on rounding
    posture = _median(centred @ axis, times)
    low, high = np.percentile(posture, [2, 98])
    if high <= low:
        return []
    posture = (posture - low) / (high - low)
    steps = _transitions(times, posture)
    if not steps:
        return []
    closed_high, sure = _closed_is_high(times, steps, axis, names)
    grips: list[_Grip] = []
    before: _Array | None = None
    for first, last, rises in steps:
        closes = rises == closed_high
        away = None
        if closes and arm is not None:
            pose = arm[last]
            away = None if before is None else float(np.hypot.reduce(pose - before))
            before = pose
        grips.append(_Grip(float(times[first]), float(times[last]), closes, sure, away))
    return grips


def _transitions(times: _Array, posture: _Array) -> list[tuple[int, int, bool]]:
    """(first, last, rises) of each passage between two postures, from a fifth to four fifths of the way.

    A passage under way at the very start has no posture before it, and is left out.
    """
    extremes = _zigzag(posture, _PASSAGE)
    steps = []
    for begin, end in pairwise(extremes):
        way = posture[end] - posture[begin]
        if abs(way) < _PASSAGE:
            continue
        done = (posture[begin : end + 1] - posture[begin]) / way
        middle = int(np.argmax(done >= 0.5))
        first = begin + int(np.nonzero(done[: middle + 1] <= 0.2)[0][-1])
        last = begin + middle + int(np.argmax(done[middle:] >= 0.8))
        if times[first] - times[0] > _SMOOTH:
            steps.append((first, last, bool(way > 0)))
    return steps


def _closed_is_high(
    times: _Array, steps: list[tuple[int, int, bool]], axis: _Array, names: list[str]
) -> tuple[bool, float]:
    """Whether the upper end of the posture is the closed hand, and how sure that is."""
    upwards = axis[np.argmax(np.abs(axis))] > 0
    if any(_OPENS.search(name) for name in names):
        return not upwards, 0.9
    if any(_CLOSES.search(name) for name in names):
        return upwards, 0.9
    ends = [times[first] for first, _, _ in steps[1:]] + [times[-1]]
    kept = {True: 0.0, False: 0.0}
    for (_, last, rises), end in zip(steps, ends, strict=True):
        kept[rises] += float(end - times[last])
    if max(kept.values()) >= _LONGER * min(kept.values()):
        return kept[True] > kept[False], 0.8
    return steps[0][2], 0.65


def _contacts(
    times: _Array, joints: _Array, commands: _Array, grips: list[_Grip]
) -> Iterator[tuple[float, float, float]]:
    """After each closing: from when the hand stands still while its command goes on, to its opening or the end.

    A command may have another unit than the state; what counts is what the closing changed in their difference, in
    the direction in which the hand closed, in its range.
    """
    for place, grip in enumerate(grips):
        if not grip.closes:
            continue
        end = grips[place + 1].t0 if place + 1 < len(grips) else float(times[-1])
        hold = (times >= grip.t1) & (times <= end)
        open_ = (times < grip.t0) & (times >= grip.t0 - 1.0)
        if int(hold.sum()) < 3 or int(open_.sum()) < 3:
            continue
        way = np.median(joints[hold], axis=0) - np.median(joints[open_], axis=0)
        size = float(np.hypot.reduce(way))
        if size <= 0:
            continue
        lag = (commands - joints) @ (way / size) / size
        push = float(np.median(lag[hold]))
        if push - max(float(np.median(lag[open_])), 0.0) >= _PUSH:
            yield grip.t1, end, push


# --- arms ----------------------------------------------------------------------------------------------------------


def _median(values: _Array, times: _Array) -> _Array:
    """A running median over some tenths of a second: takes out single samples, keeps edges."""
    step = float(np.median(np.diff(times)))
    half = max(1, round(_SMOOTH / step / 2)) if step > 0 else 1
    padded = np.pad(values, half, mode="edge")
    return np.asarray(np.median(np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1), axis=-1))


def _stalls(times: _Array, path: _Array) -> list[tuple[float, float]]:
    """Stretches in which a group stays within a small share of its range, after it has moved."""
    count = len(times)
    noise = float(np.hypot.reduce(_noise(path)))
    least = max(_STILL, 4 * noise)
    moved = np.hypot.reduce(path - path[0], axis=1)
    started = np.nonzero(moved > 0.1)[0]
    first = int(started[0]) if len(started) else count
    runs: list[tuple[int, int]] = []
    while first < count - 1:
        last = first
        while last + 1 < count and float(np.hypot.reduce(path[last + 1] - path[first])) <= least:
            last += 1
        if times[last] - times[first] < _STALL:
            first += 1
            continue
        # One sample off, or a settling joint, does not end a stall.
        if runs and first - runs[-1][1] <= 2 and float(np.hypot.reduce(path[last] - path[runs[-1][0]])) <= 2 * least:
            runs[-1] = (runs[-1][0], last)
        else:
            runs.append((first, last))
        first = last + 1
    return [(float(times[first]), float(times[last])) for first, last in runs]


def _reversals(times: _Array, path: _Array) -> Iterator[tuple[float, float, float]]:
    """Turns after which a group goes back the way it came: (seconds, leg before, how far off the way back lies).

    Turning points of the first principal component with legs of a fifth of the range on both sides; half a leg on
    either side of the turn, the way back must pass near every point of the way there.
    """
    smooth = np.stack([_median(column, times) for column in path.T], axis=1)
    centred = smooth - smooth.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    along = centred @ axes[0]
    extremes = _zigzag(along, _LEG)
    for before, place, after in zip(extremes, extremes[1:], extremes[2:], strict=False):
        if min(abs(along[place] - along[before]), abs(along[after] - along[place])) < _LEG:
            continue  # the path begins here
        legs = [float(np.hypot.reduce(smooth[end] - smooth[place])) for end in (before, after)]
        # Only as far as both legs go: a hesitation turns back halfway of an approach.
        shared = 0.8 * min(legs)
        there = _way(smooth, place, before, shared)
        back = _way(smooth, place, after, shared)
        gaps = np.hypot.reduce(there[:, None, :] - back[None, :, :], axis=2)
        off = float(gaps.min(axis=1).max()) / max(shared, 1e-9)
        if off <= _RETRACE:
            yield float(times[place]), abs(float(along[place] - along[before])), off


def _way(path: _Array, place: int, end: int, distance: float) -> _Array:
    """At most 32 points of a path from a place towards an end, as far as a distance from the place."""
    step = 1 if end > place else -1
    points = path[place : end + step if end + step >= 0 else None : step]
    far = np.nonzero(np.hypot.reduce(points - path[place], axis=1) > distance)[0]
    points = points[: int(far[0]) + 1] if len(far) else points
    return np.asarray(points[np.unique(np.linspace(0, len(points) - 1, 32).astype(int))])


def _zigzag(values: _Array, least: float) -> list[int]:
    """Indices of alternating extremes that are at least `least` apart, from the first value to the last extreme."""
    extremes: list[int] = []
    low = high = way = 0
    for place in range(len(values)):
        high = place if values[place] > values[high] else high
        low = place if values[place] < values[low] else low
        if way >= 0 and values[high] - values[place] >= least:
            extremes.append(high)
            way, low, high = -1, place, place
        elif way <= 0 and values[place] - values[low] >= least:
            extremes.append(low)
            way, low, high = 1, place, place
    if not extremes:
        return []
    extremes.append(high if way > 0 else low)
    return extremes if extremes[0] == 0 else [0, *extremes]

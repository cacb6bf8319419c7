"""Screens: which one stands when, what changes it, what returns, what scrolls, and marks of taps and swipes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np

from experts.base import Expert, Observer
from experts.pixels import (
    SIDE,
    STATUS_BAR,
    Mark,
    Mask,
    Pointer,
    changed_pixels,
    find_mark,
    signature,
    tile_box,
    tiles,
    unlikeness,
)
from schemas.anchor import AnchorKind, FactualAnchor
from schemas.geometry import Box
from schemas.segment import Segment
from schemas.stream import Stream, TrackKind
from sources.base import Recording
from sources.frame import Frame, Pixels

# Fewer changed tiles than this are a blinking cursor.
_FEWEST_TILES = 3
# How many earlier screens are remembered for returns: a thumbnail each.
_MEMORY = 64
# A returned screen may differ in this share of its tiles (a badge, a rotating hint).
_RETURN_SHARE = 0.004
# A mark that stays longer than this many samples belongs to the screen.
_MARK_SAMPLES = 4


@dataclass
class _State:
    t0: float
    t1: float
    number: int
    gray: Pixels
    rgb: Pixels


@dataclass(frozen=True)
class _Pending:
    """A mark that is believed once it has gone."""

    before: float
    """When the screen was last seen without it."""
    time: float
    mark: Mark
    gray: Pixels
    rgb: Pixels


class Screen(Expert):
    """Follows the screen. A still screen's span ends at the last frame that was seen to show it.

    `screen.tap` and `screen.swipe` come from marks that a recorder draws over an otherwise unchanged frame and that
    are gone afterwards. The ends of a swipe mark that does not tell its direction come in reading order, with a lower
    confidence. The status bar clock is read by the expert `ocr`.
    """

    name = "screen"
    version = "1"
    reads = frozenset({TrackKind.VIDEO, TrackKind.IMAGES})
    rate = "recipe"
    lead = 1.0

    known = ()

    def start(self, recording: Recording, segment: Segment) -> Observer:
        return _ScreenObserver(self, segment, Pointer(recording.events()))

    @classmethod
    def join(cls, stream: Stream, anchors: Sequence[FactualAnchor]) -> list[FactualAnchor]:
        """Joins a still screen that a segment border cut, and numbers distinct screens through the stream."""
        return _joined(anchors)


class _ScreenObserver(Observer):
    def __init__(self, expert: Screen, segment: Segment, pointer: Pointer) -> None:
        self.expert = expert
        self.segment = segment
        self.pointer = pointer
        self.state: _State | None = None
        self.pending: list[_Pending] = []
        self.known: list[tuple[int, float, Pixels]] = []
        self.next_number = 0
        self.anchors: list[FactualAnchor] = []
        self.states: list[tuple[float, float, int, str]] = []

    def observe(self, frame: Frame) -> None:
        gray, rgb = frame.gray(SIDE), frame.rgb(SIDE)
        state = self.state
        if state is None or state.gray.shape != gray.shape:
            self._leave()
            self._enter(frame.time, gray, rgb)
            return
        pointed = np.zeros(gray.shape, np.bool_)
        self.pointer.cover(pointed, state.t0, frame.time)
        everywhere = changed_pixels(state.gray, gray) & ~pointed
        if tiles(everywhere).any():
            # Taps at the top of the screen leave their mark in the status bar.
            mark = find_mark(state.rgb, rgb, pointed)
            if mark is not None and len(self.pending) < _MARK_SAMPLES:
                before = self.pending[-1].before if self.pending else state.t1
                self.pending.append(_Pending(before, frame.time, mark, gray, rgb))
                state.t1 = frame.time
                return
        self._settle(rgb)
        changed = tiles(self._differs(gray, frame.time))
        if changed.sum() < _FEWEST_TILES:
            self._current.t1 = frame.time
        else:
            self._change(frame.time, gray, rgb, changed)

    @property
    def _current(self) -> _State:
        assert self.state is not None
        return self.state

    def _differs(self, gray: Pixels, time: float) -> Mask:
        """Where a picture differs from the current screen, status bar and pointer aside."""
        state = self._current
        ignored = _status_bar(gray.shape)
        self.pointer.cover(ignored, state.t0, time)
        return changed_pixels(state.gray, gray) & ~ignored

    def finish(self) -> list[FactualAnchor]:
        self._settle(None)
        self._leave()
        begin = self.segment.t0
        numbers: dict[int, int] = {}
        for t0, t1, number, content in self.states:
            if t1 < begin - 1e-6:
                continue
            number = numbers.setdefault(number, len(numbers))
            # What stood before the segment began and still stands is the segment's own from its first moment on.
            self.anchors.append(
                self.expert.anchor(
                    self.segment,
                    AnchorKind.SCREEN,
                    max(t0, begin),
                    max(t1, begin),
                    content=content,
                    value=float(number),
                    confidence=0.95,
                )
            )
        # A return to a screen that only the lead has shown is told by the join.
        returns = [
            anchor
            if anchor.kind != AnchorKind.SCREEN_RETURN
            else anchor.model_copy(update={"value": float(numbers.get(int(anchor.value or 0), -1))})
            for anchor in self.anchors
        ]
        kept = [anchor for anchor in returns if anchor.kind != AnchorKind.SCREEN_RETURN or (anchor.value or 0) >= 0]
        return sorted(kept, key=lambda anchor: (anchor.t0, anchor.t1, anchor.kind))

    def _enter(self, time: float, gray: Pixels, rgb: Pixels, leaving: int | None = None) -> bool:
        """Begins a state; returns whether this screen was there before."""
        number = None
        for place, (candidate, then, earlier) in enumerate(self.known):
            if earlier.shape != gray.shape or candidate == leaving:
                continue
            ignored = _status_bar(gray.shape)
            self.pointer.cover(ignored, then, time)
            off = tiles(changed_pixels(earlier, gray) & ~ignored)
            if off.sum() < max(_FEWEST_TILES, _RETURN_SHARE * off.size):
                number = candidate
                self.known.append(self.known.pop(place))
                break
        back = number is not None
        if number is None:
            number = self.next_number
            self.next_number += 1
            self.known.append((number, time, gray))
            del self.known[:-_MEMORY]
        self.state = _State(time, time, number, gray, rgb)
        return back

    def _leave(self) -> None:
        if self.state is not None:
            self.states.append((self.state.t0, self.state.t1, self.state.number, signature(self.state.gray)))
            self.state = None

    def _change(self, time: float, gray: Pixels, rgb: Pixels, changed: Mask) -> None:
        before = self._current
        height, width = gray.shape
        box = tile_box(changed, height, width)
        share = float(changed.mean())
        self._emit(AnchorKind.SCREEN_CHANGE, time, value=round(share, 4), box=box, confidence=0.95)
        moved = _scrolled(before.gray, gray, box)
        if moved is not None:
            direction, distance, confidence = moved
            self._emit(
                AnchorKind.SCROLL,
                before.t1,
                time,
                content=direction,
                value=round(distance, 4),
                box=box,
                confidence=confidence,
            )
        self._leave()
        if self._enter(time, gray, rgb, leaving=before.number):
            self._emit(AnchorKind.SCREEN_RETURN, time, value=float(self._current.number), confidence=0.9)

    def _settle(self, now: Pixels | None) -> None:
        """Decides on pending marks: gone by now they were marks, still there they are a change of the screen."""
        pending, self.pending = self.pending, []
        if not pending:
            return
        if now is not None and pending[-1].mark.stands_in(now):
            first = pending[0]
            state = self._current
            seen = state.t1
            changed = tiles(changed_pixels(state.gray, first.gray))
            state.t1 = first.before
            if changed.any():
                self._change(first.time, first.gray, first.rgb, changed)
                self._current.t1 = max(seen, first.time)
            return
        lines = [p for p in pending if p.mark.line]
        dots = [p for p in pending if not p.mark.line]
        for p in lines:
            self._emit_line(p)
        if lines or not dots:
            return
        ways = [(p.mark.begin.x, p.mark.begin.y) for p in dots]
        confidence = 0.95 if dots[0].mark.saturated else 0.7
        # A finger's dot that travels is a swipe; two dots apart are two taps.
        if len(dots) >= 3 and float(np.ptp(ways, axis=0).max()) > 0.05:
            begin, end = dots[0], dots[-1]
            self._emit(
                AnchorKind.SWIPE,
                begin.time,
                end.time,
                point=begin.mark.begin,
                end_point=end.mark.begin,
                confidence=confidence,
            )
            return
        runs: list[list[_Pending]] = []
        for p in dots:
            if runs and _near(runs[-1][-1].mark, p.mark):
                runs[-1].append(p)
            else:
                runs.append([p])
        for run in runs:
            self._emit(AnchorKind.TAP, run[0].time, run[-1].time, point=run[0].mark.begin, confidence=confidence)

    def _emit_line(self, pending: _Pending) -> None:
        self._emit(
            AnchorKind.SWIPE,
            pending.time,
            point=pending.mark.begin,
            end_point=pending.mark.end,
            confidence=0.8,
        )

    def _emit(self, kind: AnchorKind, t0: float, t1: float | None = None, **measured: object) -> None:
        self.anchors.append(self.expert.anchor(self.segment, kind, t0, t1, **measured))  # type: ignore[arg-type]


def _near(one: Mark, other: Mark) -> bool:
    return max(abs(one.begin.x - other.begin.x), abs(one.begin.y - other.begin.y)) < 0.02


def _status_bar(shape: tuple[int, ...]) -> Mask:
    mask = np.zeros(shape, np.bool_)
    if shape[0] > shape[1]:
        mask[: round(shape[0] * STATUS_BAR)] = True
    return mask


def _scrolled(before: Pixels, now: Pixels, box: Box) -> tuple[str, float, float] | None:
    """Direction in which content moved inside `box`, distance in frame heights, confidence; None if it did not move."""
    height, width = before.shape
    rows = slice(round(box.y0 * height), round(box.y1 * height))
    columns = slice(round(box.x0 * width), round(box.x1 * width))
    old, new = before[rows, columns], now[rows, columns]
    if old.size < 0.03 * before.size:
        return None
    vertical = _shift(_profile(old), _profile(new))
    horizontal = _shift(_profile(old.T), _profile(new.T))
    if vertical is not None and (horizontal is None or vertical[1] >= horizontal[1]):
        direction = "up" if vertical[0] > 0 else "down"
        return direction, vertical[0] / height, vertical[1]
    if horizontal is not None:
        return ("left" if horizontal[0] > 0 else "right"), horizontal[0] / height, horizontal[1]
    return None


def _profile(pixels: Pixels) -> np.ndarray:
    """Each row as 24 mean values across."""
    edges = np.linspace(0, pixels.shape[1], 25).astype(int)
    soft = np.asarray(cv2.blur(np.ascontiguousarray(pixels), (1, 3)))
    return np.stack([soft[:, a : max(b, a + 1)].mean(axis=1) for a, b in pairwise(edges)], axis=1)


def _shift(old: np.ndarray, new: np.ndarray) -> tuple[int, float] | None:
    """The number of rows by which content moved towards row 0, and how sure that is."""
    count = len(old)
    if count < 40:
        return None
    # Only rows with a face of their own, and only those that did not stay where they were, can tell a shift.
    near = np.abs(new - np.roll(new, 3, axis=0)).max(axis=1)
    telling = (np.maximum(near, np.ptp(new, axis=1)) > 12) & (np.abs(new - old).max(axis=1) > 10)
    if telling.sum() < max(12, 0.08 * count):
        return None
    scores: dict[int, tuple[float, int]] = {}
    for step in range(-int(0.8 * count), int(0.8 * count) + 1):
        if abs(step) < 3:
            continue
        first, last = max(0, -step), min(count, count - step)
        here = telling[first:last]
        possible = int(here.sum())
        if possible < max(12, 0.25 * telling.sum()):
            continue
        off = np.abs(new[first:last][here] - old[first + step : last + step][here]).max(axis=1)
        scores[step] = (float((off < 15).mean()), possible)
    if not scores:
        return None
    best = max(scores, key=lambda step: (round(scores[step][0], 2), scores[step][1]))
    share = scores[best][0]
    others = [score for step, (score, _) in scores.items() if abs(step - best) > 8]
    # Part of what moved is new, floats above the page, or falls between two rows of the thumbnail.
    if share < 0.45 or (others and max(others) > 0.7 * share):
        return None
    return best, min(0.95, share)


def _joined(anchors: Sequence[FactualAnchor]) -> list[FactualAnchor]:
    # Within a segment the observer numbers screens from 0; a screen 0 that is no return begins the next segment.
    returns = {anchor.t0 for anchor in anchors if anchor.kind == AnchorKind.SCREEN_RETURN}
    changes = {anchor.t0 for anchor in anchors if anchor.kind == AnchorKind.SCREEN_CHANGE}
    others = [a for a in anchors if a.kind not in (AnchorKind.SCREEN, AnchorKind.SCREEN_RETURN)]
    backs = {anchor.t0: anchor for anchor in anchors if anchor.kind == AnchorKind.SCREEN_RETURN}
    signatures: list[str] = []
    local: dict[int, int] = {}
    states: list[FactualAnchor] = []
    kept: list[FactualAnchor] = []
    first_segment = True
    for anchor in sorted((a for a in anchors if a.kind == AnchorKind.SCREEN), key=lambda a: (a.t0, a.t1)):
        number = int(anchor.value or 0)
        if number == 0 and states and anchor.t0 not in returns:
            local, first_segment = {}, False
        if number not in local:
            known = None
            if not first_segment:
                # What a border of segments parts has only its signature in common.
                alike = [n for n, other in enumerate(signatures) if unlikeness(anchor.content, other) < 0.004]
                known = max(alike, default=None)
            if known is None:
                known = len(signatures)
                signatures.append(anchor.content)
            elif (
                not local and anchor.t0 not in changes and states[-1].value == known and anchor.t0 - states[-1].t1 < 2.0
            ):
                local[number] = known
                states[-1] = states[-1].model_copy(update={"t1": max(states[-1].t1, anchor.t1)})
                continue
            local[number] = known
        states.append(anchor.model_copy(update={"value": float(local[number])}))
        if anchor.t0 in backs:
            kept.append(backs[anchor.t0].model_copy(update={"value": float(local[number])}))
    return sorted([*others, *states, *kept], key=lambda anchor: (anchor.t0, anchor.t1, anchor.kind))

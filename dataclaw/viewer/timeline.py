"""Anchors of a stream as lanes on a time axis, ready to be drawn; bounded, however many anchors there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from dataclaw.text import shortened
from schemas.anchor import FactualAnchor
from schemas.stream import Stream

MAX_DRAWN = 240
"""Anchors of one kind drawn one by one; more are drawn as stretches of equal width that hold some."""
_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200)
_GROUPS = ("video", "text", "screen", "input", "ui", "motion", "proprio", "object", "hand", "audio", "drawing", "edit")


@dataclass(frozen=True)
class Bar:
    """Something in a lane. `x`, `width` are percentages of the axis; a width of 0 is an instant."""

    x: float
    width: float
    title: str
    confidence: float


@dataclass(frozen=True)
class Lane:
    """All anchors of one kind. `group` names its colour."""

    kind: str
    group: str
    count: int
    bars: tuple[Bar, ...]


@dataclass(frozen=True)
class Tick:
    x: float
    label: str


@dataclass(frozen=True)
class Timeline:
    """A stream's anchors. `evidence` are the places (percentages) of its evidence frames."""

    stream: Stream
    lanes: tuple[Lane, ...]
    ticks: tuple[Tick, ...]
    evidence: tuple[float, ...]


def timeline(stream: Stream, anchors: Sequence[FactualAnchor], evidence: Sequence[float]) -> Timeline:
    """Lays out the anchors of one stream. `evidence` are the times of its evidence frames in seconds."""
    end = max([stream.duration, *(anchor.t1 for anchor in anchors), *evidence, 1e-3])
    by_kind = sorted(anchors, key=lambda anchor: (_rank(anchor.kind), anchor.t0, anchor.t1))
    lanes = tuple(_lane(kind, list(group), end) for kind, group in groupby(by_kind, key=lambda anchor: anchor.kind))
    return Timeline(stream, lanes, tuple(_ticks(end)), tuple(_percent(time, end) for time in evidence))


def clock(seconds: float, digits: int = 1) -> str:
    """A moment for people: `7.3 s` in the first minute, `2:07.3` after it, `1:02:07.3` after the first hour."""
    if seconds < 60:
        return f"{seconds:.{digits}f} s"
    minutes, rest = divmod(round(seconds, digits), 60)
    hours, minutes = divmod(int(minutes), 60)
    tail = f"{rest:0{3 + digits if digits else 2}.{digits}f}"
    return f"{hours}:{minutes:02d}:{tail}" if hours else f"{minutes}:{tail}"


def span(t0: float, t1: float) -> str:
    """A stretch, or a moment when both ends are the same."""
    return clock(t0) if clock(t0) == clock(t1) else f"{clock(t0).removesuffix(' s')} – {clock(t1)}"


def _rank(kind: str) -> tuple[int, str]:
    group = kind.partition(".")[0]
    return (_GROUPS.index(group) if group in _GROUPS else len(_GROUPS), kind)


def _percent(time: float, end: float) -> float:
    return round(100.0 * min(max(time / end, 0.0), 1.0), 3)


def _lane(kind: str, anchors: list[FactualAnchor], end: float) -> Lane:
    group = kind.partition(".")[0]
    bars = [_bar(anchor, end) for anchor in anchors] if len(anchors) <= MAX_DRAWN else _stretches(anchors, end)
    return Lane(kind, group if group in _GROUPS else "other", len(anchors), tuple(bars))


def _bar(anchor: FactualAnchor, end: float) -> Bar:
    words = [f"{anchor.kind}, {span(anchor.t0, anchor.t1)}"]
    if anchor.content:
        words.append(shortened(anchor.content, 300))
    if anchor.value is not None:
        words.append(f"value {anchor.value:.4g}")
    words.append(f"{anchor.expert} {anchor.version}, confidence {anchor.confidence:.2f}")
    x = _percent(anchor.t0, end)
    return Bar(x, round(_percent(anchor.t1, end) - x, 3), "\n".join(words), anchor.confidence)


def _stretches(anchors: list[FactualAnchor], end: float) -> list[Bar]:
    """Neighbouring cells of the axis that anchors touch, joined."""
    cells: list[int] = [0] * MAX_DRAWN
    for anchor in anchors:
        first = min(int(anchor.t0 / end * MAX_DRAWN), MAX_DRAWN - 1)
        last = min(int(anchor.t1 / end * MAX_DRAWN), MAX_DRAWN - 1)
        for cell in range(first, last + 1):
            cells[cell] += 1
    most = max(cells)
    return [
        Bar(
            x=round(100.0 * place / MAX_DRAWN, 3),
            width=round(100.0 / MAX_DRAWN, 3),
            title=f"{number} anchors around {clock(place * end / MAX_DRAWN)}",
            confidence=number / most,
        )
        for place, number in enumerate(cells)
        if number
    ]


def _ticks(end: float) -> list[Tick]:
    step = next((step for step in _STEPS if end / step <= 8), end / 4)
    digits = 1 if step < 1 else 0
    last = int(end / step + 1e-9)
    return [Tick(_percent(number * step, end), clock(number * step, digits)) for number in range(last + 1)]

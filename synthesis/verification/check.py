"""Checks claims against anchors: every claim is carried by anchors it names, or it is not supported and says why."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache

from schemas.anchor import AnchorKind, FactualAnchor
from schemas.geometry import Point
from schemas.score import Claim, ClaimKind, Support

TOLERANCE = 0.25
"""Seconds by which a claimed time may differ from a measured one."""
MIN_IOU = 0.5
"""Intersection over union at which a claimed box is the measured one."""
POINT_RADIUS = 0.02
"""Distance, in frame sizes, at which a claimed point is the measured one."""
VALUE_TOLERANCE = 0.05
"""Share by which a claimed value may differ from a measured one: outputs round."""
EPSILON = 1e-3
"""Seconds that rounding may take: exact where TOLERANCE would let a count change."""

MINUTES_PER_DAY = 1440
TEXT_KINDS = (
    "text.*",
    "ui.*",
    AnchorKind.TYPING,
    AnchorKind.HOTKEY,
    AnchorKind.CLICK,
    AnchorKind.DOUBLE_CLICK,
    AnchorKind.RIGHT_CLICK,
    AnchorKind.CLOCK,
)
"""Kinds whose content is something said, shown or typed; a quote that names no kinds is looked for in these."""

_SLACK = 1e-6  # anchors are rounded to microseconds


class AnchorIndex:
    """The anchors of a row, laid out for fast checks: by stream and kind, sorted by time."""

    def __init__(self, anchors: Sequence[FactualAnchor]) -> None:
        self.anchors = anchors
        self._ids: dict[int, str] = {}
        self._cited: dict[str, FactualAnchor] = {}
        self._contents: dict[int, str] = {}
        self.said: dict[tuple[str, str | None, tuple[str, ...]], int | None] = {}
        """Where texts stand at any time, by text, stream and kinds: many answers to one question quote the same."""
        by_kind: dict[str, dict[str, list[int]]] = {}
        for position, anchor in enumerate(anchors):
            by_kind.setdefault(anchor.stream, {}).setdefault(anchor.kind, []).append(position)
        self._series = {
            stream: {kind: _Series(anchors, positions) for kind, positions in kinds.items()}
            for stream, kinds in by_kind.items()
        }

    def id(self, position: int) -> str:
        """The anchor's id, computed once: it is a hash, and only cited anchors need theirs."""
        if position not in self._ids:
            id = self.anchors[position].id
            self._ids[position] = id
            self._cited[id] = self.anchors[position]
        return self._ids[position]

    def known_id(self, position: int) -> str | None:
        """The anchor's id when a verdict has asked for it already."""
        return self._ids.get(position)

    def by_id(self, id: str) -> FactualAnchor:
        """An anchor that a support cites.

        Raises:
            KeyError: no verdict of this index has cited it.
        """
        return self._cited[id]

    def content(self, position: int) -> str:
        """The anchor's content, normalised once."""
        if position not in self._contents:
            self._contents[position] = normalise(self.anchors[position].content)
        return self._contents[position]

    def series(self, stream: str | None, kinds: Sequence[str]) -> Iterator[_Series]:
        """The series of a stream (None: of every stream) that hold the kinds (none named: every kind)."""
        streams = self._series.values() if stream is None else [self._series.get(stream, {})]
        for by_kind in streams:
            if not kinds:
                yield from by_kind.values()
            elif any(kind.endswith(".*") for kind in kinds):
                yield from (series for kind, series in by_kind.items() if _named(kind, kinds))
            else:
                yield from (by_kind[kind] for kind in dict.fromkeys(kinds) if kind in by_kind)


class _Series:
    """Anchors of one kind in one stream, sorted by t0.

    `reach[i]` is the latest end among the first i + 1 anchors. It never falls, so both ends of the range of anchors
    that can overlap a window are found by bisection.
    """

    def __init__(self, anchors: Sequence[FactualAnchor], positions: list[int]) -> None:
        self.anchors = anchors
        self.positions = sorted(positions, key=lambda position: (anchors[position].t0, anchors[position].t1))
        self.starts = [anchors[position].t0 for position in self.positions]
        self.reach: list[float] = []
        for position in self.positions:
            end = anchors[position].t1
            self.reach.append(max(end, self.reach[-1]) if self.reach else end)
        self.by_end = sorted(self.positions, key=lambda position: anchors[position].t1)
        self.ends = [anchors[position].t1 for position in self.by_end]

    def beginning(self, low: float, high: float) -> list[int]:
        """Positions of the anchors with low <= t0 <= high."""
        return self.positions[bisect_left(self.starts, low) : bisect_right(self.starts, high)]

    def ending(self, low: float, high: float) -> list[int]:
        """Positions of the anchors with low <= t1 <= high."""
        return self.by_end[bisect_left(self.ends, low) : bisect_right(self.ends, high)]

    def overlapping(self, low: float, high: float) -> list[int]:
        """Positions of the anchors that share a moment with low..high."""
        candidates = self.positions[bisect_left(self.reach, low) : bisect_right(self.starts, high)]
        return [position for position in candidates if self.anchors[position].t1 >= low]

    def nearest(self, time: float) -> float:
        """The start that lies closest to a time."""
        place = bisect_left(self.starts, time)
        return min(self.starts[max(place - 1, 0) : place + 1], key=lambda start: abs(start - time))


def check(claims: Iterable[Claim], index: AnchorIndex) -> list[Support]:
    """The verdict on each claim, in their order. Pure: equal claims and anchors give equal verdicts."""
    return [_CHECKS[claim.kind](claim, index) for claim in claims]


def needed(claims: Iterable[Claim], index: AnchorIndex) -> list[int]:
    """Positions of the anchors that the claims' verdicts rest on: those cited, and all that a COUNT counts over."""
    claims = list(claims)
    cited = {anchor for support in check(claims, index) for anchor in support.anchors}
    positions = {position for position in range(len(index.anchors)) if index.known_id(position) in cited}
    for claim in claims:
        if claim.kind is ClaimKind.COUNT:
            positions.update(_counted(claim, index))
    return sorted(positions)


# --- TIME ----------------------------------------------------------------------------------------------------------


def _time(claim: Claim, index: AnchorIndex) -> Support:
    if claim.t0 is None:
        return _no(claim, "it names no time" if claim.text is None else f'nothing around it gives "{claim.text}"')
    for moment in (claim.t0, claim.t1):
        if claim.items and moment is not None and all(abs(moment - item) > TOLERANCE + _SLACK for item in claim.items):
            listed = ", ".join(_seconds(item) for item in dict.fromkeys(claim.items))
            return _no(claim, f"{_seconds(moment)} is none of the moments of the passage it stands in ({listed})")
    found = _best(_times(claim, index))
    if found is not None:
        return _yes(claim, index, [found])
    what = _what(claim)
    if claim.t1 is None:
        reason = f"no {what} begins or ends at {_seconds(claim.t0)}"
    elif claim.t1 == claim.t0 and not claim.whole:
        reason = f"no {what} at {_seconds(claim.t0)}"
    else:
        reason = f"no {what} from {_seconds(claim.t0)} to {_seconds(claim.t1)}"
    nearest = [series.nearest(claim.t0) for series in index.series(claim.stream, claim.kinds)]
    if nearest:
        close = min(nearest, key=lambda start: abs(start - (claim.t0 or 0.0)))
        reason += f" (the nearest {_kinds(claim.kinds)} begins at {_seconds(close)})"
    return _no(claim, reason)


def _times(claim: Claim, index: AnchorIndex) -> Iterator[tuple[tuple[float, ...], int]]:
    t0, t1 = claim.t0 or 0.0, claim.t1
    reach = TOLERANCE + _SLACK
    for series in index.series(claim.stream, claim.kinds):
        if t1 is None:
            positions = series.beginning(t0 - reach, t0 + reach) + series.ending(t0 - reach, t0 + reach)
        elif t1 == t0 and not claim.whole:
            positions = series.overlapping(t0 - reach, t0 + reach)
        else:
            positions = series.beginning(t0 - reach, t0 + reach)
        for position in positions:
            anchor = index.anchors[position]
            if not _says(claim, position, index):
                continue
            if t1 is None:
                yield (min(abs(anchor.t0 - t0), abs(anchor.t1 - t0)), anchor.t1 - anchor.t0), position
            elif t1 == t0 and not claim.whole:
                outside = max(anchor.t0 - t0, t0 - anchor.t1, 0.0)
                yield (outside, anchor.t1 - anchor.t0), position
            elif abs(anchor.t1 - t1) <= reach:
                yield (abs(anchor.t0 - t0) + abs(anchor.t1 - t1),), position


# --- BOX -----------------------------------------------------------------------------------------------------------


def _box(claim: Claim, index: AnchorIndex) -> Support:
    if claim.box is None and claim.point is None:
        return _no(claim, "it names no place")
    cited = []
    if claim.box is not None:
        found = _best(_boxes(claim, index))
        if found is None:
            return _no(claim, f"no {_what(claim)} has a box with IoU of {MIN_IOU} or more{_window(claim)}")
        cited.append(found)
    if claim.point is not None:
        found = _best(_points(claim, claim.point, index))
        if found is None:
            return _no(claim, f"no {_what(claim)} at ({claim.point.x:.3f}, {claim.point.y:.3f}){_window(claim)}")
        cited.append(found)
    return _yes(claim, index, cited)


def _boxes(claim: Claim, index: AnchorIndex) -> Iterator[tuple[tuple[float, ...], int]]:
    for position in _around(claim, index):
        box = index.anchors[position].box
        if claim.box is not None and box is not None and _says(claim, position, index):
            iou = claim.box.iou(box)
            # A box without area has no IoU, but may still be the very box that was measured.
            if iou >= MIN_IOU or box == claim.box:
                yield (-iou,), position


def _points(claim: Claim, point: Point, index: AnchorIndex) -> Iterator[tuple[tuple[float, ...], int]]:
    for position in _around(claim, index):
        anchor = index.anchors[position]
        if not _says(claim, position, index):
            continue
        near = [_distance(point, other) for other in (anchor.point, anchor.end_point) if other is not None]
        if near and min(near) <= POINT_RADIUS + _SLACK:
            yield (0.0, min(near)), position
        elif anchor.box is not None and anchor.box.contains(point):
            yield (1.0, anchor.box.area), position


def _distance(one: Point, other: Point) -> float:
    return float(((one.x - other.x) ** 2 + (one.y - other.y) ** 2) ** 0.5)


# --- QUOTE ---------------------------------------------------------------------------------------------------------


def _quote(claim: Claim, index: AnchorIndex) -> Support:
    text = normalise(claim.text or "")
    if not text:
        return _no(claim, "it quotes nothing")
    kinds = claim.kinds or TEXT_KINDS
    found = _said(claim, text, index, kinds) if claim.t0 is None else _best(_quotes(claim, text, index, kinds))
    if found is not None:
        return _yes(claim, index, [found])
    elsewhere = _said(claim, text, index, kinds)
    reason = f'no {_kinds(claim.kinds) if claim.kinds else "text"} says "{text}"{_window(claim)}'
    if elsewhere is not None and claim.t0 is not None:
        anchor = index.anchors[elsewhere]
        reason += f" (it stands at {_seconds(anchor.t0)} to {_seconds(anchor.t1)})"
    return _no(claim, reason)


def _said(claim: Claim, text: str, index: AnchorIndex, kinds: Sequence[str]) -> int | None:
    """The best anchor for a quote at any time. It is looked for in all of them, so what is found is kept."""
    key = (text, claim.stream, tuple(kinds))
    if key not in index.said:
        anytime = claim.model_copy(update={"t0": None, "t1": None})
        index.said[key] = _best(_quotes(anytime, text, index, kinds))
    return index.said[key]


def _quotes(
    claim: Claim, text: str, index: AnchorIndex, kinds: Sequence[str]
) -> Iterator[tuple[tuple[float, ...], int]]:
    for position in _around(claim, index, kinds):
        content = index.content(position)
        if text not in content or not stands_in(text, content):  # the first costs little and mostly decides
            continue
        anchor = index.anchors[position]
        if claim.t0 is not None and claim.t1 is not None and not _shares(claim.t0, claim.t1, anchor):
            continue
        away = 0.0 if claim.t0 is None else abs(anchor.t0 - claim.t0) + abs(anchor.t1 - (claim.t1 or claim.t0))
        yield (0.0 if content == text else 1.0, away), position


def _shares(t0: float, t1: float, anchor: FactualAnchor) -> bool:
    """Whether a stretch and an anchor truly share time. Touching is not enough: cues follow each other without a gap,
    and a quote must not be good for the cue next to its own."""
    least = min(TOLERANCE, (t1 - t0) / 2, (anchor.t1 - anchor.t0) / 2)
    return least <= 0 or min(t1, anchor.t1) - max(t0, anchor.t0) >= least - _SLACK


def normalise(text: str) -> str:
    """Unicode NFC with single spaces: what a quote may differ in from its source, and nothing else."""
    return " ".join(unicodedata.normalize("NFC", text).split())


@lru_cache(maxsize=65536)
def stands_in(text: str, content: str) -> bool:
    """Whether a text is, or stands on word borders in, a content. Both normalised; letter case counts. No text stands
    nowhere."""
    if not text or text == content:
        return bool(text)
    place = content.find(text)
    while place >= 0:
        end = place + len(text)
        if (place == 0 or not _joined(content[place - 1], text[0])) and (
            end == len(content) or not _joined(text[-1], content[end])
        ):
            return True
        place = content.find(text, place + 1)
    return False


UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
"""A character of a script that is written without spaces between words."""


def _joined(left: str, right: str) -> bool:
    """Whether two neighbouring characters belong to one word. Scripts without spaces have a border everywhere."""
    return left.isalnum() and right.isalnum() and not (UNSPACED.match(left) or UNSPACED.match(right))


# --- ORDER and COUNT -----------------------------------------------------------------------------------------------


def _order(claim: Claim, index: AnchorIndex) -> Support:
    if len(claim.items) < 2:
        return _no(claim, "an order needs at least two moments")
    if claim.streams and len(claim.streams) != len(claim.items):
        return _no(claim, f"it orders {len(claim.items)} moments of {len(claim.streams)} streams")
    for before, after in zip(claim.items, claim.items[1:], strict=False):
        if not before < after:
            return _no(claim, f"{before:g} does not come before {after:g}")
    cited = []
    for place, item in enumerate(claim.items):
        stream = claim.streams[place] if claim.streams else claim.stream
        if claim.kinds == (AnchorKind.CLOCK,):
            found = _best(_clocks(claim, item, stream, index))
        else:
            moment = claim.model_copy(update={"stream": stream, "t0": item, "t1": item, "items": ()})
            found = _best(_times(moment, index))
        if found is None:
            return _no(claim, f"no {_kinds(claim.kinds)} at {item:g}, number {place + 1} in the order")
        cited.append(found)
    return _yes(claim, index, cited)


def _clocks(
    claim: Claim, item: float, stream: str | None, index: AnchorIndex
) -> Iterator[tuple[tuple[float, ...], int]]:
    for series in index.series(stream, claim.kinds):
        for position in series.positions:
            value = index.anchors[position].value
            if value is not None and abs(value - item % MINUTES_PER_DAY) <= _SLACK:
                yield (index.anchors[position].t0,), position


def _count(claim: Claim, index: AnchorIndex) -> Support:
    if claim.count is None:
        return _no(claim, "it names no number")
    counted = _counted(claim, index)
    if len(counted) != claim.count:
        return _no(claim, f"it counts {claim.count} {_what(claim)}, there are {len(counted)}{_window(claim)}")
    return _yes(claim, index, counted)


def _counted(claim: Claim, index: AnchorIndex) -> list[int]:
    low = -EPSILON if claim.t0 is None else claim.t0 - EPSILON
    high = float("inf") if claim.t1 is None else claim.t1 - EPSILON
    return sorted(
        position
        for series in index.series(claim.stream, claim.kinds)
        for position in series.beginning(low, high)
        # beginning() includes its end; the window of a count does not.
        if index.anchors[position].t0 < high and _says(claim, position, index)
    )


# --- what they share -----------------------------------------------------------------------------------------------


def _around(claim: Claim, index: AnchorIndex, kinds: Sequence[str] | None = None) -> Iterator[int]:
    """Positions of the anchors of the claimed kinds around the claimed time; at any time where none is claimed."""
    for series in index.series(claim.stream, claim.kinds if kinds is None else kinds):
        if claim.t0 is None:
            yield from series.positions
        else:
            end = claim.t0 if claim.t1 is None else claim.t1
            yield from series.overlapping(claim.t0 - TOLERANCE - _SLACK, end + TOLERANCE + _SLACK)


def _says(claim: Claim, position: int, index: AnchorIndex) -> bool:
    """Whether an anchor has the words and the value that a claim of another kind than QUOTE is bound to."""
    if claim.value is not None:
        value = index.anchors[position].value
        if value is None or abs(value - claim.value) > max(VALUE_TOLERANCE * abs(claim.value), _SLACK):
            return False
    return claim.text is None or stands_in(normalise(claim.text), index.content(position))


def _best(candidates: Iterable[tuple[tuple[float, ...], int]]) -> int | None:
    """The position with the least key; of equals the first in the row."""
    return min(candidates, default=(None, None))[1]


def _yes(claim: Claim, index: AnchorIndex, positions: Iterable[int]) -> Support:
    cited = tuple(dict.fromkeys(index.id(position) for position in positions))
    return Support(path=claim.path, kind=claim.kind, supported=True, anchors=cited)


def _no(claim: Claim, reason: str) -> Support:
    return Support(path=claim.path, kind=claim.kind, supported=False, reason=reason)


def _named(kind: str, kinds: Sequence[str]) -> bool:
    return any(kind == name or (name.endswith(".*") and kind.startswith(name[:-1])) for name in kinds)


def _kinds(kinds: Sequence[str]) -> str:
    return " or ".join(str(kind) for kind in kinds) or "anchor"


def _what(claim: Claim) -> str:
    words = f' "{claim.text}"' if claim.text is not None else ""
    return _kinds(claim.kinds) + words + (f" of {claim.value:g}" if claim.value is not None else "")


def _window(claim: Claim) -> str:
    if claim.t0 is None:
        return ""
    if claim.t1 is None or claim.t1 == claim.t0:
        return f" at {_seconds(claim.t0)}"
    return f" from {_seconds(claim.t0)} to {_seconds(claim.t1)}"


def _seconds(time: float) -> str:
    return f"{time:.2f} s"


_CHECKS: dict[ClaimKind, Callable[[Claim, AnchorIndex], Support]] = {
    ClaimKind.TIME: _time,
    ClaimKind.BOX: _box,
    ClaimKind.QUOTE: _quote,
    ClaimKind.ORDER: _order,
    ClaimKind.COUNT: _count,
}

"""Text on screen, read with RapidOCR: only where the picture changed since the last read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from experts.base import Expert, Observer
from experts.ocr_regions import Cut, crops, in_pixels, ink, per_tile, set_under, touches
from experts.pixels import SIDE, Mask, Pointer, changed_pixels, find_mark, tiles
from schemas.anchor import AnchorKind, FactualAnchor
from schemas.errors import unknown_name
from schemas.geometry import Box
from schemas.recipe import Scalar
from schemas.segment import Segment
from schemas.stream import Stream, TrackKind
from sources.base import Recording
from sources.frame import Frame, Pixels

# A screen is read when it is about to be left: whatever has been added to it by then costs no call of its own. What
# stood for less time (seconds) than this was on its way to something else (a fade, a scroll) and is not read ...
_REST = 1.0
# ... unless it filled this share of the frame and there is credit: short clips, whose screens flash by, are read whole.
_LARGE = 0.1
_CREDIT, _CREDIT_PER_FRAME = 3.0, 0.02
# Changes up to so many tiles (a pointer, a caret, a word that lights up) must have stood longer.
_SMALL_TILES, _SMALL_REST = 12, 2.0
# So many hold no word, however long they stood.
_SPECK_TILES = 2
# A change that never rests is read after so many seconds all the same.
_PATIENCE = 3.0
# How many screens already read are remembered, so that a return to one, or to a part of one, costs nothing.
_MEMORY = 32
# Of what a screen shows, so much must be as it was for it to be taken for a return.
_RETURN = 0.25
# Above this share of the frame one read of all of it is cheaper than reading parts.
_FULL = 0.6
# Larger than the other thumbnails: a digit of a phone's clock must show.
_SIDE = 960
_GAP = 24
_SHORT_SIDE = 736
"""Pixels: the engine enlarges what it is given until its shorter side has as many."""

_CLOCK = re.compile(
    r"^\D{0,2}?(?P<shown>(?P<h>[01]?\d|2[0-3])[:.](?P<m>[0-5]\d)(?::[0-5]\d)?)(?![\d.:])\s?(?P<half>[AaPp][Mm])?"
)


@dataclass(frozen=True)
class Line:
    """A line of text as read: where (pixels of the picture given), what, how sure."""

    x0: float
    y0: float
    x1: float
    y1: float
    text: str
    confidence: float


class Reader(Protocol):
    """What reads text: (height, width, 3) RGB pixels to lines, in any order."""

    def __call__(self, rgb: Pixels) -> list[Line]: ...


class RapidReader:
    """RapidOCR with the weights that lie in its wheel; it never touches the network."""

    def __init__(self, threads: int) -> None:
        from rapidocr import RapidOCR

        self._engine: Any = RapidOCR(
            params={
                "Global.log_level": "critical",
                "Global.use_cls": False,
                "EngineConfig.onnxruntime.intra_op_num_threads": threads,
                "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            }
        )

    def __call__(self, rgb: Pixels) -> list[Line]:
        found = self._engine(np.ascontiguousarray(rgb[:, :, ::-1]), use_cls=False)
        if found.boxes is None or found.txts is None:
            return []
        lines = []
        for corners, text, score in zip(found.boxes, found.txts, found.scores, strict=True):
            text = " ".join(str(text).split())
            if text:
                (x0, y0), (x1, y1) = corners.min(axis=0), corners.max(axis=0)
                lines.append(Line(float(x0), float(y0), float(x1), float(y1), text, float(score)))
        return lines


@cache
def _reader(threads: int) -> Reader:
    """One engine per process: it is the same for every segment and stream."""
    return RapidReader(threads)


@dataclass
class _Shown:
    """A line while it stands on the screen. `last` is the last frame on which it was known to stand."""

    text: str
    box: Box
    t0: float
    last: float
    confidence: float


@dataclass
class _View:
    """What is kept of a frame until the next one comes, for it may be the last that shows its screen."""

    time: float
    until: float
    """Seconds: the last frame that showed the same, a mark drawn over it apart."""
    gray: Pixels
    thumbnail: Pixels
    rgb: Pixels


@dataclass(frozen=True)
class _Seen:
    """A screen already read."""

    time: float
    gray: Pixels
    lines: tuple[_Shown, ...]


@dataclass(frozen=True)
class _Found:
    """A line just read, or known from before."""

    text: str
    box: Box
    confidence: float


class OCR(Expert):
    """Reads lines of text. A line's span runs from the first to the last frame on which it stood unchanged.

    Parameters: `threads` of the engine (default 2); `max_side` in pixels to which larger frames are reduced (1600);
    `min_confidence` below which a line is not believed (0.6). The clock of a status bar or task bar also becomes a
    `screen.clock`. The observer counts one call for each run of the engine; the parts of a frame that changed are laid
    into one picture and read together.
    """

    name = "ocr"
    version = "3"
    reads = frozenset({TrackKind.VIDEO, TrackKind.IMAGES})
    rate = "recipe"

    def __init__(self, **parameters: Scalar) -> None:
        super().__init__(**parameters)
        known = ("threads", "max_side", "min_confidence")
        for name in parameters:
            if name not in known:
                raise unknown_name("parameter of the expert ocr", name, known)
        self.max_side = int(parameters.get("max_side", 1600))
        self.min_confidence = float(parameters.get("min_confidence", 0.6))
        self.reader: Reader = _reader(int(parameters.get("threads", 2)))

    def start(self, recording: Recording, segment: Segment) -> Observer:
        return _OCRObserver(self, segment, Pointer(recording.events()))

    @classmethod
    def join(cls, stream: Stream, anchors: Sequence[FactualAnchor]) -> list[FactualAnchor]:
        """Merges lines that a segment border cut: same text and place, times that touch."""
        joined: list[FactualAnchor] = []
        for anchor in sorted(anchors, key=lambda a: (a.t0, a.t1, a.kind, a.content)):
            for place in range(len(joined) - 1, -1, -1):
                earlier = joined[place]
                if (
                    earlier.kind == anchor.kind
                    and earlier.content == anchor.content
                    and 0 <= anchor.t0 - earlier.t1 <= 1.25
                    and earlier.box is not None
                    and anchor.box is not None
                    and earlier.box.iou(anchor.box) > 0.5
                ):
                    joined[place] = earlier.model_copy(
                        update={"t1": anchor.t1, "confidence": max(earlier.confidence, anchor.confidence)}
                    )
                    break
            else:
                joined.append(anchor)
        return sorted(joined, key=_order)


def _order(anchor: FactualAnchor) -> tuple[float, float, str, float, float, str]:
    box = anchor.box
    return (anchor.t0, anchor.t1, anchor.kind, box.y0 if box else 0.0, box.x0 if box else 0.0, anchor.content)


class _OCRObserver(Observer):
    """Follows one segment. What differs from the last read is pending; it is read once something else takes its place
    (or the segment ends), from the last frame that showed it."""

    def __init__(self, expert: OCR, segment: Segment, pointer: Pointer) -> None:
        self.expert = expert
        self.segment = segment
        self.pointer = pointer
        self.calls = 0
        self.credit = _CREDIT
        self.lines: list[_Shown] = []
        self.closed: list[_Shown] = []
        self.seen: list[_Seen] = []
        self.view: _View | None = None
        """The latest frame."""
        self.before = 0.0
        """Seconds: the frame before it."""
        self.pending: Mask = np.zeros((0, 0), np.bool_)
        """Tiles where it shows what was not read."""
        self.reference: Pixels = np.zeros((0, 0), np.uint8)
        """What each place looked like when it was last read."""
        self.unread: Mask = np.zeros((0, 0), np.bool_)
        """Tiles that were never read: there the reference means nothing."""
        self.read_time = 0.0
        self.since: NDArray[np.float64] = np.zeros((0, 0))
        """Seconds: when each pixel of the thumbnail last changed."""
        self.read_at: NDArray[np.float64] = np.zeros((0, 0))
        """Seconds: when each tile was last read."""

    def observe(self, frame: Frame) -> None:
        view = _View(frame.time, frame.time, frame.gray(_SIDE), frame.rgb(SIDE), frame.rgb(self.expert.max_side))
        self.credit += _CREDIT_PER_FRAME
        last = self.view
        if last is None or last.gray.shape != view.gray.shape:
            self._begin(view)
            return
        moved = changed_pixels(last.gray, view.gray) & ~self._covered(last.time, view)
        moving = tiles(moved)
        if moving.any() and self._only_a_mark(last, view):
            # The screen is the one below the mark: that frame is kept, and would be read.
            last.until = view.time
            self._stand(view.time)
            return
        if self._must_read(last, moving, view.time):
            self._read(last)
        self.since[moved & in_pixels(moving, moved.shape)] = view.time
        self.pending = tiles(changed_pixels(self.reference, view.gray) & ~self._covered(self.read_time, view))
        self.pending |= self.unread
        self.view, self.before = view, last.until
        self._stand(view.time)

    def finish(self) -> list[FactualAnchor]:
        self._leave()
        anchors = []
        for line in self.closed:
            anchors.append(self._anchor(AnchorKind.SCREEN_TEXT, line, line.text, None))
            clock = clock_of(line.text, line.box)
            if clock is not None:
                anchors.append(self._anchor(AnchorKind.CLOCK, line, *clock))
        return sorted(anchors, key=_order)

    def _anchor(self, kind: AnchorKind, line: _Shown, content: str, value: float | None) -> FactualAnchor:
        return self.expert.anchor(
            self.segment,
            kind,
            line.t0,
            line.last,
            content=content,
            value=value,
            box=line.box,
            confidence=line.confidence,
        )

    def _begin(self, view: _View) -> None:
        """A first frame, or one of another size: nothing of it was read."""
        self._leave()
        self.reference = view.gray
        self.unread = np.ones_like(tiles(np.zeros(view.gray.shape, np.bool_)))
        self.pending = self.unread.copy()
        self.since = np.full(view.gray.shape, view.time)
        self.read_at = np.full(self.unread.shape, view.time)
        self.seen = []
        self.view, self.before = view, view.time

    def _leave(self) -> None:
        """Reads what is still pending, and ends all lines."""
        everywhere = np.ones_like(self.pending)
        # Nothing is known of what follows: the view is taken to have stood for long enough.
        if self.view is not None and self._must_read(self.view, everywhere, self.view.until + _REST):
            self._read(self.view)
        self.closed.extend(self.lines)
        self.lines = []

    def _covered(self, before: float, view: _View) -> Mask:
        """Pixels of the thumbnail that the pointer covered then or covers now."""
        covered = np.zeros(view.gray.shape, np.bool_)
        self.pointer.cover(covered, before, view.time)
        return covered

    def _only_a_mark(self, last: _View, view: _View) -> bool:
        """Whether a frame differs from the last by a tap mark only: that hides a word at most, no reason to read."""
        covered = np.zeros(view.thumbnail.shape[:2], np.bool_)
        self.pointer.cover(covered, last.time, view.time)
        return find_mark(last.thumbnail, view.thumbnail, covered) is not None

    def _stand(self, time: float) -> None:
        """Lines in places that show what they showed when read are seen to stand."""
        for line in self.lines:
            if not touches(line.box, self.pending):
                line.last = time

    def _must_read(self, last: _View, moving: Mask, now: float) -> bool:
        """Whether the next frame, at `now`, takes away what should be read: this is the last moment for it. A screen
        that is read although it flashed by is paid from the credit."""
        leaving = self.pending & moving
        if not leaving.any():
            return False
        leaving &= ink(last.gray)
        stood = now - per_tile(self.since)
        if (leaving & (stood >= _REST)).sum() > _SMALL_TILES or (leaving & (stood >= _SMALL_REST)).sum() > _SPECK_TILES:
            return True
        size = leaving.sum()
        if size > _SMALL_TILES and now - float(self.read_at[leaving].max()) >= _PATIENCE:
            return True
        if size >= _LARGE * leaving.size and self.credit >= 1:
            self.credit -= 1
            return True
        return False

    def _read(self, view: _View) -> None:
        """Brings the lines up to a view: from screens already read where it shows them again, the rest by a call."""
        pending, inked = self.pending, ink(view.gray)
        known, rest = self._recall(view, inked)
        found = list(known)
        if (rest & inked).any():
            found += self._call(view, rest & inked, known)
        self._replace(pending, found, view)
        self.reference = np.where(in_pixels(pending, view.gray.shape), view.gray, self.reference)
        self.unread[:] = False
        self.read_at[pending] = view.time
        self.read_time = view.time
        self.seen.append(_Seen(view.time, view.gray, tuple(replace(line) for line in self.lines)))
        del self.seen[:-_MEMORY]

    def _recall(self, view: _View, inked: Mask) -> tuple[list[_Found], Mask]:
        """Lines of the screen already read that this view shows most of again, and the tiles it does not explain."""
        best: tuple[float, _Seen, Mask] | None = None
        wanted = self.pending & inked
        for seen in reversed(self.seen):
            other = tiles(changed_pixels(seen.gray, view.gray) & ~self._covered(seen.time, view))
            share = float((wanted & ~other).sum()) / max(1, int(wanted.sum()))
            if share >= _RETURN and (best is None or share > best[0]):
                best = share, seen, other
        if best is None:
            return [], self.pending
        _, seen, other = best
        rest = self.pending & other
        back = [line for line in seen.lines if touches(line.box, self.pending)]
        for line in back:
            if touches(line.box, other):
                set_under(line.box, rest)
        return [_Found(line.text, line.box, line.confidence) for line in back if not touches(line.box, rest)], rest

    def _call(self, view: _View, region: Mask, known: Sequence[_Found]) -> list[_Found]:
        """Reads a region of a view; lines that were known there and are held whole by a crop are read again."""
        height, width = view.rgb.shape[:2]
        scale = max(height, width) / max(view.gray.shape)
        # Lines that stood here may stand here still, whole, though a part of them changed.
        uncut = [*(line.box for line in self.lines), *(line.box for line in known)]
        boxes = crops(region, uncut, height, width, scale)
        if sum((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in boxes) > _FULL * height * width:
            boxes = [(0, 0, width, height)]
        found = []
        for line, dx, dy in self._engine(view.rgb, boxes):
            box = Box.clipped(
                (line.x0 + dx) / width, (line.y0 + dy) / height, (line.x1 + dx) / width, (line.y1 + dy) / height
            )
            if line.confidence >= self.expert.min_confidence:
                found.append(_Found(line.text, box, line.confidence))
        return found

    def _engine(self, rgb: Pixels, boxes: list[Cut]) -> list[tuple[Line, float, float]]:
        """Reads parts of a picture in one call, laid one below the other; lines come with the way back, in pixels."""
        self.calls += 1
        if len(boxes) == 1:
            x0, y0, x1, y1 = boxes[0]
            return [(line, x0, y0) for line in self.expert.reader(_padded(rgb[y0:y1, x0:x1], rgb))]
        canvas_width = max(x1 - x0 for x0, _, x1, _ in boxes)
        canvas_height = sum(y1 - y0 + _GAP for _, y0, _, y1 in boxes)
        canvas = np.full((canvas_height, canvas_width, 3), 255, np.uint8)
        places, top = [], 0
        for x0, y0, x1, y1 in boxes:
            canvas[top : top + y1 - y0, : x1 - x0] = rgb[y0:y1, x0:x1]
            places.append(top)
            top += y1 - y0 + _GAP
        read = []
        for line in self.expert.reader(_padded(canvas, rgb)):
            middle = (line.y0 + line.y1) / 2
            index = max(i for i, place in enumerate(places) if place <= max(middle, 0))
            x0, y0, _, _ = boxes[index]
            read.append((line, float(x0), float(y0 - places[index])))
        return read

    def _replace(self, region: Mask, found: Sequence[_Found], view: _View) -> None:
        """Lines found in a region take the place of those that stood there; what is unchanged lives on."""
        old: list[_Shown] = []
        kept: list[_Shown] = []
        for line in self.lines:
            # A crop holds its neighbours whole; one that did not visibly change may still read otherwise now.
            replaced = touches(line.box, region) or any(line.box.iou(new.box) > 0.3 for new in found)
            (old if replaced else kept).append(line)
        ended = list(old)
        for new in sorted(found, key=lambda line: (line.box.y0, line.box.x0, line.text)):
            if any(line.box.iou(new.box) > 0.5 for line in kept):
                continue
            same = next((line for line in ended if line.text == new.text and line.box.iou(new.box) > 0.5), None)
            if same is not None:
                ended.remove(same)
                same.last = view.until
                same.confidence = max(same.confidence, new.confidence)
                kept.append(same)
            else:
                kept.append(_Shown(new.text, new.box, self._begun(new.box, old, view), view.until, new.confidence))
        for line in ended:
            # A difference too faint for the tiles may have gone unseen until this read.
            line.last = max(line.t0, min(line.last, self.before))
        self.closed.extend(ended)
        self.lines = kept

    def _begun(self, box: Box, old: Sequence[_Shown], view: _View) -> float:
        """Since when a place has looked as it does in a view: the first frame that showed these very pixels."""
        height, width = view.gray.shape
        # The engine's boxes reach into the lines above and below.
        inset = 0.2 * (box.y1 - box.y0)
        y0, y1 = int((box.y0 + inset) * height), int(np.ceil((box.y1 - inset) * height))
        x0, x1 = int(box.x0 * width), int(np.ceil(box.x1 * width))
        begun = float(self.since[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)].max())
        # Where another line was read in the same place, this one cannot have begun before that one ended.
        if any(line.box.iou(box) > 0.3 and line.last > begun for line in old):
            return view.time
        return begun


def clock_of(text: str, box: Box) -> tuple[str, float] | None:
    """The clock of a status bar (top of the screen) or of a task bar (bottom right corner): as shown, in minutes."""
    middle = box.centre
    top = middle.y < 0.08 and box.y1 < 0.1
    corner = middle.y > 0.9 and middle.x > 0.85
    if not (top or corner):
        return None
    found = _CLOCK.match(text.strip())
    if found is None:
        return None
    if top and len(text.strip()) > len(found.group(0)) + 8:
        # A sentence that begins with a time is no clock.
        return None
    hour, minute, half = int(found["h"]), int(found["m"]), (found["half"] or "").lower()
    if half:
        hour = hour % 12 + (12 if half == "pm" else 0)
    shown = found["shown"] + (found.group(0)[found.end("shown") - found.start() :] if half else "")
    return shown, float(hour * 60 + minute)


def _padded(part: Pixels, frame: Pixels) -> Pixels:
    """A part of a small frame, padded to the frame's shorter side, so that the engine enlarges it no more than the
    frame: a strip of one line of large type would become so large that the line falls apart into words."""
    least = min(frame.shape[:2])
    if least >= _SHORT_SIDE:
        return part
    down, right = max(0, least - part.shape[0]), max(0, least - part.shape[1])
    return np.asarray(cv2.copyMakeBorder(part, 0, down, 0, right, cv2.BORDER_CONSTANT, value=(255, 255, 255)))

"""Text on screen, read with RapidOCR: only where the picture changed since the last read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, ClassVar, Protocol

import cv2
import numpy as np

from experts.base import Expert, Observer
from experts.pixels import SIDE, TILE, Mask, Pointer, changed_pixels, find_mark, tiles
from schemas.anchor import AnchorKind, FactualAnchor
from schemas.errors import Problem
from schemas.geometry import Box
from schemas.recipe import Scalar
from schemas.segment import Segment
from schemas.stream import Stream, TrackKind
from sources.base import Recording
from sources.frame import Frame, Pixels

# Reads that a still screen would not need are paid from a purse: short clips are read whenever they change, long
# recordings mostly once a change has come to rest.
_PURSE, _PURSE_PER_FRAME = 12.0, 0.02
# A change that never rests is read after so many seconds all the same.
_PATIENCE = 3.0
# Smaller changes than this many tiles (a pointer, a cursor) wait for the next read nearby, or for this long.
_SMALL_TILES, _SMALL_PATIENCE = 12, 2.0
# Changes of less than this share of the frame must rest for some time, longer where it was read a moment ago.
_LARGE, _REST, _RECENT, _RECENT_REST = 0.1, 0.9, 2.5, 1.4
# How many screens already read are remembered, so that a return to one costs nothing.
_MEMORY = 32
_RETURN_TILES = 12
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
class _Seen:
    """A screen already read."""

    time: float
    gray: Pixels
    lines: list[_Shown] = field(default_factory=list)


class OCR(Expert):
    """Reads lines of text. A line's span runs from the first to the last frame on which it stood unchanged.

    Parameters: `threads` of the engine (default 2); `max_side` in pixels to which larger frames are reduced (1600);
    `min_confidence` below which a line is not believed (0.6). The clock of a status bar or task bar also becomes a
    `screen.clock`. The observer counts one call for each run of the engine; the parts of a frame that changed are laid
    into one picture and read together.
    """

    name: ClassVar[str] = "ocr"
    version: ClassVar[str] = "2"
    reads: ClassVar[frozenset[TrackKind]] = frozenset({TrackKind.VIDEO, TrackKind.IMAGES})
    rate: ClassVar[float | str | None] = "recipe"
    known: ClassVar[tuple[str, ...]] = ("threads", "max_side", "min_confidence")
    enlarges: ClassVar[bool] = True
    """Whether the reader enlarges small pictures before it reads them."""

    def __init__(self, **parameters: Scalar) -> None:
        super().__init__(**parameters)
        self.max_side = int(parameters.get("max_side", 1600))
        self.min_confidence = float(parameters.get("min_confidence", 0.6))
        self.reader: Reader = self.open_reader(int(parameters.get("threads", 2)))

    def open_reader(self, threads: int) -> Reader:
        """The engine that reads, with `threads` of the CPU."""
        return _reader(threads)

    @classmethod
    def lacks(cls, **parameters: Scalar) -> list[Problem]:
        """RapidOCR and the weights inside its package."""
        try:
            weights = [item for item in (files("rapidocr") / "models").iterdir() if item.name.endswith(".onnx")]
        except (ModuleNotFoundError, FileNotFoundError):
            weights = []
        if weights:
            return []
        return [Problem(input="expert ocr", cause="the weights of rapidocr are missing", remedy="pip install rapidocr")]

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
    def __init__(self, expert: OCR, segment: Segment, pointer: Pointer) -> None:
        self.expert = expert
        self.segment = segment
        self.pointer = pointer
        self.calls = 0
        self.pixels = 0
        """Pixels given to the engine."""
        self.purse = _PURSE
        self.lines: list[_Shown] = []
        self.closed: list[_Shown] = []
        self.seen: list[_Seen] = []
        self.reference: Pixels | None = None
        """What the frame looked like where it was last read."""
        self.previous: Pixels | None = None
        self.since: np.ndarray = np.zeros((0, 0))
        """When each tile last changed."""
        self.read_at: np.ndarray = np.zeros((0, 0))
        """When each tile was last read."""
        self.small_rgb: Pixels | None = None
        self.time = 0.0
        self.drawn_at = 0.0

    def observe(self, frame: Frame) -> None:
        gray = frame.gray(_SIDE)
        self.purse += _PURSE_PER_FRAME
        if self.reference is None or self.previous is None or self.reference.shape != gray.shape:
            for line in self.lines:
                self.closed.append(line)
            self.lines = []
            self._begin(frame, gray)
            return
        covered = np.zeros(gray.shape, np.bool_)
        self.pointer.cover(covered, self.drawn_at, frame.time)
        dirty_pixels = changed_pixels(self.reference, gray) & ~covered
        moving = tiles(changed_pixels(self.previous, gray))
        self.since[moving] = frame.time
        dirty = tiles(dirty_pixels)
        if dirty.any() and self._only_a_mark(frame):
            dirty[:] = False
        for line in self.lines:
            if not _touches(line.box, dirty):
                line.last = frame.time
        if dirty.any():
            self._changed(frame, gray, dirty, moving)
        self.previous = gray
        self.time = frame.time

    def finish(self) -> list[FactualAnchor]:
        self.closed.extend(self.lines)
        self.lines = []
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

    def _begin(self, frame: Frame, gray: Pixels) -> None:
        everything = np.ones(tiles(np.zeros(gray.shape, np.bool_)).shape, np.bool_)
        self.since = np.full(everything.shape, frame.time)
        self.read_at = np.full(everything.shape, frame.time)
        self.reference = gray.copy()
        self.seen = []
        self._read(frame, gray, everything)
        self.previous = gray
        self.time = frame.time

    def _only_a_mark(self, frame: Frame) -> bool:
        """A tap mark over a screen already read hides a word at most: it is no reason to read."""
        rgb = frame.rgb(SIDE)
        if self.small_rgb is None or self.small_rgb.shape != rgb.shape:
            return False
        covered = np.zeros(rgb.shape[:2], np.bool_)
        self.pointer.cover(covered, self.drawn_at, frame.time)
        return find_mark(self.small_rgb, rgb, covered) is not None

    def _changed(self, frame: Frame, gray: Pixels, dirty: Mask, moving: Mask) -> None:
        known = self._recall(gray, frame.time)
        if known is not None:
            self._restore(frame, gray, dirty, known)
            dirty = dirty & known[1]
        ready = np.zeros(dirty.shape, np.bool_)
        eager = False
        restless = cv2.dilate(moving.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(np.bool_)
        for region in _regions(dirty):
            size = int(region.sum())
            # A countdown in a dialog must not keep the rest of it from being read.
            still = region & ~restless
            rests = still.sum() >= 0.6 * size and frame.time - float(self.since[still].max()) >= self._rest(
                region, frame.time
            )
            waited = frame.time - float(self.read_at[region].max())
            if rests:
                ready |= still
            elif size > _SMALL_TILES:
                if waited >= _PATIENCE:
                    ready |= region
                elif self.purse >= 1:
                    ready |= region
                    eager = True
        if ready.any():
            self.purse -= eager
            # What waits nearby goes along: it costs no further call.
            ready |= dirty
            self._read(frame, gray, ready)

    def _rest(self, region: Mask, time: float) -> float:
        """How long a change must have rested before it is read: large ones are new screens, small ones often a
        pointer that passes or a button that lights up."""
        size = float(region.sum())
        if size <= _SMALL_TILES:
            return _SMALL_PATIENCE
        if size >= _LARGE * region.size:
            return 0.0
        recent = time - float(self.read_at[region].max()) < _RECENT
        return _RECENT_REST if recent else _REST

    def _recall(self, gray: Pixels, time: float) -> tuple[_Seen, Mask] | None:
        """The latest screen already read that this picture shows again, and the few tiles that differ (a clock)."""
        for seen in reversed(self.seen):
            covered = np.zeros(gray.shape, np.bool_)
            self.pointer.cover(covered, seen.time, time)
            off = tiles(changed_pixels(seen.gray, gray) & ~covered)
            if off.sum() <= _RETURN_TILES:
                return seen, off
        return None

    def _restore(self, frame: Frame, gray: Pixels, dirty: Mask, known: tuple[_Seen, Mask]) -> None:
        seen, off = known
        back = dirty & ~off
        if not back.any():
            return
        begin = float(self.since[back].max())
        found = [
            (line.text, line.box, line.confidence)
            for line in seen.lines
            if _touches(line.box, back) and not _touches(line.box, off)
        ]
        self._replace(back, found, min(begin, frame.time), frame.time)
        self._remember(frame, gray, back)

    def _read(self, frame: Frame, gray: Pixels, region: Mask) -> None:
        rgb = frame.rgb(self.expert.max_side)
        height, width = rgb.shape[:2]
        scale = max(height, width) / max(gray.shape)
        boxes = self._crops(region, height, width, scale)
        if sum((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in boxes) > _FULL * height * width:
            boxes = [(0, 0, width, height)]
        found: list[tuple[str, Box, float]] = []
        for line, (x0, y0, x1, y1), (dx, dy) in self._engine(rgb, boxes):
            box = Box.clipped(
                (line.x0 + dx) / width, (line.y0 + dy) / height, (line.x1 + dx) / width, (line.y1 + dy) / height
            )
            whole = (x0, y0, x1, y1) == (0, 0, width, height)
            # A crop holds known lines whole; one of them that did not visibly change may still read otherwise now.
            known = whole or _touches(box, region) or any(old.box.iou(box) > 0.3 for old in self.lines)
            if line.confidence >= self.expert.min_confidence and known:
                found.append((line.text, box, line.confidence))
        cleared = region if len(boxes) != 1 or boxes[0] != (0, 0, width, height) else np.ones_like(region)
        begin = float(self.since[region].max())
        self._replace(cleared, found, begin, frame.time)
        self._remember(frame, gray, cleared)

    def _engine(
        self, rgb: Pixels, boxes: list[tuple[int, int, int, int]]
    ) -> list[tuple[Line, tuple[int, int, int, int], tuple[float, float]]]:
        """Reads parts of a picture in one call, laid one below the other; lines come with what brings them back."""
        self.calls += 1
        if len(boxes) == 1:
            x0, y0, x1, y1 = boxes[0]
            self.pixels += (x1 - x0) * (y1 - y0)
            return [(line, boxes[0], (x0, y0)) for line in self.expert.reader(self._paper(rgb[y0:y1, x0:x1], rgb))]
        canvas_width = max(x1 - x0 for x0, _, x1, _ in boxes)
        canvas_height = sum(y1 - y0 + _GAP for _, y0, _, y1 in boxes)
        canvas = np.full((canvas_height, canvas_width, 3), 255, np.uint8)
        self.pixels += canvas_height * canvas_width
        places, top = [], 0
        for x0, y0, x1, y1 in boxes:
            canvas[top : top + y1 - y0, : x1 - x0] = rgb[y0:y1, x0:x1]
            places.append(top)
            top += y1 - y0 + _GAP
        read = []
        for line in self.expert.reader(self._paper(canvas, rgb)):
            middle = (line.y0 + line.y1) / 2
            index = max(i for i, place in enumerate(places) if place <= max(middle, 0))
            x0, y0, _, _ = boxes[index]
            read.append((line, boxes[index], (float(x0), float(y0 - places[index]))))
        return read

    def _paper(self, part: Pixels, frame: Pixels) -> Pixels:
        return _padded(part, frame) if self.expert.enlarges else part

    def _crops(self, region: Mask, height: int, width: int, scale: float) -> list[tuple[int, int, int, int]]:
        """Boxes in pixels around the changed regions, padded, none cutting a known line."""
        step = TILE * scale
        pad = 1.5 * step
        boxes: list[list[float]] = []
        for part in _regions(region):
            rows, columns = np.flatnonzero(part.any(axis=1)), np.flatnonzero(part.any(axis=0))
            boxes.append(
                [
                    columns[0] * step - pad,
                    rows[0] * step - pad,
                    (columns[-1] + 1) * step + pad,
                    (rows[-1] + 1) * step + pad,
                ]
            )
        lines = [
            (line.box.x0 * width, line.box.y0 * height, line.box.x1 * width, line.box.y1 * height)
            for line in self.lines
        ]
        for _ in range(8):
            before = [list(box) for box in boxes]
            for box in boxes:
                for line in lines:
                    if _overlap(box, line):
                        box[:] = [
                            min(box[0], line[0] - 4),
                            min(box[1], line[1] - 4),
                            max(box[2], line[2] + 4),
                            max(box[3], line[3] + 4),
                        ]
            boxes = _merged(boxes)
            if boxes == before:
                break
        cut = [
            (max(0, int(x0)), max(0, int(y0)), min(width, int(np.ceil(x1))), min(height, int(np.ceil(y1))))
            for x0, y0, x1, y1 in boxes
        ]
        return [box for box in sorted(cut, key=lambda b: (b[1], b[0])) if box[2] > box[0] and box[3] > box[1]]

    def _replace(self, region: Mask, found: list[tuple[str, Box, float]], begin: float, now: float) -> None:
        """Lines found in a region take the place of those that stood there; what is unchanged lives on."""
        old: list[_Shown] = []
        kept: list[_Shown] = []
        for line in self.lines:
            replaced = _touches(line.box, region) or any(line.box.iou(box) > 0.3 for _, box, _ in found)
            (old if replaced else kept).append(line)
        for text, box, confidence in sorted(found, key=lambda item: (item[1].y0, item[1].x0, item[0])):
            if any(line.box.iou(box) > 0.5 for line in kept):
                continue
            same = next((line for line in old if line.text == text and line.box.iou(box) > 0.5), None)
            if same is not None:
                old.remove(same)
                same.last = now
                same.confidence = max(same.confidence, confidence)
                kept.append(same)
            else:
                kept.append(_Shown(text, box, begin, now, confidence))
        for line in old:
            # A difference too faint for the tiles may have gone unseen until this read.
            line.last = max(line.t0, min(line.last, self.time))
        self.closed.extend(old)
        self.lines = kept

    def _remember(self, frame: Frame, gray: Pixels, region: Mask) -> None:
        assert self.reference is not None
        pixels = np.kron(region, np.ones((TILE, TILE), np.bool_))[: gray.shape[0], : gray.shape[1]]
        self.reference = np.where(pixels, gray, self.reference)
        self.read_at[region] = frame.time
        self.drawn_at = frame.time
        if tiles(changed_pixels(self.reference, gray)).sum() <= _RETURN_TILES:
            self.small_rgb = frame.rgb(SIDE)
            self.seen.append(_Seen(frame.time, gray, [_Shown(**vars(line)) for line in self.lines]))
            del self.seen[:-_MEMORY]


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


def _touches(box: Box, region: Mask) -> bool:
    rows, columns = region.shape
    # Tiles at the edge may be smaller than the rest; a tile's worth of error there does no harm.
    y0, y1 = int(box.y0 * rows), int(np.ceil(box.y1 * rows))
    x0, x1 = int(box.x0 * columns), int(np.ceil(box.x1 * columns))
    return bool(region[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)].any())


def _regions(mask: Mask) -> list[Mask]:
    """Connected groups of tiles, where a gap within a line of text still connects."""
    wide = cv2.dilate(mask.astype(np.uint8), np.ones((3, 9), np.uint8))
    count, labels = cv2.connectedComponents(wide, connectivity=8)
    return [np.asarray((labels == label) & mask) for label in range(1, count)]


def _overlap(one: Sequence[float], other: Sequence[float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _merged(boxes: list[list[float]]) -> list[list[float]]:
    merged: list[list[float]] = []
    for box in boxes:
        current = list(box)
        while True:
            hit = next((other for other in merged if _overlap(current, other)), None)
            if hit is None:
                break
            merged.remove(hit)
            current = [
                min(current[0], hit[0]),
                min(current[1], hit[1]),
                max(current[2], hit[2]),
                max(current[3], hit[3]),
            ]
        merged.append(current)
    return merged

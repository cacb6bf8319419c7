"""Pictures for a model: frames in full size, and contact sheets of small ones with their times written in."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import cv2
import numpy as np

from schemas.stream import Stream, TrackKind
from sources.discovery import open_recording
from sources.frame import Pixels
from synthesis.backends.chat import Picture
from synthesis.evidence import encode

Moment = tuple[str, float]
"""Stream SHA-256, seconds."""

THUMBNAIL = 192
"""Longer side of a small picture in pixels: enough to see what goes on, a tenth of a frame's tokens."""
_COLUMNS, _ROWS = 4, 3
_BAR = 18
"""Pixels of the strip under a small picture that holds its time."""
ON_A_SHEET = _COLUMNS * _ROWS
SHEET = (_COLUMNS * THUMBNAIL, _ROWS * (THUMBNAIL * 9 // 16 + _BAR))
"""Pixels of a full sheet of wide pictures."""


def has_pictures(stream: Stream) -> bool:
    return stream.has(TrackKind.VIDEO, TrackKind.IMAGES, TrackKind.STROKES)


def frames(streams: Sequence[Stream], moments: Sequence[Moment], side: int) -> list[Picture]:
    """The frame on screen at each moment, longer side at most `side` pixels. In the order of streams and times.

    Raises:
        InputError: a recording cannot be read.
    """
    pictures = []
    for stream, time, pixels in _pixels(streams, moments, side):
        data, suffix = encode(pixels, stream)
        height, width = pixels.shape[:2]
        moments = ((stream.sha256, time),)
        pictures.append(Picture(data, "image/png" if suffix == "png" else "image/jpeg", width, height, moments))
    return pictures


def contact_sheets(streams: Sequence[Stream], moments: Sequence[Moment]) -> list[Picture]:
    """Small pictures of the moments, twelve to a sheet, no two streams on one; each has its time under it.

    Raises:
        InputError: a recording cannot be read.
    """
    sheets = []
    small = _pixels(streams, moments, THUMBNAIL)
    for _, of_stream in groupby(small, key=lambda item: item[0].sha256):
        cells = list(of_stream)
        for first in range(0, len(cells), ON_A_SHEET):
            sheets.append(_sheet(cells[first : first + ON_A_SHEET]))
    return sheets


def _pixels(streams: Sequence[Stream], moments: Sequence[Moment], side: int) -> list[tuple[Stream, float, Pixels]]:
    found = []
    for stream in streams:
        times = sorted({time for sha256, time in moments if sha256 == stream.sha256})
        if not times or not has_pictures(stream):
            continue
        with open_recording(stream) as recording:
            shown = [frame.rgb(side) for frame in recording.frames_at(times)]
        found += [(stream, time, pixels) for time, pixels in zip(times, shown, strict=False)]
    return found


def _sheet(cells: Sequence[tuple[Stream, float, Pixels]]) -> Picture:
    """A grid of small pictures, as wide as its widest one needs."""
    columns = min(_COLUMNS, len(cells))
    rows = -(-len(cells) // columns)
    width = max(pixels.shape[1] for _, _, pixels in cells)
    height = max(pixels.shape[0] for _, _, pixels in cells) + _BAR
    sheet = np.full((rows * height, columns * width, 3), 255, np.uint8)
    for place, (_, time, pixels) in enumerate(cells):
        top, left = place // columns * height, place % columns * width
        sheet[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
        at = (left + 2, top + height - 5)
        cv2.putText(sheet, f"{time:.2f} s", at, cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
    data = cv2.imencode(".jpg", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
    moments = tuple((stream.sha256, time) for stream, time, _ in cells)
    return Picture(data, "image/jpeg", sheet.shape[1], sheet.shape[0], moments)

"""Screens drawn for tests, played as a recording that needs no file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from experts.base import Expert
from experts.ensemble import Ensemble, Stopwatch
from schemas.anchor import FactualAnchor
from schemas.recipe import Sampling
from schemas.segment import cut_segments
from schemas.stream import Domain, Stream, Track, TrackKind
from sources.base import InputEvent, Recording, UIElement, Window
from sources.frame import Frame, Pixels

RATE = 2.0


def picture(
    *lines: tuple[int, int, str],
    size: tuple[int, int] = (450, 900),
    dots: Sequence[tuple[int, int]] = (),
    line: tuple[int, int, int, int] | None = None,
    shade: int = 250,
    boxes: Sequence[tuple[int, int, int, int]] = (),
) -> Pixels:
    """Lines of text at (x, y), then gray boxes, then red marks."""
    image = Image.new("RGB", size, (shade, shade, shade))
    pen = ImageDraw.Draw(image)
    for box in boxes:
        pen.rectangle(box, fill=(120, 140, 160))
    for x, y, text in lines:
        pen.text((x, y), text, fill=(10, 10, 10), font=ImageFont.load_default(22))
    if line is not None:
        pen.line(line, fill=(240, 40, 50), width=4)
        for x, y in (line[:2], line[2:]):
            pen.ellipse((x - 7, y - 7, x + 7, y + 7), fill=(240, 40, 50))
    for x, y in dots:
        pen.ellipse((x - 8, y - 8, x + 8, y + 8), fill=(240, 30, 40))
    return np.asarray(image)


@dataclass
class Shown:
    pixels: Pixels
    time: float
    index: int | None = None

    @property
    def width(self) -> int:
        return self.pixels.shape[1]

    @property
    def height(self) -> int:
        return self.pixels.shape[0]

    def rgb(self, max_side: int | None = None) -> Pixels:
        if max_side is None or max_side >= max(self.width, self.height):
            return self.pixels
        scale = max_side / max(self.width, self.height)
        size = (round(self.width * scale), round(self.height * scale))
        return np.asarray(Image.fromarray(self.pixels).resize(size, Image.Resampling.BOX))

    def gray(self, max_side: int | None = None) -> Pixels:
        return np.asarray(Image.fromarray(self.rgb(max_side)).convert("L"))


class Film(Recording):
    """Pictures at RATE per second, with the side tracks given."""

    def __init__(
        self,
        pictures: Sequence[Pixels] = (),
        events: Sequence[InputEvent] = (),
        elements: Sequence[UIElement] = (),
        windows: Sequence[Window] = (),
    ) -> None:
        self.pictures = pictures
        self._events, self._elements, self._windows = events, elements, windows

    def close(self) -> None:
        return None

    def frames(self, t0: float, t1: float, rate: float | None, include_end: bool = False) -> Iterator[Frame]:
        for index, pixels in enumerate(self.pictures):
            time = index / RATE
            if t0 - 1e-9 <= time < t1 or (include_end and time == t1):
                yield Shown(pixels, time, index)

    def events(self) -> Sequence[InputEvent]:
        return self._events

    def elements(self) -> Sequence[UIElement]:
        return self._elements

    def windows(self) -> Sequence[Window]:
        return self._windows


def measure(expert: Expert, film: Film, duration: float | None = None, segments: float = 300.0) -> list[FactualAnchor]:
    """The joined anchors of a film; `segments` seconds each."""
    seconds = len(film.pictures) / RATE if duration is None else duration
    stream = Stream(
        sha256="b" * 64,
        uri="memory://film",
        name="film",
        domain=Domain.GUI,
        format="video",
        parts=(),
        tracks=(Track(kind=TrackKind.VIDEO, name="video"), Track(kind=TrackKind.EVENTS, name="events")),
        duration=seconds,
    )
    found: list[FactualAnchor] = []
    for segment in cut_segments(stream, segments):
        found += Ensemble([expert], Sampling(frame_rate=RATE))(film, segment, Stopwatch()).anchors[expert.name]
    return expert.join(stream, found)

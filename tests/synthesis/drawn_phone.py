"""Phone sessions drawn for tests: pages with text, taps shown as red dots, cut into fragments as recorders cut them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from experts.base import Expert
from experts.ensemble import Ensemble, Stopwatch
from experts.screen import Screen
from schemas.anchor import AnchorKind, FactualAnchor
from schemas.geometry import Box
from schemas.recipe import Sampling
from schemas.segment import cut_segments
from schemas.stream import Domain, Stream, Track, TrackKind
from sources.base import Recording
from sources.frame import Frame, Pixels

WIDTH, HEIGHT = 450, 900
RATE = 2.0
KEYS = ("q w e r t y u i o p", "a s d f g h j k l", "z x c v b n m")


@dataclass(frozen=True)
class Page:
    """What stands on a screen: lines at (x, y) in pixels, a picture told by a seed, a keyboard or none."""

    lines: tuple[tuple[int, int, str], ...]
    seed: int = 0
    keyboard: bool = False

    def all_lines(self, clock: str | None) -> list[tuple[int, int, str]]:
        lines = list(self.lines)
        if self.keyboard:
            lines += [(30, 640 + 60 * row, keys) for row, keys in enumerate(KEYS)]
        if clock:
            lines.append((14, 8, clock))
        return lines


def page(title: str, *body: str, seed: int = 0, keyboard: bool = False) -> Page:
    lines = [(70, 70, title), *((40, 180 + 56 * row, text) for row, text in enumerate(body))]
    return Page(tuple(lines), seed, keyboard)


@dataclass(frozen=True)
class Shot:
    """A sample of the recording: a page, the clock on it, a tap mark (in pixels) or none."""

    page: Page
    clock: str | None = None
    tap: tuple[int, int] | None = None


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def draw(shot: Shot) -> Pixels:
    """The picture of a sample, (HEIGHT, WIDTH, 3)."""
    image = Image.new("RGB", (WIDTH, HEIGHT), (250, 250, 250))
    pen = ImageDraw.Draw(image)
    random = np.random.default_rng(shot.page.seed)
    if shot.page.seed:
        for _ in range(6):
            x, y = int(random.integers(0, 380)), int(random.integers(420, 600))
            shade = tuple(int(v) for v in random.integers(40, 220, 3))
            pen.rectangle((x, y, x + int(random.integers(40, 140)), y + int(random.integers(20, 60))), fill=shade)
        pen.rectangle((0, 50, WIDTH, 110), fill=tuple(int(v) for v in random.integers(150, 240, 3)))
    for x, y, text in shot.page.all_lines(shot.clock):
        pen.text((x, y), text, fill=(10, 10, 10), font=_font(16 if y < 20 else 22))
    if shot.tap is not None:
        x, y = shot.tap
        pen.ellipse((x - 8, y - 8, x + 8, y + 8), fill=(240, 30, 40))
    return np.asarray(image)


def boxes(shot: Shot) -> list[tuple[str, Box]]:
    found = []
    for x, y, text in shot.page.all_lines(shot.clock):
        left, top, right, bottom = _font(16 if y < 20 else 22).getbbox(text)
        box = Box.clipped((x + left) / WIDTH, (y + top) / HEIGHT, (x + right) / WIDTH, (y + bottom) / HEIGHT)
        found.append((text, box))
    return found


@dataclass
class Picture:
    pixels: Pixels
    time: float
    index: int | None = None
    width: int = WIDTH
    height: int = HEIGHT

    def rgb(self, max_side: int | None = None) -> Pixels:
        if max_side is None or max_side >= max(self.width, self.height):
            return self.pixels
        scale = max_side / max(self.width, self.height)
        size = (round(self.width * scale), round(self.height * scale))
        return np.asarray(Image.fromarray(self.pixels).resize(size, Image.Resampling.BOX))

    def gray(self, max_side: int | None = None) -> Pixels:
        return np.asarray(Image.fromarray(self.rgb(max_side)).convert("L"))


class Film(Recording):
    """A recording of samples at RATE per second."""

    def __init__(self, shots: Sequence[Shot]) -> None:
        self.shots = shots

    def close(self) -> None:
        return None

    def frames(self, t0: float, t1: float, rate: float | None, include_end: bool = False) -> Iterator[Frame]:
        for index, shot in enumerate(self.shots):
            time = index / RATE
            if t0 <= time < t1 or (include_end and time == t1):
                yield Picture(draw(shot), time, index)


@dataclass
class Session:
    """A walk through pages, two samples each: the page, and the page with the mark of the tap that leaves it."""

    shots: list[Shot] = field(default_factory=list)

    def see(self, shown: Page, clock: str | None = None, tap: tuple[int, int] | None = (225, 80)) -> Session:
        self.shots += [Shot(shown, clock), Shot(shown, clock, tap)]
        return self

    def rest(self, shown: Page, clock: str | None = None) -> Session:
        """The last page of a fragment: nothing is done on it any more."""
        return self.see(shown, clock, None)

    def stray(self, shown: Page, clock: str | None = None) -> Session:
        """A single sample of another recording."""
        self.shots.append(Shot(shown, clock))
        return self


def stream_of(name: str, shots: Sequence[Shot]) -> Stream:
    sha = hashlib.sha256(name.encode()).hexdigest()
    track = Track(kind=TrackKind.VIDEO, name="video", width=WIDTH, height=HEIGHT, rate=RATE)
    return Stream(
        sha256=sha,
        uri=f"memory://{name}",
        name=name,
        domain=Domain.GUI,
        format="video",
        parts=(),
        tracks=(track,),
        duration=len(shots) / RATE,
    )


def measure(name: str, session: Session, experts: Sequence[Expert] | None = None) -> tuple[Stream, list[FactualAnchor]]:
    """A stream and its anchors. Without `experts`, text comes as drawn (what a perfect reader would read)."""
    stream = stream_of(name, session.shots)
    chosen = [Screen()] if experts is None else list(experts)
    anchors: list[FactualAnchor] = []
    [segment] = cut_segments(stream, 300.0)
    measured = Ensemble(chosen, Sampling(frame_rate=RATE))(Film(session.shots), segment, Stopwatch())
    for expert in chosen:
        anchors += expert.join(stream, measured.anchors[expert.name])
    if experts is None:
        anchors += _as_drawn(stream, session.shots)
    return stream, sorted(anchors, key=lambda a: (a.t0, a.t1, a.kind, a.content))


def _as_drawn(stream: Stream, shots: Sequence[Shot]) -> list[FactualAnchor]:
    spans: dict[tuple[str, Box], list[list[float]]] = {}
    for index, shot in enumerate(shots):
        time = index / RATE
        for key in boxes(shot):
            runs = spans.setdefault(key, [])
            if runs and time - runs[-1][1] <= 1 / RATE + 1e-6:
                runs[-1][1] = time
            else:
                runs.append([time, time])
    anchors = []
    for (text, box), runs in spans.items():
        for t0, t1 in runs:
            common = {"stream": stream.sha256, "t0": t0, "t1": t1, "box": box, "expert": "ocr", "version": "1"}
            anchors.append(FactualAnchor(kind=AnchorKind.SCREEN_TEXT, content=text, confidence=0.98, **common))
            if box.y0 < 0.03 and ":" in text:
                hour, minute = text.split(":")
                value = float(int(hour) * 60 + int(minute))
                anchors.append(
                    FactualAnchor(kind=AnchorKind.CLOCK, content=text, value=value, confidence=0.98, **common)
                )
    return anchors

"""An AgentNet raw episode of a desktop: a note is opened, titled, scrolled, made larger and saved."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from sources.samples import variety
from sources.samples.drawing import BLACK, WHITE, write
from sources.samples.media import Colour, canvas, write_json, write_jsonl, write_video

_PROGRAMS = (1280, 684)
"""Size of the part of the screen in which windows are; boxes are given within it."""
_BAR = 36
"""Height of the bar below."""
_SHRUNK = 0.75
"""Size of the video to that of the screen."""
_RATE = 10
_DURATION = 16.0
_BLUE: Colour = (38, 98, 190)
_GREY: Colour = (116, 120, 128)

Box = tuple[int, int, int, int]

_DOCUMENTS: Box = (70, 210, 250, 250)
_FILE: Box = (300, 250, 760, 300)
_FIELD: Box = (330, 140, 950, 190)
_TEXT: Box = (330, 220, 950, 500)
_SLIDER: Box = (470, 540, 830, 570)
_SAVE: Box = (840, 600, 950, 650)
_THUMB = (500, 780)
"""Where the thumb of the slider stands before and after the drag."""

_OPENED, _WROTE, _SCROLLED, _DRAGGED, _SAVED = 4.0, 6.6, 9.4, 11.4, 14.0
_KEY = 0.15
"""Seconds from one key to the next."""
_NOTCH = 0.2
"""Seconds from one notch of the wheel to the next."""
_NOTCHES = 4


@dataclass(frozen=True)
class _Element:
    name: str
    role: str
    box: Box


_FILES = (
    _Element("Documents", "ListItemControl", _DOCUMENTS),
    _Element("Pictures", "ListItemControl", (70, 260, 250, 300)),
)
_EDITOR = (
    _Element("Title", "EditControl", _FIELD),
    _Element("Content", "DocumentControl", _TEXT),
    _Element("Text size", "SliderControl", _SLIDER),
    _Element("Save", "ButtonControl", _SAVE),
)


_LINES = (
    "Monday: meet the team",
    "Tuesday: write the draft",
    "Wednesday: check the numbers",
    "Thursday: ask for comments",
    "Friday: send the report",
    "Saturday: rest",
    "Sunday: walk by the lake",
    "Next week: start again",
    "The end of this page",
)


@dataclass(frozen=True)
class _Desk:
    """A screen, where on it the windows are, in pixels, and what is behind them."""

    size: tuple[int, int] = (1280, 720)
    corner: tuple[int, int] = (0, 0)
    colour: Colour = (54, 96, 128)

    @classmethod
    def of(cls, seed: int) -> _Desk:
        if seed == 0:
            return cls()
        rng = np.random.default_rng([seed, 19])
        width, height = 1600, 880
        left, top = rng.integers(width - _PROGRAMS[0] + 1), rng.integers(height - _BAR - _PROGRAMS[1] + 1)
        red, green, blue = (int(value) for value in rng.integers(20, 160, 3))
        return cls((width, height), (int(left), int(top)), (red, green, blue))

    def place(self, x: int, y: int) -> tuple[int, int]:
        """A point on the screen, of one within the part for windows."""
        return x + self.corner[0], y + self.corner[1]


@dataclass(frozen=True)
class _Story:
    """The note that is opened, the one beside it, when each was changed, the new title, and what the note says."""

    file: str = "report.txt"
    other: str = "budget.txt"
    days: tuple[str, str] = ("12 May", "3 April")
    title: str = "weekly plan"
    lines: tuple[str, ...] = _LINES

    @classmethod
    def of(cls, seed: int) -> _Story:
        if seed == 0:
            return cls()
        rng = np.random.default_rng([seed, 17])
        file, other, title = variety.some_of(rng, variety.NAMES, 3)
        months = variety.some_of(rng, ("January", "March", "May", "June", "August", "October"), 2)
        first, second = (f"{int(rng.integers(1, 29))} {month}" for month in months)
        said = tuple(line.rstrip(".").partition(", ")[2].capitalize() for line in variety.steps(rng, len(_LINES)))
        days = tuple(line.partition(":")[0] for line in _LINES[:-1])
        lines = (*(f"{day}: {text}" for day, text in zip(days, said, strict=False)), _LINES[-1])
        return cls(
            f"{file}.txt", f"{other}.txt", (first, second), f"{title} {variety.one_of(rng, variety.KINDS)}", lines
        )

    @property
    def listed(self) -> tuple[_Element, _Element]:
        return (
            _Element(self.file, "ListItemControl", _FILE),
            _Element(self.other, "ListItemControl", (300, 310, 760, 360)),
        )


def make(root: Path, seed: int) -> dict[str, Any]:
    """Writes the episode with its video and logs into `root`, and gives the actions a person would name."""
    rng = np.random.default_rng([seed, 7])
    story, desk = _Story.of(seed), _Desk.of(seed)
    start = round(float(rng.uniform(1000, 9000)), 4)
    log = _Log(start, rng, desk)
    log.click(1.6, _DOCUMENTS)
    log.click(3.6, _FILE)
    log.click(3.78, _FILE)
    log.click(5.6, _FIELD)
    for number, letter in enumerate(story.title):
        log.key(_WROTE + number * _KEY, letter)
    log.move(9.1, *_middle(_TEXT))
    for notch in range(_NOTCHES):
        log.scroll(_SCROLLED + notch * _NOTCH, *_middle(_TEXT))
    y = _middle(_SLIDER)[1]
    log.drag(_DRAGGED, (_THUMB[0], y), _DRAGGED + 1.0, (_THUMB[1], y))
    log.click(_SAVED, _SAVE)
    root.mkdir(parents=True, exist_ok=True)
    write_video(root / "screen.mp4", _frames(log.path, story, desk), _RATE)
    metadata = {
        "system": "Drawn",
        "screen_width": desk.size[0],
        "screen_height": desk.size[1],
        "scroll_direction": -1,
        "video_start_timestamp": start,
    }
    write_json(root / "metadata.json", metadata)
    task = f"Open {story.file}, give it the title '{story.title}', make the text larger and save it"
    write_json(root / "task_name.json", {"task_name": task, "description": ""})
    rows = sorted(log.rows, key=lambda row: float(row["time_stamp"]))
    write_jsonl(root / "events.jsonl", [row | {"event_idx": number} for number, row in enumerate(rows)])
    clicked = (
        (1.6, _FILES[0]),
        (3.6, story.listed[0]),
        (5.6, _EDITOR[0]),
        (_DRAGGED, _EDITOR[2]),
        (_SAVED, _EDITOR[3]),
    )
    write_jsonl(
        root / "element.jsonl",
        [{"time_stamp": round(start + t - 0.01, 4), "a11y_tree": _node(one, 0, desk)} for t, one in clicked],
    )
    trees = ((0.2, _FILES), (2.2, (*_FILES, *story.listed)), (4.4, _EDITOR), (12.8, _EDITOR))
    write_jsonl(
        root / "a11y.jsonl",
        [{"time_stamp": round(start + t, 4), "axtree": _window(t, elements, story, desk)} for t, elements in trees],
    )
    windows = ((0.1, "files"), (_OPENED, "editor"))
    write_jsonl(
        root / "top_window.jsonl",
        [{"time_stamp": round(start + t, 4), "top_window_name": name} for t, name in windows],
    )
    actions = [
        {"time": 1.6, "action": "click", "target": "Documents"},
        {"time": 3.6, "action": "double_click", "target": story.file},
        {"time": 5.6, "action": "click", "target": "Title"},
        {"time": _WROTE, "action": "type", "text": story.title},
        {"time": _SCROLLED, "action": "scroll", "notches": _NOTCHES, "target": "Content"},
        {"time": _DRAGGED, "action": "drag", "target": "Text size"},
        {"time": _SAVED, "action": "click", "target": "Save"},
    ]
    return {"duration": _DURATION, "task": task, "actions": actions}


def _middle(box: Box) -> tuple[int, int]:
    return (box[0] + box[2]) // 2, (box[1] + box[3]) // 2


def _node(element: _Element, depth: int, desk: _Desk) -> dict[str, Any]:
    left, top = desk.place(*element.box[:2])
    right, bottom = desk.place(*element.box[2:])
    rectangle = {"left": left, "top": top, "right": right, "bottom": bottom}
    return {
        "Name": element.name,
        "ControlType": element.role,
        "BoundingRectangle": rectangle,
        "Depth": depth,
        "Children": [],
    }


def _window(time: float, elements: Sequence[_Element], story: _Story, desk: _Desk) -> dict[str, Any]:
    frame = _Element("Files", "WindowControl", (50, 60, 1230, 660))
    if time >= _OPENED:
        frame = _Element(story.file, "WindowControl", (290, 60, 990, 680))
    return _node(frame, 0, desk) | {"Children": [_node(element, 1, desk) for element in elements]}


class _Log:
    """The mouse and key log as it is written, and the pointer's path (seconds, x, y) for the picture."""

    def __init__(self, start: float, rng: np.random.Generator, desk: _Desk) -> None:
        self.rows: list[dict[str, Any]] = []
        self.path: list[tuple[float, int, int]] = [(0.0, 1100, 640)]
        self._start = start
        self._rng = rng
        self._desk = desk

    def move(self, time: float, x: int, y: int, seconds: float = 0.6) -> None:
        """Moves that reach (x, y) at `time`."""
        _, x0, y0 = self.path[-1]
        for step in range(1, 31):
            share = step / 30
            soft = share * share * (3 - 2 * share)
            shake = self._rng.integers(-1, 2, 2) if step < 30 else (0, 0)
            point = round(x0 + (x - x0) * soft) + int(shake[0]), round(y0 + (y - y0) * soft) + int(shake[1])
            self._move(time - seconds * (1 - share), *point)

    def click(self, time: float, box: Box) -> None:
        x, y = _middle(box)
        if self.path[-1][1:] != (x, y):
            self.move(time - 0.1, x, y)
        self._button(time, x, y, True)
        self._button(time + 0.08, x, y, False)

    def drag(self, time: float, begin: tuple[int, int], until: float, end: tuple[int, int]) -> None:
        self.move(time - 0.1, *begin)
        self._button(time, *begin, True)
        self.move(until - 0.05, *end, seconds=until - time - 0.15)
        self._button(until, *end, False)

    def scroll(self, time: float, x: int, y: int) -> None:
        self._at(time, "scroll", x, y, dx=0, dy=-1)

    def key(self, time: float, letter: str) -> None:
        name, code = ("space", "Key.space") if letter == " " else (letter, f"'{letter}'")
        self._add(time, action="press", name=name, pynput_key=code)
        self._add(time + 0.06, action="release", name=name, pynput_key=code)

    def _move(self, time: float, x: int, y: int) -> None:
        self.path.append((time, x, y))
        self._at(time, "move", x, y)

    def _button(self, time: float, x: int, y: int, pressed: bool) -> None:
        self._at(time, "click", x, y, button="left", pressed=pressed)

    def _at(self, time: float, action: str, x: int, y: int, **row: Any) -> None:
        across, down = self._desk.place(x, y)
        self._add(time, action=action, x=across, y=down, **row)

    def _add(self, time: float, **row: Any) -> None:
        self.rows.append({"time_stamp": round(self._start + time, 4), **row})


def _frames(path: Sequence[tuple[float, int, int]], story: _Story, desk: _Desk) -> Iterator[Image.Image]:
    width, height = desk.size
    video = round(_SHRUNK * width), round(_SHRUNK * height)
    times = np.array([time for time, _, _ in path])
    for index in range(round(_DURATION * _RATE)):
        time = index / _RATE
        programs, draw = canvas(_PROGRAMS, desk.colour)
        # What an input changes is on the screen a tenth of a second later.
        _draw(programs, draw, time - 0.1, path, story)
        image, draw = canvas(desk.size, desk.colour)
        image.paste(programs, desk.corner)
        draw.rectangle((0, height - _BAR, width, height), fill=(30, 40, 54))
        write(draw, (24, height - _BAR // 2), "Start", 20, WHITE)
        x, y = desk.place(*path[int(np.searchsorted(times, time, side="right")) - 1][1:])
        arrow = [(0, 0), (0, 24), (6, 18), (10, 27), (14, 25), (10, 17), (18, 17)]
        draw.polygon([(x + dx, y + dy) for dx, dy in arrow], fill=WHITE, outline=BLACK)
        yield image.resize(video, Image.Resampling.LANCZOS)


def _draw(
    image: Image.Image,
    draw: ImageDraw.ImageDraw,
    time: float,
    path: Sequence[tuple[float, int, int]],
    story: _Story,
) -> None:
    if time < 3.86:
        _draw_files(draw, story, documents=time >= 1.68)
    else:
        _draw_editor(image, draw, time, path, story)


def _draw_files(draw: ImageDraw.ImageDraw, story: _Story, documents: bool) -> None:
    draw.rectangle((50, 60, 1230, 660), fill=WHITE)
    draw.rectangle((50, 60, 1230, 110), fill=(226, 230, 236))
    write(draw, (76, 86), "Files", 24)
    draw.rectangle((50, 110, 264, 660), fill=(244, 246, 249))
    if documents:
        draw.rectangle(_DOCUMENTS, fill=(206, 222, 246))
    for element in _FILES:
        write(draw, (86, _middle(element.box)[1]), element.name, 22)
    write(draw, (300, 160), "Documents" if documents else "Home", 28)
    if not documents:
        write(draw, (300, 220), "Choose a folder on the left", 22, _GREY)
        return
    write(draw, (300, 214), "Name", 19, _GREY)
    write(draw, (640, 214), "Changed", 19, _GREY)
    for element, day in zip(story.listed, story.days, strict=True):
        y = _middle(element.box)[1]
        draw.line([(300, element.box[3]), (1200, element.box[3])], fill=(228, 230, 234), width=2)
        write(draw, (310, y), element.name, 24)
        write(draw, (640, y), day, 22, _GREY)


def _draw_editor(
    image: Image.Image,
    draw: ImageDraw.ImageDraw,
    time: float,
    path: Sequence[tuple[float, int, int]],
    story: _Story,
) -> None:
    _draw_files(draw, story, documents=True)
    draw.rectangle((290, 60, 990, 680), fill=WHITE, outline=_GREY, width=3)
    draw.rectangle((293, 63, 987, 112), fill=_BLUE)
    write(draw, (316, 88), story.file, 24, WHITE)
    focused = time >= 5.68
    draw.rectangle(_FIELD, fill=WHITE, outline=_BLUE if focused else (180, 184, 190), width=3)
    typed = sum(time >= _WROTE + number * _KEY for number in range(len(story.title)))
    write(draw, (346, 165), story.title[:typed] or "Title", 26, BLACK if typed else _GREY)
    thumb = _THUMB[0]
    if time >= _DRAGGED:
        dragged = [x for t, x, _ in path if _DRAGGED <= t <= min(time, _DRAGGED + 1.0)]
        thumb = min(max(dragged[-1] if dragged else thumb, _THUMB[0]), _THUMB[1])
    size = 24 if thumb < 760 else 32
    notches = sum(time >= _SCROLLED + notch * _NOTCH for notch in range(_NOTCHES))
    text = Image.new("RGB", (_TEXT[2] - _TEXT[0], _TEXT[3] - _TEXT[1]), (248, 249, 251))
    pen = ImageDraw.Draw(text)
    for row, line in enumerate(story.lines):
        write(pen, (18, 34 + round(1.9 * size) * row - 42 * notches), line, size)
    image.paste(text, _TEXT[:2])
    draw.rectangle(_TEXT, outline=(180, 184, 190), width=2)
    write(draw, (336, 555), "Text size", 22)
    draw.line([(_SLIDER[0], 555), (_SLIDER[2], 555)], fill=(180, 184, 190), width=6)
    draw.rectangle((thumb - 9, 540, thumb + 9, 570), fill=_BLUE)
    draw.rounded_rectangle(_SAVE, 8, fill=_BLUE)
    write(draw, (895, 625), "Save", 24, WHITE, "mm")
    if time >= _SAVED + 0.08:
        write(draw, (336, 625), "All changes saved", 24, (24, 128, 60))

"""Screens: fragments of a session on a phone that belong together, one that does not, and a desktop with its log."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sources.samples.media import Colour, canvas, font, write_json, write_jsonl, write_video

RATE = 2
PHONE = (360, 800)
MARK: Colour = (255, 0, 0)


@dataclass(frozen=True)
class Screen:
    """A screen of the phone: title, rows below it, and the row (or -1: the title) that is tapped to leave it."""

    clock: str
    title: str
    rows: tuple[str, ...]
    tapped: int | None
    colour: Colour = (30, 90, 160)


SHOP: Colour = (200, 90, 20)
TASK = "Buy a tea kettle"
SESSION: dict[str, Sequence[Screen]] = {
    # The order of the letters is not the order of the session.
    "b": (
        Screen("9:41", "Home", ("Mail", "Teashop", "Camera", "Music"), 1),
        Screen("9:41", "Teashop", ("Search", "Offers", "My account"), 0, SHOP),
        Screen("9:42", "Search: tea kettle", ("Steel kettle 24.90", "Glass kettle 31.50", "Travel kettle"), None, SHOP),
    ),
    "c": (
        Screen("9:42", "Search: tea kettle", ("Steel kettle 24.90", "Glass kettle 31.50", "Travel kettle"), 1, SHOP),
        Screen("9:43", "Glass kettle 31.50", ("1.7 litres", "In stock", "Add to cart"), 2, SHOP),
        Screen("9:43", "Added to cart", ("Glass kettle 31.50", "Go to cart"), None, SHOP),
    ),
    "a": (
        Screen("9:43", "Added to cart", ("Glass kettle 31.50", "Go to cart"), 1, SHOP),
        Screen("9:44", "Cart", ("Glass kettle 31.50", "Delivery free", "Pay now"), 2, SHOP),
        Screen("9:45", "Thank you", ("Order 20417 is on its way",), None, SHOP),
    ),
    "d": (
        Screen("17:20", "Clock", ("Alarm", "Timer", "Stopwatch"), 0, (70, 40, 110)),
        Screen("17:20", "Alarm", ("6:30 every day", "New alarm"), 1, (70, 40, 110)),
        Screen("17:21", "New alarm", ("7:15 tomorrow", "Save"), None, (70, 40, 110)),
    ),
}
ORDER = ["b", "c", "a"]

DESKTOP = (1280, 800)
DESKTOP_RATE = 10
NOTE = "buy tea"


def make(folder: Path, seed: int) -> list[Path]:
    made = []
    fragments = folder / "fragments"
    fragments.mkdir(exist_ok=True)
    for letter, screens in SESSION.items():
        path = fragments / f"fragment-{letter}.mp4"
        write_video(path, _clip(screens), RATE)
        made.append(path)
    write_json(
        fragments / "truth.json",
        {
            "task": TASK,
            "order": [f"fragment-{letter}" for letter in ORDER],
            "foreign": ["fragment-d"],
            "clocks": {f"fragment-{letter}": [screen.clock for screen in s] for letter, s in SESSION.items()},
        },
    )
    made.append(_episode(folder / "notes_episode", seed))
    return made


def _clip(screens: Sequence[Screen]) -> Iterator[Image.Image]:
    """Each screen stands for a second; the last half of the next one shows where it is tapped."""
    for screen in screens:
        yield _phone(screen)
        yield _phone(screen)
        if screen.tapped is not None:
            yield _phone(screen, mark=True)
    yield _phone(screens[-1])


def _phone(screen: Screen, mark: bool = False) -> Image.Image:
    picture, pen = canvas(PHONE, (250, 250, 250))
    pen.text((14, 6), screen.clock, (20, 20, 20), font(20))
    pen.rectangle((0, 34, PHONE[0], 104), screen.colour)
    pen.text((16, 54), screen.title, (255, 255, 255), font(26))
    for number, row in enumerate(screen.rows):
        top = 130 + 90 * number
        pen.rectangle((12, top, PHONE[0] - 12, top + 70), (255, 255, 255), (200, 200, 200))
        pen.text((28, top + 20), row, (30, 30, 30), font(24))
    if mark and screen.tapped is not None:
        x, y = PHONE[0] - 70, 165 + 90 * screen.tapped
        pen.ellipse((x - 6, y - 6, x + 6, y + 6), MARK)
    return picture


# --- a desktop episode with its log ---------------------------------------------------------------------------------

_BUTTONS = {"New note": (60, 90, 260, 140), "Save": (300, 90, 420, 140)}
_PAGE = (60, 180, 1220, 700)


def _episode(folder: Path, seed: int) -> Path:
    """A window with two buttons and a page: new note, typed text, a scroll, save. The clock starts anywhere."""
    folder.mkdir(exist_ok=True)
    start = 1000.0 + float(np.random.default_rng([seed, 3]).integers(0, 5000))
    stamps = {"new": 2.0, "page": 4.0, "type": 5.0, "scroll": 8.0, "save": 10.5}
    events: list[dict[str, Any]] = []

    def log(time: float, action: str, **values: Any) -> None:
        stamp = round(start + time, 4)
        events.append({"time_stamp": stamp, "action": action, **values, "event_idx": len(events)})

    def move(begin: float, end: float, source: tuple[int, int], target: tuple[int, int]) -> None:
        for step in range(11):
            x, y = (round(a + (b - a) * step / 10) for a, b in zip(source, target, strict=True))
            log(begin + (end - begin) * step / 10, "move", x=x, y=y)

    def click(time: float, at: tuple[int, int]) -> None:
        log(time, "click", x=at[0], y=at[1], button="left", pressed=True)
        log(time + 0.1, "click", x=at[0], y=at[1], button="left", pressed=False)

    new, save = (_centre(_BUTTONS[name]) for name in ("New note", "Save"))
    page = _centre(_PAGE)
    move(1.0, 1.8, (900, 600), new)
    click(stamps["new"], new)
    move(3.0, 3.8, new, page)
    click(stamps["page"], page)
    for index, letter in enumerate(NOTE):
        name = "space" if letter == " " else letter
        log(stamps["type"] + 0.25 * index, "press", name=name, pynput_key=f"'{letter}'")
        log(stamps["type"] + 0.25 * index + 0.08, "release", name=name, pynput_key=f"'{letter}'")
    for turn in range(3):
        log(stamps["scroll"] + 0.2 * turn, "scroll", x=page[0], y=page[1], dx=0, dy=-1)
    move(9.4, 10.2, page, save)
    click(stamps["save"], save)

    clicks = [("new", "New note", _BUTTONS["New note"]), ("page", "Page", _PAGE), ("save", "Save", _BUTTONS["Save"])]
    write_jsonl(folder / "events.jsonl", events)
    write_jsonl(
        folder / "element.jsonl",
        ({"time_stamp": start + stamps[key], "a11y_tree": _node(name, box)} for key, name, box in clicks),
    )
    write_jsonl(
        folder / "a11y.jsonl",
        [{"time_stamp": start + 0.5, "axtree": _node("Notes", (0, 0, *DESKTOP), "WindowControl", list(_BUTTONS))}],
    )
    write_jsonl(
        folder / "top_window.jsonl",
        [{"time_stamp": start - 0.2, "top_window_name": "Notes"}],
    )
    write_json(
        folder / "metadata.json",
        {
            "system": "Windows",
            "screen_width": DESKTOP[0],
            "screen_height": DESKTOP[1],
            "scroll_direction": -1,
            "video_start_timestamp": start,
        },
    )
    write_json(folder / "task_name.json", {"task_name": f"Write the note '{NOTE}' and save it", "description": ""})
    write_video(folder / "screen.mp4", _desktop(stamps), DESKTOP_RATE)
    write_json(
        folder / "truth.json",
        {
            "actions": [
                {"time": 2.0, "kind": "click", "target": "New note"},
                {"time": 4.0, "kind": "click", "target": "Page"},
                {"time": 5.0, "kind": "type", "text": NOTE},
                {"time": 8.0, "kind": "scroll", "direction": "down", "turns": 3},
                {"time": 10.5, "kind": "click", "target": "Save"},
            ]
        },
    )
    return folder


def _desktop(stamps: dict[str, float]) -> Iterator[Image.Image]:
    """The screen at half its size, as recorders do it. It answers 0.2 s after an action."""
    for index in range(13 * DESKTOP_RATE):
        time = index / DESKTOP_RATE - 0.2
        picture, pen = canvas(DESKTOP, (235, 238, 242))
        pen.rectangle((0, 0, DESKTOP[0], 60), (40, 60, 90))
        saved = " - saved" if time >= stamps["save"] else ""
        pen.text((24, 12), f"Notes{saved}", (255, 255, 255), font(34))
        for name, box in _BUTTONS.items():
            pen.rectangle(box, (255, 255, 255), (90, 100, 120), 2)
            pen.text((box[0] + 18, box[1] + 8), name, (20, 20, 20), font(32))
        if time >= stamps["new"]:
            pen.rectangle(_PAGE, (255, 255, 255), (90, 100, 120), 2)
            typed = sum(time >= stamps["type"] + 0.25 * n for n in range(len(NOTE)))
            turns = sum(time >= stamps["scroll"] + 0.2 * n for n in range(3))
            pen.text((100, 220 - 20 * turns), "Untitled", (120, 120, 120), font(40))
            pen.text((100, 300 - 20 * turns), NOTE[:typed], (10, 10, 10), font(44))
        yield picture.resize((DESKTOP[0] // 2, DESKTOP[1] // 2), Image.Resampling.LANCZOS)


def _centre(box: tuple[int, int, int, int]) -> tuple[int, int]:
    return (box[0] + box[2]) // 2, (box[1] + box[3]) // 2


def _node(name: str, box: Sequence[int], role: str = "ButtonControl", children: Sequence[str] = ()) -> dict[str, Any]:
    return {
        "Name": name,
        "ControlType": role,
        "BoundingRectangle": dict(zip(("left", "top", "right", "bottom"), box, strict=True)),
        "Depth": 0,
        "Children": [_node(child, _BUTTONS[child]) for child in children],
    }

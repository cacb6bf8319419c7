"""A phone session: a lamp is searched, chosen and put into the cart. Three fragments, and one of another app."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from sources.samples.drawing import BLACK, WHITE, write
from sources.samples.media import Colour, canvas, write_video

_SIZE = (360, 800)
_RATE = 2
_GREY: Colour = (120, 124, 132)
_LINE: Colour = (218, 220, 226)
_LEAF: Colour = (24, 128, 92)
_RED: Colour = (232, 24, 24)
_HOLD = 4
"""Samples that a screen stands before it is touched."""

Point = tuple[int, int]
Screen = Callable[[ImageDraw.ImageDraw], None]

ITEMS = (
    ("Desk lamp Aurora", "$24.90", (236, 190, 60)),
    ("Clip lamp Mini", "$11.50", (90, 140, 210)),
    ("Floor lamp Birch", "$58.00", (190, 140, 96)),
    ("Desk lamp Nordic", "$39.00", (96, 110, 128)),
    ("Reading lamp Owl", "$27.30", (160, 96, 180)),
    ("Night light Moon", "$8.75", (240, 220, 150)),
)
_BOUGHT = 3


@dataclass(frozen=True)
class _Shot:
    """A screen that stands for some samples; then a tap, a swipe (two points), or nothing before the next one."""

    screen: Screen
    clock: str
    hold: int = _HOLD
    tap: Point | None = None
    swipe: tuple[Point, Point] | None = None
    target: str = ""
    action: str = ""


def make(folder: Path, seed: int) -> dict[str, Any]:
    """Writes four fragments at 2 fps. Gives their right order, the one that does not belong, and every step."""
    minute = int(np.random.default_rng([seed, 6]).integers(5, 40))

    def at(passed: int) -> str:
        return f"9:{minute + passed:02d}"

    launch = _Shot(_launcher, at(0), tap=(90, 210), target="Leaf Market", action="tap")
    home = _Shot(_home, at(0), tap=(180, 128), target="Search Leaf Market", action="tap")
    typing = [_Shot(_search(text), at(1), 1) for text in ("d", "de", "desk", "desk l", "desk la")]
    typed = _Shot(_search("desk lamp"), at(1), tap=(326, 730), target="search key", action="tap")
    results = _Shot(_results(0), at(2), swipe=((180, 640), (180, 300)), action="swipe")
    moved = _Shot(_results(170), at(2), 1)
    lower = _Shot(_results(340), at(2), tap=(196, 296), target=ITEMS[_BOUGHT][0], action="tap")
    item = _Shot(_item(0), at(3), tap=(180, 728), target="Add to cart", action="tap")
    added = _Shot(_item(1), at(3), tap=(330, 74), target="cart", action="tap")
    cart = _Shot(_cart, at(4), tap=(180, 728), target="Go to checkout", action="tap")
    done = _Shot(_ordered, at(5))
    note = _Shot(_notes, "17:42", tap=(308, 728), target="new note", action="tap")
    written = [_Shot(_note(text), "17:43", 2) for text in ("", "Call", "Call Anna", "Call Anna on Friday")]
    ends = _Shot(typed.screen, at(1)), _Shot(item.screen, at(3))
    fragments: dict[str, Sequence[_Shot]] = {
        "fragment-1.mp4": (item, added, cart, done),
        "fragment-2.mp4": (launch, home, _Shot(_search(""), at(1), 2), *typing, ends[0]),
        "fragment-3.mp4": (typed, results, moved, lower, ends[1]),
        "fragment-4.mp4": (note, *written),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, shots in fragments.items():
        write_video(folder / name, _frames(shots), _RATE)
    order = ["fragment-2.mp4", "fragment-3.mp4", "fragment-1.mp4"]
    return {
        "order": order,
        "discarded": ["fragment-4.mp4"],
        "task": f"Search for a desk lamp in Leaf Market and order {ITEMS[_BOUGHT][0]}",
        "typed": "desk lamp",
        "steps": {name: _steps(shots) for name, shots in fragments.items()},
    }


def _steps(shots: Sequence[_Shot]) -> list[dict[str, Any]]:
    """Time of each mark in seconds, and where it lies in shares of the screen."""
    found: list[dict[str, Any]] = []
    count = 0
    for shot in shots:
        count += shot.hold
        marks = [shot.tap] if shot.tap else list(shot.swipe or ())
        if marks:
            points = [[round(x / _SIZE[0], 4), round(y / _SIZE[1], 4)] for x, y in marks]
            step: dict[str, Any] = {"time": count / _RATE, "action": shot.action, "point": points[0]}
            found.append(step | ({"end_point": points[1]} if len(points) > 1 else {"target": shot.target}))
            count += 1
    return found


def _frames(shots: Sequence[_Shot]) -> Iterator[Image.Image]:
    for shot in shots:
        image, draw = canvas(_SIZE, WHITE)
        shot.screen(draw)
        _status_bar(draw, shot.clock)
        yield from [image] * shot.hold
        if shot.tap or shot.swipe:
            marked = image.copy()
            pen = ImageDraw.Draw(marked)
            if shot.tap:
                x, y = shot.tap
                pen.ellipse((x - 11, y - 11, x + 11, y + 11), fill=_RED)
            elif shot.swipe:
                pen.line(shot.swipe, fill=_RED, width=7)
            yield marked


def _status_bar(draw: ImageDraw.ImageDraw, clock: str) -> None:
    draw.rectangle((0, 0, 360, 30), fill=WHITE)
    write(draw, (16, 16), clock, 17)
    for bar in range(4):
        draw.rectangle((286 + 6 * bar, 22 - 4 * bar, 289 + 6 * bar, 24), fill=BLACK)
    draw.rounded_rectangle((318, 8, 344, 24), 3, outline=BLACK, width=2)
    draw.rectangle((321, 11, 337, 21), fill=BLACK)


def _button(draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int], text: str, colour: Colour = _LEAF) -> None:
    draw.rounded_rectangle(box, 14, fill=colour)
    write(draw, ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2), text, 20, WHITE, "mm")


def _lamp(draw: ImageDraw.ImageDraw, x: float, y: float, size: float, colour: Colour) -> None:
    draw.polygon([(x - 0.3 * size, y), (x + 0.3 * size, y), (x + 0.16 * size, y - 0.4 * size),
                  (x - 0.16 * size, y - 0.4 * size)], fill=colour)  # fmt: skip
    draw.line([(x, y), (x, y + 0.42 * size)], fill=(70, 72, 80), width=max(3, round(size / 16)))
    draw.rectangle((x - 0.22 * size, y + 0.42 * size, x + 0.22 * size, y + 0.5 * size), fill=(70, 72, 80))


def _cart_sign(draw: ImageDraw.ImageDraw, count: int) -> None:
    draw.line([(312, 62), (319, 62), (325, 84), (344, 84), (349, 68), (321, 68)], fill=BLACK, width=3)
    draw.ellipse((324, 87, 330, 93), fill=BLACK)
    draw.ellipse((338, 87, 344, 93), fill=BLACK)
    if count:
        draw.ellipse((334, 44, 354, 64), fill=(240, 130, 20))
        write(draw, (344, 54), str(count), 14, WHITE, "mm")


def _launcher(draw: ImageDraw.ImageDraw) -> None:
    draw.rectangle((0, 0, 360, 800), fill=(206, 222, 240))
    draw.ellipse((-120, 460, 300, 980), fill=(168, 196, 226))
    names = (("Leaf Market", _LEAF), ("Photos", (230, 150, 40)), ("Maps", (60, 120, 220)), ("Weather", (80, 170, 220)))
    for place, (name, colour) in enumerate(names):
        x, y = 90 + 180 * (place % 2), 210 + 170 * (place // 2)
        draw.rounded_rectangle((x - 38, y - 38, x + 38, y + 38), 18, fill=colour)
        write(draw, (x, y), name[0], 36, WHITE, "mm")
        write(draw, (x, y + 58), name, 18, BLACK, "mm")


def _home(draw: ImageDraw.ImageDraw) -> None:
    write(draw, (20, 76), "Leaf Market", 28, _LEAF)
    _cart_sign(draw, 0)
    draw.rounded_rectangle((16, 104, 344, 152), 22, fill=(238, 240, 244))
    write(draw, (52, 128), "Search Leaf Market", 19, _GREY)
    draw.ellipse((28, 119, 42, 133), outline=_GREY, width=3)
    draw.rounded_rectangle((16, 176, 344, 330), 16, fill=_LEAF)
    write(draw, (36, 226), "Spring sale", 32, WHITE)
    write(draw, (36, 272), "Up to 40% off for your garden", 18, WHITE)
    write(draw, (20, 366), "Popular now", 22)
    for place, (name, colour) in enumerate((("Tea pot", (200, 60, 60)), ("Blanket", (80, 120, 190)))):
        x = 16 + 168 * place
        draw.rounded_rectangle((x, 392, x + 158, 560), 12, fill=(240, 242, 245))
        draw.ellipse((x + 44, 424, x + 114, 494), fill=colour)
        write(draw, (x + 14, 532), name, 19)
    _tabs(draw)


def _tabs(draw: ImageDraw.ImageDraw) -> None:
    draw.line([(0, 744), (360, 744)], fill=_LINE, width=2)
    for place, name in enumerate(("Home", "Deals", "Orders", "Account")):
        write(draw, (45 + 90 * place, 770), name, 17, _LEAF if place == 0 else _GREY, "mm")


def _search(text: str) -> Screen:
    def screen(draw: ImageDraw.ImageDraw) -> None:
        draw.rounded_rectangle((16, 50, 344, 98), 22, outline=_LEAF, width=3)
        write(draw, (36, 74), text or "Search Leaf Market", 21, BLACK if text else _GREY)
        write(draw, (20, 136), "Recent searches", 18, _GREY)
        for row, name in enumerate(("garden hose", "tea pot", "wool blanket")):
            write(draw, (36, 180 + 46 * row), name, 20)
        _keyboard(draw)

    return screen


def _keyboard(draw: ImageDraw.ImageDraw) -> None:
    draw.rectangle((0, 540, 360, 800), fill=(222, 225, 232))
    for row, letters in enumerate(("qwertyuiop", "asdfghjkl", "zxcvbnm")):
        left = (360 - 35 * len(letters)) / 2
        for place, letter in enumerate(letters):
            x, y = left + 35 * place, 552 + 52 * row
            draw.rounded_rectangle((x + 2, y, x + 33, y + 44), 6, fill=WHITE)
            write(draw, (x + 17.5, y + 21), letter, 20, BLACK, "mm")
    draw.rounded_rectangle((70, 708, 290, 752), 6, fill=WHITE)
    _button(draw, (300, 708, 352, 752), "Go")


def _results(offset: int) -> Screen:
    def screen(draw: ImageDraw.ImageDraw) -> None:
        for row, (name, price, colour) in enumerate(ITEMS):
            y = 120 + 170 * row - offset
            draw.rounded_rectangle((16, y, 344, y + 156), 12, fill=(243, 244, 247))
            _lamp(draw, 72, y + 76, 96, colour)
            write(draw, (134, y + 40), name, 21)
            write(draw, (134, y + 78), price, 22, _LEAF)
            write(draw, (134, y + 116), f"{4 + row % 2}.{(7 * row + 3) % 10} stars", 17, _GREY)
        draw.rectangle((0, 30, 360, 112), fill=WHITE)
        draw.rounded_rectangle((16, 50, 296, 98), 22, fill=(238, 240, 244))
        write(draw, (36, 74), "desk lamp", 21)
        _cart_sign(draw, 0)

    return screen


def _item(count: int) -> Screen:
    def screen(draw: ImageDraw.ImageDraw) -> None:
        name, price, colour = ITEMS[_BOUGHT]
        draw.line([(34, 64), (22, 74), (34, 84)], fill=BLACK, width=4)
        _cart_sign(draw, count)
        draw.rounded_rectangle((16, 112, 344, 420), 16, fill=(243, 244, 247))
        _lamp(draw, 180, 260, 240, colour)
        write(draw, (20, 458), name, 28)
        write(draw, (20, 504), price, 28, _LEAF)
        write(draw, (20, 556), "Oak foot, warm light, 1.5 m cable", 18, _GREY)
        write(draw, (20, 592), "Delivery on Tuesday", 18, _GREY)
        _button(draw, (16, 700, 344, 756), "Add to cart")
        if count:
            draw.rounded_rectangle((16, 630, 344, 680), 10, fill=(46, 50, 58))
            write(draw, (34, 655), "Added to your cart", 19, WHITE)

    return screen


def _cart(draw: ImageDraw.ImageDraw) -> None:
    name, price, colour = ITEMS[_BOUGHT]
    write(draw, (20, 76), "Your cart", 28)
    draw.rounded_rectangle((16, 120, 344, 270), 12, fill=(243, 244, 247))
    _lamp(draw, 72, 196, 96, colour)
    write(draw, (134, 166), name, 21)
    write(draw, (134, 206), f"1 x {price}", 20, _LEAF)
    draw.line([(16, 560), (344, 560)], fill=_LINE, width=2)
    for y, left, right in ((596, "Delivery", "$0.00"), (640, "Total", price)):
        write(draw, (20, y), left, 21)
        write(draw, (340, y), right, 21, BLACK, "rm")
    _button(draw, (16, 700, 344, 756), "Go to checkout")


def _ordered(draw: ImageDraw.ImageDraw) -> None:
    draw.ellipse((120, 180, 240, 300), fill=_LEAF)
    draw.line([(152, 242), (174, 264), (212, 216)], fill=WHITE, width=11)
    write(draw, (180, 356), "Order placed", 32, BLACK, "mm")
    write(draw, (180, 408), ITEMS[_BOUGHT][0], 21, _GREY, "mm")
    write(draw, (180, 444), "Arrives on Tuesday", 21, _GREY, "mm")


def _notes(draw: ImageDraw.ImageDraw) -> None:
    draw.rectangle((0, 0, 360, 800), fill=(252, 246, 224))
    write(draw, (20, 76), "Notes", 32, (150, 100, 20))
    for row, text in enumerate(("Garden plan", "Books to read", "Bike repair", "Holiday packing")):
        y = 120 + 96 * row
        draw.rounded_rectangle((16, y, 344, y + 82), 12, fill=WHITE, outline=(232, 220, 180), width=2)
        write(draw, (36, y + 41), text, 22)
    draw.ellipse((274, 694, 342, 762), fill=(226, 160, 30))
    write(draw, (308, 728), "+", 40, WHITE, "mm")


def _note(text: str) -> Screen:
    def screen(draw: ImageDraw.ImageDraw) -> None:
        draw.rectangle((0, 0, 360, 800), fill=(252, 246, 224))
        write(draw, (20, 76), "New note", 28, (150, 100, 20))
        draw.line([(16, 108), (344, 108)], fill=(226, 200, 140), width=2)
        write(draw, (20, 150), text or "Write something", 24, BLACK if text else _GREY)
        _keyboard(draw)

    return screen

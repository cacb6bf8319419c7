"""Reader of MiniWoB++ demonstrations: JSON files of a task's utterance and the page before and after every event.

As miniwob's `core/record.js` writes them: `taskName`, `utterance`, `reward`, `rawReward`, and `states` with `time`
(milliseconds since the episode began), `action` (a DOM event, none in the first state) and `dom`. Most have no
pictures; where a state holds one, it is a data URL under `image`.
"""

from __future__ import annotations

import base64
import binascii
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from fsspec import AbstractFileSystem
from PIL import Image

from schemas.errors import InputError, Problem
from schemas.geometry import Box
from schemas.stream import Domain, Stream, StreamPart, Track, TrackKind
from sources.base import Candidate, InputEvent, UIElement
from sources.frame import Pixels
from sources.identity import described
from sources.json_rows import claims, is_json, json_files, keys_at_head, rows
from sources.pictures import StillRecording
from sources.places import basename, split_suffix, to_uri
from sources.values import number, text

PAGE = (160.0, 210.0)
"""Width and height of the page in pixels: only events inside it are recorded."""
FLIGHT_PAGE = (375.0, 667.0)
"""That of the tasks whose names begin with `flight.`."""
_SUFFIXES = (".json",)
_KEYS = frozenset({"taskName", "utterance", "states"})
_MS = 1000.0
_BUBBLING = 3
"""`timing` of a state after its event; 1 is the one before."""
_PICTURES = ("PNG", "JPEG")

_NAMES = {
    8: "backspace", 9: "tab", 13: "enter", 16: "shift", 17: "ctrl", 18: "alt", 20: "caps_lock", 27: "esc",
    33: "pageup", 34: "pagedown", 35: "end", 36: "home", 37: "left", 38: "up", 39: "right", 40: "down",
    45: "insert", 46: "delete", 91: "cmd", 92: "cmd", 93: "cmd", 224: "cmd",
    **{111 + count: f"f{count}" for count in range(1, 13)},
}  # fmt: skip
"""Keys without a character, by their `keyCode`."""
_COMMANDS = frozenset({"ctrl", "alt", "cmd"})


def accepts(keys: frozenset[str]) -> bool:
    """Whether the keys at the beginning of a file are those of a demonstration."""
    # A first page of many elements may put `states` behind what is looked at.
    return keys >= _KEYS or {"taskName", "states"} <= keys


class MiniWobSource:
    """Folders of demonstrations, and lone ones. Their times are those of the recorder."""

    name = "miniwob"
    default_domain = Domain.GUI
    suffixes = _SUFFIXES

    def claims(self, fs: AbstractFileSystem, root: str) -> bool:
        return claims(fs, root, accepts, _SUFFIXES)

    def find(self, fs: AbstractFileSystem, root: str) -> Iterator[Candidate | Problem]:
        for path in json_files(fs, root, _SUFFIXES):
            uri = to_uri(fs, path)
            if accepts(keys_at_head(fs, path)) or not is_json(fs, path):
                yield Candidate(split_suffix(basename(path))[0], self.name, uri, (("demonstration", uri),))

    def probe(self, candidate: Candidate, parts: tuple[StreamPart, ...], domain: Domain, max_pixels: int) -> Stream:
        demonstration = Demonstration(candidate.uri, max_pixels)
        tracks = []
        if demonstration.pictures:
            width, height = demonstration.size
            tracks.append(
                Track(
                    kind=TrackKind.IMAGES,
                    name="page",
                    width=width,
                    height=height,
                    items=len(demonstration.pictures),
                )
            )
        for kind, name, items in (
            (TrackKind.EVENTS, "input log", len(demonstration.events)),
            (TrackKind.ELEMENTS, "page elements", len(demonstration.elements)),
            (TrackKind.TEXT, "utterance", len(demonstration.texts)),
        ):
            if items:
                tracks.append(Track(kind=kind, name=name, items=items))
        return described(candidate, parts, domain, tracks, demonstration.duration, demonstration.notes)

    def open(self, stream: Stream) -> MiniWobRecording:
        page = next((track for track in stream.tracks if track.kind is TrackKind.IMAGES), None)
        # No picture is larger than what probe saw: a file that changed since is refused.
        limit = page.width * page.height if page is not None and page.width and page.height else 0
        return MiniWobRecording(Demonstration(stream.uri, limit))


class Demonstration:
    """What one file says. Its pictures are examined at once, and decoded when they are asked for.

    Raises:
        schemas.errors.InputError: the file cannot be read, or is no demonstration.
    """

    def __init__(self, uri: str, max_pixels: int) -> None:
        row = next(rows(uri))
        record = row.value if not isinstance(row, InputError) else None
        if not isinstance(record, dict) or not isinstance(record.get("states"), list):
            raise InputError(uri, "is no demonstration: it has no states", "Record it again, or leave it out")
        self.notes: list[str] = []
        self._record: Mapping[str, Any] = record
        self._max_pixels = max_pixels
        self._page = FLIGHT_PAGE if str(record.get("taskName")).startswith("flight.") else PAGE
        self.states = self._timed(record["states"])
        if not self.states:
            raise InputError(uri, "none of its states has a time", "Record it again, or leave it out")
        self.duration = self.states[-1][0]
        self.size = (0, 0)
        """Width and height in pixels of the largest picture."""
        self.pictures = list(self._pictures())
        """Time and encoded bytes of each picture."""
        self.texts = tuple(text(record[key]).strip() for key in ("utterance",) if isinstance(record.get(key), str))
        self.elements = tuple(self._elements())
        self.events = tuple(self._events())
        outcome = number(record.get("rawReward"))
        if outcome is not None and outcome <= 0:
            self.notes.append(f"the task was not done: its raw reward is {outcome:g}")

    def _timed(self, states: Sequence[Any]) -> list[tuple[float, Mapping[str, Any]]]:
        """States with their seconds, in order of time; of equal times in the order of the file."""
        found = []
        for state in states:
            time = number(state.get("time")) if isinstance(state, dict) else None
            if time is not None and time >= 0:
                found.append((round(time / _MS, 6), state))
        if len(found) < len(states):
            self.notes.append(f"{len(states) - len(found)} states without a time left out")
        return sorted(found, key=lambda pair: pair[0])

    # --- pictures

    def _pictures(self) -> Iterator[tuple[float, bytes]]:
        last: dict[float, bytes] = {}
        bad = 0
        for time, state in self.states:
            if isinstance(state.get("image"), str):
                try:
                    last[time] = self._examined(state["image"])
                except ValueError:
                    bad += 1
        if bad:
            self.notes.append(f"{bad} pictures left out: no embedded picture, damaged, or too large")
        yield from last.items()

    def _examined(self, url: str) -> bytes:
        """The bytes of a picture given as a data URL.

        Raises:
            ValueError: it is none, breaks off, or is larger than allowed.
        """
        head, _, body = url.partition(",")
        if not (head.startswith("data:image/") and head.endswith(";base64")):
            raise ValueError("no embedded picture")
        data = base64.b64decode(body, validate=True)
        height, width = decoded(data, self._max_pixels).shape[:2]
        self.size = (max(self.size[0], width), max(self.size[1], height))
        return data

    # --- elements

    def _elements(self) -> Iterator[UIElement]:
        """The page before each event and at the end; what follows an event is the page before the next one."""
        for place, (time, state) in enumerate(self.states):
            action = _action(state)
            if action.get("timing") != _BUBBLING or place + 1 == len(self.states):
                yield from self._flat(state.get("dom"), time, pressed=action.get("type") in ("mousedown", "click"))

    def _flat(self, dom: Any, time: float, pressed: bool) -> Iterator[UIElement]:
        waiting: list[tuple[Any, int]] = [(dom, 0)]
        while waiting:
            node, depth = waiting.pop()
            if not isinstance(node, dict):
                continue
            box = self._box(node)
            if box is not None:
                value = node.get("value")
                name = node.get("text") or (value if isinstance(value, str) else "")
                under = pressed and node.get("recordingTarget") is True
                yield UIElement(time, text(name).strip(), text(node.get("tag")).lower(), box, depth, clicked=under)
            children = node.get("children")
            if isinstance(children, list):
                waiting += [(child, depth + 1) for child in reversed(children)]

    def _box(self, node: Mapping[str, Any]) -> Box | None:
        left, top, width, height = (number(node.get(side)) for side in ("left", "top", "width", "height"))
        if left is None or top is None or width is None or height is None or width <= 0 or height <= 0:
            return None
        across, down = self._page
        box = Box.clipped(left / across, top / down, (left + width) / across, (top + height) / down)
        return box if box.area > 0 else None

    # --- events

    def _events(self) -> Iterator[InputEvent]:
        """Raw events. A browser tells a press three times (mousedown, mouseup, click) and a key as well: the character
        comes from keypress, which alone knows of shift, everything else from keydown and keyup."""
        presses = any(_action(state).get("type") == "mousedown" for _, state in self.states)
        held: set[str] = set()
        left_out: Counter[str] = Counter()
        for time, action in self._once():
            kind = action.get("type")
            if kind in ("mousedown", "mouseup"):
                yield self._button(time, action, pressed=kind == "mousedown")
            elif kind == "click" and not presses:
                yield self._button(time, action, pressed=True)
                yield self._button(time, action, pressed=False)
            elif kind in ("keydown", "keyup"):
                yield from _key(time, action, held, pressed=kind == "keydown")
            elif kind == "keypress":
                yield from _typed(time, action, held)
            elif kind not in ("click", "dblclick"):
                left_out[text(kind)[:40] or "without a type"] += 1
        if left_out:
            counted = ", ".join(f"{kind} ({count})" for kind, count in left_out.most_common(12))
            self.notes.append(f"events that do not say what was done, left out: {counted}")

    def _once(self) -> Iterator[tuple[float, Mapping[str, Any]]]:
        """Each event at the state before it. Only where that is missing, the one after it tells."""
        before: Counter[tuple[str, ...]] = Counter()
        for time, state in self.states:
            action = _action(state)
            if not action:
                continue
            sign = tuple(str(action.get(key)) for key in ("type", "x", "y", "keyCode", "charCode"))
            if action.get("timing") == _BUBBLING and before[sign]:
                before[sign] -= 1
                continue
            before[sign] += action.get("timing") != _BUBBLING
            yield time, action

    def _button(self, time: float, action: Mapping[str, Any], pressed: bool) -> InputEvent:
        x, y = number(action.get("x")), number(action.get("y"))
        across, down = self._page
        place = None if x is None or y is None else (x / across, y / down)
        if place is None or not (0 <= place[0] <= 1 and 0 <= place[1] <= 1):
            return InputEvent(time, "button", button="left", pressed=pressed)
        return InputEvent(time, "button", *place, button="left", pressed=pressed)


class MiniWobRecording(StillRecording):
    """An open demonstration; without pictures it has no frames."""

    def __init__(self, demonstration: Demonstration) -> None:
        super().__init__([time for time, _ in demonstration.pictures])
        self._demonstration = demonstration

    def close(self) -> None:
        """Nothing stays open."""

    @cached_property
    def _limit(self) -> int:
        width, height = self._demonstration.size
        return width * height

    def pixels(self, index: int) -> Pixels:
        return decoded(self._demonstration.pictures[index][1], self._limit)

    def texts(self) -> Sequence[str]:
        return self._demonstration.texts

    def events(self) -> Sequence[InputEvent]:
        return self._demonstration.events

    def elements(self) -> Sequence[UIElement]:
        return self._demonstration.elements


def decoded(data: bytes, max_pixels: int) -> Pixels:
    """An embedded picture as (height, width, 3) uint8.

    Raises:
        ValueError: it is no PNG or JPEG, is damaged, or has more than `max_pixels` pixels.
    """
    try:
        with Image.open(io.BytesIO(data), formats=_PICTURES) as picture:
            if picture.width * picture.height > max_pixels:
                raise ValueError(f"more than {max_pixels} pixels")
            return np.asarray(picture.convert("RGB"))
    except (OSError, SyntaxError, EOFError, binascii.Error) as error:
        raise ValueError(f"no picture: {error}") from error


def _action(state: Mapping[str, Any]) -> Mapping[str, Any]:
    action = state.get("action")
    return action if isinstance(action, dict) else {}


def _code(action: Mapping[str, Any], name: str) -> int:
    value = number(action.get(name))
    return int(value) if value is not None and 0 <= value < 0x110000 else 0


def _key(time: float, action: Mapping[str, Any], held: set[str], pressed: bool) -> Iterator[InputEvent]:
    """A key without a character, and one that is pressed together with a command key."""
    code = _code(action, "keyCode")
    name = _NAMES.get(code)
    if name in _COMMANDS:
        (held.add if pressed else held.discard)(name)
    if name is None and held and chr(code).isalnum() and code < 128:
        name = chr(code).lower()
    if name is not None:
        yield InputEvent(time, "key", key=name, pressed=pressed)


def _typed(time: float, action: Mapping[str, Any], held: set[str]) -> Iterator[InputEvent]:
    code = _code(action, "charCode") or _code(action, "keyCode")
    if held or code < 32 or 0xD800 <= code < 0xE000:
        return
    yield InputEvent(time, "key", key=chr(code), pressed=True)
    yield InputEvent(time, "key", key=chr(code), pressed=False)

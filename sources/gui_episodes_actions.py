"""What was done at a step of a recorded episode, and the input events that a machine would have logged for it.

Episodes are sequences of screenshots without a clock. Their time scale is nominal: a screenshot stands for SECONDS, and
what was decided on it happens in the second after ACTED.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from sources.base import InputEvent

SECONDS = 5.0
"""Nominal time from one screenshot to the next: long enough that typing and scrolling of two steps do not run together
where events are merged by their distance in time."""
ACTED = 1.0
"""Seconds after a screenshot at which the actions decided on it begin; they take at most as long again."""
_EDGE = 0.01
"""Share of the screen by which a pointer may stand beyond its edge and still be at the edge."""
_PRESS, _DRAG, _KEY = 0.1, 0.5, 0.03
"""Seconds between two events of a click, a drag, and of typing."""

Place = tuple[float, float]
"""x and y in shares of the screen."""


@dataclass(frozen=True)
class Move:
    """The pointer goes to a place."""

    to: Place


@dataclass(frozen=True)
class Click:
    """`count` presses of a button; `at` None: where the pointer stands. More than two become two, with a note."""

    at: Place | None = None
    button: str = "left"
    count: int = 1


@dataclass(frozen=True)
class Drag:
    """A press at `begin` (None: where the pointer stands) that is let go at `to`; also the swipe of a finger."""

    to: Place
    begin: Place | None = None
    button: str = "left"


@dataclass(frozen=True)
class Scroll:
    """A turn of the wheel: `dy` < 0 shows what lies below, `dx` > 0 what lies to the right."""

    dx: float
    dy: float
    at: Place | None = None


@dataclass(frozen=True)
class Write:
    """Text that is typed; an end of line is the enter key."""

    text: str


@dataclass(frozen=True)
class Press:
    """Keys pressed one after the other."""

    keys: tuple[str, ...]


@dataclass(frozen=True)
class Hotkey:
    """Keys held together."""

    keys: tuple[str, ...]


Action = Move | Click | Drag | Scroll | Write | Press | Hotkey


class NoPlaceError(ValueError):
    """An action that happens where the pointer stands, and nothing has told where that is; or beyond the screen."""


@dataclass(frozen=True)
class _Gesture:
    """Events in order, `spacing` seconds apart where there is room. Their times are set later."""

    events: tuple[InputEvent, ...]
    spacing: float


class Hand:
    """Does the actions of an episode, step by step, and remembers where the pointer is."""

    def __init__(self) -> None:
        self._pointer: Place | None = None
        self.notes: list[str] = []
        """What could not be done, or not as it was said."""

    def do(self, actions: Iterable[Action], screenshot: float) -> list[InputEvent]:
        """The events of one step, in order of time, for actions decided on the screenshot shown at that time."""
        gestures = []
        for action in actions:
            try:
                gestures.append(self._gesture(action))
            except NoPlaceError as error:
                self.notes.append(str(error))
        gestures = [gesture for gesture in gestures if gesture.events]
        room = ACTED / max(len(gestures), 1)
        return [
            replace(event, time=round(screenshot + ACTED + number * room + place * _gap(gesture, room), 6))
            for number, gesture in enumerate(gestures)
            for place, event in enumerate(gesture.events)
        ]

    def _gesture(self, action: Action) -> _Gesture:
        match action:
            case Move(to):
                self._pointer = _on_screen(to)
                return _Gesture((_event("move", self._pointer),), _PRESS)
            case Click(at, button, count):
                if count > 2:
                    self.notes.append("a triple click, told as a double click")
                return _Gesture(_clicks(self._at(at, "click"), button, count), _PRESS)
            case Drag(to, begin, button):
                start = self._at(begin, "drag")
                self._pointer = _on_screen(to)
                down = _event("button", start, button=button, pressed=True)
                return _Gesture((down, _event("button", self._pointer, button=button, pressed=False)), _DRAG)
            case Scroll(dx, dy, at):
                place = self._pointer if at is None else self._at(at, "scroll")
                return _Gesture((replace(_event("wheel", place), dx=dx, dy=dy),), _PRESS)
            case Write(text):
                return _Gesture(tuple(event for character in text for event in _stroke(_character(character))), _KEY)
            case Press(keys):
                return _Gesture(tuple(event for key in keys for event in _stroke(_alone(key))), _KEY)
            case Hotkey(keys):
                return _Gesture(_together(keys), _KEY)

    def _at(self, place: Place | None, what: str) -> Place:
        if place is not None:
            self._pointer = _on_screen(place)
        if self._pointer is None:
            raise NoPlaceError(f"a {what} without a place")
        return self._pointer


def _gap(gesture: _Gesture, room: float) -> float:
    return min(gesture.spacing, room / (len(gesture.events) + 1))


def _on_screen(place: Place) -> Place:
    x, y = place
    if not (-_EDGE <= x <= 1 + _EDGE and -_EDGE <= y <= 1 + _EDGE):
        raise NoPlaceError("a place beyond the screen")
    return min(max(x, 0.0), 1.0), min(max(y, 0.0), 1.0)


def _event(action: str, at: Place | None, button: str | None = None, pressed: bool | None = None) -> InputEvent:
    x, y = (None, None) if at is None else at
    return InputEvent(0.0, action, x, y, button=button, pressed=pressed)


def _clicks(at: Place, button: str, count: int) -> tuple[InputEvent, ...]:
    return tuple(_event("button", at, button, pressed) for _ in range(min(count, 2)) for pressed in (True, False))


_SAME = {
    "command": "cmd", "winleft": "win", "winright": "win", "ctrlleft": "ctrl", "ctrlright": "ctrl",
    "shiftleft": "shift", "shiftright": "shift", "altleft": "alt", "altright": "alt",
    "optionleft": "option", "optionright": "option", "return": "enter", "escape": "esc", "del": "delete",
    "pgup": "pageup", "pgdn": "pagedown", "\n": "enter", "\r": "enter", "\t": "tab",
}  # fmt: skip
_MODIFIERS = frozenset({"cmd", "win", "super", "meta", "ctrl", "control", "shift", "alt", "option"})
_ALONE = {"cmd": "command", "win": "windows", "super": "windows", "meta": "windows"}
"""Keys that open something when they are pressed alone. Events of a modifier would only say that it was held."""


def _named(key: str) -> str:
    return key if len(key) == 1 and key not in _SAME else _SAME.get(key.lower(), key.lower())


def _character(character: str) -> str:
    return _SAME.get(character, character)


def _alone(key: str) -> str:
    name = _named(key)
    return _ALONE.get(name, name)


def _stroke(key: str) -> tuple[InputEvent, InputEvent]:
    return InputEvent(0.0, "key", key=key, pressed=True), InputEvent(0.0, "key", key=key, pressed=False)


def _together(keys: Sequence[str]) -> tuple[InputEvent, ...]:
    names = [_named(key) for key in keys]
    if len(names) == 1:
        return _stroke(_alone(names[0]))
    if "shift" in names and len(names[-1]) == 1:
        names[-1] = names[-1].upper()  # a log tells the character that comes of it
    down = [InputEvent(0.0, "key", key=name, pressed=True) for name in names]
    up = [InputEvent(0.0, "key", key=name, pressed=False) for name in reversed(names)]
    return (*down, *up)

"""Raw mouse and key events merged to what a person did: clicks, drags, scrolling, typing, hotkeys."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

from experts.base import Expert, Observer
from schemas.anchor import AnchorKind, FactualAnchor
from schemas.geometry import Box, Point
from schemas.segment import Segment
from schemas.stream import Stream, TrackKind
from sources.base import InputEvent, Recording, UIElement

# A pointer that moved further than this (share of the frame) between press and release dragged something.
_DRAG = 0.012
_DOUBLE_SECONDS, _DOUBLE_DISTANCE = 0.5, 0.01
_WHEEL_GAP = 2.5
_TYPING_GAP = 3.0
# An element found when it was clicked is recorded around the press.
_CLICKED_WITHIN = 0.6
# Elements larger than this hold others and name nothing in particular.
_LARGEST_ELEMENT = 0.15

_MODIFIERS = {
    "ctrl": "ctrl", "ctrl_l": "ctrl", "ctrl_r": "ctrl", "control": "ctrl",
    "alt": "alt", "alt_l": "alt", "alt_r": "alt", "alt_gr": "alt", "option": "alt",
    "shift": "shift", "shift_l": "shift", "shift_r": "shift",
    "cmd": "cmd", "cmd_l": "cmd", "cmd_r": "cmd", "win": "cmd", "super": "cmd", "meta": "cmd",
}  # fmt: skip
_CHARACTERS = {"space": " ", "spacebar": " "}
_DIRECTIONS = {(0, -1): "down", (0, 1): "up", (-1, 0): "left", (1, 0): "right"}


class InputEvents(Expert):
    """Merges the event log. Spans run from the press to the release, from the first turn or key to the last.

    Double clicks: two presses within 0.5 s and 0.01 of the frame. Wheel turns belong together up to 2.5 s apart, also
    when they turn back; keys up to 3 s apart. Backspace takes back the character before it. The direction of a wheel
    is that in which the view moves over the page (`down` shows what lies below). Elements come from the accessibility
    tree: the one recorded as clicked at that moment, else the smallest named one of the latest tree before the event,
    else one recorded as clicked that has a box and no name; it must contain the pointer. Once the pointer has been
    beyond the screen none is given: the display scaling has changed since, and boxes no longer fit. A wheel turn of
    which no place is known (recorded steps say `scroll down`) tells nothing of that: where a log has places, a move or
    a press tells it.
    """

    name = "input_events"
    version = "2"
    reads = frozenset({TrackKind.EVENTS})
    rate = 0.0

    known = ()

    def start(self, recording: Recording, segment: Segment) -> Observer:
        return _InputObserver(self, recording, segment)

    @classmethod
    def join(cls, stream: Stream, anchors: Sequence[FactualAnchor]) -> list[FactualAnchor]:
        """The last window stays in front until the stream ends; its segment knew only its own end."""
        joined = list(anchors)
        windows = [place for place, anchor in enumerate(joined) if anchor.kind == AnchorKind.WINDOW]
        if windows:
            last = max(windows, key=lambda place: joined[place].t0)
            end = max(joined[last].t1, round(stream.duration, 6))
            joined[last] = joined[last].model_copy(update={"t1": end})
        return joined


@dataclass
class Gesture:
    """Something a person did. `key`s are pressed, characters typed; `turns` of the wheel are (dx, dy) signs."""

    kind: AnchorKind
    t0: float
    t1: float
    begin: tuple[float, float] | None = None
    end: tuple[float, float] | None = None
    text: str = ""
    turns: list[str] = field(default_factory=list)


class _InputObserver(Observer):
    def __init__(self, expert: InputEvents, recording: Recording, segment: Segment) -> None:
        self.expert = expert
        self.segment = segment
        # All events are merged, so that nothing is cut at a border; those that begin here are this segment's.
        self.gestures = merge(recording.events())
        self.elements = _Elements(recording.elements(), recording.events())
        self.windows = sorted(recording.windows(), key=lambda window: window.time)

    def finish(self) -> list[FactualAnchor]:
        segment = self.segment
        anchors = []
        for gesture in self.gestures:
            if self._here(gesture.t0):
                anchors.append(self._anchor(gesture))
        for place, window in enumerate(self.windows):
            begin = max(window.time, 0.0)
            following = self.windows[place + 1].time if place + 1 < len(self.windows) else max(segment.t1, begin)
            if window.name.strip() and following > 0 and self._here(begin):
                anchors.append(
                    self.expert.anchor(
                        segment, AnchorKind.WINDOW, begin, max(following, begin), content=window.name, confidence=1.0
                    )
                )
        return sorted(anchors, key=lambda anchor: (anchor.t0, anchor.t1, anchor.kind))

    def _here(self, time: float) -> bool:
        before_end = time <= self.segment.t1 if self.segment.last else time < self.segment.t1
        return self.segment.t0 <= time and before_end

    def _anchor(self, gesture: Gesture) -> FactualAnchor:
        point = _point(gesture.begin)
        content, box, value = gesture.text, None, None
        confidence = 1.0
        if gesture.kind is AnchorKind.WHEEL:
            content = " then ".join(_runs(gesture.turns)[:2])
            value = float(len(gesture.turns))
        elif gesture.kind in (AnchorKind.CLICK, AnchorKind.DOUBLE_CLICK, AnchorKind.RIGHT_CLICK, AnchorKind.DRAG):
            element = self.elements.at(gesture.t0, point)
            if element is not None:
                content, box = element.name.strip(), element.box
                # A tree taken earlier may have aged, and a box without a name may hold more than what was meant.
                confidence = 0.95 if element.clicked and content else 0.7
        return self.expert.anchor(
            self.segment,
            gesture.kind,
            gesture.t0,
            gesture.t1,
            content=content,
            value=value,
            box=box,
            point=point,
            end_point=_point(gesture.end),
            confidence=confidence,
        )


class _Elements:
    """The accessibility trees of a recording, by the time at which they were taken."""

    def __init__(self, elements: Sequence[UIElement], events: Sequence[InputEvent]) -> None:
        # A pointer beyond the screen: its scaling has changed, and boxes no longer lie where the elements are.
        beyond = (e.time for e in events if e.action in ("move", "button") and _point(_place(e)) is None)
        self.trusted_until = min(beyond, default=float("inf"))
        self.clicked = sorted((e for e in elements if e.clicked), key=lambda e: e.time)
        self.trees: dict[float, list[UIElement]] = {}
        for element in elements:
            if not element.clicked:
                self.trees.setdefault(element.time, []).append(element)
        self.times = sorted(self.trees)

    def at(self, time: float, point: Point | None) -> UIElement | None:
        """The element a press at `time` met; None rather than a doubtful one."""
        if point is None or time >= self.trusted_until:
            return None
        near = [e for e in self.clicked if abs(e.time - time) <= _CLICKED_WITHIN and _fits(e, point)]
        near.sort(key=lambda e: (not e.name.strip(), abs(e.time - time), e.depth, e.name))
        if near and near[0].name.strip():
            return near[0]
        return self._in_tree(time, point) or (near[0] if near else None)

    def _in_tree(self, time: float, point: Point) -> UIElement | None:
        """The smallest named element under the pointer, in the latest tree taken by then."""
        place = bisect_right(self.times, time) - 1
        if place < 0:
            return None
        found = [e for e in self.trees[self.times[place]] if e.name.strip() and _fits(e, point)]
        return min(found, key=lambda e: (e.box.area if e.box else 1.0, -e.depth, e.name), default=None)


def _fits(element: UIElement, point: Point) -> bool:
    box: Box | None = element.box
    return box is not None and box.contains(point) and 0 < box.area < _LARGEST_ELEMENT


def merge(events: Sequence[InputEvent]) -> list[Gesture]:
    """What a person did, in the order of beginning. Presses that were never released end where they began."""
    gestures: list[Gesture] = []
    pressed: dict[str, InputEvent] = {}
    held: dict[str, None] = {}
    typing: Gesture | None = None
    for event in sorted((e for e in events if e.time >= 0), key=lambda e: e.time):
        if event.action == "button" and event.pressed:
            pressed[event.button or "left"] = event
            typing = None
        elif event.action == "button":
            down = pressed.pop(event.button or "left", None)
            if down is not None:
                _press(gestures, down, event)
        elif event.action == "wheel":
            typing = None
            _turn(gestures, event)
        elif event.action == "key" and event.key:
            typing = _key(gestures, event, held, typing)
    for down in pressed.values():
        _press(gestures, down, down)
    done = [g for g in gestures if g.kind is not AnchorKind.TYPING or g.text]
    return sorted(done, key=lambda g: (g.t0, g.t1))


def _press(gestures: list[Gesture], down: InputEvent, up: InputEvent) -> None:
    begin, end = _place(down), _place(up)
    button = down.button or "left"
    if begin is not None and end is not None and _apart(begin, end) > _DRAG:
        gestures.append(Gesture(AnchorKind.DRAG, down.time, up.time, begin, end))
        return
    kind = AnchorKind.RIGHT_CLICK if button == "right" else AnchorKind.CLICK
    text = "" if button in ("left", "right") else button
    last = gestures[-1] if gestures else None
    if (
        kind is AnchorKind.CLICK
        and last is not None
        and last.kind is AnchorKind.CLICK
        and not text
        and down.time - last.t0 <= _DOUBLE_SECONDS
        and begin is not None
        and last.begin is not None
        and _apart(begin, last.begin) <= _DOUBLE_DISTANCE
    ):
        last.kind, last.t1 = AnchorKind.DOUBLE_CLICK, up.time
        return
    gestures.append(Gesture(kind, down.time, up.time, begin, text=text))


def _turn(gestures: list[Gesture], event: InputEvent) -> None:
    signs = ((event.dx > 0) - (event.dx < 0), (event.dy > 0) - (event.dy < 0))
    direction = _DIRECTIONS.get((0, signs[1])) if signs[1] else _DIRECTIONS.get((signs[0], 0))
    if direction is None:
        return
    last = gestures[-1] if gestures else None
    if last is not None and last.kind is AnchorKind.WHEEL and event.time - last.t1 <= _WHEEL_GAP:
        runs = _runs([*last.turns, direction])
        if len(runs) <= 2:
            last.turns.append(direction)
            last.t1 = event.time
            return
    gestures.append(Gesture(AnchorKind.WHEEL, event.time, event.time, _place(event), turns=[direction]))


def _key(gestures: list[Gesture], event: InputEvent, held: dict[str, None], typing: Gesture | None) -> Gesture | None:
    """Takes one key event; returns the typing that may go on."""
    key = str(event.key)
    modifier = _MODIFIERS.get(key.lower())
    if not event.pressed:
        if modifier:
            held.pop(modifier, None)
        return typing
    if modifier:
        held[modifier] = None
        return typing
    commands = [name for name in held if name != "shift"]
    character = _CHARACTERS.get(key.lower(), key if len(key) == 1 else None)
    if character is not None and not commands:
        if typing is None or event.time - typing.t1 > _TYPING_GAP:
            typing = Gesture(AnchorKind.TYPING, event.time, event.time)
            gestures.append(typing)
        typing.text += character
        typing.t1 = event.time
        return typing
    if key.lower() == "backspace" and not held and typing is not None and typing.text:
        typing.text = typing.text[:-1]
        typing.t1 = event.time
        return typing
    order = [name for name in ("ctrl", "alt", "shift", "cmd") if name in held]
    name = "+".join([*order, key.lower()])
    last = gestures[-1] if gestures else None
    if last is not None and last.kind is AnchorKind.HOTKEY and last.text == name and event.time - last.t1 < 0.1:
        # A held key repeats itself.
        last.t1 = event.time
    else:
        gestures.append(Gesture(AnchorKind.HOTKEY, event.time, event.time, text=name))
    return None


def _runs(turns: Sequence[str]) -> list[str]:
    runs: list[str] = []
    for turn in turns:
        if not runs or runs[-1] != turn:
            runs.append(turn)
    return runs


def _place(event: InputEvent) -> tuple[float, float] | None:
    return None if event.x is None or event.y is None else (event.x, event.y)


def _apart(one: tuple[float, float], other: tuple[float, float]) -> float:
    return max(abs(one[0] - other[0]), abs(one[1] - other[1]))


def _point(place: tuple[float, float] | None) -> Point | None:
    """A place off the frame (the screen was larger than what was recorded) is no point of it."""
    if place is None or not (0 <= place[0] <= 1 and 0 <= place[1] <= 1):
        return None
    return Point(x=place[0], y=place[1])

"""The layouts in which recorded episodes come, each read to the same plain steps.

| layout | record | where a place is told |
|---|---|---|
| AgentNetBench | `steps` with `action` code and `ground_truth_actions` | shares of the screen |
| AgentNet | `traj` with `value.code` | shares of the screen |
| AndroidControl | `goal`, `actions`, `screenshots` or `screenshot_paths` | pixels, x and y |
| AITW, AITZ and others like them | `goal` and `steps`, or a list of steps | touch and lift as (y, x) shares |
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from schemas.geometry import Box
from sources.gui_episodes_actions import Action, Click, Drag, Hotkey, Place, Press, Scroll, Write
from sources.gui_episodes_pyautogui import parse
from sources.values import first, first_text, listed, number, numbers, text

TAP = 0.04
"""Share of the screen: a touch that is lifted within this distance is a tap (AITW, action matching)."""

Size = tuple[float, float]
SizeOf = Callable[[int], Size | None]
"""Width and height in pixels of the screenshot of a step, when it can be looked at."""


@dataclass(frozen=True)
class Labelled:
    """An element of the screen as an episode tells it; `acted_on`: what the step's press was meant for."""

    name: str
    role: str
    box: Box
    depth: int = 0
    acted_on: bool = False


@dataclass(frozen=True)
class Step:
    """A screenshot (its file name, or none) and what was done on it."""

    picture: str | None
    actions: tuple[Action, ...] = ()
    elements: tuple[Labelled, ...] = ()
    instruction: str = ""
    opens: str = ""
    """The app that the step opens: it is in front from the next screenshot on."""
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class Episode:
    """A whole episode: its own name, the texts that speak of all of it (the goal first), its steps and notes."""

    name: str
    texts: tuple[str, ...]
    steps: tuple[Step, ...]
    notes: tuple[str, ...] = field(default=())


def accepts(keys: frozenset[str]) -> bool:
    """Whether the keys at the beginning of a file are those of one of the layouts."""
    goal = bool(keys & set(_GOAL))
    return (
        {"task_id", "traj"} <= keys
        or {"steps", "ground_truth_actions"} <= keys
        or bool(keys & {"result_action_type", "results/action_type"})
        or (goal and {"actions", "action_type"} <= keys)
        or (goal and bool(keys & {"accessibility_trees", "screenshot_paths"}))
        or (goal and "steps" in keys and bool(keys & set(_PICTURE)) and bool(keys & set(_ACTION)))
    )


def read(record: Any, size_of: SizeOf) -> Episode:
    """An episode from its record.

    Args:
        record: parsed JSON.
        size_of: asked for the size of a screenshot only where places are told in pixels and the record does not say
            how many there are.

    Raises:
        ValueError: it is none of the layouts, or has no steps.
    """
    if isinstance(record, dict) and isinstance(record.get("episode"), dict):
        record = record["episode"]
    if isinstance(record, list) and record and all(isinstance(step, dict) for step in record):
        record = {"steps": record}
    if not isinstance(record, dict):
        raise ValueError("it is no episode: neither an object nor a list of steps")
    if isinstance(record.get("traj"), list):
        steps = [_agentnet_step(step) for step in _objects(record["traj"])]
    elif isinstance(record.get("steps"), list):
        steps = [_step(step, place, size_of) for place, step in enumerate(_objects(record["steps"]))]
    elif isinstance(record.get("actions"), list):
        steps = list(_android_control(record, size_of))
    else:
        raise ValueError("it has no steps")
    if not steps:
        raise ValueError("it has no steps")
    return Episode(_identity(record), _texts(record), tuple(steps), tuple(_notes(record)))


_NAME = ("task_id", "episode_id", "ep_id", "id")
_GOAL = (
    "high_level_task_description",
    "user_task_description",
    "instruction",
    "natural_language_task",
    "actual_task",
    "goal",
    "goal_info",
    "task",
)
_PICTURE = ("image", "screenshot", "image_path", "screenshot_path", "img_filename", "image_full_path", "img")
_ACTION = ("action_type", "result_action_type", "results/action_type", "action", "code")
_INSTRUCTION = ("low_level_instruction", "step_instruction", "coat_action_desc", "low_instruction")
_TYPED = ("text", "type_text", "typed_text", "type_action", "results/type_action", "result_action_text")
_TOUCH = ("touch", "touch_yx", "yx_touch", "results/yx_touch", "result_touch_yx")
_LIFT = ("lift", "lift_yx", "yx_lift", "results/yx_lift", "result_lift_yx")
_BOXES = ("ui_positions", "image/ui_annotations_positions", "ui_annotations_positions")
_BOX_TEXTS = ("ui_text", "image/ui_annotations_text", "ui_annotations_text")
_BOX_TYPES = ("ui_types", "image/ui_annotations_ui_types", "ui_annotations_ui_types")


def _objects(items: Sequence[Any]) -> list[Mapping[str, Any]]:
    return [item if isinstance(item, dict) else {} for item in items]


def _of_episode_or_step(record: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Where facts of an episode may stand: in it, or repeated in each of its steps."""
    steps = record.get("steps")
    inner = record.get("task_info")
    return [record, *([inner] if isinstance(inner, dict) else []), *(_objects(steps)[:1] if steps else [])]


def _identity(record: Mapping[str, Any]) -> str:
    named = (first(place, _NAME) for place in _of_episode_or_step(record))
    return next((text(name) for name in named if isinstance(name, str | int)), "")


def _texts(record: Mapping[str, Any]) -> tuple[str, ...]:
    for place in _of_episode_or_step(record):
        found = [text(place[name]).strip() for name in _GOAL if isinstance(place.get(name), str)]
        if any(found):
            return tuple(dict.fromkeys(said for said in found if said))
    return ()


def _notes(record: Mapping[str, Any]) -> Iterator[str]:
    if record.get("task_completed") is False:
        yield "its annotators say that the task was not completed"
    traj = record.get("traj")
    values = [step.get("value") for step in _objects(traj)] if isinstance(traj, list) else []
    for key, bad, word in (("last_step_correct", False, "wrong"), ("last_step_redundant", True, "redundant")):
        places = [str(place) for place, value in enumerate(values) if isinstance(value, dict) and value.get(key) is bad]
        if places:
            yield f"steps that its annotators call {word}: {', '.join(places)}"
    if any("ground_truth_actions" in step for step in _objects(record.get("steps") or [])):
        yield "an evaluation episode (AgentNetBench): what is trained on it cannot be measured with it"


# --- AgentNet ---------------------------------------------------------------------------------------------------------


def _agentnet_step(step: Mapping[str, Any]) -> Step:
    value = step.get("value")
    value = value if isinstance(value, dict) else {}
    actions, left_out = parse(text(value.get("code"))) if isinstance(value.get("code"), str) else ([], [])
    return Step(
        picture=first_text(step, _PICTURE) or None,
        actions=tuple(actions),
        instruction=first_text(value, ("action",)),
        left_out=tuple(left_out),
    )


def _bench_step(step: Mapping[str, Any]) -> Step:
    code = step.get("action")
    actions, left_out = parse(text(code)) if isinstance(code, str) else ([], ["a step without code"])
    told = step.get("inner_monologue")
    return Step(
        picture=first_text(step, _PICTURE) or None,
        actions=tuple(actions),
        elements=tuple(_truth_boxes(step.get("ground_truth_actions"))),
        instruction=first_text(told, _INSTRUCTION) if isinstance(told, dict) else "",
        left_out=tuple(left_out),
    )


def _truth_boxes(truths: Any) -> Iterator[Labelled]:
    """The boxes in which an action counts as right. They have no names."""
    for truth in _objects(listed(truths)):
        metadata = truth.get("metadata")
        boxes = metadata.get("bboxes") if isinstance(metadata, dict) else None
        kind = text(truth.get("type")).lower()
        for entry in _objects(listed(boxes)):
            sides = numbers(entry.get("rel_bbox"), 4)
            if sides is not None:
                x, y, width, height = sides
                box = Box.clipped(x, y, x + width, y + height)
                if box.area > 0:
                    yield Labelled("", "", box, acted_on="click" in kind or "drag" in kind)


# --- AndroidControl ---------------------------------------------------------------------------------------------------


def _android_control(record: Mapping[str, Any], size_of: SizeOf) -> Iterator[Step]:
    """One step for each screenshot; the last one has no action."""
    pictures = listed(first(record, ("screenshot_paths", "screenshots", "image_paths", "images")))
    actions = _objects(record["actions"])
    instructions = listed(record.get("step_instructions"))
    trees = listed(record.get("accessibility_trees"))
    widths, heights = listed(record.get("screenshot_widths")), listed(record.get("screenshot_heights"))
    for place in range(max(len(pictures), len(actions))):
        told = _size(_at(widths, place), _at(heights, place))
        said = _at(instructions, place)
        yield _told_step(
            actions[place] if place < len(actions) else {},
            picture=_at(pictures, place),
            instruction=text(said).strip() if isinstance(said, str) else "",
            tree=_at(trees, place),
            size=_Screen(told, partial(size_of, place)),
        )


def _at(items: Sequence[Any], place: int) -> Any:
    return items[place] if place < len(items) else None


def _size(width: Any, height: Any) -> Size | None:
    across, down = number(width), number(height)
    return (across, down) if across and down and across > 0 and down > 0 else None


# --- AITW and whatever has steps --------------------------------------------------------------------------------------


def _step(step: Mapping[str, Any], place: int, size_of: SizeOf) -> Step:
    if "ground_truth_actions" in step or "inner_monologue" in step:
        return _bench_step(step)
    action = step.get("action")
    told = _size(
        first(step, ("image_width", "image/width", "width")), first(step, ("image_height", "image/height", "height"))
    )
    return _told_step(
        {**step, **action} if isinstance(action, dict) else step,
        picture=first_text(step, _PICTURE),
        instruction=first_text(step, _INSTRUCTION),
        tree=first(step, ("accessibility_tree", "accessibility_trees", "a11y_tree")),
        size=_Screen(told, partial(size_of, place)),
    )


class _Screen:
    """Turns what a step tells in shares or pixels into shares of the screen."""

    def __init__(self, told: Size | None, look: Callable[[], Size | None]) -> None:
        self._told = told
        self._look = look

    def place(self, x: float, y: float) -> Place | None:
        """A place; None when it is in pixels and the size of the screen is not known."""
        if max(abs(x), abs(y)) <= 1:
            return x, y
        return self._pixels(x, y)

    def box(self, x0: float, y0: float, x1: float, y1: float) -> Box | None:
        if max(abs(x0), abs(y0), abs(x1), abs(y1)) > 1.5:
            begin, end = self._pixels(x0, y0), self._pixels(x1, y1)
            if begin is None or end is None:
                return None
            (x0, y0), (x1, y1) = begin, end
        box = Box.clipped(x0, y0, x1, y1)
        return box if box.area > 0 else None

    def _pixels(self, x: float, y: float) -> Place | None:
        self._told = self._told or self._look()
        return None if self._told is None else (x / self._told[0], y / self._told[1])


_AITW = {
    "3": "type", "4": "dual_point", "5": "press_back", "6": "press_home", "7": "press_enter",
    "10": "status_task_complete", "11": "status_task_impossible",
}  # fmt: skip
"""The numbers of AITW's action types."""
_KEYS = {
    "press_back": "back", "navigate_back": "back", "back": "back",
    "press_home": "home", "navigate_home": "home", "home": "home",
    "press_enter": "enter", "enter": "enter", "keyboard_enter": "enter",
    "press_recent": "recent apps", "navigate_recents": "recent apps",
}  # fmt: skip
_WAYS = {"down": (0.0, -1.0), "up": (0.0, 1.0), "left": (-1.0, 0.0), "right": (1.0, 0.0)}
"""The turn of a wheel that shows what lies in a direction."""
_NO_INPUT = frozenset({"", "wait", "complete", "impossible", "done", "finished", "terminate", "answer", "none"})


def _told_step(row: Mapping[str, Any], picture: Any, instruction: str, tree: Any, size: _Screen) -> Step:
    given = first(row, ("action_type", "result_action_type", "results/action_type"))
    given = first(row, ("action", "type")) if given is None else given
    kind = text(given if isinstance(given, str | int) else "").strip().lower().replace(" ", "_").replace("-", "_")
    kind = _AITW.get(kind, kind).removeprefix("actiontype.")
    left_out: list[str] = []
    opens = first_text(row, ("app_name", "app", "text")) if kind in ("open_app", "open") else ""
    try:
        actions = [] if opens else _done(kind, row, size)
    except ValueError as error:
        actions = []
        left_out.append(str(error))
    return Step(
        picture=text(picture) if isinstance(picture, str) and picture else None,
        actions=tuple(actions),
        elements=(*_annotations(row, size), *_tree(tree, size)),
        instruction=instruction,
        opens=opens,
        left_out=tuple(left_out),
    )


def _done(kind: str, row: Mapping[str, Any], size: _Screen) -> list[Action]:
    """The actions of a step by the word for its type.

    Raises:
        ValueError: the type is not known, or what it needs is missing.
    """
    if kind in _NO_INPUT or kind.startswith("status"):
        return []
    if kind in _KEYS:
        return [Press((_KEYS[kind],))]
    if kind in ("dual_point", "swipe", "drag", "click", "tap", "touch", "long_press", "double_tap", "double_click"):
        return [_touch(kind, row, size)]
    if kind in ("type", "input_text", "input", "typing"):
        return _typed(kind, row, size)
    if kind == "scroll" or kind.startswith("scroll_"):
        return [_scrolled(kind, row, size)]
    if kind in ("hotkey", "key", "press", "press_key"):
        return [Hotkey(tuple(text(key) for key in _key_names(row)))]
    raise ValueError(f"an action of type {kind[:40]!r}")


def _touch(kind: str, row: Mapping[str, Any], size: _Screen) -> Action:
    begin, end = _points(row, size)
    if begin is None:
        raise ValueError(f"a {kind.replace('_', ' ')} without a place")
    if end is not None and math.dist(begin, end) > TAP:
        return Drag(end, begin)
    return Click(begin, count=2 if kind.startswith("double") else 1)


def _points(row: Mapping[str, Any], size: _Screen) -> tuple[Place | None, Place | None]:
    """Where a finger came down and where it was lifted: (y, x) pairs, else x and y."""
    touch, lift = numbers(first(row, _TOUCH), 2), numbers(first(row, _LIFT), 2)
    if touch is not None and min(touch) >= 0:
        end = size.place(lift[1], lift[0]) if lift is not None and min(lift) >= 0 else None
        return size.place(touch[1], touch[0]), end
    x, y = number(row.get("x")), number(row.get("y"))
    return (size.place(x, y) if x is not None and y is not None else None), None


def _typed(kind: str, row: Mapping[str, Any], size: _Screen) -> list[Action]:
    said = next((text(row[name]) for name in _TYPED if isinstance(row.get(name), str) and row[name]), "")
    if not said:
        raise ValueError("typing without a text")
    begin, _ = _points(row, size)
    # AndroidControl: `type` with a place also clicks it before, and presses enter after.
    return [Click(begin), Write(said), Press(("enter",))] if kind == "type" and begin else [Write(said)]


def _scrolled(kind: str, row: Mapping[str, Any], size: _Screen) -> Action:
    begin, end = _points(row, size)
    if begin is not None and end is not None and math.dist(begin, end) > TAP:
        return Drag(end, begin)
    way = first_text(row, ("direction", "scroll_direction")).lower() or kind.removeprefix("scroll_")
    if way not in _WAYS:
        raise ValueError("a scroll without a direction")
    return Scroll(*_WAYS[way], at=begin)


def _key_names(row: Mapping[str, Any]) -> list[str]:
    given = first(row, ("keys", "key", "keycode"))
    keys = [given] if isinstance(given, str) else [key for key in listed(given) if isinstance(key, str) and key]
    if not keys:
        raise ValueError("a key press without a key")
    return keys


# --- elements ---------------------------------------------------------------------------------------------------------


def _annotations(row: Mapping[str, Any], size: _Screen) -> Iterator[Labelled]:
    """AITW: boxes as (y, x, height, width), one after the other in one list or each in its own."""
    flat = listed(first(row, _BOXES))
    if flat and not isinstance(flat[0], list):
        flat = [flat[place : place + 4] for place in range(0, len(flat), 4)]
    names, kinds = listed(first(row, _BOX_TEXTS)), listed(first(row, _BOX_TYPES))
    for place, entry in enumerate(flat):
        sides = numbers(entry, 4)
        if sides is None:
            continue
        y, x, height, width = sides
        box = size.box(x, y, x + width, y + height)
        if box is not None:
            yield Labelled(text(_at(names, place)).strip(), text(_at(kinds, place)), box)


def _tree(tree: Any, size: _Screen) -> Iterator[Labelled]:
    """An Android accessibility tree as JSON: a list of nodes, or windows that each hold a tree of them."""
    for node in _nodes(tree):
        bounds = first(node, ("bounds_in_screen", "boundsInScreen", "bounds", "bbox"))
        if isinstance(bounds, dict):
            # What is 0 is left out where protocol buffers are written as JSON.
            sides = numbers([bounds.get(side, 0) for side in ("left", "top", "right", "bottom")], 4)
        else:
            sides = numbers(bounds, 4)
        box = size.box(*sides) if sides is not None else None
        if box is not None:
            name = first_text(node, ("text", "content_description", "contentDescription", "name"))
            role = first_text(node, ("class_name", "className", "role", "type")).rpartition(".")[2]
            depth = number(node.get("depth"))
            yield Labelled(name, role, box, int(depth) if depth is not None and depth >= 0 else 0)


def _nodes(tree: Any) -> Iterator[Mapping[str, Any]]:
    waiting: list[Any] = [tree]
    while waiting:
        item = waiting.pop()
        if isinstance(item, list):
            waiting += reversed(item)
        elif isinstance(item, dict):
            yield item
            waiting += [item[key] for key in ("windows", "tree", "nodes", "children") if key in item][::-1]

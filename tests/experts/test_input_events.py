"""Raw mouse and key events become what a person did, with the element it was done to."""

from __future__ import annotations

import pytest
from drawn_screens import Film, measure

from experts.input_events import InputEvents
from schemas.anchor import AnchorKind, FactualAnchor
from schemas.errors import UsageError
from schemas.geometry import Box
from sources.base import InputEvent, UIElement, Window


def click(
    time: float,
    x: float = 0.5,
    y: float = 0.5,
    button: str = "left",
    until: float | None = None,
    to: tuple[float, float] | None = None,
) -> list[InputEvent]:
    end = to or (x, y)
    return [
        InputEvent(time, "button", x, y, button=button, pressed=True),
        InputEvent(until or time + 0.1, "button", *end, button=button, pressed=False),
    ]


def keys(time: float, *names: str) -> list[InputEvent]:
    return [
        InputEvent(time + 0.2 * place + after, "key", key=name, pressed=not after)
        for place, name in enumerate(names)
        for after in (0.0, 0.05)
    ]


def wheel(time: float, dy: float, x: float = 0.5) -> InputEvent:
    return InputEvent(time, "wheel", x, 0.5, dy=dy)


def did(
    *events: InputEvent | list[InputEvent],
    elements: tuple[UIElement, ...] = (),
    segments: float = 300.0,
    windows: tuple[Window, ...] = (),
) -> list[FactualAnchor]:
    flat = [event for item in events for event in (item if isinstance(item, list) else [item])]
    return measure(InputEvents(), Film(events=flat, elements=elements, windows=windows), 60.0, segments)


def told(anchors: list[FactualAnchor]) -> list[tuple[str, str]]:
    return [(anchor.kind, anchor.content) for anchor in anchors]


def test_a_press_and_its_release_are_a_click() -> None:
    [found] = did(click(3.0, 0.2, 0.3))
    assert (found.kind, found.t0, found.t1) == (AnchorKind.CLICK, 3.0, 3.1)
    assert found.point is not None
    assert (found.point.x, found.point.y) == (0.2, 0.3)


def test_two_clicks_close_in_time_and_place_are_a_double_click() -> None:
    assert told(did(click(1.0), click(1.3))) == [(AnchorKind.DOUBLE_CLICK, "")]
    assert len(did(click(1.0), click(1.9))) == 2
    assert len(did(click(1.0), click(1.3, 0.7))) == 2


def test_right_button_and_drag() -> None:
    found = did(click(1.0, button="right"), click(4.0, 0.2, 0.2, until=5.0, to=(0.6, 0.2)))
    assert [a.kind for a in found] == [AnchorKind.RIGHT_CLICK, AnchorKind.DRAG]
    assert found[1].end_point is not None
    assert found[1].end_point.x == 0.6


def test_a_trembling_hand_drags_nothing() -> None:
    assert told(did(click(4.0, 0.2, 0.2, to=(0.205, 0.203)))) == [(AnchorKind.CLICK, "")]


def test_wheel_turns_are_merged_also_when_they_turn_back() -> None:
    found = did(wheel(1.0, -1), wheel(1.5, -1), wheel(3.5, 1), wheel(10.0, -1))
    assert [(a.content, a.value, a.t0, a.t1) for a in found] == [
        ("down then up", 3.0, 1.0, 3.5),
        ("down", 1.0, 10.0, 10.0),
    ]


def test_typed_characters_are_merged_and_backspace_takes_back() -> None:
    assert told(did(keys(1.0, "h", "e", "y", "space", "x", "backspace", "T"))) == [(AnchorKind.TYPING, "hey T")]


def test_typing_breaks_at_a_click_and_at_a_pause() -> None:
    found = did(keys(1.0, "a", "b"), click(2.0), keys(3.0, "c"), keys(9.0, "d"))
    assert [a.content for a in found if a.kind == AnchorKind.TYPING] == ["ab", "c", "d"]


def test_keys_with_modifiers_are_hotkeys() -> None:
    down = [InputEvent(1.0, "key", key="ctrl_l", pressed=True), InputEvent(1.1, "key", key="alt_l", pressed=True)]
    up = [InputEvent(1.5, "key", key="alt_l", pressed=False), InputEvent(1.6, "key", key="ctrl_l", pressed=False)]
    assert told(did(down, keys(1.2, "T"), up, keys(3.0, "enter"))) == [
        (AnchorKind.HOTKEY, "ctrl+alt+t"),
        (AnchorKind.HOTKEY, "enter"),
    ]


def test_shift_writes_capitals() -> None:
    shift = [InputEvent(0.9, "key", key="shift", pressed=True), InputEvent(1.15, "key", key="shift", pressed=False)]
    assert told(did(shift, keys(1.0, "A", "b"))) == [(AnchorKind.TYPING, "Ab")]


SAVE = UIElement(0.0, "Save", "Button", Box(x0=0.45, y0=0.45, x1=0.55, y1=0.55), depth=3)
BAR = UIElement(0.0, "Toolbar", "Pane", Box(x0=0.3, y0=0.4, x1=0.7, y1=0.6), depth=2)
WINDOW = UIElement(0.0, "Editor", "Window", Box(x0=0.0, y0=0.0, x1=1.0, y1=1.0), depth=0)


def test_the_smallest_named_element_under_the_pointer_is_the_target() -> None:
    [found] = did(click(3.0), elements=(WINDOW, BAR, SAVE))
    assert (found.content, found.box) == ("Save", SAVE.box)


def test_the_element_recorded_as_clicked_comes_first() -> None:
    clicked = UIElement(3.02, "Save as", "Button", Box(x0=0.4, y0=0.45, x1=0.6, y1=0.55), depth=0, clicked=True)
    [found] = did(click(3.0), elements=(BAR, SAVE, clicked))
    assert found.content == "Save as"


def test_a_tree_of_later_is_not_used() -> None:
    late = UIElement(5.0, "Later", "Button", Box(x0=0.45, y0=0.45, x1=0.55, y1=0.55), depth=3)
    [found] = did(click(3.0), elements=(SAVE, late))
    assert found.content == "Save"


def test_no_box_rather_than_a_wrong_one() -> None:
    [away] = did(click(3.0, 0.9, 0.9), elements=(SAVE,))
    assert (away.content, away.box) == ("", None)
    beyond = InputEvent(2.0, "move")
    [rescaled] = did(beyond, click(3.0), elements=(SAVE,))
    assert (rescaled.content, rescaled.box) == ("", None)


def test_a_clicked_box_without_a_name_is_the_last_resort() -> None:
    clicked = UIElement(3.0, "", "", Box(x0=0.4, y0=0.4, x1=0.6, y1=0.6), depth=0, clicked=True)
    [alone] = did(click(3.0), elements=(clicked,))
    assert (alone.content, alone.box, alone.confidence) == ("", clicked.box, 0.7)
    [named] = did(click(3.0), elements=(clicked, SAVE))
    assert (named.content, named.box) == ("Save", SAVE.box)


def test_a_scroll_without_a_place_leaves_the_boxes_trusted() -> None:
    turned, found = did(InputEvent(1.0, "wheel", dy=-1), click(3.0), elements=(SAVE,))
    assert (turned.content, turned.point) == ("down", None)
    assert found.content == "Save"


def test_windows_last_until_the_next() -> None:
    for segments in (300.0, 10.0):
        found = did(windows=(Window(-1.0, "Desktop"), Window(4.0, "Editor")), segments=segments)
        assert [(a.content, a.t0, a.t1) for a in found] == [("Desktop", 0.0, 4.0), ("Editor", 4.0, 60.0)]


def test_segment_borders_change_nothing() -> None:
    events = (keys(9.8, "a", "b", "c"), wheel(19.5, -1), wheel(20.5, -1), click(29.95))
    assert did(*events) == did(*events, segments=10.0)


def test_unknown_parameters_are_refused() -> None:
    with pytest.raises(UsageError, match="gap"):
        InputEvents(gap=3)

"""The screen expert tells which screen stands when, marks, scrolling and returns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from drawn_screens import RATE, Film, measure, picture

from experts.pixels import signature, unlikeness
from experts.screen import Screen
from schemas.anchor import AnchorKind, FactualAnchor
from schemas.errors import UsageError
from sources.base import InputEvent

MENU = ((40, 120, "Settings"), (40, 200, "Network"), (40, 280, "Display"), (40, 360, "Sound"))
WIFI = ((40, 120, "Network"), (40, 240, "Airplane mode"), (40, 420, "Hotspot and tethering"))


def of(anchors: list[FactualAnchor], kind: AnchorKind) -> list[FactualAnchor]:
    return [anchor for anchor in anchors if anchor.kind == kind]


def test_states_follow_the_screen_and_a_return_has_its_first_number() -> None:
    film = Film([picture(*MENU)] * 4 + [picture(*WIFI, shade=200)] * 4 + [picture(*MENU)] * 4)
    found = measure(Screen(), film)
    states = of(found, AnchorKind.SCREEN)
    assert [(s.t0, s.t1, s.value) for s in states] == [(0.0, 1.5, 0.0), (2.0, 3.5, 1.0), (4.0, 5.5, 0.0)]
    assert [(r.t0, r.value) for r in of(found, AnchorKind.SCREEN_RETURN)] == [(4.0, 0.0)]
    assert [c.t0 for c in of(found, AnchorKind.SCREEN_CHANGE)] == [2.0, 4.0]
    assert states[0].content == states[2].content


def test_the_box_of_a_change_holds_what_changed() -> None:
    film = Film([picture(*MENU)] * 2 + [picture(*MENU, (200, 600, "New line of text"))] * 2)
    [change] = of(measure(Screen(), film), AnchorKind.SCREEN_CHANGE)
    assert change.box is not None
    assert change.box.x0 <= 200 / 450 + 0.02
    assert change.box.y0 == pytest.approx(600 / 900, abs=0.02)
    assert 0 < (change.value or 0) < 0.1


@pytest.mark.parametrize("place", [(200, 300), (60, 22), (430, 880)])
def test_a_dot_over_an_unchanged_screen_is_a_tap(place: tuple[int, int]) -> None:
    still, marked = picture(*MENU), picture(*MENU, dots=[place])
    found = measure(Screen(), Film([still, marked, picture(*WIFI), picture(*WIFI)]))
    [tap] = of(found, AnchorKind.TAP)
    assert tap.t0 == 0.5
    assert tap.point is not None
    assert (tap.point.x, tap.point.y) == pytest.approx((place[0] / 450, place[1] / 900), abs=0.012)
    assert [s.t0 for s in of(found, AnchorKind.SCREEN)] == [0.0, 1.0]


def test_a_line_over_an_unchanged_screen_is_a_swipe() -> None:
    still, marked = picture(*MENU), picture(*MENU, line=(225, 300, 235, 700))
    [swipe] = of(measure(Screen(), Film([still, marked, picture(*WIFI)])), AnchorKind.SWIPE)
    assert swipe.point is not None
    assert swipe.end_point is not None
    ends = sorted([swipe.point.y, swipe.end_point.y])
    assert ends == pytest.approx([300 / 900, 700 / 900], abs=0.02)


def test_a_dot_that_stays_is_part_of_the_screen() -> None:
    film = Film([picture(*MENU)] * 2 + [picture(*MENU, dots=[(400, 200)])] * 8)
    found = measure(Screen(), film)
    assert not of(found, AnchorKind.TAP)
    assert len(of(found, AnchorKind.SCREEN)) == 2


def test_a_clock_in_the_status_bar_changes_no_screen() -> None:
    film = Film([picture((14, 8, "9:41"), *MENU)] * 2 + [picture((14, 8, "9:42"), *MENU)] * 2)
    assert len(of(measure(Screen(), film), AnchorKind.SCREEN)) == 1


def page(top: int) -> np.ndarray:
    lines = [(40, 150 + 60 * row - top, f"Entry {row * 37 % 91} of the list {row}") for row in range(40)]
    return picture(*[line for line in lines if 100 < line[1] < 860], boxes=[(0, 0, 450, 90)])


@pytest.mark.parametrize(("moved", "direction"), [(170, "up"), (-170, "down")])
def test_scrolling_tells_direction_and_distance(moved: int, direction: str) -> None:
    film = Film([page(300)] * 2 + [page(300 + moved)] * 2)
    [scroll] = of(measure(Screen(), film), AnchorKind.SCROLL)
    assert scroll.content == direction
    assert scroll.value == pytest.approx(moved / 900, abs=0.01)


def test_another_screen_is_no_scrolling() -> None:
    assert not of(measure(Screen(), Film([picture(*MENU)] * 2 + [picture(*WIFI)] * 2)), AnchorKind.SCROLL)


def test_the_pointer_of_a_mouse_changes_nothing_where_the_log_tells_its_place() -> None:
    def desk(x: int, y: int) -> np.ndarray:
        return picture(*MENU, size=(900, 600), boxes=[(x, y, x + 9, y + 14)])

    places = [(100, 400), (300, 420), (500, 440), (500, 440), (700, 300)]
    events = [InputEvent(i / RATE - 0.05, "move", x / 900, y / 600) for i, (x, y) in enumerate(places)]
    film = Film([desk(x, y) for x, y in places], events=[InputEvent(0.0, "move", 100 / 900, 400 / 600), *events[1:]])
    assert len(of(measure(Screen(), film), AnchorKind.SCREEN)) == 1


def test_segment_borders_change_nothing() -> None:
    pictures = [picture(*MENU)] * 5 + [picture(*WIFI, shade=200)] * 5 + [picture(*MENU)] * 5
    pictures[8] = picture(*WIFI, shade=200, dots=[(200, 300)])
    whole, cut = measure(Screen(), Film(pictures)), measure(Screen(), Film(pictures), segments=2.0)
    assert of(whole, AnchorKind.SCREEN) == of(cut, AnchorKind.SCREEN)
    assert of(whole, AnchorKind.SCREEN_CHANGE) == of(cut, AnchorKind.SCREEN_CHANGE)
    assert of(whole, AnchorKind.TAP) == of(cut, AnchorKind.TAP)


def test_equal_pixels_give_equal_anchors() -> None:
    film = Film([picture(*MENU), picture(*MENU, dots=[(50, 500)]), picture(*WIFI), page(100), page(200)])
    assert measure(Screen(), film) == measure(Screen(), film)


def test_a_signature_survives_black_borders() -> None:
    shown = picture(*MENU, shade=230, boxes=[(50, 500, 300, 700)])[..., 0]
    small = shown[::2, ::2]
    framed = np.zeros((900, 450), np.uint8)
    framed[200 : 200 + small.shape[0], 100 : 100 + small.shape[1]] = small
    assert unlikeness(signature(np.ascontiguousarray(shown)), signature(framed)) < 0.06
    other = picture(*WIFI, shade=120)[..., 0]
    assert unlikeness(signature(np.ascontiguousarray(shown)), signature(np.ascontiguousarray(other))) > 0.5


def test_unknown_parameters_are_refused() -> None:
    with pytest.raises(UsageError, match="rate"):
        Screen(rate=3)


@pytest.mark.streams
def test_every_mark_of_the_real_fragments_is_found(streams: Path) -> None:
    from sources.video import VideoRecording

    for name, marks in (("fragment-a", 4), ("fragment-b", 4), ("fragment-c", 5), ("fragment-d", 6)):
        with VideoRecording(str(streams / "gui" / "fragments_shopping" / f"{name}.mp4")) as recording:
            film = Film([frame.rgb(1200) for frame in recording.frames(0.0, 60.0, RATE, include_end=True)])
        found = measure(Screen(), film)
        assert len(of(found, AnchorKind.TAP)) + len(of(found, AnchorKind.SWIPE)) == marks

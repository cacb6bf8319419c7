"""MiniWoB++ demonstrations: pages and DOM events as the recorder writes them, and what is wrong in places."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from typing import Any

import fsspec
import pytest
from fsspec import AbstractFileSystem
from PIL import Image

from experts.ensemble import Ensemble, Stopwatch
from experts.input_events import InputEvents
from schemas.anchor import AnchorKind, FactualAnchor
from schemas.errors import InputError
from schemas.recipe import Sampling
from schemas.segment import cut_segments
from schemas.stream import Domain, Stream, TrackKind
from sources.base import Candidate
from sources.identity import hash_parts
from sources.miniwob import MiniWobSource

SOURCE = MiniWobSource()
ROOT = "/demos"


@pytest.fixture
def fs() -> Iterator[AbstractFileSystem]:
    memory = fsspec.filesystem("memory")
    memory.makedirs(ROOT)
    yield memory
    memory.rm(ROOT, recursive=True)


def node(tag: str, left: float, top: float, width: float, height: float, **more: Any) -> dict[str, Any]:
    return {"tag": tag, "left": left, "top": top, "width": width, "height": height, "children": [], **more}


def page(target: bool = False) -> dict[str, Any]:
    button = node("BUTTON", 16, 105, 32, 21, text="Submit", **({"recordingTarget": True} if target else {}))
    return node("BODY", 0, 0, 160, 210, children=[button, node("INPUT_text", 80, 42, 40, 21, value="")])


def event(time: int, kind: str, timings: tuple[int, ...] = (1, 3), **what: Any) -> list[dict[str, Any]]:
    """The states that the recorder adds for one DOM event: before it and after it."""
    return [{"time": time, "action": {"type": kind, "timing": t, **what}, "dom": page(target=t == 1)} for t in timings]


def key(time: int, code: int, character: int = 0) -> list[dict[str, Any]]:
    pressed = event(time, "keydown", keyCode=code, charCode=0)
    typed = event(time + 1, "keypress", keyCode=character, charCode=character) if character else []
    return [*pressed, *typed, *event(time + 40, "keyup", keyCode=code, charCode=0)]


def click(time: int, x: float = 32, y: float = 115) -> list[dict[str, Any]]:
    return [
        *event(time, "mousedown", x=x, y=y),
        *event(time + 80, "mouseup", x=x, y=y),
        *event(time + 81, "click", x=x, y=y),
    ]


def demonstration(*events: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    return {
        "taskName": "enter-text",
        "utterance": 'Enter "Ab" and press Submit.',
        "reward": 0.5,
        "rawReward": 1,
        "states": [{"time": 0, "action": None, "dom": page()}, *(state for states in events for state in states)],
        **changes,
    }


def write(fs: AbstractFileSystem, name: str, record: object) -> None:
    content = record if isinstance(record, str) else json.dumps(record)
    fs.pipe_file(f"{ROOT}/{name}", content.encode())


def probed(fs: AbstractFileSystem, name: str, max_pixels: int = 10**8) -> Stream:
    (candidate,) = SOURCE.find(fs, f"{ROOT}/{name}")
    assert isinstance(candidate, Candidate)
    return SOURCE.probe(candidate, hash_parts(candidate, {}), Domain.GUI, max_pixels)


def did(stream: Stream) -> list[FactualAnchor]:
    (segment,) = cut_segments(stream, 300.0)
    with SOURCE.open(stream) as recording:
        return Ensemble([InputEvents()], Sampling())(recording, segment, Stopwatch()).anchors["input_events"]


def test_a_demonstration_is_events_and_elements_at_the_times_of_the_recorder(fs: AbstractFileSystem) -> None:
    typed = [key(1000, 16), key(1100, 65, ord("A")), key(1300, 66, ord("b")), key(1500, 8), key(1700, 13)]
    write(fs, "enter-text_1.json", demonstration(*typed, click(3000)))
    assert SOURCE.claims(fs, ROOT)
    stream = probed(fs, "enter-text_1.json")
    assert (stream.name, stream.format, stream.duration) == ("enter-text_1", "miniwob", 3.081)
    assert {track.kind for track in stream.tracks} == {TrackKind.EVENTS, TrackKind.ELEMENTS, TrackKind.TEXT}
    assert [(anchor.t0, anchor.kind, anchor.content) for anchor in did(stream)] == [
        (1.101, AnchorKind.TYPING, "A"),
        (1.7, AnchorKind.HOTKEY, "enter"),
        (3.0, AnchorKind.CLICK, "Submit"),
    ]
    submitted = did(stream)[-1]
    assert submitted.point is not None
    assert submitted.box is not None
    assert (submitted.point.x, submitted.box.x0, submitted.box.y0) == (0.2, 0.1, 0.5)
    with SOURCE.open(stream) as recording:
        assert recording.texts() == ('Enter "Ab" and press Submit.',)
        assert list(recording.frames(0.0, 9.0, None)) == []
        assert list(recording.frames_at([1.0])) == []


def test_each_event_counts_once(fs: AbstractFileSystem) -> None:
    write(fs, "a.json", demonstration(click(1000), click(3000), event(5000, "keydown", (3,), keyCode=13)))
    assert [anchor.kind for anchor in did(probed(fs, "a.json"))] == [
        AnchorKind.CLICK, AnchorKind.CLICK, AnchorKind.HOTKEY,
    ]  # fmt: skip


def test_where_only_clicks_were_recorded_they_are_presses(fs: AbstractFileSystem) -> None:
    write(fs, "a.json", demonstration(event(1000, "click", x=32, y=115), event(2000, "scroll")))
    stream = probed(fs, "a.json")
    assert [anchor.kind for anchor in did(stream)] == [AnchorKind.CLICK]
    assert any("scroll (1)" in note for note in stream.notes)


def test_keys_held_with_a_command_key_are_hotkeys(fs: AbstractFileSystem) -> None:
    down, up = event(1000, "keydown", keyCode=17), event(1500, "keyup", keyCode=17)
    write(fs, "a.json", demonstration(down, key(1200, 65), up))
    assert [(anchor.kind, anchor.content) for anchor in did(probed(fs, "a.json"))] == [(AnchorKind.HOTKEY, "ctrl+a")]


def test_a_failed_demonstration_says_so(fs: AbstractFileSystem) -> None:
    write(fs, "a.json", demonstration(click(1000), rawReward=-1))
    assert any("not done" in note for note in probed(fs, "a.json").notes)


def picture(shade: int, size: tuple[int, int] = (160, 210)) -> str:
    data = io.BytesIO()
    Image.new("RGB", size, (shade, 0, 0)).save(data, "PNG")
    return "data:image/png;base64," + base64.b64encode(data.getvalue()).decode()


def test_pictures_are_shown_where_there_are_some(fs: AbstractFileSystem) -> None:
    record = demonstration(click(1000), click(2000))
    for state, image in zip(record["states"], (picture(1), picture(2), picture(3), "a.png", 7), strict=False):
        state["image"] = image
    write(fs, "a.json", record)
    stream = probed(fs, "a.json")
    track = next(track for track in stream.tracks if track.kind is TrackKind.IMAGES)
    assert (track.width, track.height, track.items) == (160, 210, 2)
    assert any("1 pictures left out" in note for note in stream.notes)
    with SOURCE.open(stream) as recording:
        shown = [(frame.time, int(frame.rgb()[0, 0, 0])) for frame in recording.frames(0.0, 9.0, None)]
        # Of two states at one time the later one counts.
        assert shown == [(0.0, 1), (1.0, 3)]


def test_pictures_larger_than_allowed_are_left_out(fs: AbstractFileSystem) -> None:
    record = demonstration(click(1000))
    record["states"][0]["image"] = picture(1, (500, 500))
    write(fs, "a.json", record)
    stream = probed(fs, "a.json", max_pixels=1000)
    assert not stream.has(TrackKind.IMAGES)


@pytest.mark.parametrize(
    "record", ["", "{", '{"taskName": "x", "states": 3}', '{"taskName": "x", "states": [{"time": "soon"}]}']
)
def test_what_is_no_demonstration_is_an_input_error(fs: AbstractFileSystem, record: str) -> None:
    write(fs, "a.json", record)
    with pytest.raises(InputError):
        probed(fs, "a.json")


def test_other_json_beside_demonstrations_is_passed_over(fs: AbstractFileSystem) -> None:
    write(fs, "a.json", demonstration(click(1000)))
    write(fs, "index.json", ["a.json"])
    write(fs, "z.json", json.dumps(demonstration(click(1000)))[:-9])
    names = [item.name for item in SOURCE.find(fs, ROOT) if isinstance(item, Candidate)]
    assert names == ["a", "z"]
    with pytest.raises(InputError, match="not JSON"):
        probed(fs, "z.json")


@pytest.mark.parametrize(
    "state",
    [
        None,
        {"time": 5, "action": [], "dom": 3},
        {"time": 5, "action": {"type": {}, "x": "a"}, "dom": {"children": 3, "left": None}},
        {"time": 5, "action": {"type": "keypress", "charCode": 55357}, "dom": {"children": [None, {"text": 3}]}},
        {"time": 5, "action": {"type": "mousedown", "x": 900, "y": None}, "image": "data:image/png;base64,!!"},
    ],
)
def test_odd_states_never_crash(fs: AbstractFileSystem, state: object) -> None:
    write(fs, "a.json", demonstration([state, *click(1000)]))  # type: ignore[list-item]
    assert AnchorKind.CLICK in [anchor.kind for anchor in did(probed(fs, "a.json"))]

"""AgentNet raw episodes: logs beside a screen recording, whole and broken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from fsspec.implementations.local import LocalFileSystem

from schemas.errors import InputError, Problem
from schemas.stream import Domain, Stream, TrackKind
from sources.agentnet import AgentNetSource
from sources.base import Candidate
from sources.identity import hash_parts

FS = LocalFileSystem()
SOURCE = AgentNetSource()
START = 1000.0

EVENTS: list[dict[str, Any]] = [
    {"time_stamp": 999.0, "action": "move", "x": 1, "y": 1},
    {"time_stamp": 1000.5, "action": "move", "x": 100, "y": 50},
    {"time_stamp": 1001.0, "action": "click", "x": 100, "y": 50, "button": "left", "pressed": True},
    {"time_stamp": 1001.1, "action": "click", "x": 100, "y": 50, "button": "left", "pressed": False},
    {"time_stamp": 1001.5, "action": "scroll", "x": 100, "y": 50, "dx": 0, "dy": -1},
    {"time_stamp": 1001.6, "action": "press", "name": "ctrl_l", "pynput_key": "Key.ctrl_l"},
    {"time_stamp": 1001.7, "action": "release", "name": "ctrl_l", "pynput_key": "Key.ctrl_l"},
]


def node(name: str, left: int, top: int, right: int, bottom: int, *children: dict[str, Any]) -> dict[str, Any]:
    box = {"left": left, "top": top, "right": right, "bottom": bottom}
    return {"Name": name, "ControlType": "ButtonControl", "BoundingRectangle": box, "Children": list(children)}


def lines(*rows: object) -> str:
    return "\n".join(json.dumps(row) for row in rows) + "\n"


def episode(folder: Path, **files: str | None) -> Path:
    """An episode of 2 s on a screen of 200x100. Files are replaced by name (`events="..."`), or left out (None)."""
    folder.mkdir(parents=True, exist_ok=True)
    tree = node("Window", 0, 0, 200, 100, node("Save", 90, 40, 110, 60), node("Far", 500, 0, 600, 50))
    contents = {
        "metadata.json": json.dumps({"screen_width": 200, "screen_height": 100, "video_start_timestamp": START}),
        "events.jsonl": lines(*EVENTS),
        "a11y.jsonl": lines({"time_stamp": 1000.2, "axtree": tree}),
        "element.jsonl": lines({"time_stamp": 1001.0, "a11y_tree": node("Save", 90, 40, 110, 60)}),
        "top_window.jsonl": lines({"time_stamp": 1000.1, "top_window_name": "editor"}),
        "task_name.json": json.dumps({"task_name": "Save the file", "description": ""}),
    }
    for name, content in contents.items():
        replaced = files.get(name.partition(".")[0], content)
        if replaced is not None:
            (folder / name).write_text(replaced)
    with av.open(str(folder / "screen.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 200, 100, "yuv420p"
        for shade in range(20):
            picture = np.full((100, 200, 3), 10 * shade, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return folder


def found(folder: Path) -> Candidate:
    assert SOURCE.claims(FS, str(folder))
    (candidate,) = SOURCE.find(FS, str(folder))
    assert isinstance(candidate, Candidate)
    return candidate


def probed(folder: Path) -> Stream:
    candidate = found(folder)
    return SOURCE.probe(candidate, hash_parts(candidate, {}), Domain.GUI, 10**8)


def test_an_episode_is_one_stream_made_of_every_file_that_is_read(tmp_path: Path) -> None:
    stream = probed(episode(tmp_path / "episode 1"))
    assert (stream.name, stream.format) == ("episode 1", "agentnet")
    assert stream.duration == pytest.approx(2.0)
    assert {Path(part.uri).name for part in stream.parts} == {
        "screen.mp4", "metadata.json", "events.jsonl", "a11y.jsonl", "element.jsonl", "top_window.jsonl",
        "task_name.json",
    }  # fmt: skip
    assert {track.kind for track in stream.tracks} == {
        TrackKind.VIDEO, TrackKind.EVENTS, TrackKind.ELEMENTS, TrackKind.TEXT,
    }  # fmt: skip


def test_events_are_in_the_time_of_the_video_and_in_shares_of_the_screen(tmp_path: Path) -> None:
    stream = probed(episode(tmp_path))
    assert any("1 rows from before the video" in note for note in stream.notes)
    with SOURCE.open(stream) as recording:
        events = recording.events()
    assert [(event.time, event.action, event.pressed) for event in events] == [
        (0.5, "move", None),
        (1.0, "button", True),
        (1.1, "button", False),
        (1.5, "wheel", None),
        (1.6, "key", True),
        (1.7, "key", False),
    ]
    assert (events[1].x, events[1].y, events[1].button) == (0.5, 0.5, "left")
    assert (events[3].dx, events[3].dy) == (0.0, -1.0)
    assert events[4].key == "ctrl_l"


def test_a_pointer_beyond_the_screen_has_no_place(tmp_path: Path) -> None:
    stream = probed(episode(tmp_path, events=lines({"time_stamp": 1001, "action": "move", "x": 300, "y": 50})))
    assert any("beyond the screen" in note for note in stream.notes)
    with SOURCE.open(stream) as recording:
        (event,) = recording.events()
        assert (event.x, event.y) == (None, None)


def test_elements_lie_on_the_screen_and_the_clicked_one_is_marked(tmp_path: Path) -> None:
    with SOURCE.open(probed(episode(tmp_path))) as recording:
        window, save, clicked = recording.elements()
        assert [(element.name, element.depth, element.clicked) for element in (window, save, clicked)] == [
            ("Window", 0, False),
            ("Save", 1, False),
            ("Save", 0, True),
        ]
        assert save.time == 0.2
        assert save.box is not None
        assert (save.box.x0, save.box.y0, save.box.x1, save.box.y1) == (0.45, 0.4, 0.55, 0.6)
        assert [(one.time, one.name) for one in recording.windows()] == [(0.1, "editor")]
        assert list(recording.texts()) == ["Save the file"]
        assert [frame.time for frame in recording.frames(0.0, 2.0, 1.0)] == [0.0, 1.0]


@pytest.mark.parametrize("name", ["a11y", "element", "top_window", "task_name"])
@pytest.mark.parametrize(
    "content", [None, "", "{broken", "[]", "\x00", '{"time_stamp": "soon"}', "null", "[" * 100_000]
)
def test_a_broken_or_missing_side_file_is_a_note(tmp_path: Path, name: str, content: str | None) -> None:
    stream = probed(episode(tmp_path, **{name: content}))
    assert any(note.startswith(name) for note in stream.notes)
    with SOURCE.open(stream) as recording:
        assert len(recording.events()) == 6
        recording.elements(), recording.windows(), recording.texts()


def test_half_characters_in_names_are_replaced(tmp_path: Path) -> None:
    tree = {"time_stamp": 1001, "a11y_tree": node("smile \ud83d", 0, 0, 50, 50)}
    with SOURCE.open(probed(episode(tmp_path, element=lines(tree), a11y=None))) as recording:
        assert [element.name for element in recording.elements()] == ["smile ?"]


def test_sound_lines_between_broken_ones_are_used(tmp_path: Path) -> None:
    broken = "{\n" + lines(EVENTS[1], 7, {"action": "move"}, {"time_stamp": 1001, "action": "dance"}, EVENTS[2])
    stream = probed(episode(tmp_path, events=broken))
    assert sum(note.startswith("events.jsonl") for note in stream.notes) >= 3
    with SOURCE.open(stream) as recording:
        assert [event.action for event in recording.events()] == ["move", "button"]


@pytest.mark.parametrize("metadata", ["", "[]", "{}", '{"video_start_timestamp": 1, "screen_width": 0}', "null"])
def test_without_its_clock_the_video_remains(tmp_path: Path, metadata: str) -> None:
    stream = probed(episode(tmp_path, metadata=metadata))
    assert any(note.startswith("metadata.json") for note in stream.notes)
    assert not stream.has(TrackKind.EVENTS)
    with SOURCE.open(stream) as recording:
        assert list(recording.frames(0.0, 2.0, 1.0))


def test_without_a_readable_video_there_is_no_stream(tmp_path: Path) -> None:
    folder = episode(tmp_path)
    (folder / "screen.mp4").write_text("text")
    with pytest.raises(InputError):
        probed(folder)
    (folder / "screen.mp4").unlink()
    assert SOURCE.claims(FS, str(folder))
    (problem,) = SOURCE.find(FS, str(folder))
    assert isinstance(problem, Problem)
    assert "screen.mp4" in problem.cause


@pytest.mark.streams
def test_the_real_episode(streams: Path) -> None:
    stream = probed(streams / "gui" / "agentnet_raw" / "episode_2c05b837")
    with SOURCE.open(stream) as recording:
        events = recording.events()
        assert len(events) == 4099
        assert sum(event.action == "key" for event in events) == 4
        press = next(event for event in events if event.action == "button")
        assert press.time == pytest.approx(30680.6270419 - 30673.6036902, abs=1e-5)
        clicked = [element for element in recording.elements() if element.clicked]
        assert clicked[0].name == "Action Centre, No new notifications (Off)"
        assert clicked[0].box is not None
        assert press.x is not None
        assert clicked[0].box.x0 < press.x < clicked[0].box.x1
        assert recording.windows()[1].name == "explorer"

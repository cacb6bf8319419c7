"""LeRobot v3.0: episodes that share files are told apart by rows and by time, here and in a store."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import fsspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import sources.identity
from schemas.errors import InputError, Problem
from schemas.recipe import SourceSpec
from schemas.stream import Domain, Stream, TrackKind
from sources.base import Candidate, Recording
from sources.discovery import discover, hash_parts, open_recording, probe

FPS = 10
LENGTHS = (5, 7, 6)
CAMERA, WRIST = "observation.images.front", "observation.images.wrist"


def shade(frame: int) -> int:
    """The grey of a frame of the shared video: it tells which one it is."""
    return 20 + 12 * frame


def film(path: Path, frames: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(frames):
            picture = np.full((48, 64, 3), shade(number), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def data_set(root: Path, cameras: tuple[str, ...] = (CAMERA,), **columns: list[Any]) -> Path:
    """Three episodes in one Parquet file and one video for each camera; `columns` replaces some of meta/episodes."""
    begins = np.cumsum((0, *LENGTHS))
    for camera in cameras:
        film(root / "videos" / camera / "chunk-000" / "file-000.mp4", int(begins[-1]))
    info = {
        "codebase_version": "v3.0",
        "fps": FPS,
        "total_episodes": len(LENGTHS),
        "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
        "features": {
            **{camera: {"dtype": "video", "shape": [48, 64, 3]} for camera in cameras},
            "observation.state": {"dtype": "float32", "shape": [2], "names": ["left_arm", "left_gripper"]},
            "action": {"dtype": "float32", "shape": [2], "names": ["left_arm", "left_gripper"]},
        },
    }
    (root / "meta").mkdir(parents=True, exist_ok=True)
    (root / "meta" / "info.json").write_text(json.dumps(info))
    tasks = pd.DataFrame({"task_index": [0, 1]}, index=["pick up the cup", "open the drawer"])
    tasks.to_parquet(root / "meta" / "tasks.parquet")
    write_data(root, begins)
    rows: dict[str, list[Any]] = {
        "episode_index": [0, 1, 2],
        "tasks": [["pick up the cup"], ["open the drawer"], ["pick up the cup"]],
        "length": list(LENGTHS),
        "data/chunk_index": [0, 0, 0],
        "data/file_index": [0, 0, 0],
        "stats/action/mean": [[0.0, 0.0]] * 3,
    }
    for camera in cameras:
        rows[f"videos/{camera}/chunk_index"] = [0, 0, 0]
        rows[f"videos/{camera}/file_index"] = [0, 0, 0]
        # Sums of durations, as the writers of such sets make them: 0.5 + 0.7 is not 1.2.
        rows[f"videos/{camera}/from_timestamp"] = [0.0, 0.5, 0.5 + 0.7]
        rows[f"videos/{camera}/to_timestamp"] = [0.5, 0.5 + 0.7, 0.5 + 0.7 + 0.6]
    path = root / "meta" / "episodes" / "chunk-000" / "file-000.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({**rows, **columns}), path)
    return root


def write_data(root: Path, begins: Any) -> None:
    """The rows of all episodes. The state of a row is its number in the data set and that of its episode."""
    episode = np.repeat(np.arange(len(LENGTHS)), LENGTHS)
    row = np.arange(begins[-1])
    state = np.stack([row, episode], axis=1).astype(np.float32)
    columns = {
        "observation.state": list(state),
        "action": list(state + 1),
        "timestamp": ((row - begins[episode]) / FPS).astype(np.float32),
        "episode_index": episode,
        "index": row,
        "task_index": episode % 2,
    }
    path = root / "data" / "chunk-000" / "file-000.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(columns).replace_schema_metadata({"huggingface": "{}"})
    pq.write_table(table, path, row_group_size=4)


def found(place: Path | str) -> tuple[list[Candidate], list[Problem]]:
    items = list(discover(SourceSpec.model_validate({"uri": str(place)})))
    return [x for x in items if isinstance(x, Candidate)], [x for x in items if isinstance(x, Problem)]


def probed(candidate: Candidate, max_pixels: int = 10**8) -> Stream:
    return probe(candidate, hash_parts(candidate, {}), None, max_pixels)


def shades(recording: Recording, *window: float | None) -> list[int]:
    """Which frames of the file are shown in a window (t0, t1, rate)."""
    t0, t1, rate = window or (0.0, 99.0, None)
    frames = recording.frames(t0 or 0.0, t1 or 0.0, rate)
    return [round((float(frame.gray().mean()) - 20) / 12) for frame in frames]


def test_an_episode_is_a_window_of_the_video_and_a_range_of_rows(tmp_path: Path) -> None:
    candidates, problems = found(data_set(tmp_path / "set"))
    assert not problems
    assert [candidate.selector for candidate in candidates] == ["0", "1", "2"]
    begin = 0
    for candidate, length in zip(candidates, LENGTHS, strict=True):
        stream = probed(candidate)
        assert stream.domain is Domain.EMBODIED
        assert stream.duration == pytest.approx(length / FPS, abs=0.01)
        assert stream.notes == ()
        with open_recording(stream) as recording:
            assert shades(recording) == list(range(begin, begin + length))
            times = [frame.time for frame in recording.frames(0.0, 99.0, None)]
            assert times == pytest.approx([number / FPS for number in range(length)], abs=1e-6)
            signals = recording.signals()
        assert signals is not None
        assert signals.state is not None
        assert signals.state[:, 0].tolist() == list(range(begin, begin + length))
        assert signals.times == pytest.approx(np.arange(length) / FPS, abs=1e-6)
        assert signals.groups == {"left_arm": (0, 1), "left_gripper": (1, 2)}
        begin += length


def test_nothing_of_the_neighbours_is_shown(tmp_path: Path) -> None:
    stream = probed(found(data_set(tmp_path / "set"))[0][1])
    with open_recording(stream) as recording:
        assert shades(recording, 0.0, 0.7, None) == [5, 6, 7, 8, 9, 10, 11]
        assert shades(recording, 0.0, 0.3, None) + shades(recording, 0.3, 0.7, None) == [5, 6, 7, 8, 9, 10, 11]
        assert shades(recording, 0.0, 0.7, 5.0) == [5, 7, 9, 11]
        assert [frame.time for frame in recording.frames_at([0.0, 0.25, 99.0])] == pytest.approx([0.0, 0.2, 0.6])
        whole = recording.frames(0.0, stream.duration, None, include_end=True)
        assert len(list(whole)) == 7


def test_task_texts_come_from_the_table_of_tasks_or_the_episode(tmp_path: Path) -> None:
    root = data_set(tmp_path / "set")
    with open_recording(probed(found(root)[0][1])) as recording:
        assert list(recording.texts()) == ["open the drawer"]
    (root / "meta" / "tasks.parquet").unlink()
    with open_recording(probed(found(root)[0][1])) as recording:
        assert list(recording.texts()) == ["open the drawer"]


def test_a_shared_file_is_hashed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    candidates, _ = found(data_set(tmp_path / "set"))
    opened: list[str] = []
    read = sources.identity.open_binary
    monkeypatch.setattr("sources.identity.open_binary", lambda uri: opened.append(uri) or read(uri))
    hashes = {probed(candidate).sha256 for candidate in candidates}
    assert len(hashes) == len(LENGTHS)
    assert sorted(opened) == sorted(set(opened))


def test_cameras_are_tracks_and_the_one_that_sees_the_scene_is_shown(tmp_path: Path) -> None:
    root = data_set(tmp_path / "set", cameras=(WRIST, CAMERA))
    (root / "videos" / WRIST / "chunk-000" / "file-000.mp4").unlink()
    candidate = found(root)[0][0]
    stream = probed(candidate)
    assert [track.name for track in stream.tracks if track.kind == TrackKind.VIDEO] == [CAMERA]
    assert any(WRIST in note for note in stream.notes)


def encoded(shade: int) -> dict[str, Any]:
    """A picture as the table of a data set holds it."""
    out = io.BytesIO()
    Image.new("RGB", (32, 24), (shade, shade, shade)).save(out, "PNG")
    return {"bytes": out.getvalue(), "path": "frame.png"}


def with_pictures(root: Path, cells: list[Any]) -> Path:
    """A data set whose camera lies as pictures in the table."""
    data_set(root, cameras=())
    info = json.loads((root / "meta" / "info.json").read_text())
    info["features"]["observation.images.inner"] = {"dtype": "image", "shape": [24, 32, 3]}
    (root / "meta" / "info.json").write_text(json.dumps(info))
    path = root / "data" / "chunk-000" / "file-000.parquet"
    pq.write_table(pq.read_table(path).append_column("observation.images.inner", [cells]), path, row_group_size=4)
    return root


def test_pictures_in_the_table_are_a_film(tmp_path: Path) -> None:
    cells = [encoded(10 * row) for row in range(sum(LENGTHS))]
    stream = probed(found(with_pictures(tmp_path / "set", cells))[0][1])
    assert stream.has(TrackKind.VIDEO)
    assert stream.duration == pytest.approx(0.7)
    with open_recording(stream) as recording:
        frames = list(recording.frames(0.0, 99.0, None))
        assert [frame.time for frame in frames] == pytest.approx([number / FPS for number in range(7)], abs=1e-6)
        assert [float(frame.gray().mean()) for frame in frames] == [10 * row for row in range(5, 12)]
        assert recording.signals() is not None
    with pytest.raises(InputError, match="32 x 24"):
        probed(found(tmp_path / "set")[0][0], max_pixels=100)


def test_pictures_in_the_table_that_cannot_be_read_are_a_note(tmp_path: Path) -> None:
    cells: list[Any] = [encoded(10 * row) for row in range(sum(LENGTHS))]
    cells[1], cells[2] = None, {"bytes": b"text", "path": None}
    stream = probed(found(with_pictures(tmp_path / "set", cells))[0][0])
    assert any("picture of step 1 left out" in note and "1 more" in note for note in stream.notes)
    with open_recording(stream) as recording:
        assert [round(frame.time, 6) for frame in recording.frames(0.0, 99.0, None)] == [0.0, 0.3, 0.4]


@pytest.mark.parametrize("cell", ["a path", 7, None])
def test_a_camera_that_is_no_pictures_is_a_note(tmp_path: Path, cell: Any) -> None:
    stream = probed(found(with_pictures(tmp_path / "set", [cell] * sum(LENGTHS)))[0][0])
    assert "no pictures of observation.images.inner: not read" in stream.notes
    assert not stream.has(TrackKind.VIDEO)


def test_only_the_row_groups_of_an_episode_are_read(tmp_path: Path) -> None:
    root = data_set(tmp_path / "set")
    path = root / "data" / "chunk-000" / "file-000.parquet"
    last = pq.ParquetFile(path).metadata.row_group(4)
    begins = [last.column(column).dictionary_page_offset or last.column(column).data_page_offset for column in range(6)]
    data = bytearray(path.read_bytes())
    for begin in begins:
        data[begin : begin + 20] = b"\xff" * 20
    path.write_bytes(data)
    first, second, third = found(root)[0]
    assert probed(first).tracks
    assert probed(second).tracks
    with pytest.raises(InputError, match="Parquet"):
        probed(third)


def test_the_wrong_file_is_an_error_not_another_episode(tmp_path: Path) -> None:
    root = data_set(tmp_path / "set", episode_index=[0, 1, 9])
    first, _, wrong = found(root)[0]
    assert probed(first).tracks
    with pytest.raises(InputError, match="no row of episode 9"):
        probed(wrong)


def test_a_window_beyond_the_video_is_an_error(tmp_path: Path) -> None:
    times = {
        f"videos/{CAMERA}/from_timestamp": [0.0, 0.5, 71.0],
        f"videos/{CAMERA}/to_timestamp": [0.5, 1.2, 72.0],
    }
    first, _, wrong = found(data_set(tmp_path / "set", **times))[0]
    assert probed(first).tracks
    with pytest.raises(InputError, match=r"no frame from 71\.000 s"):
        probed(wrong)


def test_fewer_rows_than_promised_are_a_note(tmp_path: Path) -> None:
    stream = probed(found(data_set(tmp_path / "set", length=[5, 9, 6]))[0][1])
    assert "meta promises 9 rows, the signals have 7" in stream.notes


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("data/file_index", [0, None, 0]),
        ("data/chunk_index", ["0", "../..", "0"]),
        (f"videos/{CAMERA}/from_timestamp", [0.0, float("nan"), 1.2]),
        (f"videos/{CAMERA}/to_timestamp", [0.5, 0.1, 1.8]),
    ],
)
def test_a_bad_entry_is_a_problem_and_the_others_go_on(tmp_path: Path, column: str, values: list[Any]) -> None:
    candidates, problems = found(data_set(tmp_path / "set", **{column: values}))
    bad = [problem for problem in problems if problem.input.endswith("#1")]
    assert len(bad) == 1
    assert len(candidates) + len(problems) == 3


def test_files_that_are_missing_are_named(tmp_path: Path) -> None:
    root = data_set(tmp_path / "set", **{"data/file_index": [0, 4, 0]})
    candidates, problems = found(root)
    assert [candidate.selector for candidate in candidates] == ["0", "2"]
    assert "episode 1" in problems[0].cause
    assert "file-004.parquet" in problems[0].cause


def test_a_table_of_episodes_that_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    root = data_set(tmp_path / "set")
    table = root / "meta" / "episodes" / "chunk-000" / "file-000.parquet"
    (table.parent / "file-001.parquet").write_bytes(table.read_bytes()[:200])
    candidates, problems = found(root)
    assert len(candidates) == 3
    assert "Parquet" in problems[0].cause
    table.unlink()
    (table.parent / "file-001.parquet").unlink()
    candidates, problems = found(root)
    assert not candidates
    assert "lists 0 episodes" in problems[0].cause


def test_texts_that_are_damaged_are_an_error(tmp_path: Path) -> None:
    root = data_set(tmp_path / "set")
    path = root / "meta" / "tasks.parquet"
    path.write_bytes(path.read_bytes().replace(b"open the drawer", b"\xa1pen the drawer"))
    with pytest.raises(InputError, match="texts are damaged"):
        probed(found(root)[0][1])


def test_an_episode_listed_twice_is_told(tmp_path: Path) -> None:
    candidates, problems = found(data_set(tmp_path / "set", episode_index=[0, 1, 1]))
    assert [candidate.selector for candidate in candidates] == ["0", "1"]
    assert any("episode 1 is listed twice" in problem.cause for problem in problems)


def test_a_video_cut_off_in_the_middle_costs_only_the_episodes_behind(tmp_path: Path) -> None:
    root = data_set(tmp_path / "set")
    path = root / "videos" / CAMERA / "chunk-000" / "file-000.mp4"
    film(path, 6)  # the first episode, and one frame of the second
    first, second, third = found(root)[0]
    assert probed(first).duration == pytest.approx(0.5, abs=0.01)
    assert any("cut off" in note for note in probed(second).notes)
    with pytest.raises(InputError):
        probed(third)


def test_pictures_too_large_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="64 x 48"):
        probed(found(data_set(tmp_path / "set"))[0][0], max_pixels=1000)


@pytest.fixture
def store() -> Iterator[str]:
    memory = fsspec.filesystem("memory")
    yield "memory://lerobot_v3"
    memory.rm("/lerobot_v3", recursive=True)


def test_a_set_in_a_store_is_read_like_a_local_one(tmp_path: Path, store: str) -> None:
    root = data_set(tmp_path / "set")
    fsspec.filesystem("memory").put(str(root), "/lerobot_v3", recursive=True)
    local, remote = found(root)[0], found(store)[0]
    assert [probed(item).sha256 for item in local] == [probed(item).sha256 for item in remote]
    with open_recording(probed(remote[1])) as recording:
        assert shades(recording) == [5, 6, 7, 8, 9, 10, 11]
        assert recording.signals() is not None

"""LeRobot data sets: episodes, signals and cameras, and metadata that promises what is not there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.local import LocalFileSystem

from schemas.errors import InputError, Problem
from schemas.stream import Domain, Stream, TrackKind
from sources.base import Candidate, Signals
from sources.identity import hash_parts
from sources.lerobot import LeRobotSource

FS = LocalFileSystem()
SOURCE = LeRobotSource()
JOINTS = ["kLeftShoulderPitch", "kLeftElbow", "kLeftHandThumb", "kRightHandIndex"]
EGO, WRIST = "observation.images.ego", "observation.images.wrist"


def clip(path: Path, frames: int = 20, colour: int = 90) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(frames):
            picture = np.full((48, 64, 3), colour, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def data_set(root: Path, episodes: int = 2, cameras: tuple[str, ...] = (EGO,), rows: int = 20, **info: Any) -> Path:
    """A v2.1 set of 2 s episodes; `info` replaces entries of meta/info.json."""
    (root / "meta").mkdir(parents=True)
    names = [JOINTS]
    said = {
        "codebase_version": "v2.1",
        "fps": 10,
        "chunks_size": 1000,
        "data_path": "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
        "video_path": "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4",
        "features": {
            **{key: {"dtype": "video", "shape": [48, 64, 3]} for key in cameras},
            "observation.state": {"dtype": "float32", "shape": [4], "names": names},
            "action": {"dtype": "float32", "shape": [4], "names": names},
        },
        **info,
    }
    (root / "meta" / "info.json").write_text(json.dumps(said))
    tasks = ["pick up the cup", "valid"]
    lines = [{"episode_index": number, "tasks": tasks, "length": rows} for number in range(episodes)]
    (root / "meta" / "episodes.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    task_lines = [{"task_index": number, "task": task} for number, task in enumerate(tasks)]
    (root / "meta" / "tasks.jsonl").write_text("\n".join(json.dumps(line) for line in task_lines))
    for number in range(episodes):
        values = (np.arange(rows * 4).reshape(rows, 4) + number).astype(np.float32)
        table = {
            "observation.state": list(values),
            "action": list(values + 1),
            "timestamp": np.arange(rows, dtype=np.float32) / 10,
            "task_index": np.zeros(rows, np.int64),
        }
        path = root / "data" / "chunk-000" / f"episode_{number:06d}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(table), path)
        for camera in cameras:
            clip(
                root / "videos" / "chunk-000" / camera / f"episode_{number:06d}.mp4",
                colour=90 if camera == EGO else 200,
            )
    return root


def found(root: Path) -> tuple[list[Candidate], list[Problem]]:
    assert SOURCE.claims(FS, str(root))
    items = list(SOURCE.find(FS, str(root)))
    return [x for x in items if isinstance(x, Candidate)], [x for x in items if isinstance(x, Problem)]


def probed(candidate: Candidate) -> Stream:
    return SOURCE.probe(candidate, hash_parts(candidate, {}), Domain.EMBODIED, 10**8)


def signals_of(stream: Stream) -> Signals:
    with SOURCE.open(stream) as recording:
        signals = recording.signals()
    assert signals is not None
    return signals


def test_each_episode_is_a_stream_with_picture_signals_and_task(tmp_path: Path) -> None:
    candidates, problems = found(data_set(tmp_path / "set"))
    assert not problems
    assert [candidate.selector for candidate in candidates] == ["0", "1"]
    assert "episode_000001" in candidates[1].name
    stream = probed(candidates[1])
    assert stream.duration == pytest.approx(2.0)
    assert all(stream.has(kind) for kind in (TrackKind.VIDEO, TrackKind.SIGNALS, TrackKind.TEXT))
    with SOURCE.open(stream) as recording:
        assert list(recording.texts()) == ["pick up the cup"]
        assert [frame.time for frame in recording.frames(0.0, 2.0, 1.0)] == [0.0, 1.0]
        assert [frame.time for frame in recording.frames_at([0.55])] == [0.5]
    signals = signals_of(stream)
    assert signals.names == tuple(JOINTS)
    np.testing.assert_allclose(signals.times, np.arange(20) / 10, atol=1e-6)
    assert signals.state is not None
    assert signals.action is not None
    assert signals.state[0].tolist() == [1, 2, 3, 4]
    assert signals.action[0].tolist() == [2, 3, 4, 5]
    assert signals.groups == {"left_arm": (0, 2), "left_hand": (2, 3), "right_hand": (3, 4)}


def test_groups_come_from_modality_where_it_is_sound(tmp_path: Path) -> None:
    root = data_set(tmp_path / "set", episodes=1)
    said = {"state": {"arm": {"start": 0, "end": 2}, "wild": {"start": 2, "end": 99}, "odd": 3}}
    (root / "meta" / "modality.json").write_text(json.dumps(said))
    assert signals_of(probed(found(root)[0][0])).groups == {"arm": (0, 2)}
    (root / "meta" / "modality.json").write_text("{broken")
    assert "left_arm" in signals_of(probed(found(root)[0][0])).groups


def test_a_camera_without_files_is_a_note_and_the_others_are_tracks(tmp_path: Path) -> None:
    root = data_set(tmp_path / "set", episodes=1, cameras=(WRIST, EGO))
    info = json.loads((root / "meta" / "info.json").read_text())
    info["features"]["observation.images.egoview"] = {"dtype": "video"}
    (root / "meta" / "info.json").write_text(json.dumps(info))
    stream = probed(found(root)[0][0])
    assert {track.name for track in stream.tracks if track.kind == TrackKind.VIDEO} == {EGO, WRIST}
    assert any("egoview" in note for note in stream.notes)
    with SOURCE.open(stream) as recording:
        (frame,) = recording.frames_at([0.0])
        first = next(track.name for track in stream.tracks if track.kind == TrackKind.VIDEO)
        assert abs(float(frame.gray().mean()) - (90 if first == EGO else 200)) < 10


def test_missing_episodes_are_named_one_by_one(tmp_path: Path) -> None:
    root = data_set(tmp_path / "set", episodes=3)
    (root / "data" / "chunk-000" / "episode_000000.parquet").unlink()
    (root / "videos" / "chunk-000" / EGO / "episode_000002.mp4").unlink()
    candidates, problems = found(root)
    assert [candidate.selector for candidate in candidates] == ["1"]
    assert "episode 0" in problems[0].cause
    assert "episode_000000.parquet" in problems[0].cause
    assert "episode 2" in problems[1].cause
    assert "episode_000002.mp4" in problems[1].cause


def test_a_malformed_line_of_episodes_leaves_the_others(tmp_path: Path) -> None:
    root = data_set(tmp_path / "set", episodes=2)
    with (root / "meta" / "episodes.jsonl").open("a") as file:
        file.write('\n{broken\n{"tasks": []}\n7\n')
    candidates, problems = found(root)
    assert len(candidates) == 2
    assert len(problems) >= 2


@pytest.mark.parametrize(
    "path",
    [
        "../outside/episode_{episode_index}.parquet",
        "/etc/episode_{episode_index}",
        "data/{secret}",
        "{}",
        7,
        "{episode_index",
    ],
)
def test_templates_that_lead_nowhere_good_are_problems(tmp_path: Path, path: object) -> None:
    candidates, problems = found(data_set(tmp_path / "set", episodes=2, data_path=path))
    assert not candidates
    assert len(problems) == 2


def test_templates_of_v20_without_chunk_are_followed(tmp_path: Path) -> None:
    root = data_set(
        tmp_path / "set",
        1,
        codebase_version="v2.0",
        data_path="data/chunk-{episode_index:03d}/episode_{episode_index:06d}.parquet",
    )
    assert len(found(root)[0]) == 1


def test_an_unknown_version_is_one_problem_that_says_so(tmp_path: Path) -> None:
    candidates, problems = found(data_set(tmp_path / "set", codebase_version="v9.0"))
    assert not candidates
    (problem,) = problems
    assert "v9.0" in problem.cause


def test_an_action_of_other_columns_is_left_out(tmp_path: Path) -> None:
    root = data_set(tmp_path / "set", 1)
    path = root / "data" / "chunk-000" / "episode_000000.parquet"
    columns = {"observation.state": [[0.0] * 4] * 20, "action": [[1.0] * 3] * 20, "timestamp": np.arange(20) / 10}
    pq.write_table(pa.table(columns), path)
    stream = probed(found(root)[0][0])
    assert any("other columns" in note for note in stream.notes)
    signals = signals_of(stream)
    assert signals.state is not None
    assert signals.action is None


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", "null"])
def test_malformed_info_is_one_problem(tmp_path: Path, content: str) -> None:
    root = data_set(tmp_path / "set", 1)
    (root / "meta" / "info.json").write_text(content)
    candidates, problems = found(root)
    assert not candidates
    assert len(problems) == 1


def test_rows_that_disagree_with_frames_are_a_note(tmp_path: Path) -> None:
    stream = probed(found(data_set(tmp_path / "set", 1, rows=17))[0][0])
    assert any("20 frames" in note and "17 rows" in note for note in stream.notes)


def test_an_episode_that_cannot_be_read_is_refused_and_the_next_one_read(tmp_path: Path) -> None:
    root = data_set(tmp_path / "set", episodes=3)
    (root / "data" / "chunk-000" / "episode_000000.parquet").write_bytes(b"PAR1 text")
    (root / "videos" / "chunk-000" / EGO / "episode_000001.mp4").write_bytes(b"")
    first, second, third = found(root)[0]
    for bad in (first, second):
        with pytest.raises(InputError):
            probed(bad)
    assert probed(third).tracks


@pytest.mark.parametrize("state", [[[1.0, 2.0], [3.0]], ["a", "b"], [None, None]])
def test_state_that_is_no_matrix_is_refused(tmp_path: Path, state: list[Any]) -> None:
    root = data_set(tmp_path / "set", 1)
    path = root / "data" / "chunk-000" / "episode_000000.parquet"
    pq.write_table(pa.table({"observation.state": state, "timestamp": [0.0, 0.1]}), path)
    with pytest.raises(InputError):
        probed(found(root)[0][0])


@pytest.mark.parametrize("times", [[None, 0.1], ["a", "b"], [float("nan"), 1.0], [[0.0], [0.1]]])
def test_times_that_are_no_numbers_do_not_crash(tmp_path: Path, times: list[Any]) -> None:
    root = data_set(tmp_path / "set", 1)
    path = root / "data" / "chunk-000" / "episode_000000.parquet"
    pq.write_table(pa.table({"observation.state": [[0.0] * 4] * 2, "timestamp": times}), path)
    candidate = found(root)[0][0]
    try:
        signals = signals_of(probed(candidate))
    except InputError:
        return
    assert np.isfinite(signals.times).all()


@pytest.mark.streams
def test_real_sets(streams: Path) -> None:
    candidates, problems = found(streams / "embodied" / "lerobot_v21_g1")
    assert [candidate.selector for candidate in candidates] == ["29", "30"]
    assert len(problems) == 98
    stream = probed(candidates[0])
    assert signals_of(stream).groups.keys() >= {"left_arm", "right_arm", "left_hand", "right_hand"}
    with SOURCE.open(stream) as recording:
        (frame,) = recording.frames_at([1.0])  # AV1
        assert (frame.width, frame.height) == (640, 480)
    candidates, problems = found(streams / "embodied" / "lerobot_v20_gr1_sim")
    assert (len(candidates), problems) == (5, [])
    stream = probed(candidates[0])
    assert signals_of(stream).groups["right_hand"] == (29, 35)
    with SOURCE.open(stream) as recording:
        assert list(recording.texts()) == ["pick the pear from the counter and place it in the plate"]

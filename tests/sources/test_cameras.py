"""The cameras of an episode: one stream by default, each a stream of its own where it is asked for."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import h5py
import pyarrow.parquet as pq
import pytest
import test_lerobot
import test_lerobot_v3
import test_rlds
import test_robomimic
from PIL import Image

from schemas.errors import InputError, Problem
from schemas.recipe import SourceSpec
from schemas.stream import Stream, TrackKind
from sources.base import Candidate
from sources.cameras import camera_of, episode_uri, short
from sources.discovery import discover, hash_parts, open_recording, probe


def found(place: Path | str) -> tuple[list[Candidate], list[Problem]]:
    items = list(discover(SourceSpec.model_validate({"uri": str(place)})))
    return [x for x in items if isinstance(x, Candidate)], [x for x in items if isinstance(x, Problem)]


def probed(candidate: Candidate) -> Stream:
    return probe(candidate, hash_parts(candidate, {}), None, 10**8)


def shades(stream: Stream) -> list[float]:
    """The mean grey of each frame."""
    with open_recording(stream) as recording:
        return [float(frame.gray().mean()) for frame in recording.frames(0.0, 99.0, None)]


def _lerobot_v21(root: Path) -> Path:
    return test_lerobot.data_set(root / "set", cameras=(test_lerobot.WRIST, test_lerobot.EGO))


def _lerobot_v30(root: Path) -> Path:
    return test_lerobot_v3.data_set(root / "set", cameras=(test_lerobot_v3.WRIST, test_lerobot_v3.CAMERA))


def _rlds(root: Path) -> Path:
    return test_rlds.data_set(root / "set")


def _robomimic(root: Path) -> Path:
    return test_robomimic.demos(root / "set.hdf5")


SETS = [
    pytest.param(_lerobot_v21, 2, test_lerobot.EGO, test_lerobot.WRIST, id="lerobot v2.1"),
    pytest.param(_lerobot_v30, 3, test_lerobot_v3.CAMERA, test_lerobot_v3.WRIST, id="lerobot v3.0"),
    pytest.param(_rlds, 3, "steps/observation/image", "steps/observation/wrist_image", id="rlds"),
    pytest.param(_robomimic, 3, test_robomimic.FRONT, test_robomimic.WRIST, id="robomimic"),
]


@pytest.mark.parametrize(("make", "episodes", "main", "other"), SETS)
def test_each_camera_of_an_episode_is_a_stream_where_all_are_asked_for(
    tmp_path: Path, make: Callable[[Path], Path], episodes: int, main: str, other: str
) -> None:
    place = make(tmp_path)
    alone = [probed(candidate) for candidate in found(place)[0]]
    assert len(alone) == episodes, "by default the rows are not multiplied"
    candidates, problems = found(f"{place}#@*")
    assert not problems
    streams = [probed(candidate) for candidate in candidates]
    assert len(streams) == 2 * episodes
    assert [stream.sha256 for stream in streams[::2]] == [stream.sha256 for stream in alone], "the episodes themselves"
    assert len({stream.sha256 for stream in streams}) == len({stream.name for stream in streams}) == len(streams)
    for episode, beside in zip(streams[::2], streams[1::2], strict=True):
        assert (camera_of(episode), camera_of(beside)) == ("", other)
        assert beside.uri == f"{episode.uri}@{other}"
        assert episode_uri(beside) == episode_uri(episode) == episode.uri
        assert beside.name == f"{episode.name}@{short(other)}"
        assert [track.name for track in beside.tracks] == [other], "pictures alone: signals and task stand once"
        assert next(track.name for track in episode.tracks if track.kind is TrackKind.VIDEO) == main
        assert beside.duration == pytest.approx(episode.duration, abs=0.05), "one clock"
        with open_recording(beside) as recording:
            assert recording.signals() is None
            assert list(recording.texts()) == []
        with open_recording(episode) as recording:
            assert recording.signals() is not None


@pytest.mark.parametrize(("make", "episodes", "main", "other"), SETS)
def test_a_camera_shows_its_own_frames_at_the_times_of_the_episode(
    tmp_path: Path, make: Callable[[Path], Path], episodes: int, main: str, other: str
) -> None:
    place = make(tmp_path)
    episode, beside = [probed(candidate) for candidate in found(f"{place}#@*")[0]][:2]
    with open_recording(episode) as one, open_recording(beside) as two:
        ours, theirs = list(one.frames(0.0, 99.0, None)), list(two.frames(0.0, 99.0, None))
        assert [frame.time for frame in ours] == pytest.approx([frame.time for frame in theirs])
        (at,) = two.frames_at([ours[1].time])
        assert at.time == pytest.approx(ours[1].time)
    if make is not _lerobot_v30:  # there both films are drawn alike
        assert min(shades(beside)) > max(shades(episode)) + 50


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("demo_1@*", ["demo_1", f"demo_1@{test_robomimic.WRIST}"]),
        ("@*eye_in_hand*", [f"demo_{number}@{test_robomimic.WRIST}" for number in range(3)]),
        ("demo_2@agentview_image", ["demo_2"]),
        (f"demo_2@{test_robomimic.WRIST}", [f"demo_2@{test_robomimic.WRIST}"]),
    ],
)
def test_cameras_are_named_with_or_without_their_folders_and_by_patterns(
    tmp_path: Path, selector: str, names: list[str]
) -> None:
    candidates, _ = found(f"{_robomimic(tmp_path)}#{selector}")
    assert [candidate.selector for candidate in candidates] == names


def test_ranges_of_episodes_and_cameras_go_together(tmp_path: Path) -> None:
    candidates, _ = found(f"{_lerobot_v30(tmp_path)}#1:3@wrist")
    assert [candidate.selector for candidate in candidates] == [f"{n}@{test_lerobot_v3.WRIST}" for n in (1, 2)]


def test_a_camera_that_no_episode_has_is_said(tmp_path: Path) -> None:
    for place in (_rlds(tmp_path), _picture(tmp_path / "loose")):
        candidates, problems = found(f"{place}#@left_eye")
        assert not candidates
        assert "@left_eye" in problems[0].cause


def _picture(folder: Path) -> Path:
    """A folder whose format has no episodes."""
    folder.mkdir()
    Image.new("RGB", (32, 24)).save(folder / "a.png")
    return folder


def test_a_camera_is_made_of_its_own_files_alone(tmp_path: Path) -> None:
    place = _lerobot_v21(tmp_path)
    (beside,), _ = found(f"{place}#0@wrist")
    before = probed(beside).sha256
    test_lerobot.clip(place / "videos" / "chunk-000" / test_lerobot.EGO / "episode_000000.mp4", colour=10)
    assert probed(beside).sha256 == before
    assert [role for role, _ in beside.parts] == [f"video:{test_lerobot.WRIST}", "info"]


def test_an_episode_without_a_camera_is_not_lost_where_all_are_asked_for(tmp_path: Path) -> None:
    place = test_lerobot.data_set(tmp_path / "set", cameras=())
    assert [candidate.selector for candidate in found(f"{place}#@*")[0]] == ["0", "1"]


def test_cameras_that_lie_as_pictures_in_the_table_are_streams_too(tmp_path: Path) -> None:
    cells = [test_lerobot_v3.encoded(10 * row) for row in range(sum(test_lerobot_v3.LENGTHS))]
    place = test_lerobot_v3.with_pictures(tmp_path / "set", cells)
    info = json.loads((place / "meta" / "info.json").read_text())
    info["features"]["observation.images.other"] = {"dtype": "image", "shape": [24, 32, 3]}
    (place / "meta" / "info.json").write_text(json.dumps(info))
    table = place / "data" / "chunk-000" / "file-000.parquet"
    light = [test_lerobot_v3.encoded(255 - row) for row in range(len(cells))]
    pq.write_table(pq.read_table(table).append_column("observation.images.other", [light]), table)
    streams = [probed(candidate) for candidate in found(f"{place}#1@*")[0]]
    assert [camera_of(stream) for stream in streams] == ["", "observation.images.other"]
    assert shades(streams[0]) == [10 * row for row in range(5, 12)]
    assert shades(streams[1]) == [255 - row for row in range(5, 12)]


def test_a_camera_that_breaks_is_quarantined_and_the_episode_is_read(tmp_path: Path) -> None:
    place = _lerobot_v21(tmp_path)
    film = place / "videos" / "chunk-000" / test_lerobot.WRIST / "episode_000000.mp4"
    film.write_bytes(film.read_bytes()[:40])
    (beside,) = found(f"{place}#0@wrist")[0]
    with pytest.raises(InputError):
        probed(beside)


def test_an_episode_whose_cameras_cannot_be_told_is_one_problem_and_the_others_are_read(tmp_path: Path) -> None:
    place = _robomimic(tmp_path)
    with h5py.File(place, "a") as file:
        for name in list(file["data/demo_1"]):
            del file[f"data/demo_1/{name}"]
    candidates, problems = found(f"{place}#@*")
    assert [candidate.selector.partition("@")[0] for candidate in candidates] == ["demo_0"] * 2 + ["demo_2"] * 2
    assert [(problem.input, problem.cause) for problem in problems] == [
        (f"{place}#demo_1", "cannot be read: it has no steps")
    ]


@pytest.mark.parametrize(("make", "episodes", "main", "other"), SETS)
def test_one_pattern_groups_the_cameras_of_every_format_by_their_episode(
    tmp_path: Path, make: Callable[[Path], Path], episodes: int, main: str, other: str
) -> None:
    """The pattern that docs/sources.md gives for `group_by`."""
    groups: dict[str, list[str]] = {}
    for candidate in found(f"{make(tmp_path)}#@*")[0]:
        match = re.search(r"(.+#[^@]*)", candidate.uri)
        assert match is not None
        groups.setdefault(match[1], []).append(candidate.uri)
    assert len(groups) == episodes
    assert all(uris == [episode, f"{episode}@{other}"] for episode, uris in groups.items())


@pytest.mark.streams
def test_real_episodes_with_one_camera_stay_one_stream_each(streams: Path) -> None:
    for name, camera in (("lerobot_v20_gr1_sim", "ego_view"), ("lerobot_v21_g1", "cam_high")):
        place = streams / "embodied" / name
        alone, asked = found(place)[0], found(f"{place}#@*")[0]
        assert [candidate.selector for candidate in asked] == [candidate.selector for candidate in alone]
        (first,), _ = found(f"{place}#{alone[0].selector}@{camera}")
        assert first.selector == alone[0].selector
        assert probed(first).sha256 == probed(alone[0]).sha256

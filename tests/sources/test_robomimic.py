"""robomimic: demonstrations, what is wrong with them, and links that lead out of the file."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import fsspec
import h5py
import numpy as np
import pytest

from schemas.errors import InputError, Problem
from schemas.recipe import SourceSpec
from schemas.stream import Domain, Stream, TrackKind
from sources.base import Candidate, Signals
from sources.discovery import discover, hash_parts, open_recording, probe

STEPS = 6
ENV = {"env_name": "Lift", "type": 1, "env_kwargs": {"control_freq": 10}}
FRONT, WRIST = "obs/agentview_image", "obs/robot0_eye_in_hand_image"


def pictures(shade: int, steps: int = STEPS, height: int = 24, width: int = 32) -> np.ndarray:
    """Pictures whose grey tells their step."""
    shades = (shade + 5 * np.arange(steps)).astype(np.uint8)
    return np.broadcast_to(shades[:, None, None, None], (steps, height, width, 3)).copy()


def add_demo(file: h5py.File, number: int, **changes: Any) -> h5py.Group:
    """A demonstration; `changes` replaces fields (None leaves one out), with __ for /."""
    fields: dict[str, Any] = {
        "actions": np.zeros((STEPS, 7)),
        "states": np.zeros((STEPS, 32)),
        FRONT: pictures(20 * number),
        WRIST: pictures(200),
        "obs/robot0_joint_pos": np.full((STEPS, 7), float(number)),
        "obs/robot0_eef_pos": np.zeros((STEPS, 3)),
        "obs/robot0_gripper_qpos": np.zeros((STEPS, 2)),
        "obs/object": np.zeros((STEPS, 10)),
    }
    demo = file.require_group("data").create_group(f"demo_{number}")
    demo.attrs["num_samples"] = STEPS
    demo.attrs["language"] = "lift the cube"
    for name, values in (fields | {name.replace("__", "/"): values for name, values in changes.items()}).items():
        if values is not None:
            demo.create_dataset(name, data=values, compression="gzip" if np.ndim(values) == 4 else None)
    return demo


def demos(path: Path, count: int = 3, **changes: Any) -> Path:
    """A file of demonstrations; `changes` are those of the first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for number in range(count):
            add_demo(file, number, **(changes if number == 0 else {}))
        file["data"].attrs["env_args"] = json.dumps(ENV)
        file["data"].attrs["total"] = count * STEPS
        file.create_dataset("mask/train", data=np.array([b"demo_0"]))
    return path


def found(place: Path | str) -> tuple[list[Candidate], list[Problem]]:
    items = list(discover(SourceSpec.model_validate({"uri": str(place)})))
    return [x for x in items if isinstance(x, Candidate)], [x for x in items if isinstance(x, Problem)]


def probed(candidate: Candidate, max_pixels: int = 10**8) -> Stream:
    return probe(candidate, hash_parts(candidate, {}), None, max_pixels)


def signals_of(stream: Stream) -> Signals:
    with open_recording(stream) as recording:
        signals = recording.signals()
    assert signals is not None
    return signals


def test_each_demonstration_is_a_stream(tmp_path: Path) -> None:
    candidates, problems = found(demos(tmp_path / "lift.hdf5", count=11))
    assert not problems
    assert [candidate.selector for candidate in candidates] == [f"demo_{number}" for number in range(11)]
    for number in (0, 2):
        stream = probed(candidates[number])
        assert (stream.format, stream.domain, stream.duration) == ("robomimic", Domain.EMBODIED, 0.6)
        assert [track.name for track in stream.tracks if track.kind == TrackKind.VIDEO] == [FRONT, WRIST]
        assert stream.notes == ()
        with open_recording(stream) as recording:
            frames = list(recording.frames(0.0, stream.duration, None))
            assert [frame.time for frame in frames] == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4, 0.5])
            shades = [float(frame.gray().mean()) for frame in frames]
            assert shades == [20 * number + 5 * step for step in range(STEPS)]
            assert list(recording.texts()) == ["lift the cube"]
        signals = signals_of(stream)
        assert signals.groups == {"robot0_joint_pos": (0, 7), "robot0_gripper_qpos": (7, 9)}
        assert signals.state is not None
        assert signals.state[:, 0].tolist() == [number] * STEPS
        assert signals.action is None, "its columns are not those of the state"


def test_one_demonstration_can_be_selected_and_hashes_are_the_same_each_time(tmp_path: Path) -> None:
    path = demos(tmp_path / "lift.hdf5")
    (candidate,), _ = found(f"{path}#demo_1")
    assert candidate.selector == "demo_1"
    assert probed(candidate).sha256 == probed(candidate).sha256
    assert len({probed(item).sha256 for item in found(path)[0]}) == 3


def test_without_observations_the_states_are_the_signals(tmp_path: Path) -> None:
    names = ("robot0_joint_pos", "robot0_eef_pos", "robot0_gripper_qpos", "object")
    gone = {f"obs__{name}": None for name in names}
    candidate = found(demos(tmp_path / "a.hdf5", **gone))[0][0]
    assert signals_of(probed(candidate)).groups == {"states": (0, 32)}
    candidate = found(demos(tmp_path / "b.hdf5", states=None, **gone))[0][0]
    signals = signals_of(probed(candidate))
    assert signals.state is None
    assert signals.action is not None


def test_without_a_rate_time_is_nominal(tmp_path: Path) -> None:
    path = demos(tmp_path / "lift.hdf5")
    for said in ("{broken", "[]", '{"env_kwargs": {"control_freq": -1}}', '{"env_kwargs": 3}'):
        with h5py.File(path, "a") as file:
            file["data"].attrs["env_args"] = said
        stream = probed(found(path)[0][0])
        assert stream.duration == pytest.approx(STEPS / 20)
        assert any("nominal time" in note for note in stream.notes)


def test_tasks_are_found_in_json_attributes(tmp_path: Path) -> None:
    path = demos(tmp_path / "lift.hdf5", count=1)
    with h5py.File(path, "a") as file:
        del file["data/demo_0"].attrs["language"]
        file["data/demo_0"].attrs["ep_meta"] = json.dumps({"lang": "open the drawer"})
        file["data"].attrs["problem_info"] = json.dumps({"language_instruction": "open the top drawer"})
    with open_recording(probed(found(path)[0][0])) as recording:
        assert list(recording.texts()) == ["open the drawer", "open the top drawer"]


@pytest.mark.parametrize(
    ("name", "values", "word"),
    [
        ("obs__agentview_image", pictures(0, steps=4), "4 rows where the actions have 6"),
        ("obs__agentview_image", np.zeros((STEPS, 3, 24, 32), np.uint8), "6 x 3 x 24 x 32 uint8"),
        ("obs__agentview_image", np.zeros((STEPS, 24, 32, 3), np.float32), "float32"),
        ("obs__robot0_joint_pos", np.full((STEPS, 7), np.nan), "finite"),
        ("obs__robot0_joint_pos", np.zeros((STEPS - 1, 7)), "5 rows"),
        ("obs__robot0_joint_pos", np.array([b"text"] * STEPS), "not numbers"),
        ("obs__robot0_joint_pos", np.float64(3.0), "not numbers"),
    ],
)
def test_what_does_not_fit_is_a_note_and_the_rest_is_read(tmp_path: Path, name: str, values: Any, word: str) -> None:
    stream = probed(found(demos(tmp_path / "lift.hdf5", **{name: values}))[0][0])
    field = name.replace("__", "/")
    assert any(note.startswith(field) and word in note for note in stream.notes), stream.notes
    assert stream.has(TrackKind.VIDEO)
    assert stream.has(TrackKind.SIGNALS)
    with open_recording(stream) as recording:
        assert len(list(recording.frames(0.0, 9.0, None))) == STEPS


def test_pictures_too_large_are_refused_by_their_shape(tmp_path: Path) -> None:
    path = tmp_path / "huge.hdf5"
    with h5py.File(path, "w") as file:
        demo = add_demo(file, 0, obs__agentview_image=None)
        demo.create_dataset(FRONT, (STEPS, 30_000, 30_000, 3), np.uint8, chunks=(1, 100, 100, 3))
    candidate = found(path)[0][0]
    with pytest.raises(InputError, match="30000 x 30000"):
        probed(candidate)


def test_a_chunk_that_would_not_fit_into_memory_is_never_read(tmp_path: Path) -> None:
    path = demos(tmp_path / "lift.hdf5", count=1, obs__agentview_image=None)
    with h5py.File(path, "a") as file:
        shape, chunk = (STEPS, 5000, 6100, 3), (STEPS, 5000, 6100, 3)
        file["data/demo_0"].create_dataset(FRONT, shape, np.uint8, chunks=chunk, compression="gzip")
    assert any("must be read at once" in note for note in probed(found(path)[0][0]).notes)


@pytest.mark.parametrize("keep", [0, 100, 3000])
def test_a_file_cut_off_is_one_problem(tmp_path: Path, keep: int) -> None:
    path = demos(tmp_path / "lift.hdf5")
    path.write_bytes(path.read_bytes()[:keep])
    candidates, problems = found(path)
    assert not candidates
    assert len(problems) == 1
    assert problems[0].input == str(path)


def test_a_demonstration_without_steps_is_refused_and_the_next_is_read(tmp_path: Path) -> None:
    path = demos(tmp_path / "lift.hdf5", actions=np.zeros((0, 7)))
    first, second, _ = found(path)[0]
    with pytest.raises(InputError, match="no steps"):
        probed(first)
    assert probed(second).tracks


def test_damaged_pictures_are_an_error_when_they_are_shown(tmp_path: Path) -> None:
    path = demos(tmp_path / "lift.hdf5", count=1)
    with h5py.File(path) as file:
        field = file[f"data/demo_0/{FRONT}"]
        place = field.id.get_chunk_info(0).byte_offset
    data = bytearray(path.read_bytes())
    data[place : place + 40] = bytes(40)
    path.write_bytes(data)
    stream = probed(found(path)[0][0])
    with open_recording(stream) as recording, pytest.raises(InputError, match=r"demo_0 \(step 0\)"):
        list(recording.frames(0.0, 1.0, None))


def test_whatever_is_damaged_no_other_error_escapes(tmp_path: Path) -> None:
    path = demos(tmp_path / "lift.hdf5", count=1)
    whole = path.read_bytes()
    random = np.random.default_rng(0)
    for _ in range(150):
        data = bytearray(whole)
        for place in random.integers(0, len(data), 8):
            data[place] = random.integers(0, 256)
        path.write_bytes(data)
        for candidate in found(path)[0]:
            try:
                with open_recording(probed(candidate)) as recording:
                    recording.texts(), recording.signals(), list(recording.frames(0.0, 9.0, None))
            except InputError:
                continue


def test_other_hdf5_files_are_passed_over(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        file["layer/weight"] = np.zeros(3)
    candidates, problems = found(tmp_path)
    assert not candidates
    assert "nothing here is a stream" in problems[0].cause


# --- nothing outside the file ----------------------------------------------------------------------------------------


def secret(folder: Path) -> Path:
    path = folder / "secret.hdf5"
    with h5py.File(path, "w") as file:
        file["pictures"] = pictures(99)
        add_demo(file, 0)
    return path


def test_external_links_are_refused(tmp_path: Path) -> None:
    outside = secret(tmp_path.parent)
    path = demos(tmp_path / "lift.hdf5", count=1, obs__agentview_image=None)
    with h5py.File(path, "a") as file:
        file[f"data/demo_0/{FRONT}"] = h5py.ExternalLink(str(outside), "/pictures")
        file["data/demo_1"] = h5py.ExternalLink(str(outside), "/data/demo_0")
        file["elsewhere"] = h5py.ExternalLink(str(outside), "/data")
        file["data/demo_2"] = h5py.SoftLink("/elsewhere/demo_0")
    first, *others = found(path)[0]
    stream = probed(first)
    assert any(note.startswith(FRONT) and "link to another file" in note for note in stream.notes)
    assert [track.name for track in stream.tracks if track.kind == TrackKind.VIDEO] == [WRIST]
    assert len(others) == 2
    for other in others:
        with pytest.raises(InputError, match="link to another file"):
            probed(other)


@pytest.mark.parametrize("exists", [True, False])
def test_a_link_for_all_data_is_one_problem_whether_it_leads_anywhere_or_not(tmp_path: Path, exists: bool) -> None:
    outside = secret(tmp_path.parent) if exists else tmp_path / "nowhere.hdf5"
    path = tmp_path / "lift.hdf5"
    with h5py.File(path, "w") as file:
        file["data"] = h5py.ExternalLink(str(outside), "/data")
    candidates, problems = found(path)
    assert not candidates
    assert "link to another file" in problems[0].cause


def test_values_in_other_files_are_refused(tmp_path: Path) -> None:
    outside = secret(tmp_path.parent)
    raw = tmp_path / "raw.bin"
    raw.write_bytes(bytes(STEPS * 7 * 8))
    path = demos(tmp_path / "lift.hdf5", count=1, obs__agentview_image=None, obs__robot0_joint_pos=None)
    with h5py.File(path, "a") as file:
        layout = h5py.VirtualLayout((STEPS, 24, 32, 3), np.uint8)
        layout[:] = h5py.VirtualSource(str(outside), "pictures", (STEPS, 24, 32, 3))
        file["data/demo_0"].create_virtual_dataset(FRONT, layout)
        outer = [(str(raw), 0, STEPS * 7 * 8)]
        file["data/demo_0/obs"].create_dataset("robot0_joint_pos", (STEPS, 7), "f8", external=outer)
    stream = probed(found(path)[0][0])
    notes = [note for note in stream.notes if "lie in another file" in note]
    assert len(notes) == 2, stream.notes


def test_links_and_virtual_fields_within_the_file_are_followed(tmp_path: Path) -> None:
    path = demos(tmp_path / "lift.hdf5", count=1, obs__agentview_image=None)
    with h5py.File(path, "a") as file:
        file["shared/pictures"] = pictures(40)
        layout = h5py.VirtualLayout((STEPS, 24, 32, 3), np.uint8)
        layout[:] = h5py.VirtualSource(".", "shared/pictures", (STEPS, 24, 32, 3))
        file["data/demo_0"].create_virtual_dataset(FRONT, layout)
        file["data/demo_1"] = h5py.SoftLink("/data/demo_0")
        file["data/demo_2"] = h5py.SoftLink("/data/demo_2")
    first, second, circle = found(path)[0]
    for candidate in (first, second):
        with open_recording(probed(candidate)) as recording:
            (frame,) = recording.frames_at([0.0])
            assert float(frame.gray().mean()) == 40
    with pytest.raises(InputError, match="circles"):
        probed(circle)


class _Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("something was unpickled",))


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    bomb = pickle.dumps(_Bomb())
    path = demos(tmp_path / "lift.hdf5", count=1, obs__robot0_joint_pos=np.void(bomb))
    with h5py.File(path, "a") as file:
        file["data/demo_0"].attrs["language"] = np.void(bomb)
        file["data"].attrs["env_args"] = np.void(bomb)
    assert probed(found(path)[0][0]).has(TrackKind.VIDEO)


def test_a_file_in_a_store_is_read_like_a_local_one(tmp_path: Path) -> None:
    path = demos(tmp_path / "lift.hdf5")
    store = fsspec.filesystem("memory")
    store.put(str(path), "/robomimic/lift.hdf5")
    local, remote = found(path)[0], found("memory://robomimic")[0]
    assert [probed(item).sha256 for item in local] == [probed(item).sha256 for item in remote]
    with open_recording(probed(remote[1])) as recording:
        assert len(list(recording.frames(0.0, 1.0, None))) == STEPS
    store.rm("/robomimic", recursive=True)

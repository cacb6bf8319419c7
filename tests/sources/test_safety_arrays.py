"""Tables and arrays that are made to do harm: a few bytes that stand for gigabytes, templates and pickles."""

from __future__ import annotations

import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas.errors import InputError, Problem
from schemas.recipe import SourceSpec
from schemas.stream import Stream
from sources import drawings, lerobot_layout, robomimic
from sources.base import Candidate
from sources.discovery import discover, hash_parts, open_recording, probe
from sources.lerobot_layout import Episode
from sources.rlds import Shard as RldsShard
from sources.rlds import _missing, _shape


def found(place: Path) -> tuple[list[Candidate], list[str]]:
    items = list(discover(SourceSpec(uri=str(place))))
    return [x for x in items if isinstance(x, Candidate)], [x.cause for x in items if isinstance(x, Problem)]


def probed(candidate: Candidate) -> Stream:
    return probe(candidate, hash_parts(candidate, {}), None, 10**8)


CORNER = [[0, 0, 0], [10, 0, 0], [0, 10, 1]]


def ragged(path: Path, *held: object) -> Path:
    array = np.empty(len(held), object)
    array[:] = held
    np.savez_compressed(path, train=array)
    return path


def nested(depth: int) -> list[Any]:
    """A list that holds a list ten times, which holds a list ten times...: as a pickle, a few bytes for each level."""
    inner: list[Any] = [0]
    for _ in range(depth):
        inner = [inner] * 10
    return inner


def test_a_list_in_lists_again_and_again_is_no_drawing(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    ragged(path, nested(12), np.array(CORNER))
    assert path.stat().st_size < 10_000
    (bomb, good), _ = found(path)
    with pytest.raises(InputError, match="is not a stroke-3 drawing"):
        probed(bomb)
    with open_recording(probed(good)) as recording:
        assert len(recording.strokes()) == 1


@pytest.mark.parametrize("drawing", ["text", {"a": 1}, [["1", "2", "3"]], [CORNER], [[0] * 9], 7])
def test_what_is_pickled_but_no_rows_of_numbers_is_refused(tmp_path: Path, drawing: object) -> None:
    (bad, _), _ = found(ragged(tmp_path / "a.npz", drawing, np.array(CORNER)))
    with pytest.raises(InputError, match="is not a stroke-3 drawing"):
        probed(bad)


def test_an_array_that_would_unpack_to_much_more_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawings, "_ALWAYS_ALLOWED", 1 << 20)
    np.savez_compressed(tmp_path / "a.npz", train=np.zeros((100, 40_000, 3), np.int8))
    assert (tmp_path / "a.npz").stat().st_size < 100_000
    candidates, problems = found(tmp_path / "a.npz")
    assert not candidates
    assert len(problems) == 1
    assert "no drawings do" in problems[0]


def test_an_archive_may_not_promise_any_number_of_drawings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawings, "_MOST_DRAWINGS", 3)
    candidates, problems = found(ragged(tmp_path / "a.npz", *[np.array(CORNER)] * 4))
    assert not candidates
    assert "more than 3" in problems[0]


def test_numpy_is_never_asked_to_unpickle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No reader goes to numpy.load, to plain pickle or to zipfile's unpacking, whatever it reads."""

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("it was called")

    monkeypatch.setattr(np, "load", forbidden)
    monkeypatch.setattr(pickle, "loads", forbidden)
    monkeypatch.setattr(pickle, "load", forbidden)
    monkeypatch.setattr(zipfile.ZipFile, "extract", forbidden)
    monkeypatch.setattr(zipfile.ZipFile, "extractall", forbidden)
    candidates, problems = found(ragged(tmp_path / "a.npz", np.array(CORNER), CORNER))
    assert len(candidates) == 2
    assert not problems
    for candidate in candidates:
        probed(candidate)


def demonstrations(path: Path, steps: int, **fields: tuple[tuple[int, ...], str]) -> Path:
    """A file of fields that are declared and never written: they take no room."""
    with h5py.File(path, "w") as file:
        demo = file.create_group("data/demo_0")
        demo.create_dataset("actions", shape=(steps, 7), chunks=(min(64, steps), 7), dtype="f4")
        for name, (shape, dtype) in fields.items():
            demo.create_dataset(name, shape=shape, chunks=(min(64, shape[0]), *shape[1:]), dtype=dtype)
    return path


def test_steps_that_were_never_written_are_not_counted_out(tmp_path: Path) -> None:
    steps = 10**12
    path = demonstrations(tmp_path / "a.hdf5", steps, view=((steps, 1, 1, 3), "u1"))
    assert path.stat().st_size < 100_000
    (candidate,), _ = found(path)
    with pytest.raises(InputError, match=f"more than {robomimic._MOST_STEPS}"):
        probed(candidate)


def test_numbers_that_would_fill_the_memory_are_not_read(tmp_path: Path) -> None:
    # A byte each in the file, eight in memory.
    rows = 1 << 20
    path = demonstrations(tmp_path / "a.hdf5", rows, states=((rows, 100), "i1"))
    (candidate,), _ = found(path)
    stream = probed(candidate)
    assert any(note.startswith("states: 838860800 bytes must be read at once") for note in stream.notes)


def test_objects_and_attributes_of_any_size_are_left_alone(tmp_path: Path) -> None:
    path = demonstrations(tmp_path / "a.hdf5", 4, states=((4, 3), "f4"))
    with h5py.File(path, "a") as file:
        demo = file["data/demo_0"]
        demo.create_dataset("pickled", data=np.array([pickle.dumps({1}, 0)] * 4, h5py.special_dtype(vlen=bytes)))
        demo.create_dataset("opaque", data=np.array([b"abc"] * 4, "V3"))
        demo.attrs["task"] = np.array(["a", "b"], h5py.string_dtype())
        file["data"].attrs["env_args"] = '{"a": ' + "9" * 5000 + "}"
    (candidate,), _ = found(path)
    stream = probed(candidate)
    assert {"pickled: not numbers: not read", "opaque: not numbers: not read"} <= set(stream.notes)
    with open_recording(stream) as recording:
        assert not recording.texts()


def data_set(root: Path, template: str, table: pa.Table) -> Path:
    info = {
        "codebase_version": "v2.1",
        "fps": 10,
        "chunks_size": 1000,
        "data_path": template,
        "features": {"observation.state": {"dtype": "float32", "shape": [2], "names": ["a", "b"]}},
    }
    (root / "meta").mkdir(parents=True)
    (root / "meta" / "info.json").write_text(json.dumps(info))
    (root / "meta" / "episodes.jsonl").write_text('{"episode_index": 0, "tasks": ["t"], "length": 4}\n')
    (root / "data").mkdir()
    pq.write_table(table, root / "data" / "0.parquet", compression="zstd")
    return root


def states(rows: int = 4) -> pa.Table:
    return pa.table({"observation.state": [[0.0, 1.0]] * rows, "timestamp": [number / 10 for number in range(rows)]})


@pytest.mark.parametrize(
    "template",
    [
        "data/{episode_index:0999999999d}.parquet",
        "data/{episode_index.__class__.__mro__}.parquet",
        "data/{video_key[a]}.parquet",
        "data/{episode_index!r:>9}.parquet",
        "data/{episode_index:{episode_index}}.parquet",
        "../{episode_index}.parquet",
        "/etc/{episode_index}.parquet",
        "s3://bucket/{episode_index}.parquet",
    ],
)
def test_templates_are_names_and_widths_and_stay_in_their_folder(tmp_path: Path, template: str) -> None:
    candidates, problems = found(data_set(tmp_path / "set", template, states()))
    assert not candidates
    assert len(problems) == 1


def test_a_plain_template_is_filled(tmp_path: Path) -> None:
    (candidate,), problems = found(data_set(tmp_path / "set", "data/{episode_index}.parquet", states()))
    assert not problems
    assert probed(candidate).duration == pytest.approx(0.4)


def test_a_table_that_unpacks_to_more_than_may_be_held_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lerobot_layout, "_LARGEST", 1 << 20)
    long = pa.table({"observation.state": [[0.0] * 64] * 20_000, "timestamp": [0.0] * 20_000})
    (candidate,), _ = found(data_set(tmp_path / "set", "data/{episode_index}.parquet", long))
    assert Path(dict(candidate.parts)["data"]).stat().st_size < 1 << 20
    with pytest.raises(InputError, match="unpack to more than"):
        probed(candidate)


def test_a_table_of_more_rows_than_may_be_looked_at_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lerobot_layout, "_MOST_ROWS", 3)
    (candidate,), _ = found(data_set(tmp_path / "set", "data/{episode_index}.parquet", states()))
    with pytest.raises(InputError, match="more than 3"):
        Episode(dict(candidate.parts), 0).rows(["timestamp"])


def test_this_pyarrow_does_not_unpickle_types_in_files() -> None:
    # CVE-2023-47248: before 14.0.1 a Parquet file could name a type as a pickle.
    assert tuple(int(part) for part in pa.__version__.split(".")[:3]) >= (14, 0, 1)


def test_lengths_of_thousands_of_digits_are_no_lengths() -> None:
    assert _shape({"dimensions": ["9" * 5000]}) is None
    assert _shape({"dimensions": ["²"]}) is None
    assert _shape({"dimensions": ["0"]}) is None
    assert _shape({"dimensions": ["3", 4]}) == (3, 4)


def test_a_file_name_that_promises_any_number_of_others_costs_nothing() -> None:
    count = 10**200
    (problem,) = _missing("set", [RldsShard("x", "train", 0, count), RldsShard("y", "train", 1, count)])
    assert problem.cause == f"shard 2 and {count - 3} more of {count} is missing"

"""RLDS: TFRecord shards written here byte by byte, episodes by number, and what breaks in them."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from PIL import Image

from schemas.errors import InputError, Problem
from schemas.recipe import SourceSpec
from schemas.stream import Domain, Stream, TrackKind
from sources import tfrecords
from sources.base import Candidate, Signals
from sources.discovery import discover, hash_parts, open_recording, probe
from sources.places import open_binary

STEPS = 4
Values = Sequence[bytes] | Sequence[float] | Sequence[int]


# --- a writer of its own, so that the reader is held against the format and not against itself ----------------------


def _remainder(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
    return byte


CASTAGNOLI = [_remainder(byte) for byte in range(256)]


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ CASTAGNOLI[(crc ^ byte) & 255]
    return crc ^ 0xFFFFFFFF


def masked(data: bytes) -> bytes:
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def framed(record: bytes) -> bytes:
    length = struct.pack("<Q", len(record))
    return length + masked(length) + record + masked(record)


def varint(value: int) -> bytes:
    value &= 0xFFFFFFFFFFFFFFFF
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def field(number: int, data: bytes) -> bytes:
    """A length-delimited field of a protobuf message."""
    return varint(number << 3 | 2) + varint(len(data)) + data


def feature(values: Values) -> bytes:
    if values and isinstance(values[0], bytes):
        return field(1, b"".join(field(1, value) for value in values if isinstance(value, bytes)))
    if values and isinstance(values[0], float):
        return field(2, field(1, b"".join(struct.pack("<f", value) for value in values)))
    return field(3, field(1, b"".join(varint(int(value)) for value in values)))


def mapped(entries: Mapping[str, bytes]) -> bytes:
    return b"".join(field(1, field(1, name.encode()) + field(2, value)) for name, value in entries.items())


def example(values: Mapping[str, Values]) -> bytes:
    """A tf.train.Example."""
    return field(1, mapped({name: feature(held) for name, held in values.items()}))


def sequence_example(context: Mapping[str, Values], lists: Mapping[str, Sequence[Values]]) -> bytes:
    """A tf.train.SequenceExample: a feature for each step."""
    each = {name: b"".join(field(1, feature(held)) for held in steps) for name, steps in lists.items()}
    return example(context) + field(2, mapped(each))


# --- data sets ------------------------------------------------------------------------------------------------------


def picture(shade: int, kind: str = "JPEG", size: tuple[int, int] = (32, 24)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, (shade, shade, shade)).save(out, kind)
    return out.getvalue()


def tensor(dtype: str, *shape: int) -> dict[str, Any]:
    return {"tensor": {"shape": {"dimensions": [str(side) for side in shape]}, "dtype": dtype, "encoding": "none"}}


def described(**features: Any) -> dict[str, Any]:
    return {"featuresDict": {"features": features}}


IMAGE = {"image": {"shape": {"dimensions": ["24", "32", "3"]}, "dtype": "uint8", "encodingFormat": "jpeg"}}
FEATURES = described(
    steps={
        "pythonClassName": "tensorflow_datasets.core.features.dataset_feature.Dataset",
        "sequence": {
            "feature": described(
                action=tensor("float32", 2),
                is_first=tensor("bool"),
                language_instruction={"text": {}},
                observation=described(wrist_image=IMAGE, image=IMAGE, state=tensor("float32", 3)),
            )
        },
    },
    episode_metadata=described(file_path={"text": {}}),
)


def episode(number: int, **changes: Values) -> dict[str, Values]:
    """The values of an episode. Its pictures and state tell its number; `changes` replaces some, with __ for /."""
    values: dict[str, Values] = {
        "steps/action": [0.5] * 2 * STEPS,
        "steps/is_first": [1] + [0] * (STEPS - 1),
        "steps/language_instruction": [b"stack the cups"] * STEPS,
        "steps/observation/image": [picture(20 * number + 5 * step) for step in range(STEPS)],
        "steps/observation/wrist_image": [picture(250, "PNG")] * STEPS,
        "steps/observation/state": [float(number), 1.0, 2.0] * STEPS,
        "episode_metadata/file_path": [b"somewhere"],
    }
    return values | {name.replace("__", "/"): held for name, held in changes.items()}


def data_set(root: Path, shards: Sequence[Sequence[bytes]] = (), features: Any = FEATURES) -> Path:
    """A data set of one split; each shard is a list of records."""
    root.mkdir(parents=True)
    shards = shards or [[example(episode(0)), example(episode(1))], [example(episode(2))]]
    for number, records in enumerate(shards):
        path = root / f"cups-train.tfrecord-{number:05d}-of-{len(shards):05d}"
        path.write_bytes(b"".join(framed(record) for record in records))
    split = {"name": "train", "shardLengths": [str(len(records)) for records in shards]}
    info = {"name": "cups", "fileFormat": "tfrecord", "splits": [split]}
    (root / "dataset_info.json").write_text(json.dumps(info))
    (root / "features.json").write_text(json.dumps(features))
    return root


def found(place: Path | str) -> tuple[list[Candidate], list[Problem]]:
    items = list(discover(SourceSpec.model_validate({"uri": str(place)})))
    return [x for x in items if isinstance(x, Candidate)], [x for x in items if isinstance(x, Problem)]


def probed(candidate: Candidate, max_pixels: int = 10**8) -> Stream:
    return probe(candidate, hash_parts(candidate, {}), None, max_pixels)


def only(root: Path, **changes: Values) -> Stream:
    """The stream of a data set of one episode."""
    return probed(found(data_set(root, [[example(episode(1, **changes))]]))[0][0])


def signals_of(stream: Stream) -> Signals:
    with open_recording(stream) as recording:
        signals = recording.signals()
    assert signals is not None
    return signals


def test_each_record_is_a_stream_with_pictures_state_and_task(tmp_path: Path) -> None:
    candidates, problems = found(data_set(tmp_path / "cups" / "1.0.0"))
    assert not problems
    assert [candidate.selector for candidate in candidates] == ["train/0/0", "train/0/1", "train/1/0"]
    for number, candidate in enumerate(candidates):
        assert candidate.format == "rlds"
        stream = probed(candidate)
        assert stream.domain is Domain.EMBODIED
        assert stream.duration == pytest.approx(0.4)
        cameras = [track.name for track in stream.tracks if track.kind == TrackKind.VIDEO]
        assert cameras == ["steps/observation/image", "steps/observation/wrist_image"]
        assert stream.notes == ("nominal time: 0.1 s for each step",)
        with open_recording(stream) as recording:
            frames = list(recording.frames(0.0, stream.duration, None))
            assert [frame.time for frame in frames] == pytest.approx([0.0, 0.1, 0.2, 0.3])
            shades = [float(frame.gray().mean()) for frame in frames]
            assert shades == pytest.approx([20 * number + 5 * step for step in range(STEPS)], abs=2)
            assert list(recording.texts()) == ["stack the cups"]
        signals = signals_of(stream)
        assert signals.state is not None
        assert signals.state.tolist() == [[number, 1.0, 2.0]] * STEPS
        assert signals.action is None, "its columns are not those of the state"
        assert signals.groups == {"state": (0, 3)}


def test_streams_of_one_file_are_told_apart_and_are_the_same_each_time(tmp_path: Path) -> None:
    candidates, _ = found(data_set(tmp_path / "set"))
    hashes = [probed(candidate).sha256 for candidate in candidates]
    assert len(set(hashes)) == 3
    assert hashes == [probed(candidate).sha256 for candidate in candidates]


def test_a_range_of_episodes_can_be_selected(tmp_path: Path) -> None:
    root = data_set(tmp_path / "set")
    assert [item.selector for item in found(f"{root}#train/0/1:")[0]] == ["train/0/1"]


def test_the_last_episode_is_opened_without_reading_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = [example(episode(0))] * 30
    stream = probed(found(data_set(tmp_path / "set", [records]))[0][-1])
    read = 0

    class Counted(io.BufferedReader):
        def read(self, size: int | None = -1, /) -> bytes:
            nonlocal read
            data = super().read(size)
            read += len(data)
            return data

    monkeypatch.setattr(tfrecords, "open_binary", lambda uri: Counted(open_binary(uri)))  # type: ignore[arg-type]
    with open_recording(stream) as recording:
        assert recording.signals() is not None
    assert read < 2 * len(records[0])


def test_a_sequence_example_is_read_like_an_example(tmp_path: Path) -> None:
    flat = episode(1)
    wide = {"steps/action": 2, "steps/observation/state": 3}
    lists = {
        name: [held[step * wide.get(name, 1) : (step + 1) * wide.get(name, 1)] for step in range(STEPS)]
        for name, held in flat.items()
        if name.startswith("steps/")
    }
    record = sequence_example({"episode_metadata/file_path": [b"x"]}, lists)
    stream = probed(found(data_set(tmp_path / "set", [[record]]))[0][0])
    assert stream.has(TrackKind.VIDEO)
    assert signals_of(stream).state.tolist() == [[1.0, 1.0, 2.0]] * STEPS  # type: ignore[union-attr]


def test_a_damaged_record_costs_one_episode(tmp_path: Path) -> None:
    root = data_set(tmp_path / "set")
    shard = root / "cups-train.tfrecord-00000-of-00002"
    data = bytearray(shard.read_bytes())
    data[40] ^= 1
    shard.write_bytes(data)
    first, second, third = found(root)[0]
    with pytest.raises(InputError, match="record 0 is damaged: its checksum is wrong"):
        probed(first)
    assert probed(second).tracks
    assert probed(third).tracks


@pytest.mark.parametrize("cut", [5, 2000])
def test_a_shard_that_breaks_off_leaves_the_records_before(tmp_path: Path, cut: int) -> None:
    root = data_set(tmp_path / "set")
    shard = root / "cups-train.tfrecord-00000-of-00002"
    shard.write_bytes(shard.read_bytes()[:-cut])
    candidates, problems = found(root)
    assert [candidate.selector for candidate in candidates] == ["train/0/0", "train/1/0"]
    (problem,) = problems
    assert "1 episodes can be read, then it breaks off" in problem.cause
    assert probed(candidates[0]).tracks


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"", "zero bytes"),
        (b"text that is long enough to be a header", "no TFRecord file"),
        (b"\x1f\x8b" + bytes(30), "gzip"),
        (framed(b"")[:8] + b"\0\0\0\0", "checksum of a length"),
        ((lambda size: size + masked(size))(struct.pack("<Q", 1 << 60)), "breaks off in the record"),
    ],
)
def test_what_is_no_shard_says_so(tmp_path: Path, content: bytes, cause: str) -> None:
    root = data_set(tmp_path / "set")
    (root / "cups-train.tfrecord-00000-of-00002").write_bytes(content)
    candidates, problems = found(root)
    assert len(candidates) == 1
    assert cause in problems[0].cause


def test_a_record_that_is_no_example_is_an_error(tmp_path: Path) -> None:
    records = [b"\xff\xff\xff", example({"other": [1]}), example({}), b"", example(episode(0))]
    candidates, _ = found(data_set(tmp_path / "set", [records]))
    for candidate in candidates[:-1]:
        with pytest.raises(InputError):
            probed(candidate)
    assert probed(candidates[-1]).tracks


def test_missing_shards_and_episodes_are_told(tmp_path: Path) -> None:
    root = data_set(tmp_path / "set")
    (root / "cups-train.tfrecord-00000-of-00002").unlink()
    (root / "dataset_info.json").write_text(json.dumps({"splits": [{"name": "train", "shardLengths": ["2", "7"]}]}))
    candidates, problems = found(root)
    assert [candidate.selector for candidate in candidates] == ["train/1/0"]
    assert [problem.cause for problem in problems] == [
        "shard 0 of 2 is missing",
        "dataset_info.json promises 7 episodes, it has 1",
    ]


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"featuresDict": {"features": {"label": {"text": {}}}}}'])
def test_features_that_tell_of_no_steps_are_one_problem(tmp_path: Path, content: str) -> None:
    root = data_set(tmp_path / "set")
    (root / "features.json").write_text(content)
    candidates, problems = found(root)
    assert not candidates
    assert len(problems) == 1


def test_another_file_format_is_named(tmp_path: Path) -> None:
    root = data_set(tmp_path / "set")
    (root / "dataset_info.json").write_text(json.dumps({"fileFormat": "array_record"}))
    assert "array_record" in found(root)[1][0].cause


def test_values_that_do_not_fit_the_steps_are_a_note(tmp_path: Path) -> None:
    stream = only(tmp_path / "set", steps__observation__state=[1.0] * 10)
    assert "steps/observation/state: 10 values where 4 steps need 12: not read" in stream.notes
    signals = signals_of(stream)
    assert signals.state is None
    assert signals.action is not None, "commands are better than nothing"


def test_a_camera_without_pictures_is_a_note_and_the_other_is_shown(tmp_path: Path) -> None:
    stream = only(tmp_path / "set", steps__observation__image=[])
    assert "steps/observation/image: no pictures" in stream.notes
    with open_recording(stream) as recording:
        (frame,) = recording.frames_at([0.0])
        assert float(frame.gray().mean()) == 250


def test_one_bad_picture_leaves_the_others(tmp_path: Path) -> None:
    pictures = [picture(10), b"", b"text", picture(40)]
    stream = only(tmp_path / "set", steps__observation__image=pictures)
    assert any("picture of step 1 left out" in note and "1 more" in note for note in stream.notes)
    with open_recording(stream) as recording:
        assert [frame.time for frame in recording.frames(0.0, 1.0, None)] == pytest.approx([0.0, 0.3])


def test_a_picture_cut_off_is_an_error_when_it_is_shown(tmp_path: Path) -> None:
    whole = picture(10, "BMP")
    stream = only(tmp_path / "set", steps__observation__image=[whole, whole[:-500], whole, whole])
    with (
        open_recording(stream) as recording,
        pytest.raises(InputError, match=r"train/0/0 \(steps/observation/image, step 1\)"),
    ):
        list(recording.frames(0.0, 1.0, None))


def test_pictures_too_large_are_refused_from_their_header(tmp_path: Path) -> None:
    candidate = found(data_set(tmp_path / "set"))[0][0]
    with pytest.raises(InputError, match="32 x 24"):
        probed(candidate, max_pixels=100)


def test_numbers_that_are_none_are_left_out(tmp_path: Path) -> None:
    stream = only(tmp_path / "set", steps__observation__state=[float("nan")] * 12)
    assert any("finite" in note for note in stream.notes)


def test_a_set_in_a_store_is_read_like_a_local_one(tmp_path: Path) -> None:
    root = data_set(tmp_path / "set")
    store = fsspec.filesystem("memory")
    store.put(str(root), "/rlds", recursive=True)
    local, remote = found(root)[0], found("memory://rlds")[0]
    assert [probed(item).sha256 for item in local] == [probed(item).sha256 for item in remote]
    with open_recording(probed(remote[2])) as recording:
        assert len(list(recording.frames(0.0, 1.0, None))) == STEPS
    store.rm("/rlds", recursive=True)


def test_the_checksum_here_is_the_one_of_the_format() -> None:
    assert crc32c(b"123456789") == 0xE3069283
    assert np.array_equal(np.frombuffer(framed(b"")[:8], np.uint64), [0])

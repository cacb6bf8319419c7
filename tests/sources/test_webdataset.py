"""WebDataset: samples of tar shards, read where they lie, and shards that are damaged or mean harm."""

from __future__ import annotations

import gzip
import io
import json
import struct
import tarfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import av
import fsspec
import numpy as np
import pytest
from PIL import Image

from schemas.errors import InputError, Problem
from schemas.recipe import SourceSpec
from schemas.stream import Domain, Stream, TrackKind
from sources import members
from sources.base import Candidate
from sources.discovery import discover, hash_parts, open_recording, probe
from sources.places import open_binary

Files = Mapping[str, bytes] | Sequence[tuple[str, bytes]]


def picture(shade: int, size: tuple[int, int] = (32, 24)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, (shade, shade, shade)).save(out, "PNG")
    return out.getvalue()


def film(shade: int = 90, frames: int = 10) -> bytes:
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(frames):
            pixels = np.full((48, 64, 3), shade, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return out.getvalue()


def shard(path: Path, files: Files) -> Path:
    """A tar shard, compressed where its name says so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as tar:
        for name, data in files.items() if isinstance(files, Mapping) else files:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def numbered(count: int) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for number in range(count):
        files[f"{number:04d}.png"] = picture(20 * number)
        files[f"{number:04d}.txt"] = f"picture {number}".encode()
    return files


def found(place: Path | str) -> tuple[list[Candidate], list[Problem]]:
    items = list(discover(SourceSpec.model_validate({"uri": str(place)})))
    return [x for x in items if isinstance(x, Candidate)], [x for x in items if isinstance(x, Problem)]


def probed(candidate: Candidate, max_pixels: int = 10**8) -> Stream:
    return probe(candidate, hash_parts(candidate, {}), None, max_pixels)


def only(path: Path) -> Stream:
    (candidate,), problems = found(path)
    assert not problems
    return probed(candidate)


def texts_of(stream: Stream) -> list[str]:
    with open_recording(stream) as recording:
        return list(recording.texts())


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.TGZ"])
def test_files_that_share_a_stem_are_a_sample(tmp_path: Path, name: str) -> None:
    candidates, problems = found(shard(tmp_path / name, numbered(4)))
    assert not problems
    assert [candidate.selector for candidate in candidates] == ["0000", "0001", "0002", "0003"]
    assert candidates[2].name == "a/0002"
    for number, candidate in enumerate(candidates):
        stream = probed(candidate)
        assert (stream.format, stream.domain, stream.duration) == ("webdataset", Domain.DAILY_LIFE, 1.0)
        assert stream.notes == ("nominal time: 1 s for each picture",)
        with open_recording(stream) as recording:
            (frame,) = recording.frames(0.0, 1.0, None)
            assert float(frame.gray().mean()) == 20 * number
            assert list(recording.texts()) == [f"picture {number}"]


def test_samples_of_one_shard_are_told_apart_and_can_be_selected(tmp_path: Path) -> None:
    path = shard(tmp_path / "a.tar", numbered(4))
    assert len({probed(candidate).sha256 for candidate in found(path)[0]}) == 4
    assert [candidate.selector for candidate in found(f"{path}#0002")[0]] == ["0002"]
    assert [candidate.selector for candidate in found(f"{path}#1:3")[0]] == ["0001", "0002"]


def test_a_sample_with_a_video_is_a_video_with_what_is_said_of_it(tmp_path: Path) -> None:
    files = {
        "clips/a.mp4": film(),
        "clips/a.srt": b"1\n00:00:00,100 --> 00:00:00,400\nHello\n",
        "clips/a.json": json.dumps({"caption": "a grey wall", "score": 3}).encode(),
        "clips/a.jpg": picture(1),
    }
    for name in ("a.tar", "b.tgz"):
        stream = only(shard(tmp_path / name, files))
        assert {track.kind for track in stream.tracks} == {TrackKind.VIDEO, TrackKind.SUBTITLES, TrackKind.TEXT}
        assert stream.duration == pytest.approx(1.0)
        with open_recording(stream) as recording:
            assert [frame.time for frame in recording.frames(0.0, 0.3, None)] == pytest.approx([0.0, 0.1, 0.2])
            (frame,) = recording.frames_at([0.75])
            assert abs(float(frame.gray().mean()) - 90) < 10
            assert [cue.text for cue in recording.cues()] == ["Hello"]
            assert list(recording.texts()) == ["a grey wall"]
        (tmp_path / name).unlink()


def test_several_pictures_of_a_sample_come_one_after_another(tmp_path: Path) -> None:
    stream = only(shard(tmp_path / "a.tar", {"1.input.png": picture(10), "1.output.png": picture(200)}))
    assert stream.duration == 2.0
    with open_recording(stream) as recording:
        shades = [float(frame.gray().mean()) for frame in recording.frames(0.0, 2.0, None)]
    assert shades == [10, 200]


@pytest.mark.parametrize(
    ("name", "content", "texts"),
    [
        ("1.cls", b"7", ["class 7"]),
        ("1.cls", b"cat\n", ["cat"]),
        ("1.txt", b" a cat \n", ["a cat"]),
        ("1.json", b'{"caption": ["a", "b", 3], "text": "a"}', ["a", "b"]),
        ("1.json", b'"a cat"', ["a cat"]),
        ("1.json", b"{broken", []),
        ("1.json", b"[" * 5000, []),
        ("1.txt", b"x" * (1 << 21), []),
        ("1.txt", b"\xff\xfeA\x00", ["A"]),
        ("1.txt", b"", []),
    ],
)
def test_texts_of_a_sample(tmp_path: Path, name: str, content: bytes, texts: list[str]) -> None:
    stream = only(shard(tmp_path / "a.tar", {"1.png": picture(1), name: content}))
    assert texts_of(stream) == texts
    assert stream.has(TrackKind.TEXT) == bool(texts)


def test_what_is_not_understood_is_a_note_and_pickles_are_never_opened(tmp_path: Path) -> None:
    bomb = b"cpytest\nfail\n(S'something was unpickled'\ntR."
    stream = only(shard(tmp_path / "a.tar", {"1.png": picture(1), "1.pyd": bomb, "1.npy": b"x"}))
    assert "not read: .npy, .pyd" in stream.notes


def test_a_sample_without_pictures_is_a_problem_and_the_others_go_on(tmp_path: Path) -> None:
    files = {"1.txt": b"alone", "2.png": picture(1), "3.png": b"no picture", "4.png": b""}
    candidates, problems = found(shard(tmp_path / "a.tar", files))
    assert [candidate.selector for candidate in candidates] == ["2", "3", "4"]
    assert "only .txt" in problems[0].cause
    assert probed(candidates[0]).tracks
    for candidate, cause in zip(candidates[1:], ("is not a picture", "zero bytes"), strict=True):
        with pytest.raises(InputError, match=cause) as caught:
            probed(candidate)
        assert caught.value.problem.input == candidate.uri


def test_a_tar_of_other_things_is_one_problem(tmp_path: Path) -> None:
    candidates, problems = found(shard(tmp_path / "backup.tar", {f"{n}.txt": b"x" for n in range(5)}))
    assert not candidates
    (problem,) = problems
    assert "no sample in it" in problem.cause


def test_names_that_lead_outside_are_only_names(tmp_path: Path) -> None:
    files = {"../../evil.png": picture(10), "/etc/passwd.png": picture(20), "a::b.png": picture(30)}
    path = shard(tmp_path / "in" / "we::ird 100%.tar", files)
    before = sorted(tmp_path.rglob("*"))
    streams = [probed(candidate) for candidate in found(path)[0]]
    shades = []
    for stream in streams:
        with open_recording(stream) as recording:
            shades += [float(frame.gray().mean()) for frame in recording.frames_at([0.0])]
    assert sorted(shades) == [10, 20, 30]
    assert sorted(tmp_path.rglob("*")) == before


def test_links_in_a_shard_are_no_files(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        for kind, name in ((tarfile.SYMTYPE, "1.png"), (tarfile.LNKTYPE, "2.png"), (tarfile.CHRTYPE, "3.png")):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            tar.addfile(member)
        member = tarfile.TarInfo("4.png")
        member.size = len(picture(1))
        tar.addfile(member, io.BytesIO(picture(1)))
    assert [candidate.selector for candidate in found(path)[0]] == ["4"]


def test_names_that_are_no_utf8_are_problems(tmp_path: Path) -> None:
    path = shard(tmp_path / "a.tar", {"1.png": picture(1), "2X.png": picture(2)})
    data = bytearray(path.read_bytes())
    place = data.index(b"2X.png")
    before = sum(data[place : place + 512]) - sum(data[place + 148 : place + 156]) + 8 * 32
    data[place + 1] = 0xFF
    data[place + 148 : place + 156] = b"%06o\0 " % (before + 0xFF - ord("X"))
    path.write_bytes(data)
    candidates, problems = found(path)
    assert [candidate.selector for candidate in candidates] == ["1"]
    assert "UTF-8" in problems[0].cause


def test_two_files_of_one_name_are_a_note(tmp_path: Path) -> None:
    stream = only(shard(tmp_path / "a.tar", [("1.png", picture(10)), ("1.png", picture(20))]))
    assert "two files are called .png: the first one is read" in stream.notes


@pytest.mark.parametrize("name", ["a.tar", "a.tgz"])
def test_a_shard_cut_off_leaves_the_samples_before(tmp_path: Path, name: str) -> None:
    noise = np.random.default_rng(0)
    files = {f"{n}.bmp": bmp(noise.integers(0, 256, (60, 60, 3), np.uint8)) for n in range(6)}
    path = shard(tmp_path / name, files)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    candidates, problems = found(path)
    assert 1 < len(candidates) < 6
    (problem,) = problems
    assert f"{len(candidates)} samples can be read, then it is damaged or cut off" in problem.cause
    for candidate in candidates:
        assert probed(candidate).tracks


def bmp(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "BMP")
    return out.getvalue()


def test_a_damaged_header_in_the_middle_is_told(tmp_path: Path) -> None:
    path = shard(tmp_path / "a.tar", numbered(3))
    data = bytearray(path.read_bytes())
    place = data.index(b"0001.png")
    data[place + 100] ^= 0xFF
    path.write_bytes(data)
    candidates, problems = found(path)
    assert [candidate.selector for candidate in candidates] == ["0000"]
    assert "no header and no end mark" in problems[0].cause


def header_of(size: int, kind: bytes) -> bytes:
    """A tar header that promises a body of a size."""
    member = tarfile.TarInfo("x")
    member.type, member.size = kind, size
    return member.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"text",
        bytes(100),
        b"x" * 2000,
        gzip.compress(b"no tar", mtime=0),
        gzip.compress(b"", mtime=0) + b"\x1f\x8b",
        b"\x1f\x8b" + b"x" * 100,
        header_of(1 << 40, tarfile.XHDTYPE) + bytes(2048),
        header_of(1 << 40, tarfile.REGTYPE),
    ],
)
def test_what_is_no_shard_is_one_problem(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.tar").write_bytes(content)
    candidates, problems = found(tmp_path / "a.tar")
    assert not candidates
    assert len(problems) == 1


def test_pictures_too_large_are_refused_from_their_header(tmp_path: Path) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    huge = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000)))
    candidates, _ = found(shard(tmp_path / "a.tar", {"1.png": huge, "2.mp4": film()}))
    with pytest.raises(InputError, match="30000 x 30000"):
        probed(candidates[0])
    with pytest.raises(InputError, match="64 x 48"):
        probed(candidates[1], max_pixels=1000)


def test_the_last_sample_is_opened_without_reading_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0)
    files = {f"{n:03d}.bmp": bmp(noise.integers(0, 256, (100, 100, 3), np.uint8)) for n in range(60)}
    path = shard(tmp_path / "a.tar", files)
    stream = probed(found(path)[0][-1])
    read = 0

    class Counted(io.BufferedReader):
        def read(self, size: int | None = -1, /) -> bytes:
            nonlocal read
            data = super().read(size)
            read += len(data)
            return data

    monkeypatch.setattr(members, "open_binary", lambda uri: Counted(open_binary(uri)))  # type: ignore[arg-type]
    with open_recording(stream) as recording:
        assert len(list(recording.frames(0.0, 1.0, None))) == 1
    assert 30_000 < read < path.stat().st_size / 10


def test_a_changed_shard_is_read_anew(tmp_path: Path) -> None:
    path = shard(tmp_path / "a.tar", {"1.png": picture(10)})
    stream = only(path)
    shard(path, {"2.png": picture(10), "3.png": picture(10)})
    assert [candidate.selector for candidate in found(path)[0]] == ["2", "3"]
    with pytest.raises(InputError, match="no such sample"):
        open_recording(stream)


def test_a_shard_in_a_store_is_read_like_a_local_one(tmp_path: Path) -> None:
    store = fsspec.filesystem("memory")
    for name in ("a.tar", "b.tgz"):
        path = shard(tmp_path / name, {"1.mp4": film(), "1.txt": b"grey", "2.png": picture(50)})
        store.put(str(path), f"/webdataset/{name}")
        local, remote = found(path)[0], found(f"memory://webdataset/{name}")[0]
        assert [probed(item).sha256 for item in local] == [probed(item).sha256 for item in remote]
        with open_recording(probed(remote[0])) as recording:
            assert len(list(recording.frames(0.0, 2.0, None))) == 10
            assert list(recording.texts()) == ["grey"]
    store.rm("/webdataset", recursive=True)


@pytest.mark.streams
def test_the_real_shard(streams: Path) -> None:
    candidates, problems = found(streams / "webdataset" / "sample.tgz")
    assert not problems
    assert len(candidates) == 90
    assert candidates[0].selector == "10"
    stream = probed(candidates[0])
    assert texts_of(stream)[0].startswith("class ")
    with open_recording(stream) as recording:
        (frame,) = recording.frames(0.0, 1.0, None)
        assert (frame.width, frame.height) == (28, 28)

"""Pictures: folders of them, lone ones, and those that cannot be read."""

from __future__ import annotations

import struct
import tracemalloc
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from fsspec.implementations.local import LocalFileSystem
from PIL import Image

from schemas.errors import InputError
from schemas.stream import Domain, Stream, TrackKind
from sources.base import Candidate
from sources.identity import hash_parts
from sources.images import ImageSource, read_pixels

FS = LocalFileSystem()
SOURCE = ImageSource()


def picture(path: Path, colour: tuple[int, ...] = (255, 0, 0), size: tuple[int, int] = (40, 30)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGBA" if len(colour) == 4 else "RGB", size, colour).save(path)
    return path


def huge_png(path: Path, side: int = 30_000) -> Path:
    """A PNG whose header promises side x side pixels, in a few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(1 << 20))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b""))
    return path


def found(place: Path) -> Candidate:
    assert SOURCE.claims(FS, str(place))
    (candidate,) = SOURCE.find(FS, str(place))
    assert isinstance(candidate, Candidate)
    return candidate


def probed(place: Path, max_pixels: int = 100_000_000) -> Stream:
    candidate = found(place)
    return SOURCE.probe(candidate, hash_parts(candidate, {}), Domain.AIGC, max_pixels)


def test_a_folder_of_pictures_is_one_stream_in_natural_order(tmp_path: Path) -> None:
    for number in (10, 2, 1):
        picture(tmp_path / "my steps" / f"step {number}.png", (number, 0, 0))
    stream = probed(tmp_path / "my steps")
    assert (stream.name, stream.format, stream.duration) == ("my steps", "images", 3.0)
    assert stream.has(TrackKind.IMAGES)
    assert any("nominal time" in note for note in stream.notes)
    with SOURCE.open(stream) as recording:
        frames = list(recording.frames(0.0, stream.duration, None))
        assert [frame.time for frame in frames] == [0.0, 1.0, 2.0]
        assert [int(frame.rgb()[0, 0, 0]) for frame in frames] == [1, 2, 10]
        assert [frame.time for frame in recording.frames(0.0, 2.0, None)] == [0.0, 1.0]
        assert [frame.time for frame in recording.frames(0.0, 2.0, None, include_end=True)] == [0.0, 1.0, 2.0]
        assert [frame.time for frame in recording.frames(0.5, 3.0, None)] == [1.0, 2.0]
        assert [frame.time for frame in recording.frames(0.0, 3.0, 0.5)] == [0.0, 2.0]
        assert [frame.time for frame in recording.frames_at([0.0, 1.5, 1.9, 99.0])] == [0.0, 1.0, 1.0, 2.0]


def test_the_order_of_pictures_is_part_of_what_a_stream_is(tmp_path: Path) -> None:
    picture(tmp_path / "a" / "1.png", (1, 0, 0)), picture(tmp_path / "a" / "2.png", (2, 0, 0))
    picture(tmp_path / "b" / "1.png", (2, 0, 0)), picture(tmp_path / "b" / "2.png", (1, 0, 0))
    picture(tmp_path / "c" / "x.png", (1, 0, 0)), picture(tmp_path / "c" / "y.png", (2, 0, 0))
    a, b, c = (probed(tmp_path / name).sha256 for name in "abc")
    assert a != b
    assert a == c


def test_a_lone_picture_is_a_stream(tmp_path: Path) -> None:
    stream = probed(picture(tmp_path / "日本 語\n.png", size=(64, 48)))
    assert (stream.tracks[0].width, stream.tracks[0].height) == (64, 48)
    with SOURCE.open(stream) as recording:
        (frame,) = recording.frames(0.0, stream.duration, 2.0)
        assert frame.rgb().shape == (48, 64, 3)
        assert frame.rgb(32).shape == (24, 32, 3)
        assert frame.gray(32).shape == (24, 32)


def test_pictures_beside_videos_are_covers(tmp_path: Path) -> None:
    picture(tmp_path / "cover.png")
    (tmp_path / "film.mp4").write_bytes(b"")
    assert not SOURCE.claims(FS, str(tmp_path))


def test_transparent_parts_lie_on_white(tmp_path: Path) -> None:
    assert (read_pixels(str(picture(tmp_path / "clear.png", (255, 0, 0, 0)))) == 255).all()


def test_exif_rotation_is_applied(tmp_path: Path) -> None:
    pixels = np.zeros((20, 40, 3), np.uint8)
    pixels[:, :20] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # the right side of what is stored is the bottom of what was seen
    path = tmp_path / "turned.jpg"
    Image.fromarray(pixels).save(path, exif=exif, quality=95)
    stream = probed(path)
    assert (stream.tracks[0].width, stream.tracks[0].height) == (20, 40)
    seen = read_pixels(str(path))
    assert seen.shape == (40, 20, 3)
    assert seen[:15].mean() > 250
    assert seen[-15:].mean() < 5


def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path) -> None:
    path = tmp_path / "deep.png"
    Image.fromarray(np.full((4, 4), 32768, np.uint16)).save(path)
    assert abs(int(read_pixels(str(path))[0, 0, 0]) - 128) <= 1


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp", ".tiff"])
def test_every_format_is_read(tmp_path: Path, suffix: str) -> None:
    stream = probed(picture(tmp_path / f"a{suffix}", (10, 200, 30)))
    with SOURCE.open(stream) as recording:
        (frame,) = recording.frames_at([0.0])
        assert np.abs(frame.rgb().astype(int) - (10, 200, 30)).max() < 12


def test_a_picture_of_900_million_pixels_is_refused_from_its_header(tmp_path: Path) -> None:
    path = huge_png(tmp_path / "huge.png")
    tracemalloc.start()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InputError, match="30000 x 30000"):
            probed(path)
    assert tracemalloc.get_traced_memory()[1] < 50_000_000
    tracemalloc.stop()


def test_a_webp_is_refused_before_a_canvas_is_made_for_it(tmp_path: Path) -> None:
    path = tmp_path / "wide.webp"
    Image.new("RGB", (300, 200)).save(path, lossless=True)
    with pytest.raises(InputError, match="300 x 200"):
        probed(path, max_pixels=1000)
    Image.new("RGB", (300, 200)).save(path)
    with pytest.raises(InputError, match="300 x 200"):
        probed(path, max_pixels=1000)


def test_one_bad_picture_leaves_the_others(tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    for number in range(5):
        picture(folder / f"{number}.jpg", (50 * number, 0, 0), (200, 200))
    (folder / "1.jpg").write_bytes(b"not a picture")
    content = (folder / "2.jpg").read_bytes()
    (folder / "2.jpg").write_bytes(content[: len(content) // 2])
    huge_png(folder / "3.png")
    (folder / "3.jpg").unlink()
    stream = probed(folder)
    assert [note[:18] for note in stream.notes[1:]] == [
        "picture 2 left out",
        "picture 3 left out",
        "picture 4 left out",
    ]
    assert stream.tracks[0].items == 2
    with SOURCE.open(stream) as recording:
        assert [frame.time for frame in recording.frames(0.0, stream.duration, None)] == [0.0, 4.0]
        assert [frame.time for frame in recording.frames_at([2.5])] == [0.0]


@pytest.mark.parametrize("content", [b"", b"text"])
def test_nothing_to_be_read_is_an_error(tmp_path: Path, content: bytes) -> None:
    folder = tmp_path / "bad"
    folder.mkdir()
    for name in ("a.png", "b.jpg"):
        (folder / name).write_bytes(content)
    with pytest.raises(InputError, match="none of its pictures"):
        probed(folder)
    with pytest.raises(InputError, match="zero bytes" if not content else "not a picture"):
        probed(folder / "a.png")


@pytest.mark.streams
def test_scanned_pages(streams: Path) -> None:
    stream = probed(streams / "ocr")
    with SOURCE.open(stream) as recording:
        assert len(list(recording.frames(0.0, stream.duration, None))) == stream.tracks[0].items

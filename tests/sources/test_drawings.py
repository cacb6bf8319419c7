"""Drawings: stroke-3 archives, read without trusting their pickles."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from fsspec.implementations.local import LocalFileSystem

from schemas.errors import InputError, Problem
from schemas.stream import Domain, Stream, TrackKind
from sources.base import Candidate, Recording
from sources.drawings import SIDE, DrawingsSource
from sources.identity import hash_parts

FS = LocalFileSystem()
SOURCE = DrawingsSource()
# Two strokes: right and down; then, after a move through the air, one to the left.
CORNER = np.array([[0, 0, 0], [10, 0, 0], [0, 10, 1], [0, 10, 0], [-10, 0, 1]], np.int16)
DOT = np.array([[5, 5, 1]], np.int16)


def ragged(*drawings: object) -> np.ndarray:
    array = np.empty(len(drawings), object)
    array[:] = drawings
    return array


def archive(path: Path, **splits: np.ndarray) -> Path:
    np.savez_compressed(path, **splits)
    return path


def found(path: Path) -> list[Candidate]:
    items = list(SOURCE.find(FS, str(path)))
    assert all(isinstance(item, Candidate) for item in items), items
    return [item for item in items if isinstance(item, Candidate)]


def problems(path: Path) -> list[str]:
    return [item.cause for item in SOURCE.find(FS, str(path)) if isinstance(item, Problem)]


def probed(candidate: Candidate) -> Stream:
    return SOURCE.probe(candidate, hash_parts(candidate, {}), Domain.AIGC, 10**8)


def opened(candidate: Candidate) -> Recording:
    return SOURCE.open(probed(candidate))


class Command:
    """What a pickle must not be able to do."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("pickled-code-ran",)


def test_each_drawing_of_each_split_is_a_stream(tmp_path: Path) -> None:
    path = archive(tmp_path / "signs.npz", train=ragged(CORNER, DOT), valid=ragged(CORNER[:3]))
    assert SOURCE.claims(FS, str(path))
    candidates = found(path)
    assert [candidate.selector for candidate in candidates] == ["train/0", "train/1", "valid/0"]
    assert [candidate.uri.rpartition("#")[2] for candidate in candidates] == ["train/0", "train/1", "valid/0"]
    assert len({probed(candidate).sha256 for candidate in candidates}) == 3


def test_a_stroke_ends_where_the_pen_is_lifted(tmp_path: Path) -> None:
    (candidate,) = found(archive(tmp_path / "a.npz", train=ragged(CORNER)))
    with opened(candidate) as recording:
        first, second = recording.strokes()
    assert (first.t0, first.t1, second.t0, second.t1) == (0.0, 1.0, 1.0, 2.0)
    assert len(first.points) == 3
    assert len(second.points) == 2
    points = np.concatenate([first.points, second.points])
    assert points.min() >= 0
    assert points.max() <= 1
    assert first.points[1][0] > first.points[0][0]
    assert first.points[2][1] > first.points[1][1]
    assert second.points[1][0] < second.points[0][0]
    # The shape is kept: the drawing is twice as high as wide.
    width, height = np.ptp(points, axis=0)
    assert height == pytest.approx(2 * width)


def test_the_page_fills_stroke_by_stroke(tmp_path: Path) -> None:
    (candidate,) = found(archive(tmp_path / "a.npz", train=ragged(CORNER)))
    stream = probed(candidate)
    assert stream.duration == 2.0
    assert stream.has(TrackKind.STROKES)
    assert any("nominal time" in note for note in stream.notes)
    with SOURCE.open(stream) as recording:
        pages = list(recording.frames(0.0, stream.duration, None, include_end=True))
        ink = [int((page.rgb() < 128).sum()) for page in pages]
        assert [page.time for page in pages] == [0.0, 1.0, 2.0]
        assert pages[0].rgb().shape == (SIDE, SIDE, 3)
        assert ink[0] == 0
        assert ink[0] < ink[1] < ink[2]
        assert [page.time for page in recording.frames(0.0, 2.0, None)] == [0.0, 1.0]
        assert [page.time for page in recording.frames(0.0, 2.0, 0.5, include_end=True)] == [0.0, 2.0]
        assert [page.time for page in recording.frames_at([0.5, 1.0, 9.0])] == [0.0, 1.0, 2.0]


def test_a_drawing_of_one_dot_can_be_seen(tmp_path: Path) -> None:
    (candidate,) = found(archive(tmp_path / "a.npz", train=ragged(DOT)))
    with opened(candidate) as recording:
        (page,) = recording.frames_at([1.0])
        assert (page.rgb() < 128).any()


@pytest.mark.parametrize("padding", [0.0, np.nan])
def test_padded_arrays_say_the_same_as_ragged_ones(tmp_path: Path, padding: float) -> None:
    padded = np.full((2, 8, 3), padding, np.float32)
    padded[0, :5] = CORNER
    padded[1, :1] = DOT
    a, b = (
        found(archive(tmp_path / "padded.npz", train=padded)),
        found(archive(tmp_path / "ragged.npz", train=ragged(CORNER, DOT))),
    )
    for one, other in zip(a, b, strict=True):
        with opened(one) as left, opened(other) as right:
            for x, y in zip(left.strokes(), right.strokes(), strict=True):
                np.testing.assert_allclose(x.points, y.points, atol=1e-6)


def test_stroke_5_ends_at_its_end_mark(tmp_path: Path) -> None:
    rows = np.zeros((1, 7, 5), np.float32)
    rows[0, :5, :2], rows[0, :5, 3], rows[0, :5, 2] = CORNER[:, :2], CORNER[:, 2], 1 - CORNER[:, 2]
    rows[0, 5:, 4] = 1
    (candidate,) = found(archive(tmp_path / "five.npz", train=rows))
    with opened(candidate) as recording:
        assert [len(stroke.points) for stroke in recording.strokes()] == [3, 2]


def test_equal_length_drawings_pickle_to_the_same(tmp_path: Path) -> None:
    drawings = np.empty((2,), object)
    drawings[0], drawings[1] = CORNER.tolist(), CORNER.astype(">f8")
    candidates = found(archive(tmp_path / "lists.npz", train=drawings))
    for candidate in candidates:
        with opened(candidate) as recording:
            assert [len(stroke.points) for stroke in recording.strokes()] == [3, 2]


def test_code_in_a_pickle_does_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = archive(tmp_path / "evil.npz", train=ragged(CORNER, Command()))
    for candidate in found(path):
        with pytest.raises(InputError, match="mkdir"):
            probed(candidate)
    assert not (tmp_path / "pickled-code-ran").exists()


@pytest.mark.parametrize(
    "drawing",
    [
        np.zeros((4, 2)),
        np.zeros((0, 3)),
        np.zeros((3, 3)),
        np.array([[0.0, np.inf, 0], [1, 1, 1]]),
        np.array([[0, 0, 7], [1, 1, 1]]),
        "a word",
        None,
        [[1, 2, 0], [3]],
    ],
)
def test_a_malformed_drawing_is_refused_and_its_neighbour_read(tmp_path: Path, drawing: object) -> None:
    bad, good = found(archive(tmp_path / "mixed.npz", train=ragged(drawing, CORNER)))
    with pytest.raises(InputError, match="train/0"):
        probed(bad)
    assert probed(good).duration == 2.0


@pytest.mark.parametrize("content", [b"", b"no archive at all", b"PK\x03\x04 broken"])
def test_a_damaged_archive_is_one_problem(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "damaged.npz"
    path.write_bytes(content)
    assert SOURCE.claims(FS, str(path))
    (cause,) = problems(path)
    assert "not a readable npz archive" in cause


def test_an_archive_that_breaks_off_is_refused(tmp_path: Path) -> None:
    whole = archive(tmp_path / "whole.npz", train=ragged(*[CORNER] * 50)).read_bytes()
    path = tmp_path / "cut.npz"
    path.write_bytes(whole[: len(whole) // 2])
    assert problems(path)


def test_damaged_data_inside_a_sound_archive_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.save(buffer, ragged(CORNER, CORNER), allow_pickle=True)
    path = tmp_path / "inner.npz"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("train.npy", buffer.getvalue()[:-40])
    with pytest.raises(InputError):
        probed(found(path)[0])


def test_a_header_that_promises_more_than_is_there_costs_no_memory(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    header = {"descr": "<f8", "fortran_order": False, "shape": (10**12, 50, 3)}
    np.lib.format.write_array_header_1_0(buffer, header)
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("train.npy", buffer.getvalue())
    (cause,) = problems(path)
    assert "promises" in cause


def test_an_archive_of_something_else_is_left_alone(tmp_path: Path) -> None:
    path = archive(tmp_path / "weights.npz", layer=np.zeros((3, 4)))
    assert not SOURCE.claims(FS, str(path))


def test_a_selector_that_names_nothing_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.npz", train=ragged(CORNER))
    for selector in ("train/7", "test/0", "train/x"):
        candidate = Candidate("x", "drawings", f"{path}#{selector}", (("drawings", str(path)),), selector)
        with pytest.raises(InputError):
            probed(candidate)


@pytest.mark.streams
def test_omniglot(streams: Path) -> None:
    path = streams / "aigc" / "drawing" / "omniglot.npz"
    candidates = found(path)
    assert len(candidates) == 32_000
    with opened(next(candidate for candidate in candidates if candidate.selector == "train/0")) as recording:
        first = recording.strokes()[0]
        # The file's first rows: (0, 0), then 360 down with the pen lifted there.
        assert len(first.points) == 2
        assert first.points[1][1] > first.points[0][1]
        assert first.points[1][0] == first.points[0][0]

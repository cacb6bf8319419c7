"""Reader of drawings: npz archives of stroke-3 sequences (dx, dy, pen lifted), the format of Sketch-RNN.

Each array of the archive is a split that holds many drawings, each of which is a stream: `omniglot.npz#train/17`.
"""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import IO, Any, cast

import cv2
import numpy as np
from fsspec import AbstractFileSystem
from numpy.typing import NDArray

from schemas.errors import InputError, Problem
from schemas.stream import Domain, Stream, StreamPart, Track, TrackKind
from sources.base import Candidate, Recording, Stroke
from sources.frame import Pixels
from sources.identity import described, fingerprint
from sources.pictures import StillRecording
from sources.places import basename, open_binary, split_suffix, to_uri

SIDE = 256
"""Width and height in pixels of a rendered page."""
SECONDS = 1.0
"""Nominal time that a stroke takes."""
_MARGIN = 0.06
"""Share of the page that stays free on each side."""
_LARGEST = 1 << 30
"""Bytes that one unpacked array may have."""
_MOST_RATIO = 200
"""Times that an array may grow when it is unpacked..."""
_ALWAYS_ALLOWED = 1 << 26
"""...beyond this many bytes. zip can do a thousand; drawings stay below ten."""
_MOST_DRAWINGS = 1 << 22
_MOST_POINTS = 1_000_000
_MOST_COLUMNS = 5
_DAMAGES = (OSError, ValueError, EOFError, zipfile.BadZipFile, NotImplementedError, RuntimeError)
"""What zipfile, zlib (through zipfile) and the npy header parser raise for a damaged archive."""


class DrawingsSource:
    """npz archives of stroke-3 (or stroke-5) drawings, ragged (object arrays) or padded (three-dimensional ones).

    Object arrays are pickled. They are read by an unpickler that builds nothing but plain numeric arrays.
    """

    name = "drawings"
    default_domain = Domain.AIGC
    suffixes = (".npz",)

    def claims(self, fs: AbstractFileSystem, root: str) -> bool:
        """Whether this is an npz file with arrays that can be drawings. A damaged one is claimed, to be reported."""
        if split_suffix(root)[1] != ".npz" or not fs.isfile(root):
            return False
        try:
            return any(count is not None for _, count in _splits(to_uri(fs, root)))
        except InputError:
            return True

    def find(self, fs: AbstractFileSystem, root: str) -> Iterator[Candidate | Problem]:
        """One candidate per drawing, from the headers of the arrays alone; lazy, for there may be thousands."""
        uri = to_uri(fs, root)
        try:
            splits = _splits(uri)
        except InputError as error:
            yield error.problem
            return
        stem = split_suffix(basename(root))[0]
        for split, count in splits:
            for number in range(count or 0):
                selector = f"{split}/{number}"
                parts = (("drawings", uri),)
                yield Candidate(f"{stem}-{split}-{number}", self.name, f"{uri}#{selector}", parts, selector)

    def probe(self, candidate: Candidate, parts: tuple[StreamPart, ...], domain: Domain, max_pixels: int) -> Stream:
        strokes = _strokes(candidate.uri)
        page = Track(
            kind=TrackKind.IMAGES, name="page", width=SIDE, height=SIDE, rate=1 / SECONDS, items=len(strokes) + 1
        )
        return described(
            candidate,
            parts,
            domain,
            (page, Track(kind=TrackKind.STROKES, name="strokes", items=len(strokes))),
            strokes[-1].t1,
            ("nominal time: one second per stroke",),
        )

    def open(self, stream: Stream) -> Recording:
        return DrawingRecording(_strokes(stream.uri))


class DrawingRecording(StillRecording):
    """A drawing that comes to be: an empty page at 0 s, and the page anew when a stroke ends."""

    def __init__(self, strokes: Sequence[Stroke]) -> None:
        super().__init__([index * SECONDS for index in range(len(strokes) + 1)])
        self._strokes = strokes

    def close(self) -> None:
        """Holds nothing open."""

    def strokes(self) -> Sequence[Stroke]:
        return self._strokes

    def pixels(self, index: int) -> Pixels:
        """The page with the first `index` strokes on it."""
        page: Pixels = np.full((SIDE, SIDE, 3), 255, np.uint8)
        for stroke in self._strokes[:index]:
            # Sixteenths of a pixel: strokes keep their shape.
            points = np.round(stroke.points * (SIDE - 1) * 16).astype(np.int32)
            if len(points) == 1:
                cv2.circle(page, points[0].tolist(), 2 * 16, (0, 0, 0), cv2.FILLED, cv2.LINE_AA, 4)
            else:
                cv2.polylines(page, [points], False, (0, 0, 0), 2, cv2.LINE_AA, 4)
        return page


def _strokes(uri: str) -> tuple[Stroke, ...]:
    """The strokes of one drawing, given as `archive.npz#split/number`, scaled into the unit square without distortion.

    Raises:
        schemas.errors.InputError: there is no such drawing, or it is malformed.
    """
    archive, _, selector = uri.rpartition("#")
    split, _, number = selector.rpartition("/")
    drawings = _load(archive, split, fingerprint(archive))
    if not number.isdecimal() or int(number) >= len(drawings):
        raise InputError(uri, f"the archive has no drawing {selector!r}", "Discover the archive again")
    try:
        lines = _lines(drawings[int(number)])
    except (ValueError, TypeError) as error:
        raise InputError(uri, f"is not a stroke-3 drawing: {error}", "Leave it out, or write it again") from error
    everything = np.concatenate(lines)
    low, high = everything.min(axis=0), everything.max(axis=0)
    scale = (1 - 2 * _MARGIN) / max(float((high - low).max()), 1e-9)
    middle = (low + high) / 2
    return tuple(
        Stroke(index * SECONDS, (index + 1) * SECONDS, np.clip((points - middle) * scale + 0.5, 0.0, 1.0))
        for index, points in enumerate(lines)
    )


def _lines(drawing: object) -> list[NDArray[np.float64]]:
    """The lines of a drawing as absolute points: a row moves the pen and says whether it is lifted there.

    Raises:
        ValueError, TypeError: it is not an array of (n, 3) or (n, 5) numbers.
    """
    _check_flat(drawing)
    rows = np.asarray(drawing, np.float64)
    if rows.ndim != 2 or rows.shape[1] not in (3, 5):
        raise ValueError(f"its shape is {rows.shape}, not (n, 3)")
    if len(rows) > _MOST_POINTS:
        raise ValueError(f"it has {len(rows)} points, more than {_MOST_POINTS}")
    if rows.shape[1] == 5:  # dx, dy, pen down, pen lifted, end of the drawing
        ends = np.flatnonzero(rows[:, 4] == 1)
        rows = rows[: ends[0] if len(ends) else len(rows)][:, [0, 1, 3]]
    # Padding repeats zeros, or NaN, to the end.
    used = np.flatnonzero((rows != 0).any(axis=1) & ~np.isnan(rows).all(axis=1))
    rows = rows[: used[-1] + 1 if len(used) else 0]
    if not len(rows):
        raise ValueError("it holds no points")
    if not np.isfinite(rows).all():
        raise ValueError("it holds numbers that are not finite")
    if not np.isin(rows[:, 2], (0, 1)).all():
        raise ValueError("its third column is not 0 or 1")
    points = np.cumsum(rows[:, :2], axis=0)
    if not np.isfinite(points).all():
        raise ValueError("its movements add up to more than a number can hold")
    lines = np.split(points, np.flatnonzero(rows[:, 2]) + 1)
    return [line for line in lines if len(line)]


def _check_flat(drawing: object) -> None:
    """Looks at a drawing before an array is made of it: a few hundred bytes of a pickle can name a list in a list again
    and again, which would become an array of any size.

    Raises:
        ValueError: it is neither an array of numbers nor a list of short rows of numbers.
    """
    held = drawing.value if isinstance(drawing, _PickledArray) else drawing
    if isinstance(held, np.ndarray):
        return
    if not isinstance(held, list | tuple):
        raise ValueError(f"it is a {type(held).__name__}, not an array of numbers")
    if len(held) > _MOST_POINTS:
        raise ValueError(f"it has {len(held)} points, more than {_MOST_POINTS}")
    for row in held:
        values = row.value if isinstance(row, _PickledArray) else row
        if isinstance(values, np.ndarray) and values.ndim == 1 and len(values) <= _MOST_COLUMNS:
            continue
        if not isinstance(values, list | tuple) or len(values) > _MOST_COLUMNS:
            raise ValueError("its rows are not of 3 or 5 numbers")
        if not all(isinstance(value, int | float) for value in values):
            raise ValueError("its rows hold what is no number")


@contextmanager
def _archive(uri: str) -> Iterator[zipfile.ZipFile]:
    try:
        with open_binary(uri) as file, zipfile.ZipFile(file) as archive:
            yield archive
    except _DAMAGES as error:
        raise InputError(uri, f"is not a readable npz archive: {error}", "Copy it again") from error


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, Fortran order and type of an array; the file then stands at its data.

    Raises:
        ValueError: it is not an npy file of version 1 or 2.
    """
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(file)
    if version == (2, 0):
        return np.lib.format.read_array_header_2_0(file)
    raise ValueError(f"npy version {version} is not known")


def _splits(uri: str) -> list[tuple[str, int | None]]:
    """The arrays of an archive by name, with the number of drawings each holds; None for those that hold none.

    Raises:
        schemas.errors.InputError: it is not an npz archive, or an array in it is damaged.
    """
    splits = []
    with _archive(uri) as archive:
        for member in archive.infolist():
            if not member.filename.endswith(".npy"):
                continue
            with archive.open(member) as file:
                shape, _, dtype = _header(file)
            _check(member, shape, dtype)
            padded = len(shape) == 3 and shape[2] in (3, 5) and dtype.kind in "iuf"
            ragged = len(shape) == 1 and dtype.hasobject and dtype.kind == "O"
            splits.append((member.filename.removesuffix(".npy"), shape[0] if padded or ragged else None))
    return splits


def _check(member: zipfile.ZipInfo, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Compares what a header promises with the bytes that are there, before memory is given to it.

    Raises:
        ValueError: it promises more, or is too large to be unpacked.
    """
    if member.file_size > _LARGEST:
        raise ValueError(f"{member.filename} unpacks to {member.file_size} bytes, more than {_LARGEST}")
    if member.file_size > max(_ALWAYS_ALLOWED, _MOST_RATIO * member.compress_size):
        raise ValueError(
            f"{member.filename} unpacks {member.compress_size} bytes to {member.file_size}: no drawings do"
        )
    if shape and shape[0] > _MOST_DRAWINGS:
        raise ValueError(f"{member.filename} promises {shape[0]} drawings, more than {_MOST_DRAWINGS}")
    count = 1
    for length in shape:
        count *= length
    if count * (1 if dtype.hasobject else dtype.itemsize) > member.file_size:
        raise ValueError(f"{member.filename} promises {shape} of {dtype}, but has only {member.file_size} bytes")


@lru_cache(maxsize=2)
def _load(uri: str, split: str, sign: str) -> Sequence[object]:
    """The drawings of a split. Two splits are kept in memory; `sign` is the fingerprint of the file.

    Raises:
        schemas.errors.InputError: the archive is damaged, lacks the split, or holds pickled objects that are no arrays.
    """
    with _archive(uri) as archive:
        try:
            member = archive.getinfo(f"{split}.npy")
        except KeyError as error:
            raise InputError(uri, f"has no array {split!r}", "Discover the archive again") from error
        with archive.open(member) as file:
            shape, fortran, dtype = _header(file)
            _check(member, shape, dtype)
            if not dtype.hasobject:
                numbers = np.frombuffer(file.read(), dtype)
                return cast(Sequence[object], numbers.reshape(shape, order="F" if fortran else "C"))
            try:
                array = _ArrayUnpickler(file, encoding="latin1").load()
            except _DAMAGES:
                raise
            except Exception as error:
                # A damaged pickle raises whatever its broken instructions lead to.
                raise ValueError(f"{member.filename}: {type(error).__name__}: {error}") from error
            if not isinstance(array, _PickledArray) or not isinstance(array.value, list):
                raise ValueError(f"{member.filename} is not an array of drawings")
            if len(array.value) != shape[0]:
                raise ValueError(f"{member.filename} has {len(array.value)} drawings, its header says {shape[0]}")
            return array.value


class _PickledType:
    """Stands for `numpy.dtype` in a pickle: numbers or objects, nothing else."""

    def __init__(self, name: object, *_: object) -> None:
        text = name.decode("ascii") if isinstance(name, bytes) else str(name)
        if text not in {"O", "O8"} and (text[:1] not in "iufb" or not text[1:].isdecimal()):
            raise pickle.UnpicklingError(f"an array of type {text!r}")
        self.name = text
        self.order = "|"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = str(state[1])


class _PickledArray:
    """Stands for `numpy.ndarray` in a pickle. Its `value` is a plain numeric array, or a list of what it holds."""

    def __init__(self) -> None:
        self.value: object = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, data = state
        if dtype.name.startswith("O"):
            self.value = list(data)
            return
        content = data.encode("latin1") if isinstance(data, str) else bytes(data)
        order = dtype.order if dtype.order in "<>" else "="
        numbers = np.frombuffer(content, np.dtype(dtype.name).newbyteorder(order))
        self.value = numbers.reshape(shape, order="F" if fortran else "C")

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.value, dtype)


class _ArrayUnpickler(pickle.Unpickler):
    """Unpickles arrays of numbers, and arrays and lists of them. Any other global in the pickle is refused."""

    def find_class(self, module: str, name: str) -> Any:
        if module in {"numpy.core.multiarray", "numpy._core.multiarray"} and name == "_reconstruct":
            return lambda *_: _PickledArray()
        if (module, name) == ("numpy", "ndarray"):
            return _PickledArray
        if (module, name) == ("numpy", "dtype"):
            return _PickledType
        if (module, name) == ("_codecs", "encode"):  # how Python 3 writes bytes in pickles for Python 2
            return lambda text, _: text.encode("latin1")
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is no array")

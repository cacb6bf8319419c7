"""Reader of robomimic HDF5 files: one stream for each demonstration. No pickles, no eval.

Format: data/demo_*/obs/<camera> (steps, height, width, 3) uint8, obs/<name> (steps, d) numbers, actions, states;
attributes of data (env_args, JSON) and of a demonstration (its task in words, where there is one).

Nothing outside the file is ever opened: external links, external storage and virtual data sets of other files are
refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from math import prod
from typing import Any

import h5py
import numpy as np
from fsspec import AbstractFileSystem
from numpy.typing import NDArray

from schemas.errors import InputError, Problem
from schemas.stream import Domain, Stream, StreamPart, Track, TrackKind
from sources.base import Candidate, Recording, Signals
from sources.cameras import CameraRecording, beside, camera_of, episode_uri, whole
from sources.frame import Pixels
from sources.identity import described
from sources.pictures import StillRecording
from sources.places import basename, is_local, locate, natural, split_suffix, to_uri
from sources.robots import joined, overview_first

SUFFIXES = (".hdf5", ".h5")
STEPS_A_SECOND = 20.0
"""Nominal rate where env_args gives no control_freq: the one of robosuite, where most of these files come from."""

_DEMO = "demo"
_LARGEST = 1 << 29
"""Bytes that may be read at once: a chunk of pictures, or all numbers of one name."""
_MOST_STEPS = 1 << 22
"""Two and a half days at the nominal rate. A field that was never written takes no room in a file, however long."""
_LONGEST_ATTRIBUTE = 1 << 20
_CACHE = 1 << 26
_DEEPEST = 8
_DAMAGES = (OSError, KeyError, RuntimeError, ValueError, TypeError)
"""What h5py raises for damaged files."""
_TASK_NAMES = ("language_instruction", "language", "lang", "instruction", "task_description", "task")
_JSON_NAMES = ("ep_meta", "problem_info", "env_args")
_HAND = re.compile(r"gripper_qpos$|gripper_pos$|gripper_position$")
_ARM = (re.compile(r"joint_pos$|joint_positions?$|(?<!gripper_)qpos$"), re.compile(r"eef_pos$|ee_pos$|ee_pose$"))
_COPY = "Copy it again"
_NOMINAL = "nominal time"


class RobomimicSource:
    """robomimic files; the selector is the name of the demonstration (`demo_17`)."""

    name = "robomimic"
    default_domain = Domain.EMBODIED
    suffixes = SUFFIXES

    def claims(self, fs: AbstractFileSystem, root: str) -> bool:
        """Whether this is an HDF5 file with demonstrations. One that cannot be read is claimed, to be reported."""
        if split_suffix(root)[1] not in SUFFIXES or not fs.isfile(root):
            return False
        try:
            with _opened(to_uri(fs, root)) as file, _errors_of(root):
                return _has(file, "data") and bool(_demos(to_uri(fs, root), file))
        except InputError:
            return True

    def find(self, fs: AbstractFileSystem, root: str) -> Iterator[Candidate | Problem]:
        uri = to_uri(fs, root)
        try:
            with _opened(uri) as file:
                names = _demos(uri, file)
        except InputError as error:
            yield error.problem
            return
        if not names:
            yield Problem(input=uri, cause="it has no group data/demo_*", remedy="Leave it out")
        stem = split_suffix(basename(root))[0]
        for name in names:
            yield Candidate(f"{stem}/{name}", self.name, f"{uri}#{name}", (("demos", uri),), name)

    def cameras(self, candidate: Candidate) -> Sequence[tuple[str, Candidate]]:
        with _opened(candidate.parts[0][1]) as file:
            names = Demo(candidate.uri, file, candidate.selector).cameras
        return [(name, beside(candidate, name) if place else candidate) for place, name in enumerate(names)]

    def probe(self, candidate: Candidate, parts: tuple[StreamPart, ...], domain: Domain, max_pixels: int) -> Stream:
        with _opened(parts[0].uri) as file:
            demo = Demo(candidate.uri, file, whole(candidate)[1])
            if candidate.camera:
                track = _picture_track(demo, candidate.camera, max_pixels)
                nominal = [note for note in demo.notes if note.startswith(_NOMINAL)]
                return described(candidate, parts, domain, [track], demo.steps / demo.rate, nominal)
            tracks = [_picture_track(demo, camera, max_pixels) for camera in demo.cameras]
            signals = demo.signals()
            if signals is not None:
                tracks.append(Track(kind=TrackKind.SIGNALS, name="joints", rate=demo.rate, items=demo.steps))
            texts = demo.texts()
        if not tracks:
            raise InputError(candidate.uri, "it has neither pictures nor the state of a robot", "Leave it out")
        if texts:
            tracks.append(Track(kind=TrackKind.TEXT, name="task", items=len(texts)))
        else:
            demo.notes.append("no task text with it")
        return described(candidate, parts, domain, tracks, demo.steps / demo.rate, dict.fromkeys(demo.notes))

    def open(self, stream: Stream) -> Recording:
        shown = next((track for track in stream.tracks if track.kind == TrackKind.VIDEO), None)
        recording = RobomimicRecording(episode_uri(stream), stream.parts[0].uri, shown)
        return CameraRecording(recording) if camera_of(stream) else recording


class RobomimicRecording(StillRecording):
    """An open demonstration: the pictures of the first camera, the state, the task. Pictures are read one by one."""

    def __init__(self, uri: str, path: str, shown: Track | None) -> None:
        with ExitStack() as stack:
            file = stack.enter_context(_opened(path))
            self._demo = Demo(uri, file, uri.rpartition("#")[2])
            self._pictures = self._demo.pictures(shown.name) if shown is not None else None
            steps = self._demo.steps if self._pictures is not None else 0
            super().__init__([step / self._demo.rate for step in range(steps)])
            self._handles = stack.pop_all()

    def close(self) -> None:
        self._handles.close()

    def pixels(self, index: int) -> Pixels:
        assert self._pictures is not None
        with _errors_of(f"{self._demo.uri} (step {index})"):
            return np.ascontiguousarray(self._pictures[index])

    def texts(self) -> Sequence[str]:
        return self._demo.texts()

    def signals(self) -> Signals | None:
        return self._demo.signals()


class Demo:
    """A demonstration of an open file. `notes` collects what is wrong but leaves something to use.

    Raises:
        schemas.errors.InputError: it is not there, lies in another file, or has no steps.
    """

    def __init__(self, uri: str, file: h5py.File, name: str) -> None:
        self.uri = uri
        self.notes: list[str] = []
        with _errors_of(uri):
            self._data = _group(file, "data")
            self._demo = _group(self._data, name)
            self._fields = self._read_fields()
            first = self._fields.get("actions") or next(iter(self._fields.values()), None)
            self.steps = int(first.shape[0]) if first is not None else 0
            if not self.steps:
                raise ValueError("it has no steps")
            if self.steps > _MOST_STEPS:
                raise ValueError(f"it has {self.steps} steps, more than {_MOST_STEPS}")
            self._fields = {name: field for name, field in self._fields.items() if self._fits(name, field)}
            self.cameras = overview_first(name for name, field in self._fields.items() if _is_pictures(field))
            self.rate = self._read_rate()

    def pictures(self, camera: str) -> h5py.Dataset:
        """The pictures of a camera, (steps, height, width, 3) uint8, still in the file."""
        if camera not in self.cameras:
            raise InputError(self.uri, f"its camera {camera} is gone", "Discover the file again")
        return self._fields[camera]

    def signals(self) -> Signals | None:
        """Where the robot was at each step; what it was told, where only that is known. The columns of a robomimic
        action are not those of its state: never both."""
        vectors = {name: field for name, field in self._fields.items() if field.ndim <= 2}
        times: NDArray[np.float64] = np.arange(self.steps, dtype=np.float64)
        times /= self.rate
        seen = _positions([name for name in vectors if name.startswith("obs/")]) or ["states"]
        for names, commands in ((seen, False), (["actions"], True)):
            blocks = {name.removeprefix("obs/"): self._numbers(name) for name in names if name in vectors}
            sound = {name: block for name, block in blocks.items() if block is not None}
            if sound:
                return joined(times, sound, commands)
        return None

    def texts(self) -> tuple[str, ...]:
        """The task in words: attributes of the demonstration first, then those of the file."""
        with _errors_of(self.uri):
            found = [text for owner in (self._demo, self._data) for text in _task_texts(_attributes(owner))]
        return tuple(dict.fromkeys(found))

    def _read_fields(self) -> dict[str, h5py.Dataset]:
        """The data sets of the demonstration by their path in it (`obs/agentview_image`, `actions`)."""
        owners = [("", self._demo)]
        if _has(self._demo, "obs"):
            owners.append(("obs/", _group(self._demo, "obs")))
        fields = {}
        for prefix, owner in owners:
            for name in sorted(owner, key=natural):
                try:
                    member = _member(owner, name)
                    if isinstance(member, h5py.Dataset):
                        _check_inside(member)
                        fields[f"{prefix}{name}"] = member
                except _DAMAGES as error:
                    self.notes.append(f"{prefix}{name}: {_words(error)}: not read")
        return fields

    def _fits(self, name: str, field: h5py.Dataset) -> bool:
        """Whether a field has a row of numbers for each step; a note, where it does not."""
        if field.dtype.kind not in "iufb" or not field.ndim:
            self.notes.append(f"{name}: not numbers: not read")
        elif field.shape[0] != self.steps:
            self.notes.append(f"{name}: {field.shape[0]} rows where the actions have {self.steps}: not read")
        elif field.ndim > 2 and not _is_pictures(field):
            shape = " x ".join(str(side) for side in field.shape)
            self.notes.append(f"{name}: {shape} {field.dtype} is no (steps, height, width, 3) uint8: not read")
        elif (at_once := _at_once(field)) > _LARGEST:
            self.notes.append(f"{name}: {at_once} bytes must be read at once, more than {_LARGEST}: not read")
        else:
            return True
        return False

    def _numbers(self, name: str) -> NDArray[np.float64] | None:
        with _errors_of(self.uri):
            values = np.asarray(self._fields[name][()], np.float64)
        if not np.isfinite(values).all():
            self.notes.append(f"{name}: values that are no finite numbers: not read")
            return None
        return values

    def _read_rate(self) -> float:
        """Steps a second."""
        said = _json(_attributes(self._data).get("env_args", ""))
        settings = said.get("env_kwargs")
        rate = settings.get("control_freq") if isinstance(settings, dict) else None
        if isinstance(rate, int | float) and 0 < rate <= 1000:
            return float(rate)
        self.notes.append(f"{_NOMINAL}: {STEPS_A_SECOND:g} steps a second, for env_args gives no control_freq")
        return STEPS_A_SECOND


def _picture_track(demo: Demo, camera: str, max_pixels: int) -> Track:
    _, height, width, _ = demo.pictures(camera).shape
    if height * width > max_pixels:
        cause = f"the pictures of {camera} have {width} x {height} pixels, more than the {max_pixels} allowed"
        raise InputError(demo.uri, cause, "Raise sampling.max_pixels in the recipe, or scale them down")
    return Track(kind=TrackKind.VIDEO, name=camera, width=width, height=height, rate=demo.rate, items=demo.steps)


@contextmanager
def _errors_of(uri: str) -> Iterator[None]:
    """Turns what h5py raises for damaged files into an InputError."""
    try:
        yield
    except _DAMAGES as error:
        raise InputError(uri, f"cannot be read: {_words(error)}", _COPY) from error


def _words(error: Exception) -> str:
    """What an error says; a KeyError would put quotes around it."""
    return str(error.args[0]) if error.args else type(error).__name__


@contextmanager
def _opened(uri: str) -> Iterator[h5py.File]:
    fs, path = locate(uri)
    with ExitStack() as stack:
        with _errors_of(uri):
            if is_local(fs):
                # Files are often read where nothing may be written, not even a lock.
                file = h5py.File(path, "r", rdcc_nbytes=_CACHE, locking=False)
            else:
                file = h5py.File(stack.enter_context(fs.open(path, "rb")), "r", rdcc_nbytes=_CACHE)
        yield stack.enter_context(file)


def _demos(uri: str, file: h5py.File) -> list[str]:
    """The names of the demonstrations in natural order.

    Raises:
        schemas.errors.InputError: there is no group `data` in the file itself.
    """
    with _errors_of(uri):
        return sorted((name for name in _group(file, "data") if name.startswith(_DEMO)), key=natural)


def _has(owner: h5py.Group, name: str) -> bool:
    """Whether there is a member of this name, without following it: `in` would open what a link leads to."""
    return owner.get(name, getlink=True) is not None


def _group(owner: h5py.Group, name: str) -> h5py.Group:
    """Raises KeyError or ValueError where there is no such group in this file."""
    member = _member(owner, name)
    if not isinstance(member, h5py.Group):
        raise ValueError(f"{name} is no group")
    return member


def _member(owner: h5py.Group, path: str, depth: int = 0) -> Any:
    """What lies at a path in this file, links followed by hand: h5py would open other files without a word.

    Raises:
        KeyError: there is nothing.
        ValueError: the path leads out of the file, or in circles.
    """
    found: Any = owner.file if path.startswith("/") else owner
    for name in path.split("/"):
        if name in ("", "."):
            continue
        if not isinstance(found, h5py.Group) or (link := found.get(name, getlink=True)) is None:
            raise KeyError(f"there is no {path}")
        if isinstance(link, h5py.ExternalLink):
            raise ValueError(f"{name} is a link to another file ({link.filename})")
        if isinstance(link, h5py.SoftLink):
            if depth >= _DEEPEST:
                raise ValueError(f"{name} is a link that leads in circles")
            found = _member(found, link.path, depth + 1)
        else:
            found = found[name]
    return found


def _check_inside(field: h5py.Dataset) -> None:
    """Raises ValueError where its values lie in another file."""
    if field.external:
        raise ValueError(f"its values lie in another file ({field.external[0][0]})")
    if field.is_virtual:
        for source in field.virtual_sources():
            if source.file_name != ".":
                raise ValueError(f"its values lie in another file ({source.file_name})")
            _check_inside(_member(field.file, f"/{source.dset_name}"))


def _is_pictures(field: h5py.Dataset) -> bool:
    return field.ndim == 4 and field.shape[3] == 3 and field.dtype == np.uint8 and 0 not in field.shape


def _at_once(field: h5py.Dataset) -> int:
    """Bytes that are held in memory to give all numbers (in double precision), or one picture (whose size max_pixels
    bounds) and the chunk that it lies in."""
    numbers = 0 if _is_pictures(field) else prod(field.shape) * max(field.dtype.itemsize, 8)
    return int(max(numbers, prod(field.chunks or (0,)) * field.dtype.itemsize))


def _positions(names: Sequence[str]) -> list[str]:
    """The fields that say where the robot is: its grippers, and its joints (else its hand in space); all where the
    names do not tell, without what the simulator says of objects."""
    hands = [name for name in names if _HAND.search(name)]
    arms = next((found for pattern in _ARM if (found := [name for name in names if pattern.search(name)])), [])
    return [*arms, *hands] or [name for name in names if "object" not in name]


def _attributes(owner: h5py.Group) -> dict[str, str]:
    """The attributes that are text. Others are not looked at, nor is text of more than a megabyte."""
    found = {}
    for name in owner.attrs:
        try:
            kind = owner.attrs.get_id(name)
            if kind.shape != () or kind.get_storage_size() > _LONGEST_ATTRIBUTE:
                continue
            value = owner.attrs[name]
        except _DAMAGES:
            continue
        if isinstance(value, bytes):
            found[name] = value.decode("utf-8", "replace")
        elif isinstance(value, str):
            found[name] = value.encode("utf-8", "replace").decode()
    return found


def _task_texts(attributes: Mapping[str, str]) -> Iterator[str]:
    for said in (attributes, *(_json(attributes.get(name, "")) for name in _JSON_NAMES)):
        for name in _TASK_NAMES:
            value = said.get(name)
            if isinstance(value, str) and value.strip():
                yield value.encode("utf-8", "replace").decode().strip()


def _json(text: str) -> dict[str, Any]:
    """A JSON object, empty for what is none."""
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}

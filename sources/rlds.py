"""Reader of RLDS data sets as TensorFlow Datasets writes them: one stream for each episode. No TensorFlow.

Format: features.json (what a step holds), dataset_info.json, and TFRecord shards of which each record is an episode;
a feature of its steps is one list of all their values (`steps/observation/image`, `steps/action`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from fsspec import AbstractFileSystem
from numpy.typing import NDArray

from schemas.errors import InputError, Problem
from schemas.stream import Domain, Stream, StreamPart, Track, TrackKind
from sources.base import Candidate, Recording, Signals
from sources.cameras import CameraRecording, beside, camera_of, episode_uri, whole
from sources.encoded import Film, FilmRecording, describe_films, most_pixels
from sources.identity import described
from sources.jsonfiles import read_json
from sources.places import basename, entries, to_uri
from sources.robots import joined, overview_first
from sources.tfrecords import Example, read_record, record_index

FEATURES, INFO = "features.json", "dataset_info.json"
STEP_SECONDS = 0.1
"""Nominal time of a step: the format keeps none, and robots are mostly recorded at 5 to 20 steps a second."""

_SHARD = re.compile(r"(?P<stem>.+)\.tfrecord(?:-(?P<number>[0-9]+)(?:-of-(?P<count>[0-9]+))?)?")
_OBSERVATION, _ACTION = "steps/observation/", "steps/action"
_TASK = re.compile(r"instruction|language|task|goal", re.IGNORECASE)
_NO_POSITION = re.compile(r"embedding|language|reward", re.IGNORECASE)
_MOST_COLUMNS = 128
"""A longer vector in the observation is no pose of a robot."""
_DEEPEST = 16
_LENGTH = re.compile(r"[0-9]{1,18}")
"""A length as JSON or text. Python makes no number of thousands of digits."""
_COPY = "Copy it again"


@dataclass(frozen=True)
class Feature:
    """One feature of features.json: its path, `image`, `text`, `floats` or `integers`, and its shape (in one step)."""

    name: str
    kind: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Values in one step."""
        return prod(self.shape)

    @property
    def in_steps(self) -> bool:
        return self.name.startswith("steps/")


@dataclass(frozen=True)
class Shard:
    """One TFRecord file: the split it is of, and its number of how many where its name tells."""

    path: str
    split: str
    number: int
    count: int | None


class RldsSource:
    """RLDS data sets; the selector is `split/shard/record` (`train/0/17`)."""

    name = "rlds"
    default_domain = Domain.EMBODIED
    suffixes = ()

    def claims(self, fs: AbstractFileSystem, root: str) -> bool:
        if not fs.isfile(f"{root}/{FEATURES}"):
            return False
        return bool(fs.isfile(f"{root}/{INFO}")) or bool(_shards(fs, root))

    def find(self, fs: AbstractFileSystem, root: str) -> Iterator[Candidate | Problem]:
        uri = to_uri(fs, root)
        try:
            _read_features(f"{uri}/{FEATURES}")
        except InputError as error:
            yield error.problem
            return
        promised: dict[tuple[str, int], int] = {}
        try:
            promised = _promised(f"{uri}/{INFO}")
        except InputError as error:
            yield error.problem
        shards = _shards(fs, root)
        if not shards:
            yield Problem(input=uri, cause="it has no TFRecord files", remedy="Copy them, or convert the data set")
        yield from _missing(uri, shards)
        for shard in shards:
            yield from self._episodes(fs, root, shard, promised.get((shard.split, shard.number)))

    def _episodes(
        self, fs: AbstractFileSystem, root: str, shard: Shard, promised: int | None
    ) -> Iterator[Candidate | Problem]:
        """The records of one shard, and a problem where there are fewer than promised."""
        uri, records = to_uri(fs, root), to_uri(fs, shard.path)
        try:
            index = record_index(records)
        except InputError as error:
            yield error.problem
            return
        parts = (("records", records), ("features", f"{uri}/{FEATURES}"))
        for number in range(len(index)):
            selector = f"{shard.split}/{shard.number}/{number}"
            name = f"{basename(root)}/{shard.split}-{shard.number:05d}-{number}"
            yield Candidate(name, self.name, f"{uri}#{selector}", parts, selector)
        if index.damage:
            yield Problem(input=records, cause=f"{len(index)} episodes can be read, then {index.damage}", remedy=_COPY)
        elif promised is not None and promised != len(index):
            yield Problem(
                input=records, cause=f"{INFO} promises {promised} episodes, it has {len(index)}", remedy=_COPY
            )

    def cameras(self, candidate: Candidate) -> Sequence[tuple[str, Candidate]]:
        names = Episode(candidate.uri, dict(candidate.parts)).cameras()
        return [(name, beside(candidate, name) if place else candidate) for place, name in enumerate(names)]

    def probe(self, candidate: Candidate, parts: tuple[StreamPart, ...], domain: Domain, max_pixels: int) -> Stream:
        episode = Episode(whole(candidate)[0], {part.role: part.uri for part in parts})
        shown = [candidate.camera] if candidate.camera else episode.cameras()
        tracks, said, errors = describe_films(map(episode.film, shown), 1 / STEP_SECONDS, max_pixels)
        if errors and not tracks:
            raise errors[0]
        nominal = f"nominal time: {STEP_SECONDS:g} s for each step"
        if candidate.camera:
            return described(candidate, parts, domain, tracks, episode.steps * STEP_SECONDS, (nominal, *said))
        episode.notes += said
        signals = episode.signals()
        if signals is not None:
            rate = 1 / STEP_SECONDS
            tracks.append(Track(kind=TrackKind.SIGNALS, name="joints", rate=rate, items=len(signals.times)))
        if not tracks:
            cause = "its steps have neither pictures nor the state of a robot"
            raise InputError(candidate.uri, cause, "Leave it out")
        texts = episode.texts()
        if texts:
            tracks.append(Track(kind=TrackKind.TEXT, name="task", items=len(texts)))
        else:
            episode.notes.append("no task text with it")
        return described(
            candidate,
            parts,
            domain,
            tracks,
            episode.steps * STEP_SECONDS,
            (nominal, *dict.fromkeys(episode.notes)),
        )

    def open(self, stream: Stream) -> Recording:
        episode = Episode(episode_uri(stream), {part.role: part.uri for part in stream.parts})
        camera = next((track.name for track in stream.tracks if track.kind == TrackKind.VIDEO), "")
        recording = RldsRecording(episode, camera, most_pixels(stream.tracks, camera))
        return CameraRecording(recording) if camera_of(stream) else recording


class RldsRecording(FilmRecording):
    """An open episode: the pictures of the first camera, the state, the task."""

    def __init__(self, episode: Episode, camera: str, max_pixels: int | None) -> None:
        super().__init__(episode.film(camera), max_pixels)
        self._episode = episode

    def texts(self) -> Sequence[str]:
        return self._episode.texts()

    def signals(self) -> Signals | None:
        return self._episode.signals()


class Episode:
    """One record and what features.json says of it. `notes` collects what is wrong but leaves something to use.

    Raises:
        schemas.errors.InputError: the record is damaged or has no steps.
    """

    def __init__(self, uri: str, files: Mapping[str, str]) -> None:
        self.uri = uri
        self.notes: list[str] = []
        number = int(uri.rpartition("/")[2])
        self._example = Example(uri, read_record(files["records"], number))
        features = _read_features(files["features"])
        self._outside = [feature for feature in features if not feature.in_steps]
        self._features = self._whole([feature for feature in features if feature.in_steps])

    def _whole(self, features: Sequence[Feature]) -> list[Feature]:
        """The features that have a value for each step. How many steps there are, most of them say."""
        there = [feature for feature in features if self._example.count(feature.name)]
        counts = {feature: self._example.count(feature.name) / feature.size for feature in there}
        votes = Counter(counts.values())
        self.steps = int(max(votes, key=lambda count: (votes[count], count), default=0))
        if not self.steps:
            raise InputError(self.uri, "it has no steps", "Leave it out, or write the data set again")
        lost = [feature for feature in features if feature not in counts and feature.kind == "image"]
        self.notes += [f"{feature.name}: no pictures" for feature in lost]
        for feature, count in counts.items():
            if count != self.steps:
                values = self._example.count(feature.name)
                due = self.steps * feature.size
                self.notes.append(f"{feature.name}: {values} values where {self.steps} steps need {due}: not read")
        return [feature for feature in there if counts[feature] == self.steps]

    def cameras(self) -> list[str]:
        """The features that are pictures in colour, those that see the scene first."""
        images = (feature for feature in self._features if feature.kind == "image")
        return overview_first(feature.name for feature in images if "depth" not in feature.name.lower())

    def film(self, camera: str) -> Film:
        """The pictures of a camera; none, where it is unknown."""
        return Film(self.uri, camera, self.times().tolist(), self._example.texts(camera))

    def times(self) -> NDArray[np.float64]:
        """Nominal seconds of each step."""
        times = np.arange(self.steps, dtype=np.float64)
        times *= STEP_SECONDS
        return times

    def signals(self) -> Signals | None:
        """Where the robot was at each step; what it was told, where only that is known.

        The columns of an RLDS action (often changes of a pose) are not those of its state, and nothing tells which
        are the same: never both.
        """
        times = self.times()
        state = self._blocks(_OBSERVATION)
        if state:
            return joined(times, state)
        action = self._blocks(_ACTION)
        return joined(times, action, commands=True) if action else None

    def _blocks(self, prefix: str) -> dict[str, NDArray[np.float64]]:
        """Vectors and scalars of finite numbers below a path, by the rest of their name."""
        blocks: dict[str, NDArray[np.float64]] = {}
        for feature in self._features:
            fits = feature.kind == "floats" and len(feature.shape) <= 1 and feature.size <= _MOST_COLUMNS
            if not fits or not feature.name.startswith(prefix) or _NO_POSITION.search(feature.name):
                continue
            values = self._example.numbers(feature.name)
            if len(values) != self.steps * feature.size or not np.isfinite(values).all():
                self.notes.append(f"{feature.name}: values that are no finite numbers: not read")
                continue
            name = feature.name.removeprefix(prefix).strip("/") or "action"
            blocks[name] = values.reshape(self.steps, *feature.shape)
        return blocks

    def texts(self) -> tuple[str, ...]:
        """The task texts, each once, in the order of the steps."""
        named = [feature for feature in (*self._features, *self._outside) if feature.kind == "text"]
        values = [
            value.decode("utf-8", "replace").strip()
            for feature in named
            if _TASK.search(feature.name)
            for value in self._example.texts(feature.name)
        ]
        return tuple(dict.fromkeys(value for value in values if value))


def _shards(fs: AbstractFileSystem, root: str) -> list[Shard]:
    """The TFRecord files of a folder in the order of their names."""
    shards = []
    for entry in entries(fs, root):
        match = _SHARD.fullmatch(entry.name)
        if match is not None and not entry.is_folder:
            count = int(match["count"]) if match["count"] else None
            shards.append(Shard(entry.path, match["stem"].rpartition("-")[2], int(match["number"] or 0), count))
    return shards


def _missing(uri: str, shards: Sequence[Shard]) -> Iterator[Problem]:
    """A problem for each split of which the names of some shards promise others that are not there."""
    there = {(shard.split, shard.number) for shard in shards}
    for split, count in sorted({(shard.split, shard.count) for shard in shards if shard.count is not None}):
        # Counted, not listed: a file name may promise any number of others.
        lost = count - sum(other == split and number < count for other, number in there)
        if lost:
            first = next(number for number in range(count) if (split, number) not in there)
            more = f" and {lost - 1} more" if lost > 1 else ""
            cause = f"shard {first}{more} of {count} is missing"
            yield Problem(input=f"{uri}#{split}", cause=cause, remedy="Copy what is missing")


def _promised(uri: str) -> dict[tuple[str, int], int]:
    """How many records each shard has by dataset_info.json, as (split, shard): records.

    Raises:
        schemas.errors.InputError: it is no JSON object, or says that the files are in another format.
    """
    info = read_json(uri)
    if not isinstance(info, dict):
        raise InputError(uri, "is not a JSON object", _COPY)
    if info.get("fileFormat", "tfrecord") != "tfrecord":
        cause = f"its files are in the format {info['fileFormat']}, not tfrecord"
        raise InputError(uri, cause, "Write the data set with file_format='tfrecord'")
    promised = {}
    splits = info.get("splits")
    for split in splits if isinstance(splits, list) else ():
        lengths = split.get("shardLengths") if isinstance(split, dict) else None
        for number, length in enumerate(lengths if isinstance(lengths, list) else ()):
            if _LENGTH.fullmatch(str(length)):
                promised[str(split.get("name")), number] = int(length)
    return promised


def _read_features(uri: str) -> list[Feature]:
    """The features that this reader understands, in the order of features.json.

    Raises:
        schemas.errors.InputError: it is malformed, or what it describes has no steps.
    """
    features = list(_walk(read_json(uri), "", 0))
    if not any(feature.in_steps for feature in features):
        raise InputError(uri, "describes no steps, so this is no RLDS data set", "Leave it out")
    return features


def _walk(node: Any, name: str, depth: int) -> Iterator[Feature]:
    if not isinstance(node, dict) or depth > _DEEPEST:
        return
    if isinstance(inner := node.get("featuresDict"), dict):
        members = inner.get("features")
        for key, member in (members if isinstance(members, dict) else {}).items():
            yield from _walk(member, f"{name}/{key}" if name else str(key), depth + 1)
    elif isinstance(inner := node.get("sequence"), dict) and name == "steps":
        yield from _walk(inner.get("feature"), name, depth + 1)
    elif isinstance(node.get("image"), dict):
        yield Feature(name, "image", ())
    elif isinstance(inner := node.get("tensor"), dict):
        shape = _shape(inner.get("shape"))
        if inner.get("dtype") == "string":
            yield Feature(name, "text", ())
        elif shape is not None and inner.get("encoding", "none") == "none":
            yield Feature(name, "floats" if "float" in str(inner.get("dtype")) else "integers", shape)
    elif "text" in node:
        yield Feature(name, "text", ())


def _shape(said: Any) -> tuple[int, ...] | None:
    """The lengths of a tensor's sides; None where one is not fixed or nonsense."""
    sides = said.get("dimensions", []) if isinstance(said, dict) else []
    if not isinstance(sides, list) or not all(_LENGTH.fullmatch(str(side)) and int(side) for side in sides):
        return None
    return tuple(int(side) for side in sides)

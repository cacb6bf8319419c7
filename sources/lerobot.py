"""Reader of LeRobot data sets v2.0 and v2.1: one stream for each episode.

Format: meta/info.json (path templates, features, fps), meta/episodes.jsonl, meta/tasks.jsonl, one Parquet file and one
video per camera for each episode.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec import AbstractFileSystem
from numpy.typing import NDArray

from schemas.errors import InputError, Problem
from schemas.manifest import inside
from schemas.stream import Domain, Stream, StreamPart, Track, TrackKind
from sources.base import Candidate, Recording, Signals
from sources.decoding import VideoDecoder
from sources.identity import stream_sha256
from sources.jsonfiles import read_json, read_jsonl
from sources.places import basename, open_binary, to_uri
from sources.video import VideoRecording, describe

VERSIONS = ("v2.0", "v2.1")
STATE, ACTION = "observation.state", "action"
CAMERA = "video:"
"""Role of a camera's file: this and the feature's name. The first one is what `frames` shows."""

_META = {"info": "meta/info.json", "tasks": "meta/tasks.jsonl", "modality": "meta/modality.json"}
_DEFAULT = {
    "data_path": "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
    "video_path": "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4",
}
_OVERVIEW = ("ego", "head", "high", "front", "top", "scene")
"""Cameras that see the scene are looked at before those on a wrist."""
_PARTS = {
    "gripper": {"gripper", "claw", "jaw"},
    "hand": {"hand", "finger", "thumb", "index", "middle", "ring", "pinky", "little", "palm"},
    "arm": {"arm", "shoulder", "elbow", "wrist", "forearm"},
    "leg": {"leg", "hip", "knee", "ankle", "foot"},
    "waist": {"waist", "torso", "spine"},
    "neck": {"neck", "head"},
}
_TOLERANCE = 0.5
"""Seconds by which a video may be shorter than its signals without a note."""


class LeRobotRecording(Recording):
    """An open episode: the first camera's frames, the signals, the task."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self._files = files
        camera = next((uri for role, uri in files.items() if role.startswith(CAMERA)), None)
        self._video = VideoRecording(camera) if camera else None

    def close(self) -> None:
        if self._video is not None:
            self._video.close()

    def frames(self, t0: float, t1: float, rate: float | None, include_end: bool = False) -> Any:
        return self._video.frames(t0, t1, rate, include_end) if self._video else iter(())

    def frames_at(self, times: Sequence[float]) -> Any:
        return self._video.frames_at(times) if self._video else iter(())

    def texts(self) -> Sequence[str]:
        return _texts(self._files)

    def signals(self) -> Signals | None:
        return _signals(self._files)


class LeRobotSource:
    """LeRobot data sets; the selector is the number of the episode."""

    name = "lerobot"
    default_domain = Domain.EMBODIED

    def claims(self, fs: AbstractFileSystem, root: str) -> bool:
        return bool(fs.isfile(f"{root}/{_META['info']}"))

    def find(self, fs: AbstractFileSystem, root: str) -> Iterator[Candidate | Problem]:
        uri = to_uri(fs, root)
        try:
            info = _info(f"{uri}/{_META['info']}")
        except InputError as error:
            yield error.problem
            return
        rows, problem = read_jsonl(f"{uri}/meta/episodes.jsonl")
        if problem:
            yield Problem(input=f"{uri}/meta/episodes.jsonl", cause=problem, remedy="Copy the data set's meta again")
        shared = [(role, f"{uri}/{path}") for role, path in _META.items() if fs.isfile(f"{root}/{path}")]

        @cache
        def folder(path: str) -> frozenset[str]:
            """The files of a folder: one listing instead of a question for each episode."""
            return frozenset(fs.ls(path, detail=False)) if fs.isdir(path) else frozenset()

        def is_there(path: str) -> bool:
            full = f"{root}/{path}"
            return full in folder(full.rpartition("/")[0])

        for row in rows:
            number = row.get("episode_index")
            if not isinstance(number, int):
                cause = f"an episode has no number: {str(row)[:80]}"
                yield Problem(input=f"{uri}/meta/episodes.jsonl", cause=cause, remedy="Mend this line")
                continue
            episode = f"{uri}#{number}"
            try:
                data = _paths(info, "data_path", number)
                videos = [(key, _paths(info, "video_path", number, key)) for key in _cameras(info)]
            except ValueError as error:
                yield Problem(input=episode, cause=str(error), remedy="Mend meta/info.json")
                continue
            there = [
                (f"{CAMERA}{key}", f"{uri}/{path}")
                for key, paths in videos
                for path in [path for path in paths if is_there(path)][:1]
            ]
            table = next((path for path in data if is_there(path)), None)
            if table is None or (videos and not there):
                lost = data[0] if table is None else videos[0][1][0]
                cause = f"meta lists episode {number}, but its file {lost} is missing"
                yield Problem(input=episode, cause=cause, remedy="Copy the file, or leave the episode out")
                continue
            parts = (*there, ("data", f"{uri}/{table}"), *shared)
            yield Candidate(f"{basename(root)}/episode_{number:06d}", self.name, episode, parts, str(number))

    def probe(self, candidate: Candidate, parts: tuple[StreamPart, ...], domain: Domain, max_pixels: int) -> Stream:
        files = {part.role: part.uri for part in parts}
        info = _info(files["info"])
        tracks, ends, notes = [], [], []
        for role, uri in files.items():
            if not role.startswith(CAMERA):
                continue
            decoder = VideoDecoder(uri, max_pixels)
            try:
                track, end, said = describe(decoder, role.removeprefix(CAMERA))
            finally:
                decoder.close()
            tracks.append(track)
            ends.append(end)
            notes += said
        notes += [f"no file for {key}: not read" for key in _cameras(info) if f"{CAMERA}{key}" not in files]
        signals = _signals(files)
        if signals is not None and len(signals.times):
            kept = signals.state if signals.state is not None else signals.action
            if kept is not None:
                rate = float(info["fps"]) if isinstance(info.get("fps"), int | float) else None
                tracks.append(Track(kind=TrackKind.SIGNALS, name="joints", rate=rate, items=len(signals.times)))
            until = float(signals.times[-1]) + (1 / rate if kept is not None and rate else 0.0)
            if ends and abs(until - ends[0]) > _TOLERANCE:
                notes.append(f"the video lasts {ends[0]:.3f} s, the signals {until:.3f} s")
            shown = next((track.items for track in tracks if track.kind == TrackKind.VIDEO), None)
            if shown is not None and shown != len(signals.times):
                notes.append(f"the video has {shown} frames, the signals {len(signals.times)} rows")
            ends.append(until)
        texts = _texts(files)
        if texts:
            tracks.append(Track(kind=TrackKind.TEXT, name="task", items=len(texts)))
        else:
            notes.append("no task text with it")
        return Stream(
            sha256=stream_sha256(parts, candidate.selector),
            uri=candidate.uri,
            name=candidate.name,
            domain=domain,
            format=self.name,
            parts=parts,
            tracks=tuple(tracks),
            duration=max(ends, default=0.0),
            notes=tuple(dict.fromkeys(notes)),
        )

    def open(self, stream: Stream) -> Recording:
        return LeRobotRecording({part.role: part.uri for part in stream.parts})


def _info(uri: str) -> dict[str, Any]:
    """meta/info.json, when this reader understands its version.

    Raises:
        schemas.errors.InputError: it is malformed or of another version.
    """
    info = read_json(uri)
    if not isinstance(info, dict) or not isinstance(info.get("features"), dict):
        raise InputError(uri, "names no features", "Copy the data set's meta again")
    version = str(info.get("codebase_version"))
    if version not in VERSIONS:
        cause = f"LeRobot version {version} is not read"
        raise InputError(uri, cause, f"Versions read: {', '.join(VERSIONS)}. Convert it to one of them")
    return info


def _paths(info: Mapping[str, Any], template: str, number: int, camera: str = "") -> list[str]:
    """Where a file of an episode may lie, relative to the data set: where the template says, then where the default
    one does. Templates of v2.0 data sets are seen to put the episode where the chunk belongs.

    Raises:
        ValueError: the template is missing, names something unknown, or leads outside the data set.
    """
    text = info.get(template)
    if not isinstance(text, str):
        raise ValueError(f"meta/info.json has no {template}")
    size = info.get("chunks_size")
    chunk = number // size if isinstance(size, int) and size > 0 else 0
    try:
        paths = [
            inside(form.format(episode_index=number, episode_chunk=chunk, video_key=camera))
            for form in (text, _DEFAULT[template])
        ]
    except (KeyError, IndexError, AttributeError) as error:
        raise ValueError(f"{template} in meta/info.json names something unknown: {error}") from error
    return list(dict.fromkeys(paths))


def _cameras(info: Mapping[str, Any]) -> list[str]:
    """The video features, those that see the scene first."""
    keys = [key for key, feature in info["features"].items() if _kind(feature) == "video"]
    return sorted(keys, key=lambda key: not any(word in key.rpartition(".")[2].lower() for word in _OVERVIEW))


def _kind(feature: Any) -> str:
    return str(feature.get("dtype")) if isinstance(feature, dict) else ""


def _table(uri: str, columns: Sequence[str]) -> pa.Table:
    try:
        with open_binary(uri) as file:
            parquet = pq.ParquetFile(file)
            return parquet.read([name for name in columns if name in parquet.schema_arrow.names])
    except (pa.ArrowException, OSError) as error:
        raise InputError(uri, f"is not a readable Parquet file: {error}", "Copy the episode again") from error


def _texts(files: Mapping[str, str]) -> tuple[str, ...]:
    """The task texts of an episode, in the order of their first row."""
    if "tasks" not in files:
        return ()
    known = {row.get("task_index"): row.get("task") for row in read_jsonl(files["tasks"])[0]}
    table = _table(files["data"], ["task_index"])
    numbers = table["task_index"].to_pylist() if "task_index" in table.column_names else []
    texts = (known.get(number) for number in dict.fromkeys(numbers))
    return tuple(text for text in texts if isinstance(text, str) and text.strip())


def _signals(files: Mapping[str, str]) -> Signals | None:
    info = _info(files["info"])
    table = _table(files["data"], [STATE, ACTION, "timestamp", "frame_index"])
    state, action = (_matrix(table, name, files["data"]) for name in (STATE, ACTION))
    if state is None and action is None:
        return None
    stamps = _matrix(table, "timestamp", files["data"])
    if stamps is None:
        fps = info.get("fps")
        if not isinstance(fps, int | float) or fps <= 0:
            raise InputError(files["data"], "neither timestamps nor a frame rate", "Copy the episode again")
        times = np.arange(table.num_rows) / fps
    else:
        times = stamps.reshape(-1)
        if len(times) != table.num_rows or (np.diff(times) < 0).any():
            raise InputError(files["data"], "its timestamps do not go up row by row", "Copy the episode again")
    feature, width = (STATE, state.shape[1]) if state is not None else (ACTION, action.shape[1])  # type: ignore[union-attr]
    names = _names(info["features"].get(feature), width)
    return Signals(times=times, names=names, state=state, action=action, groups=_groups(files, names, feature))


def _matrix(table: pa.Table, name: str, uri: str) -> NDArray[np.float64] | None:
    if name not in table.column_names or table.num_rows == 0:
        return None
    try:
        rows = np.asarray(table[name].to_pylist(), np.float64)
    except (ValueError, TypeError) as error:
        raise InputError(uri, f"{name} is no matrix of numbers", "Copy the episode again") from error
    if not np.isfinite(rows).all():
        raise InputError(uri, f"{name} holds values that are no finite numbers", "Copy the episode again")
    return rows.reshape(len(rows), -1)


def _names(feature: Any, width: int) -> tuple[str, ...]:
    """One name for each column, whatever way they are nested in meta."""

    def flat(names: Any) -> Iterator[str]:
        if isinstance(names, dict):
            names = list(names.values()) if any(isinstance(v, list) for v in names.values()) else list(names)
        if isinstance(names, list):
            for name in names:
                yield from flat(name)
        elif names is not None:
            yield str(names)

    found = tuple(flat(feature.get("names") if isinstance(feature, dict) else None))
    return found if len(found) == width else tuple(f"{index}" for index in range(width))


def _groups(files: Mapping[str, str], names: Sequence[str], feature: str) -> dict[str, tuple[int, int]]:
    """Columns that move together: as meta/modality.json says, else by the sides and parts that joint names tell."""
    if "modality" in files:
        try:
            said = read_json(files["modality"])
        except InputError:
            said = None
        ranges = said.get("action" if feature == ACTION else "state") if isinstance(said, dict) else None
        groups = {
            str(name): (span["start"], span["end"])
            for name, span in (ranges.items() if isinstance(ranges, dict) else ())
            if isinstance(span, dict)
            and isinstance(span.get("start"), int)
            and isinstance(span.get("end"), int)
            and 0 <= span["start"] < span["end"] <= len(names)
        }
        if groups:
            return groups
    groups = {}
    begin, current = 0, ""
    for index, name in enumerate([*names, ""]):
        group = _group(name)
        if group != current:
            if current and current not in groups:
                groups[current] = (begin, index)
            begin, current = index, group
    return groups


def _group(name: str) -> str:
    """`kLeftHandThumbBend` is of `left_hand`; a name that tells no part of a body is of none."""
    words = [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)]
    side = next((word for word in words if word in ("left", "right")), "")
    part = next((part for part, signs in _PARTS.items() if signs & set(words)), "")
    return "_".join(word for word in (side, part) if word) if part else ""

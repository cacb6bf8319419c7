"""Reader of LeRobot data sets v2.0, v2.1 and v3.0: one stream for each episode. See sources/lerobot_layout.py."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

import numpy as np
import pyarrow as pa
from fsspec import AbstractFileSystem
from numpy.typing import NDArray

from schemas.errors import InputError, Problem
from schemas.stream import Domain, Stream, StreamPart, Track, TrackKind
from sources.base import Candidate, Recording, Signals
from sources.cameras import CameraRecording, beside, camera_of, episode_uri, whole
from sources.decoding import VideoDecoder
from sources.encoded import Film, FilmRecording, describe_films, most_pixels
from sources.identity import described
from sources.jsonfiles import read_json
from sources.lerobot_layout import CAMERA, EPISODES, FORMAT, INFO, Episode, cameras, find_episodes
from sources.lerobot_window import VideoWindow
from sources.robots import joint_groups
from sources.video import VideoRecording, describe

STATE, ACTION = "observation.state", "action"
_TOLERANCE = 0.5
"""Seconds by which a video may be shorter than its signals without a note."""


class LeRobotRecording(Recording):
    """An open episode: the frames of the first camera (of those with a video, else with pictures in the table), the
    signals, the task."""

    def __init__(self, episode: Episode, tracks: Sequence[Track]) -> None:
        self._episode = episode
        self._video: VideoRecording | VideoWindow | FilmRecording | None = None
        shown = next((track.name for track in tracks if track.kind == TrackKind.VIDEO), None)
        if shown in episode.videos:
            uri, span = episode.videos[shown], episode.span(shown)
            self._video = VideoWindow(uri, span) if span else VideoRecording(uri)
        elif shown is not None:
            self._video = FilmRecording(_film(episode, shown), most_pixels(tracks, shown))

    def close(self) -> None:
        if self._video is not None:
            self._video.close()

    def frames(self, t0: float, t1: float, rate: float | None, include_end: bool = False) -> Any:
        return self._video.frames(t0, t1, rate, include_end) if self._video else iter(())

    def frames_at(self, times: Sequence[float]) -> Any:
        return self._video.frames_at(times) if self._video else iter(())

    def texts(self) -> Sequence[str]:
        return self._episode.texts()

    def signals(self) -> Signals | None:
        return _signals(self._episode)


class LeRobotSource:
    """LeRobot data sets; the selector is the number of the episode."""

    name = FORMAT
    default_domain = Domain.EMBODIED
    suffixes = ()

    def claims(self, fs: AbstractFileSystem, root: str) -> bool:
        return bool(fs.isfile(f"{root}/{INFO}"))

    def find(self, fs: AbstractFileSystem, root: str) -> Iterator[Candidate | Problem]:
        return find_episodes(fs, root)

    def cameras(self, candidate: Candidate) -> Sequence[tuple[str, Candidate]]:
        episode = Episode(dict(candidate.parts), int(candidate.selector))
        films = [film for camera in cameras(episode.info, "image") if (film := _film(episode, camera)).pictures]
        names = [*episode.videos, *(film.camera for film in films)]
        return [(names[0], candidate), *((name, _beside(candidate, name)) for name in names[1:])] if names else []

    def probe(self, candidate: Candidate, parts: tuple[StreamPart, ...], domain: Domain, max_pixels: int) -> Stream:
        episode = Episode({part.role: part.uri for part in parts}, int(whole(candidate)[1]))
        if candidate.camera:
            track, end, said = _one(episode, candidate.camera, max_pixels)
            return described(candidate, parts, domain, [track], end, dict.fromkeys(said))
        tracks, ends, notes = _videos(episode, max_pixels)
        signals = _signals(episode)
        if signals is not None and len(signals.times):
            track, until = _joints(episode, signals)
            if ends and abs(until - ends[0]) > _TOLERANCE:
                notes.append(f"the video lasts {ends[0]:.3f} s, the signals {until:.3f} s")
            notes += _disagreements(episode, signals, tracks)
            tracks.append(track)
            ends.append(until)
        texts = episode.texts()
        if texts:
            tracks.append(Track(kind=TrackKind.TEXT, name="task", items=len(texts)))
        else:
            notes.append("no task text with it")
        return described(candidate, parts, domain, tracks, max(ends, default=0.0), dict.fromkeys(notes))

    def open(self, stream: Stream) -> Recording:
        number = int(episode_uri(stream).rpartition("#")[2])
        recording = LeRobotRecording(Episode({part.role: part.uri for part in stream.parts}, number), stream.tracks)
        return CameraRecording(recording) if camera_of(stream) else recording


def _beside(candidate: Candidate, camera: str) -> Candidate:
    """A further camera, of the files that show it: its video, or the table that holds its pictures."""
    own = f"{CAMERA}{camera}"
    needed = (own, "info", EPISODES) if own in dict(candidate.parts) else ("data", "info", EPISODES)
    return beside(candidate, camera, [part for part in candidate.parts if part[0] in needed])


def _one(episode: Episode, camera: str, max_pixels: int) -> tuple[Track, float, list[str]]:
    """The track of one camera alone, the seconds of it that can be read, and notes."""
    if camera in episode.videos:
        return _describe(episode, camera, episode.videos[camera], max_pixels)
    film, rate = _film(episode, camera), _rate(episode) or 1.0
    if not film.pictures:
        raise InputError(episode.uri, f"it has no pictures of {camera} any more", "Discover the data set again")
    tracks, notes, errors = describe_films([film], rate, max_pixels)
    if errors:
        raise errors[0]
    return tracks[0], film.times[-1] + 1 / rate, notes


def _videos(episode: Episode, max_pixels: int) -> tuple[list[Track], list[float], list[str]]:
    """A track and a readable duration (seconds) for each camera, and notes."""
    tracks, ends, notes = [], [], []
    for camera, uri in episode.videos.items():
        track, end, said = _describe(episode, camera, uri, max_pixels)
        tracks.append(track)
        ends.append(end)
        notes += said
    notes += [
        f"no file for {camera}: not read, the other cameras are"
        for camera in cameras(episode.info)
        if camera not in episode.videos
    ]
    films = [_film(episode, camera) for camera in cameras(episode.info, "image")]
    notes += [f"no pictures of {film.camera}: not read" for film in films if not film.pictures]
    films = [film for film in films if film.pictures]
    shown, said, errors = describe_films(films, _rate(episode) or 1.0, max_pixels)
    if errors and not tracks and not shown:
        raise errors[0]
    ends += [film.times[-1] + 1 / (_rate(episode) or 1.0) for film in films]
    return tracks + shown, ends, notes + said


def _film(episode: Episode, camera: str) -> Film:
    """The pictures of a camera that lie in the table, (bytes, path) in each row; empty where there are none."""
    table = episode.rows([camera, "timestamp"])
    cells = table[camera].to_pylist() if camera in table.column_names else []
    held = [cell.get("bytes") if isinstance(cell, dict) else None for cell in cells]
    pictures = [data if isinstance(data, bytes) else b"" for data in held]
    if not any(pictures):
        return Film(episode.uri, camera, (), ())
    return Film(episode.uri, camera, _times(episode, table).tolist(), pictures)


def _describe(episode: Episode, camera: str, uri: str, max_pixels: int) -> tuple[Track, float, list[str]]:
    span = episode.span(camera)
    if span is not None:
        with closing(VideoWindow(uri, span, max_pixels)) as window:
            return window.describe(camera)
    with closing(VideoDecoder(uri, max_pixels)) as decoder:
        return describe(decoder, camera)


def _joints(episode: Episode, signals: Signals) -> tuple[Track, float]:
    """The track of the signals, and the second at which the last row ends."""
    rate = _rate(episode)
    track = Track(kind=TrackKind.SIGNALS, name="joints", rate=rate, items=len(signals.times))
    return track, float(signals.times[-1]) + (1 / rate if rate else 0.0)


def _rate(episode: Episode) -> float | None:
    """Rows a second, where meta tells."""
    fps = episode.info.get("fps")
    return float(fps) if isinstance(fps, int | float) and fps > 0 else None


def _disagreements(episode: Episode, signals: Signals, videos: Sequence[Track]) -> Iterator[str]:
    """Notes on what else counts otherwise than the rows of the signals."""
    rows = len(signals.times)
    shown = videos[0].items if videos else None
    if shown is not None and shown != rows:
        yield f"the video has {shown} frames, the signals {rows} rows"
    promised = episode.length()
    if promised is not None and promised != rows:
        yield f"meta promises {promised} rows, the signals have {rows}"
    if signals.state is not None and signals.action is None and ACTION in episode.info["features"]:
        yield "the action has other columns than the state: not read"


def _signals(episode: Episode) -> Signals | None:
    """State and action of an episode; None when it has neither. An action with other columns than the state is left
    out: a column of :class:`Signals` is the same joint in both.

    Raises:
        schemas.errors.InputError: they are no matrices of finite numbers, or their times do not go up.
    """
    uri = episode.files["data"]
    table = episode.rows([STATE, ACTION, "timestamp", "frame_index"])
    state, action = (_matrix(table, name, uri) for name in (STATE, ACTION))
    feature, kept = (STATE, state) if state is not None else (ACTION, action)
    if kept is None:
        return None
    if action is not None and action.shape != kept.shape:
        action = None
    names = _names(episode.info["features"].get(feature), kept.shape[1])
    groups = _groups(episode, names, feature)
    return Signals(times=_times(episode, table), names=names, state=state, action=action, groups=groups)


def _times(episode: Episode, table: pa.Table) -> NDArray[np.float64]:
    """Seconds of each row."""
    uri = episode.files["data"]
    stamps = _matrix(table, "timestamp", uri)
    if stamps is None:
        rate = _rate(episode)
        if rate is None:
            raise InputError(uri, "neither timestamps nor a frame rate", "Copy the episode again")
        return np.arange(table.num_rows) / rate
    times = stamps.reshape(-1)
    if len(times) != table.num_rows or (np.diff(times) < 0).any():
        raise InputError(uri, "its timestamps do not go up row by row", "Copy the episode again")
    return times


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


def _groups(episode: Episode, names: Sequence[str], feature: str) -> dict[str, tuple[int, int]]:
    """Columns that move together: as meta/modality.json says, else by the sides and parts that joint names tell."""
    if "modality" in episode.files:
        try:
            said = read_json(episode.files["modality"])
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
    return joint_groups(names)

"""The cameras of an episode as streams of their own, beside the stream of the episode itself.

An episode with several cameras is one stream, which shows the first of them and carries the signals and the task. Each
further camera can be asked for (`set#29@wrist`, `set#@*`): it becomes a stream with the episode's clock and pictures,
and nothing else, so that what was measured once stands once. See docs/decisions/0011-cameras.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any, Protocol, runtime_checkable

from schemas.errors import InputError, Problem
from schemas.stream import Stream, TrackKind
from sources.base import Candidate, Recording

MARK = "@"
"""Between an episode and its camera, in selectors, URIs and names."""

_FOLDERS = re.compile(r"^(?:steps[./])?(?:obs|observations?)[./](?:images?[./])?")
"""Where data sets keep their cameras: says nothing about which one it is."""


@runtime_checkable
class Multicamera(Protocol):
    """A reader of episodes that several cameras may have filmed."""

    def cameras(self, candidate: Candidate) -> Sequence[tuple[str, Candidate]]:
        """The cameras of an episode with the candidate that shows each: first the episode itself, then one for each
        further camera (:func:`beside`). Empty where there is no camera.

        Raises:
            schemas.errors.InputError: the episode cannot be read.
        """
        ...


def beside(episode: Candidate, camera: str, parts: Sequence[tuple[str, str]] | None = None) -> Candidate:
    """The candidate of one further camera of an episode; `parts` are the files it needs, all of them by default."""
    return replace(
        episode,
        name=f"{episode.name}{MARK}{short(camera)}",
        uri=f"{episode.uri}{MARK}{camera}",
        parts=episode.parts if parts is None else tuple(parts),
        selector=f"{episode.selector}{MARK}{camera}",
        camera=camera,
    )


def whole(candidate: Candidate) -> tuple[str, str]:
    """URI and selector of the episode that a candidate is, or is a camera of."""
    if not candidate.camera:
        return candidate.uri, candidate.selector
    ending = f"{MARK}{candidate.camera}"
    return candidate.uri.removesuffix(ending), candidate.selector.removesuffix(ending)


def chosen(source: object, episode: Candidate, wanted: str) -> Iterator[Candidate | Problem]:
    """The streams of an episode whose camera is wanted (`wrist`, `*`, `cam_?`), by its name with or without folders;
    an episode without any camera where all are. Of a format without episodes: none.

    Args:
        source: the reader that found the episode.
    """
    if not isinstance(source, Multicamera):
        return
    try:
        cameras = source.cameras(episode) or [("", episode)]
    except InputError as error:
        yield error.problem
        return
    for camera, candidate in cameras:
        if fnmatchcase(camera, wanted) or fnmatchcase(short(camera), wanted):
            yield candidate


def short(camera: str) -> str:
    """`observation.images.wrist` as people call it: `wrist`."""
    return _FOLDERS.sub("", camera) or camera


def camera_of(stream: Stream) -> str:
    """The camera of a stream that is one beside its episode; empty for every other stream."""
    shown = next((track.name for track in stream.tracks if track.kind is TrackKind.VIDEO), "")
    return shown if shown and stream.uri.endswith(f"{MARK}{shown}") else ""


def episode_uri(stream: Stream) -> str:
    """The URI of the episode that a stream is, or is a camera of: what its group has in common."""
    camera = camera_of(stream)
    return stream.uri.removesuffix(f"{MARK}{camera}") if camera else stream.uri


class CameraRecording(Recording):
    """One camera of an open episode: its frames alone."""

    def __init__(self, episode: Recording) -> None:
        self._episode = episode

    def close(self) -> None:
        self._episode.close()

    def frames(self, t0: float, t1: float, rate: float | None, include_end: bool = False) -> Any:
        return self._episode.frames(t0, t1, rate, include_end)

    def frames_at(self, times: Sequence[float]) -> Any:
        return self._episode.frames_at(times)

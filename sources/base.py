"""What a reader is: it finds streams at a place, and opens one of them as a recording."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

import numpy as np
from fsspec import AbstractFileSystem
from numpy.typing import NDArray

from schemas.errors import Problem
from schemas.geometry import Box
from schemas.stream import Domain, Stream, StreamPart
from sources.frame import Frame

Samples = NDArray[np.float32]
"""(n,) sound in one channel, in [-1, 1]."""


@dataclass(frozen=True)
class Cue:
    """A subtitle cue: seconds from the start of the stream, text without markup."""

    t0: float
    t1: float
    text: str


@dataclass(frozen=True)
class InputEvent:
    """A raw input event. `x`, `y` are normalised; `action` is `move`, `button`, `wheel` or `key`."""

    time: float
    action: str
    x: float | None = None
    y: float | None = None
    button: str | None = None
    pressed: bool | None = None
    dx: float = 0.0
    dy: float = 0.0
    key: str | None = None


@dataclass(frozen=True)
class UIElement:
    """An element of an accessibility tree as recorded at `time`. Boxes are normalised; `depth` counts from the root.

    `clicked` marks the element the recorder found under the pointer at that moment.
    """

    time: float
    name: str
    role: str
    box: Box | None
    depth: int
    clicked: bool = False


@dataclass(frozen=True)
class Window:
    """The window in front from `time` on."""

    time: float
    name: str


@dataclass(frozen=True)
class Signals:
    """Proprioception sampled together. `times`: (n,) seconds. `state`, `action`: (n, d) or None.

    `names` has d entries. `groups` names ranges of columns that move together (`right_hand` -> [29, 35)).
    """

    times: NDArray[np.float64]
    names: tuple[str, ...]
    state: NDArray[np.float64] | None
    action: NDArray[np.float64] | None
    groups: dict[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Stroke:
    """A pen stroke of a drawing: (n, 2) points, normalised, drawn over t0..t1 seconds (a nominal scale)."""

    t0: float
    t1: float
    points: NDArray[np.float64]


class Recording(ABC):
    """An open stream. Every track that it does not have is empty. Use it in a `with`: handles never leak."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Releases every handle; may be called twice."""

    def frames(self, t0: float, t1: float, rate: float | None, include_end: bool = False) -> Iterator[Frame]:
        """Frames with t0 <= time < t1 (<= t1 with `include_end`), in order, at most `rate` per second.

        The frame on the screen at t0 is not repeated when it began earlier. With a rate, the first frame at or after
        each tick t0 + k / rate comes; with None every frame. What is not needed is not converted, and where keyframes
        allow it, not decoded.

        Raises:
            schemas.errors.InputError: the data breaks off or is damaged; frames before it have been yielded.
        """
        return iter(())

    def frames_at(self, times: Sequence[float]) -> Iterator[Frame]:
        """For each time, in ascending order, the frame on screen then: the last one that began at or before it."""
        return iter(())

    def audio(self, t0: float, t1: float, rate: int) -> Iterator[Samples]:
        """The first audio track from t0 to t1 at `rate` samples per second, in blocks: sample n is heard at
        t0 + n / rate on the clock of the pictures. Silent where the track has nothing yet; ends where it ends.

        Raises:
            schemas.errors.InputError: the track is damaged; samples before that have been yielded.
        """
        return iter(())

    def cues(self) -> Sequence[Cue]:
        return ()

    def texts(self) -> Sequence[str]:
        """Texts that came with the stream: a task name, an edit instruction."""
        return ()

    def events(self) -> Sequence[InputEvent]:
        return ()

    def elements(self) -> Sequence[UIElement]:
        return ()

    def windows(self) -> Sequence[Window]:
        return ()

    def signals(self) -> Signals | None:
        return None

    def strokes(self) -> Sequence[Stroke]:
        return ()


@dataclass(frozen=True)
class Candidate:
    """A stream found but not yet read: its name and the files it is made of (role, URI), the main one first."""

    name: str
    format: str
    uri: str
    parts: tuple[tuple[str, str], ...]
    selector: str = ""
    """What picks this stream out of files that hold many (an episode or drawing number)."""
    camera: str = ""
    """Which camera of an episode this stream shows alone; empty for the episode itself (sources/cameras.py)."""


class Source(Protocol):
    """A reader of one raw format.

    `find` walks files only by name and metadata; `probe` opens one candidate and describes it; `open` gives the
    recording. A reader never raises for one bad stream while others are sound: `find` yields a Problem for it, `probe`
    and `open` raise InputError. What is wrong but leaves something to use (cut off in the middle, one malformed
    subtitle file) becomes a note of the stream.
    """

    name: str
    default_domain: Domain

    def claims(self, fs: AbstractFileSystem, root: str) -> bool:
        """Whether a folder or file is in this format. Cheap: names and at most one small metadata file."""
        ...

    def find(self, fs: AbstractFileSystem, root: str) -> Iterable[Candidate | Problem]:
        """The streams below a place, in the order of their names."""
        ...

    def probe(self, candidate: Candidate, parts: tuple[StreamPart, ...], domain: Domain, max_pixels: int) -> Stream:
        """Describes a candidate whose parts have been hashed. Reads headers, not content, where the format allows.

        Raises:
            schemas.errors.InputError: it cannot be read, or its pictures have more than `max_pixels` pixels.
        """
        ...

    def open(self, stream: Stream) -> Recording:
        """Opens a stream that `probe` has described.

        Raises:
            schemas.errors.InputError: it cannot be read any more.
        """
        ...


@runtime_checkable
class OfFiles(Protocol):
    """A reader that says which single files it may claim at all, so that it is not asked of a million others."""

    suffixes: tuple[str, ...]
    """How their names end, in lower case; none where it only claims folders."""

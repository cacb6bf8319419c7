"""The part of a video file that one episode takes, where a file holds many (LeRobot v3.0)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from schemas.errors import InputError
from schemas.stream import Track, TrackKind
from sources.decoding import VideoDecoder
from sources.frame import Frame, Pixels

_TOLERANCE = 0.5
"""Seconds by which a file may end before an episode does without a note."""


@dataclass(frozen=True)
class Span:
    """Seconds of a shared file: from the first frame of an episode to the first one after it."""

    start: float
    end: float


class ShiftedFrame:
    """A frame of the file, its time counted from the episode's first frame: see :class:`sources.frame.Frame`."""

    def __init__(self, frame: Frame, origin: float) -> None:
        self.time = frame.time - origin
        self.index: int | None = None
        self.width, self.height = frame.width, frame.height
        self._frame = frame

    def rgb(self, max_side: int | None = None) -> Pixels:
        return self._frame.rgb(max_side)

    def gray(self, max_side: int | None = None) -> Pixels:
        return self._frame.gray(max_side)


class VideoWindow:
    """An open video of which only the frames of one episode are seen, the first of them at 0 s.

    Episodes are told apart at half a frame before the times that meta gives: those are sums of durations, which
    differ from presentation times by the rounding of the track's clock.

    Raises:
        schemas.errors.InputError: the file cannot be opened as a video.
    """

    def __init__(self, uri: str, span: Span, max_pixels: int | None = None) -> None:
        self._decoder = VideoDecoder(uri, max_pixels)
        self._span = span
        rate = self._decoder.stream.average_rate
        self._half = 0.5 / float(rate) if rate else 0.0
        self._first: Frame | None = None

    def close(self) -> None:
        self._decoder.close()

    def frames(self, t0: float, t1: float, rate: float | None, include_end: bool = False) -> Iterator[Frame]:
        """See :meth:`sources.base.Recording.frames`."""
        origin, last = self._begin().time, self._last()
        if origin + t1 > last:
            t1, include_end = last - origin, False
        for frame in self._decoder.frames(origin + t0, origin + t1, rate, include_end):
            yield ShiftedFrame(frame, origin)

    def frames_at(self, times: Sequence[float]) -> Iterator[Frame]:
        """See :meth:`sources.base.Recording.frames_at`. What lies beyond the episode shows its last frame."""
        origin, last = self._begin().time, self._last()
        shown: tuple[Frame, ShiftedFrame] | None = None
        for frame in self._decoder.frames_at([min(origin + max(time, 0.0), last) for time in times]):
            if shown is None or shown[0] is not frame:
                shown = frame, ShiftedFrame(frame, origin)
            yield shown[1]

    def describe(self, name: str) -> tuple[Track, float, list[str]]:
        """The track, the seconds of it that can be read, and notes.

        Raises:
            schemas.errors.InputError: the file has no frame of the episode.
        """
        first = self._begin()
        stream = self._decoder.stream
        length = self._span.end - self._span.start
        readable = min(self._decoder.extent().end - first.time, length)
        cut_off = readable < length - _TOLERANCE
        track = Track(
            kind=TrackKind.VIDEO,
            name=name,
            codec=stream.codec_context.codec.canonical_name,
            width=first.width,
            height=first.height,
            rate=float(stream.average_rate) if stream.average_rate else None,
        )
        return track, readable, [f"cut off: {readable:.3f} s of {length:.3f} s can be read"] if cut_off else []

    def _begin(self) -> Frame:
        """The episode's first frame; its time is that of the file."""
        if self._first is None:
            start, end = self._span.start - self._half, self._span.end - self._half
            self._first = next(self._decoder.frames(max(start, 0.0), end, None), None)
        if self._first is None:
            cause = f"has no frame from {self._span.start:.3f} s to {self._span.end:.3f} s, where meta puts the episode"
            raise InputError(self._decoder.uri, cause, "Copy the file and the data set's meta again")
        return self._first

    def _last(self) -> float:
        """A time of the file after the episode's last frame and before the next episode's first one."""
        return self._begin().time + (self._span.end - self._span.start) - self._half

"""Exact, lazy decoding of one video track with PyAV."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from fractions import Fraction
from typing import IO, Any, cast

import av
import cv2
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from schemas.errors import InputError
from sources.frame import Pixels
from sources.places import is_local, locate, to_uri

FORMATS = "mov,mp4,matroska,webm,avi,gif,mpegts"
"""Demuxers allowed. Playlists and concatenation scripts are not: they name other files."""

_LIMITED = np.clip((np.arange(256, dtype=np.float64) - 16) * 255 / 219, 0, 255).round().astype(np.uint8)
_RAW_LUMA = ("yuv", "nv12", "nv21", "nv16", "nv24", "gray")


def threads() -> int:
    """Decoder threads: DATACLAW_DECODE_THREADS, else OMP_NUM_THREADS (an engine sets it in its workers to the CPUs a
    worker may use), else 0, which lets the codec choose."""
    for name in ("DATACLAW_DECODE_THREADS", "OMP_NUM_THREADS"):
        value = os.environ.get(name, "")
        if value.isdigit():
            return int(value)
    return 0


def fit(width: int, height: int, max_side: int | None) -> tuple[int, int]:
    """The size with the same shape and no side longer than `max_side`; never larger than it was."""
    if max_side is None or max(width, height) <= max_side:
        return width, height
    scale = max_side / max(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))


class DecodedFrame:
    """A frame of a video: see :class:`sources.frame.Frame`. Luma is 0 for black to 255 for white in every format."""

    def __init__(self, frame: VideoFrame, time: float, index: int | None) -> None:
        self.time = time
        self.index = index
        self._frame = frame
        self._turns = round(frame.rotation / 90) % 4
        self.width, self.height = (frame.height, frame.width) if self._turns % 2 else (frame.width, frame.height)
        self._cache: dict[tuple[str, int, int], Pixels] = {}

    def rgb(self, max_side: int | None = None) -> Pixels:
        size = fit(self.width, self.height, max_side)
        key = ("rgb", *size)
        if key not in self._cache:
            self._cache[key] = self._turned(self._colour(*self._stored(size)))
        return self._cache[key]

    def gray(self, max_side: int | None = None) -> Pixels:
        size = fit(self.width, self.height, max_side)
        key = ("gray", *size)
        if key not in self._cache:
            self._cache[key] = self._turned(self._luma(*self._stored(size)))
        return self._cache[key]

    def _stored(self, size: tuple[int, int]) -> tuple[int, int]:
        """A size after rotation as width and height before it."""
        return (size[1], size[0]) if self._turns % 2 else size

    def _turned(self, pixels: Pixels) -> Pixels:
        return np.ascontiguousarray(np.rot90(pixels, self._turns)) if self._turns else pixels

    @property
    def _transparent(self) -> bool:
        return any(component.is_alpha for component in self._frame.format.components) or (
            self._frame.format.name == "pal8"
        )

    def _colour(self, width: int, height: int) -> Pixels:
        shrink = "AREA" if (width, height) != (self._frame.width, self._frame.height) else None
        if not self._transparent:
            small = self._frame.reformat(width, height, "rgb24", interpolation=shrink)
            return cast(Pixels, small.to_ndarray())
        rgba = self._frame.reformat(width, height, "rgba", interpolation=shrink).to_ndarray().astype(np.uint16)
        alpha = rgba[..., 3:]
        return cast(Pixels, ((rgba[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8))

    def _luma(self, width: int, height: int) -> Pixels:
        layout = self._frame.format
        if self._transparent:
            return cast(Pixels, cv2.cvtColor(self._colour(width, height), cv2.COLOR_RGB2GRAY))
        if layout.name.startswith(_RAW_LUMA) and layout.components[0].bits == 8:
            plane = self._frame.planes[0]
            luma = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
            luma = luma[: self._frame.height, : self._frame.width]
            if (width, height) != (self._frame.width, self._frame.height):
                luma = cv2.resize(luma, (width, height), interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
            full = layout.name.startswith(("yuvj", "gray")) or self._frame.color_range == 2
            return luma.copy() if full else _LIMITED[luma]
        small = self._frame.reformat(width, height, "gray", interpolation="AREA")
        return cast(Pixels, small.to_ndarray())


class VideoDecoder:
    """One open video track. Only one iteration over its frames runs at a time.

    Time 0 is the presentation time of the track's first frame.

    Raises:
        schemas.errors.InputError: it cannot be opened as a video; the cause says why.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        with ExitStack() as stack:
            self.container = stack.enter_context(_open(uri, stack))
            pictures = [s for s in self.container.streams.video if not _is_cover(s)]
            if not pictures:
                raise InputError(uri, "it has no video track", "Give a file with pictures, or leave it out")
            self.stream: VideoStream = pictures[0]
            self.stream.codec_context.thread_count = threads()
            self.time_base = cast(Fraction, self.stream.time_base)
            self.start = self.stream.start_time or 0
            self._at_start = True
            self._handles = stack.pop_all()

    def close(self) -> None:
        self._handles.close()

    def seconds(self, pts: int) -> float:
        """A presentation time in the track's clock as seconds from its first frame."""
        return max(0.0, float((pts - self.start) * self.time_base))

    def frames(self, t0: float, t1: float, rate: float | None, include_end: bool = False) -> Iterator[DecodedFrame]:
        """See :meth:`sources.base.Recording.frames`."""
        tick = 0
        for frame in self._from(t0):
            if frame.time > t1 or (frame.time == t1 and not include_end):
                return
            if frame.time < t0:
                continue
            if rate is not None:
                # The small slack lets a frame at the tick itself count when the sum is a rounding error away.
                if frame.time < t0 + tick / rate - 1e-9:
                    continue
                tick = int((frame.time - t0) * rate + 1e-9) + 1
            yield frame

    def frames_at(self, times: Sequence[float]) -> Iterator[DecodedFrame]:
        """See :meth:`sources.base.Recording.frames_at`."""
        wanted = iter(sorted(times))
        time = next(wanted, None)
        if time is None:
            return
        shown: DecodedFrame | None = None
        for frame in self._from(time):
            while shown is not None and time is not None and frame.time > time + 1e-9:
                yield shown
                time = next(wanted, None)
            if time is None:
                return
            shown = frame
        while shown is not None and time is not None:
            yield shown
            time = next(wanted, None)

    def _from(self, time: float) -> Iterator[DecodedFrame]:
        """Frames from the last keyframe at or before a time."""
        index: int | None = 0
        if time > 0:
            self.container.seek(self.start + int(time / self.time_base), stream=self.stream)
            self._at_start = False
            index = None
        elif not self._at_start:
            self.container.seek(self.start, stream=self.stream)
        self._at_start = False
        try:
            for frame in self.container.decode(self.stream):
                if frame.pts is None:
                    continue
                yield DecodedFrame(frame, self.seconds(frame.pts), index)
                index = None if index is None else index + 1
        except av.error.FFmpegError as error:
            raise InputError(self.uri, f"the video breaks off: {error}", "Record or copy it again") from error


def _is_cover(stream: VideoStream) -> bool:
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _open(uri: str, stack: ExitStack) -> InputContainer:
    fs, path = locate(uri)
    source: str | IO[bytes] = path
    if not is_local(fs):
        source = stack.enter_context(fs.open(path, "rb"))
    options: dict[str, Any] = {"format_whitelist": FORMATS}
    try:
        if fs.size(path) == 0:
            raise InputError(uri, "the file is empty (zero bytes)", "Copy it again")
        return av.open(source, options=options)
    except FileNotFoundError as error:
        raise InputError(uri, "no such file", "Check the path") from error
    except (av.error.FFmpegError, OSError) as error:
        raise InputError(to_uri(fs, path), f"not a readable video: {error}", "Check the file") from error

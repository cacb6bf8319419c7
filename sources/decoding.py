"""Exact, lazy decoding of one video track with PyAV."""

from __future__ import annotations

import os
import struct
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from typing import IO, Any, cast

import av
import cv2
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, VideoReformatter
from av.video.stream import VideoStream

from schemas.errors import InputError
from sources.frame import Pixels
from sources.places import is_local, locate
from sources.sizes import fit, shrink

FORMATS = "mov,mp4,matroska,webm,avi,gif,mpegts"
"""Demuxers allowed. Playlists and concatenation scripts are not: they name other files."""

_LIMITED = np.clip((np.arange(256, dtype=np.float64) - 16) * 255 / 219, 0, 255).round().astype(np.uint8)
_SLACK = 1e-6
"""Seconds by which a sum of times may be off."""
_TOLERANCE = 0.5
"""Seconds by which a container may overstate a duration without being called cut off."""
_JUMP = 4.0
"""Seconds of packets worth a seek."""
_BEFORE = 10.0
"""Seconds before the first frame that a search for the beginning aims at."""
_GROWTH = 4
"""Times that pictures may grow within a film, where no limit is given..."""
_ALWAYS_ALLOWED = 1 << 24
"""...beyond this many pixels: films that adapt to their network change sizes."""
_HELD = 1024
"""Packets kept while looking for a later keyframe; more are decoded, so that memory stays bounded."""
_RAW_LUMA = ("yuv", "nv12", "nv21", "nv16", "nv24", "gray")


def threads() -> int:
    """Decoder threads: DATACLAW_DECODE_THREADS, else OMP_NUM_THREADS (an engine sets it in its workers to the CPUs a
    worker may use), else 0, which lets the codec choose."""
    for name in ("DATACLAW_DECODE_THREADS", "OMP_NUM_THREADS"):
        value = os.environ.get(name, "")
        if value.isdigit():
            return int(value)
    return 0


class Scalers:
    """Conversions to packed pixels. Setting one up costs as much as a conversion, so each is kept for its size."""

    def __init__(self) -> None:
        self._kept: dict[tuple[int, int, str], VideoReformatter] = {}

    def convert(self, frame: VideoFrame, width: int, height: int, layout: str) -> Pixels:
        """Pixels in a layout (`rgb24`, `rgba`, `gray`) and size, averaged when that is smaller."""
        scaler = self._kept.setdefault((width, height, layout), VideoReformatter())
        averaging = "AREA" if (width, height) != (frame.width, frame.height) else None
        # One thread: an engine runs a worker on each CPU already.
        return cast(
            Pixels, scaler.reformat(frame, width, height, layout, interpolation=averaging, threads=1).to_ndarray()
        )


class DecodedFrame:
    """A frame of a video: see :class:`sources.frame.Frame`. Luma is 0 for black to 255 for white in every format."""

    def __init__(self, frame: VideoFrame, time: float, index: int | None, scalers: Scalers) -> None:
        self.time = time
        self.index = index
        self._frame = frame
        self._scalers = scalers
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
        if not self._transparent:
            return self._scalers.convert(self._frame, width, height, "rgb24")
        rgba = self._scalers.convert(self._frame, width, height, "rgba").astype(np.uint16)
        alpha = rgba[..., 3:]
        return cast(Pixels, ((rgba[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8))

    def _luma(self, width: int, height: int) -> Pixels:
        layout = self._frame.format
        if self._transparent:
            return cast(Pixels, cv2.cvtColor(self._colour(width, height), cv2.COLOR_RGB2GRAY))
        if layout.name.startswith(_RAW_LUMA) and layout.components[0].bits == 8:
            plane = self._frame.planes[0]
            luma: Pixels = np.frombuffer(cast(Any, plane), np.uint8).reshape(-1, plane.line_size)
            luma = luma[: self._frame.height, : self._frame.width]
            full = layout.name.startswith(("yuvj", "gray")) or self._frame.color_range == ColorRange.JPEG
            small = shrink(luma, width, height)
            return np.array(small) if full else cast(Pixels, cv2.LUT(small, _LIMITED))
        return self._scalers.convert(self._frame, width, height, "gray")


@dataclass(frozen=True)
class Extent:
    """Seconds from the first frame. `end`: where the last readable frame ends; `declared`: what the container says."""

    end: float
    declared: float
    cut_off: bool


class VideoDecoder:
    """One open video track. Only one iteration over its frames runs at a time; a new one ends the one before.

    Time 0 is the presentation time of the track's first frame.

    Args:
        uri: a local path or an fsspec URI.
        max_pixels: a track with larger pictures is refused from its header.

    Raises:
        schemas.errors.InputError: it cannot be opened as a video; the cause says why.
    """

    def __init__(self, uri: str, max_pixels: int | None = None) -> None:
        self.uri = uri
        self.decoded = 0
        """Frames that the codec has given so far: what decoding cost."""
        with ExitStack() as stack:
            self.container = _open(uri, stack, max_pixels)
            tracks = [track for track in self.container.streams.video if not _is_cover(track)]
            if not tracks:
                raise InputError(uri, "it has no video track", "Give a file with moving pictures, or leave it out")
            self.stream: VideoStream = tracks[0]
            codec = self.stream.codec_context
            if codec is None:
                raise InputError(uri, "this build of FFmpeg has no decoder for its video track", "Convert the file")
            if max_pixels is not None and codec.width * codec.height > max_pixels:
                raise _too_large(uri, codec.width, codec.height, max_pixels)
            # Pictures may grow in the middle of a film: what a header says binds no decoder.
            allowed = max(_ALWAYS_ALLOWED, _GROWTH * codec.width * codec.height) if max_pixels is None else max_pixels
            codec.options = {**codec.options, "max_pixels": str(allowed)}
            codec.thread_count = threads()
            # Slices need no copies of the decoder state, and a frame comes out as soon as it can.
            codec.thread_type = "AUTO" if codec.thread_count != 1 else "SLICE"
            self.time_base = cast(Fraction, self.stream.time_base)
            start = self.stream.start_time
            if start is None:
                packets = self.container.demux(self.stream)
                start = next((packet.pts for packet in packets if packet.pts is not None), 0)
            self.start: int = start
            self._fresh = self.stream.start_time is not None
            self._run = 0
            self.scalers = Scalers()
            self._extent: Extent | None = None
            self._handles = stack.pop_all()

    def close(self) -> None:
        """Releases the file; may be called twice."""
        self._handles.close()

    def seconds(self, pts: int) -> float:
        """A presentation time in the track's clock as seconds from its first frame."""
        return max(0.0, self.length(pts - self.start))

    def length(self, ticks: int) -> float:
        """Ticks of the track's clock in seconds. Asked for each packet: a Fraction would take ten times as long, and
        the quotient of two integers is rounded only once too."""
        return ticks * self.time_base.numerator / self.time_base.denominator

    def extent(self) -> Extent:
        """How far the track can be read, found at the end of the file without decoding."""
        if self._extent is None:
            self._extent = self._measure()
        return self._extent

    def frames(self, t0: float, t1: float, rate: float | None, include_end: bool = False) -> Iterator[DecodedFrame]:
        """See :meth:`sources.base.Recording.frames`."""
        cursor = _Cursor(self, t0)
        tick = 0
        for frame in cursor:
            if frame.time > t1 or (frame.time == t1 and not include_end):
                cursor.check()
                return
            if frame.time < t0:
                continue
            if rate is not None:
                # The small slack lets a frame at the tick itself count when the sum is a rounding error away.
                if frame.time < t0 + tick / rate - _SLACK:
                    continue
                tick = int((frame.time - t0) * rate + _SLACK) + 1
                cursor.goal = t0 + tick / rate
                if cursor.goal > t1 + _SLACK:
                    yield frame
                    cursor.check()
                    return
            yield frame
        cursor.check()
        self._expect(t1, cursor.reached)

    def frames_at(self, times: Sequence[float]) -> Iterator[DecodedFrame]:
        """See :meth:`sources.base.Recording.frames_at`."""
        wanted = sorted(times)
        if not wanted:
            return
        cursor = _Cursor(self, wanted[0])
        shown: DecodedFrame | None = None
        done = 0
        for frame in cursor:
            while shown is not None and done < len(wanted) and frame.time > wanted[done] + _SLACK:
                yield shown
                done += 1
            if done == len(wanted):
                cursor.check()
                return
            cursor.goal = wanted[done]
            shown = frame
        if shown is not None:
            yield from [shown] * (len(wanted) - done)
        cursor.check()
        self._expect(wanted[-1], cursor.reached)

    def _expect(self, wanted: float, reached: float) -> None:
        """Complains when the file ended although its header promises frames up to a wanted time."""
        if reached + _TOLERANCE < wanted and self.extent().cut_off and reached < self.extent().declared - _TOLERANCE:
            raise InputError(
                self.uri,
                f"the video is cut off: {reached:.3f} s of {self.extent().declared:.3f} s can be read",
                "Record or copy it again to have the rest",
            )

    def _measure(self) -> Extent:
        start = float(self.start * self.time_base)
        whole = (self.container.duration or 0) / av.time_base
        if "matroska" in self.container.format.name:
            declared = max(whole - start, 0.0)  # it counts from zero, not from the first frame
        elif self.stream.duration:
            declared = float(self.stream.duration * self.time_base)
        else:
            declared = max(whole + (self.container.start_time or 0) / av.time_base - start, 0.0) if whole else 0.0
        self._run += 1
        self._fresh = False
        for back in (2.0, 20.0, None) if declared else (None,):
            target = self.start if back is None else self.start + int(max(declared - back, 0.0) / self.time_base)
            end, any_end = 0.0, 0.0
            try:
                self.container.seek(target, stream=self.stream)
                for packet in self.container.demux():
                    if packet.pts is None or packet.is_corrupt or packet.is_discard or packet.time_base is None:
                        continue
                    until = float(
                        (packet.pts + (packet.duration or 0)) * packet.time_base - self.start * self.time_base
                    )
                    any_end = max(any_end, until)
                    if packet.stream.index == self.stream.index:
                        end = max(end, until)
            except (av.error.FFmpegError, OSError):
                # A damaged end is what this looks for: what came before it counts.
                pass
            if end > 0:
                break
        slack = max(_TOLERANCE, 0.01 * declared)
        return Extent(end=end, declared=declared, cut_off=max(end, any_end) + slack < declared)


class _Cursor:
    """Frames in order of presentation. Frames before the one on screen at `goal` may be left out: groups of pictures
    that end before it are read but not decoded, and a long way is jumped where the index knows a keyframe."""

    def __init__(self, decoder: VideoDecoder, goal: float) -> None:
        self.goal = goal
        self.reached = 0.0
        """Where the packets read so far end, in seconds."""
        self.damage = ""
        """The first thing that could not be read or decoded, and when."""
        self._decoder = decoder
        self._index: int | None = 0
        self._keyframes: list[float] | None = None
        self._sought: float | None = None
        """The goal of the last seek: where it landed short, another seek for the same goal would land there again."""
        decoder._run += 1
        self._run = decoder._run

    def __iter__(self) -> Iterator[DecodedFrame]:
        decoder = self._decoder
        try:
            for packet in self._packets():
                for frame in self._decode(packet):
                    if frame.pts is None:
                        continue
                    yield DecodedFrame(frame, decoder.seconds(frame.pts), self._index, decoder.scalers)
                    if self._run != decoder._run:
                        return
                    if self._index is not None:
                        self._index += 1
        except (av.error.FFmpegError, OSError) as error:
            self.damage = self.damage or f"after {self.reached:.3f} s: {error.strerror}"

    def check(self) -> None:
        """To be called when no more frames are wanted.

        Raises:
            schemas.errors.InputError: something on the way could not be read or decoded.
        """
        if self.damage:
            raise InputError(
                self._decoder.uri, f"the video is damaged {self.damage}", "Record or copy it again to have the rest"
            )

    def _decode(self, packet: Packet[VideoStream] | None) -> Iterator[VideoFrame]:
        """The frames that come out with a packet. One that cannot be decoded is noted and passed over."""
        try:
            frames = self._decoder.stream.codec_context.decode(packet)
        except av.error.FFmpegError as error:
            time = self.reached if packet is None else self._time(packet) or 0.0
            self.damage = self.damage or f"at {time:.3f} s: {error.strerror}"
            return
        self._decoder.decoded += len(frames)
        yield from frames

    def _packets(self) -> Iterator[Packet[VideoStream] | None]:
        """Packets to decode; None at the end, so that the codec gives what it holds back."""
        decoder = self._decoder
        held: list[Packet[VideoStream]] = []
        fed = -1.0
        while True:
            jump = False
            for packet in self._land():
                if packet.is_corrupt or (packet.size == 0 and packet.pts is None):
                    continue
                time = self._time(packet)
                if time is not None:
                    self.reached = max(self.reached, time + decoder.length(packet.duration or 0))
                if time is None or self.goal <= fed:
                    yield from held
                    held.clear()
                    yield packet
                    fed = max(fed, -1.0 if time is None else time)
                else:
                    if packet.is_keyframe and time <= self.goal and (held or fed >= 0):
                        # The frame on screen at the goal comes in this group of pictures or a later one.
                        held.clear()
                        decoder.stream.codec_context.flush_buffers()
                        self._index = None
                    held.append(packet)
                    if time > self.goal or len(held) > _HELD:
                        fed = max(fed, *(self._time(item) or 0.0 for item in held))
                        yield from held
                        held.clear()
                if time is not None and self._can_jump(max(fed, time)):
                    held.clear()
                    self._index = None
                    jump = True
                    break
            if not jump:
                yield from held
                yield None
                return

    def _time(self, packet: Packet[VideoStream]) -> float | None:
        return None if packet.pts is None else self._decoder.length(packet.pts - self._decoder.start)

    def _can_jump(self, position: float) -> bool:
        if self.goal - position < _JUMP or self.goal == self._sought:
            return False
        if self._keyframes is None:
            decoder = self._decoder
            self._keyframes = sorted(
                decoder.length(entry.timestamp - decoder.start)
                for entry in decoder.stream.index_entries
                if entry.is_keyframe
            )
        latest = bisect_right(self._keyframes, self.goal) - 1
        return latest >= 0 and self._keyframes[latest] > position + _JUMP / 2

    def _land(self) -> Iterator[Packet[VideoStream]]:
        """Packets from a keyframe at or before the goal on."""
        decoder = self._decoder
        self._sought = self.goal
        if decoder._fresh and self.goal <= 0:
            decoder._fresh = False
            yield from decoder.container.demux(decoder.stream)
            return
        decoder._fresh = False
        # Some containers land late (their index holds decoding times, or none at all): try from further back.
        for back in (0.0, 1.0, 5.0, 25.0, None):
            time = None if back is None or self.goal - back <= 0 else self.goal - back
            if time is None:
                self._rewind()
                self._index = 0
                yield from decoder.container.demux(decoder.stream)
                return
            decoder.container.seek(decoder.start + int(time / decoder.time_base), stream=decoder.stream)
            packets = decoder.container.demux(decoder.stream)
            key = next((packet for packet in packets if packet.is_keyframe and packet.size), None)
            landed = None if key is None else self._time(key)
            if key is not None and landed is not None and landed <= self.goal:
                self._index = None
                yield key
                yield from packets
                return

    def _rewind(self) -> None:
        decoder = self._decoder
        try:
            # Transport streams are searched by decoding time, which lies before the first presentation time.
            decoder.container.seek(decoder.start - int(_BEFORE / decoder.time_base), stream=decoder.stream)
        except av.error.FFmpegError:
            decoder.container.seek(decoder.start, stream=decoder.stream)


def _is_cover(stream: VideoStream) -> bool:
    """Whether the track is a picture for a shelf, not a recording."""
    return bool(stream.disposition & Disposition.attached_pic)


def _too_large(uri: str, width: int, height: int, max_pixels: int) -> InputError:
    return InputError(
        uri,
        f"its pictures have {width} x {height} pixels, more than the {max_pixels} allowed",
        "Raise sampling.max_pixels in the recipe, or scale it down",
    )


def _open(uri: str, stack: ExitStack, max_pixels: int | None) -> InputContainer:
    """Opens the container, after a look at its first bytes: FFmpeg says too little, and sets up a picture of any size
    for a GIF before one can ask how large it is."""
    fs, path = locate(uri)
    try:
        with fs.open(path, "rb") as file:
            head = file.read(512)
            if not head:
                raise InputError(uri, "the file is empty (zero bytes)", "Copy or record it again")
            if head[:4] == b"GIF8" and max_pixels is not None:
                width, height = struct.unpack("<HH", head[6:10].ljust(4, b"\0"))
                if width * height > max_pixels:
                    raise _too_large(uri, width, height, max_pixels)
            if head[4:8] == b"ftyp" and not _has_moov(file):
                cause = "index (moov) missing: cut off or still being written"
                raise InputError(uri, cause, "Record or copy it again, or wait until it is complete")
    except FileNotFoundError as error:
        raise InputError(uri, "no such file", "Check the path") from error
    except (OSError, struct.error) as error:
        raise InputError(uri, f"cannot be read: {error}", "Check the file and its permissions") from error
    source = path if is_local(fs) else stack.enter_context(fs.open(path, "rb"))
    try:
        container = av.open(source, options={"format_whitelist": FORMATS}, metadata_errors="replace")
    except (av.error.FFmpegError, OSError) as error:
        text = all(byte >= 32 or byte in b"\t\n\r\f" for byte in head)
        cause = "is text, not a video" if text else f"is not a readable video: {error.strerror}"
        raise InputError(uri, cause, "Give a video file, or leave it out") from error
    return cast(InputContainer, stack.enter_context(container))


def _has_moov(file: IO[bytes]) -> bool:
    """Whether an MP4 file has its index. Reads only the headers of its boxes."""
    position = 0
    while True:
        file.seek(position)
        header = file.read(16)
        if len(header) < 8:
            return False
        size, kind = struct.unpack(">I4s", header[:8])
        if kind in (b"moov", b"moof"):
            return True
        if size == 1 and len(header) == 16:
            size = struct.unpack(">Q", header[8:])[0]
        if size < 8:
            return False
        position += size

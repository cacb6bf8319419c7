"""Exact decoding of a video's audio track with PyAV, on the clock of its pictures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from fractions import Fraction
from math import gcd
from typing import cast

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from schemas.errors import InputError
from sources.base import Samples
from sources.decoding import VideoDecoder

_PREROLL = 0.5
"""Seconds decoded before the first sample wanted: codecs and the resampler need some to come to their true values."""
_GAP = 0.05
"""Seconds by which a packet's time may be off the samples before it: containers count in milliseconds and codecs pad.
More is a gap, or an overlap."""
_LONGEST = 2.0
"""Seconds of the longest packet: what lies further before than this and the preroll is not decoded."""
_BEFORE = 10.0
"""Seconds before the first sample that a search for the beginning aims at."""


def samples(uri: str, t0: float, t1: float, rate: int) -> Iterator[Samples]:
    """The first audio track of a video file, see :meth:`sources.base.Recording.audio`.

    Raises:
        schemas.errors.InputError: the track is damaged or changes its format; samples before that have been yielded.
    """
    with closing(VideoDecoder(uri)) as decoder:
        if not decoder.container.streams.audio:
            return
        track = _Track(decoder, decoder.container.streams.audio[0], rate)
        reached, end = round(t0 * rate), round(t1 * rate)
        for position, block in track.blocks(t0):
            if position > reached:
                silence = np.zeros(min(position, end) - reached, np.float32)
                reached += len(silence)
                yield silence
            part = block[max(0, reached - position) : max(0, end - position)]
            if len(part):
                reached += len(part)
                yield part
            if reached >= end:
                break
        track.check()


class _Track:
    """An audio track being decoded at a sample rate."""

    def __init__(self, decoder: VideoDecoder, stream: AudioStream, rate: int) -> None:
        if stream.codec_context is None:
            raise InputError(decoder.uri, "this build of FFmpeg has no decoder for its audio track", "Convert the file")
        self._decoder = decoder
        self._stream = stream
        self._rate = rate
        self._base = cast(Fraction, stream.time_base)
        self._start = stream.start_time or 0
        self._offset = float(self._start * self._base - decoder.start * decoder.time_base)
        """Seconds from the first picture to the first sound: negative when the sound begins first."""
        self._goal = 0.0
        self._reached = 0.0
        """Seconds from the start of the track to the last packet read."""
        self._damage = ""

    def check(self) -> None:
        """To be called when no more samples are wanted.

        Raises:
            InputError: something of what was wanted could not be read or decoded.
        """
        if self._damage:
            cause = f"its sound is damaged {self._damage}"
            raise InputError(self._decoder.uri, cause, "Record or copy it again to have the rest")

    def blocks(self, t0: float) -> Iterator[tuple[int, Samples]]:
        """Blocks of contiguous samples from before t0 (or where the track begins) to its end, each with the position
        of its first sample counted from the first picture."""
        self._goal = t0 - self._offset
        resampler = AudioResampler(format="flt", layout="mono", rate=self._rate)
        position: int | None = None
        waiting: list[Samples] = []
        native = self._rate
        for begin, sound, native in self._laid():
            if position is None:
                position = begin * self._rate // native + round(self._offset * self._rate)
            waiting.append(sound)
            if sum(len(part) for part in waiting) >= native:
                block = _resampled(resampler, waiting, native)
                waiting = []
                yield position, block
                position += len(block)
        if position is not None:
            rest = [_resampled(resampler, waiting, native)] if waiting else []
            rest += [frame.to_ndarray()[0] for frame in resampler.resample(None)]
            yield position, np.concatenate([np.zeros(0, np.float32), *rest])

    def _laid(self) -> Iterator[tuple[int, Samples, int]]:
        """Sounds laid end to end: the position of each in samples of the track's own rate from its start, and the rate.
        Gaps are silent, overlaps heard once."""
        cursor: int | None = None
        for seconds, sound, native in self._decoded():
            begin = round(seconds * native)
            if cursor is None:
                # Whole periods of both rates from the start of the track: where decoding began shifts no sample.
                period = native // gcd(native, self._rate)
                cursor = begin // period * period
                if cursor < begin:
                    yield cursor, np.zeros(begin - cursor, np.float32), native
                    cursor = begin
            if begin - cursor > _GAP * native:
                for position in range(cursor, begin, native):
                    yield position, np.zeros(min(begin - position, native), np.float32), native
                cursor = begin
            elif cursor - begin > _GAP * native:
                sound = sound[cursor - begin :]
            if len(sound):
                yield cursor, sound, native
                cursor += len(sound)

    def _decoded(self) -> Iterator[tuple[float, Samples, int]]:
        """Sounds as the codec gives them, in one channel: seconds from the start of the track, samples, their rate.
        What cannot be decoded is noted where it is wanted, and passed over."""
        floats = AudioResampler(format="fltp")
        try:
            for packet in self._packets():
                if packet.is_corrupt:
                    continue
                self._reached = self._time(packet)
                if self._reached < self._goal - _PREROLL - _LONGEST:
                    continue
                try:
                    frames = self._stream.codec_context.decode(packet)
                except av.error.FFmpegError as error:
                    # Codecs may stumble where a search landed: that is before anything is wanted.
                    if self._reached >= self._goal:
                        self._note("at", str(error.strerror))
                    continue
                for frame in frames:
                    if frame.pts is None or frame.time_base is None:
                        continue
                    seconds = float(frame.pts * frame.time_base - self._start * self._base)
                    for planes in floats.resample(frame):
                        # FFmpeg's own mix of two channels is half as loud again, and clips.
                        yield seconds, planes.to_ndarray().mean(axis=0, dtype=np.float32), planes.sample_rate
        except (av.error.FFmpegError, OSError) as error:
            self._note("after", str(error.strerror))
        except ValueError:
            # The converter was set up for the first frame.
            self._note("after", "its format changes")

    def _note(self, place: str, cause: str) -> None:
        self._damage = self._damage or f"{place} {self._reached + self._offset:.3f} s: {cause}"

    def _packets(self) -> Iterator[Packet[AudioStream]]:
        """Packets from before the goal on."""
        container, pictures = self._decoder.container, self._decoder.stream
        wanted = self._goal - _PREROLL
        if wanted <= 0 and pictures.start_time is not None:
            # Nothing has been read yet.
            yield from container.demux(self._stream)
            return
        # Where sound has no index it is searched by the pictures; some containers land late: try from further back.
        for stream, back in ((self._stream, 0.0), (pictures, 0.0), (pictures, 1.0), (pictures, 5.0), (pictures, 25.0)):
            time = (wanted + self._offset if stream is pictures else wanted) - back
            if time <= 0 or not _seek(container, stream, time):
                continue
            packets = container.demux(self._stream)
            first = next((packet for packet in packets if packet.pts is not None), None)
            if first is not None and self._time(first) <= wanted:
                yield first
                yield from packets
                return
        if not _seek(container, pictures, -_BEFORE):
            container.seek(self._decoder.start, stream=pictures)
        yield from container.demux(self._stream)

    def _time(self, packet: Packet[AudioStream]) -> float:
        """Seconds from the start of the track; for a packet that does not say, where it is."""
        return self._reached if packet.pts is None else float((packet.pts - self._start) * self._base)


def _seek(container: InputContainer, stream: AudioStream | VideoStream, time: float) -> bool:
    """Moves to a time on a track's own clock, from its start; whether the container could."""
    base = cast(Fraction, stream.time_base)
    try:
        container.seek((stream.start_time or 0) + int(time / base), stream=stream)
    except av.error.FFmpegError:
        return False
    return True


def _resampled(resampler: AudioResampler, parts: list[Samples], native: int) -> Samples:
    """What comes out of the resampler as parts go in: it holds the last few samples back."""
    frame = AudioFrame.from_ndarray(np.concatenate(parts)[np.newaxis], format="flt", layout="mono")
    frame.sample_rate = native
    return np.concatenate([np.zeros(0, np.float32), *(out.to_ndarray()[0] for out in resampler.resample(frame))])

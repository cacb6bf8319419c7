"""Reader of video files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fsspec import AbstractFileSystem

from schemas.errors import InputError, Problem
from schemas.stream import Domain, Stream, StreamPart, Track, TrackKind
from sources.base import Candidate, Recording
from sources.decoding import VideoDecoder
from sources.frame import Frame
from sources.places import to_uri

SUFFIXES = (".mp4", ".mkv", ".webm", ".avi", ".mov", ".gif", ".m4v", ".ts")


class VideoRecording(Recording):
    def __init__(self, uri: str) -> None:
        self.decoder = VideoDecoder(uri)

    def close(self) -> None:
        self.decoder.close()

    def frames(self, t0: float, t1: float, rate: float | None, include_end: bool = False) -> Iterator[Frame]:
        return self.decoder.frames(t0, t1, rate, include_end)

    def frames_at(self, times: Sequence[float]) -> Iterator[Frame]:
        return self.decoder.frames_at(times)


class VideoSource:
    """Video files with their subtitles."""

    name = "video"
    default_domain = Domain.DAILY_LIFE

    def claims(self, fs: AbstractFileSystem, root: str) -> bool:
        return root.lower().endswith(SUFFIXES) and fs.isfile(root)

    def find(self, fs: AbstractFileSystem, root: str) -> Iterator[Candidate | Problem]:
        uri = to_uri(fs, root)
        yield Candidate(root.rsplit("/", 1)[-1].rsplit(".", 1)[0], self.name, uri, (("video", uri),))

    def probe(self, candidate: Candidate, parts: tuple[StreamPart, ...], domain: Domain, max_pixels: int) -> Stream:
        from sources.discovery import stream_sha256

        with VideoRecording(candidate.uri) as recording:
            stream = recording.decoder.stream
            if stream.width * stream.height > max_pixels:
                raise InputError(candidate.uri, "too large", "Raise sampling.max_pixels")
            duration = float((stream.duration or 0) * recording.decoder.time_base)
            if not duration:
                duration = (recording.decoder.container.duration or 0) / 1e6
            track = Track(
                kind=TrackKind.VIDEO,
                name="video",
                codec=stream.codec_context.name,
                width=stream.width,
                height=stream.height,
                rate=float(stream.average_rate) if stream.average_rate else None,
                items=stream.frames or None,
            )
        return Stream(
            sha256=stream_sha256(parts, candidate.selector),
            uri=candidate.uri,
            name=candidate.name,
            domain=domain,
            format=self.name,
            parts=parts,
            tracks=(track,),
            duration=duration,
        )

    def open(self, stream: Stream) -> Recording:
        return VideoRecording(stream.parts[0].uri)

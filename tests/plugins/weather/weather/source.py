"""`*.weather` files: one reading a line, seconds and words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fsspec import AbstractFileSystem

from schemas.errors import InputError, Problem
from schemas.stream import Domain, Stream, StreamPart, Track, TrackKind
from sources.base import Candidate, Cue, Recording
from sources.identity import stream_sha256
from sources.places import open_binary, to_uri

SUFFIX = ".weather"


class WeatherLogs:
    name = "weather_log"
    default_domain = Domain.DAILY_LIFE

    def claims(self, fs: AbstractFileSystem, root: str) -> bool:
        names = [root] if fs.isfile(root) else fs.ls(root, detail=False)
        return any(str(name).endswith(SUFFIX) for name in names)

    def find(self, fs: AbstractFileSystem, root: str) -> Iterable[Candidate | Problem]:
        names = [root] if fs.isfile(root) else sorted(str(name) for name in fs.ls(root, detail=False))
        for name in names:
            if name.endswith(SUFFIX):
                uri = to_uri(fs, name)
                yield Candidate(name.rsplit("/", 1)[-1], self.name, uri, (("log", uri),))

    def probe(self, candidate: Candidate, parts: tuple[StreamPart, ...], domain: Domain, max_pixels: int) -> Stream:
        readings = read(candidate.uri)
        return Stream(
            sha256=stream_sha256(parts, candidate.selector),
            uri=candidate.uri,
            name=candidate.name,
            domain=domain,
            format=self.name,
            parts=parts,
            tracks=(Track(kind=TrackKind.SUBTITLES, name="log", items=len(readings)),),
            duration=readings[-1].t1,
        )

    def open(self, stream: Stream) -> Recording:
        return WeatherRecording(read(stream.uri))


class WeatherRecording(Recording):
    def __init__(self, readings: Sequence[Cue]) -> None:
        self._readings = readings

    def close(self) -> None:
        return

    def cues(self) -> Sequence[Cue]:
        return self._readings


def read(uri: str) -> list[Cue]:
    with open_binary(uri) as file:
        lines = file.read().decode().splitlines()
    try:
        pairs = [(float(seconds), words) for seconds, _, words in (line.partition(" ") for line in lines)]
    except ValueError as error:
        raise InputError(uri, f"is no weather log: {error}", "Write seconds and words on each line") from error
    if not pairs:
        raise InputError(uri, "holds no reading", "Leave it out")
    ends = [*(seconds for seconds, _ in pairs[1:]), pairs[-1][0] + 1.0]
    return [Cue(begin, end, words) for (begin, words), end in zip(pairs, ends, strict=True)]

"""Reader of WebDataset shards: tar files, plain or compressed with gzip, in which files that share a stem are a sample.

A sample with a video is a video, one with pictures is those pictures, with what stands beside them: a caption (txt),
a class (cls), the texts of a json, subtitles. Members are read where they lie (sources/members.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from fsspec import AbstractFileSystem

from schemas.errors import InputError, Problem
from schemas.stream import Domain, Stream, StreamPart, Track, TrackKind
from sources import subtitles
from sources.base import Candidate, Recording
from sources.decoding import VideoDecoder
from sources.identity import described, fingerprint
from sources.images import SUFFIXES as PICTURE_SUFFIXES
from sources.images import describe_pictures, open_pictures
from sources.members import Member, read_archive
from sources.places import basename, natural, open_binary, split_suffix, to_uri
from sources.video import SUFFIXES as VIDEO_SUFFIXES
from sources.video import VideoRecording, describe, read_subtitles

SUFFIXES = (".tar", ".tar.gz", ".tgz")
_TEXT_SUFFIXES = (".txt", ".caption", ".cls", ".json")
_TEXT_NAMES = ("caption", "text", "instruction", "prompt", "title", "description", "label")
"""What a json calls its texts."""
_KEY = re.compile(r"(?P<key>(?:.*/)?[^/.]+)(?P<suffix>\.[^/]+)", re.DOTALL)
_MOST_BYTES = 1 << 20
"""A longer text is no caption."""


@dataclass(frozen=True)
class Sample:
    """Files of a shard that share a stem, by suffix (`.png`, `.left.jpg`), in natural order.

    Of two with the same suffix the first is one of `files`, and the suffix is in `repeated`.
    """

    shard: str
    key: str
    files: tuple[tuple[str, Member], ...]
    repeated: tuple[str, ...] = ()

    @property
    def is_shown(self) -> bool:
        """Whether there is anything to see in it."""
        return bool(self.uris((*VIDEO_SUFFIXES, *PICTURE_SUFFIXES)))

    def uris(self, kinds: Sequence[str]) -> list[str]:
        """The members of one of these kinds of files."""
        return [member.uri(self.shard) for suffix, member in self.files if _kind(suffix) in kinds]

    @property
    def video(self) -> str | None:
        return next(iter(self.uris(VIDEO_SUFFIXES)), None)

    @property
    def pictures(self) -> list[str]:
        """The pictures; none beside a video, where they are its covers."""
        return [] if self.video else self.uris(PICTURE_SUFFIXES)

    @property
    def subtitles(self) -> list[str]:
        return self.uris(subtitles.SUFFIXES) if self.video else []

    @property
    def unread(self) -> list[str]:
        """The suffixes of what this reader does not understand (`.pyd` is a pickle, and is never opened)."""
        known = (*VIDEO_SUFFIXES, *PICTURE_SUFFIXES, *_TEXT_SUFFIXES, *subtitles.SUFFIXES)
        return [suffix for suffix, _ in self.files if _kind(suffix) not in known]


class SampleVideo(VideoRecording):
    """The video of a sample with its subtitles and texts."""

    def __init__(self, uri: str, subtitle_files: Sequence[str], texts: Sequence[str]) -> None:
        super().__init__(uri, subtitle_files)
        self._texts = texts

    def texts(self) -> Sequence[str]:
        return self._texts


class WebDatasetSource:
    """WebDataset shards; the selector is the stem of the sample."""

    name = "webdataset"
    default_domain = Domain.DAILY_LIFE
    suffixes = SUFFIXES

    def claims(self, fs: AbstractFileSystem, root: str) -> bool:
        return root.lower().endswith(SUFFIXES) and bool(fs.isfile(root))

    def find(self, fs: AbstractFileSystem, root: str) -> Iterator[Candidate | Problem]:
        uri = to_uri(fs, root)
        try:
            shard = _shard(uri)
        except InputError as error:
            yield error.problem
            return
        yield from shard.problems
        shown = sum(sample.is_shown for sample in shard.samples.values())
        if shard.damage:
            cause = f"{shown} samples can be read, then {shard.damage}"
            yield Problem(input=uri, cause=cause, remedy="Copy it again")
        elif not shown:
            yield Problem(input=uri, cause="no sample in it has a picture or a video", remedy="Leave it out")
        name = re.sub(r"\.(tar|tgz|tar\.gz)$", "", basename(root), flags=re.IGNORECASE)
        for key, sample in shard.samples.items():
            place = f"{uri}#{key}"
            if sample.is_shown:
                yield Candidate(f"{name}/{key}", self.name, place, (("shard", uri),), key)
            elif shown:
                held = ", ".join(suffix for suffix, _ in sample.files)
                cause = f"the sample has neither a picture nor a video, only {held}"
                yield Problem(input=place, cause=cause, remedy="Leave it out")

    def probe(self, candidate: Candidate, parts: tuple[StreamPart, ...], domain: Domain, max_pixels: int) -> Stream:
        sample = _sample(parts[0].uri, candidate.selector)
        try:
            tracks, duration, notes = _describe(sample, candidate.uri, max_pixels)
        except InputError as error:
            raise InputError(candidate.uri, error.problem.cause, error.problem.remedy) from error
        texts, said = _texts(sample)
        if texts:
            tracks.append(Track(kind=TrackKind.TEXT, name="caption", items=len(texts)))
        notes += said
        notes += [f"two files are called {suffix}: the first one is read" for suffix in sample.repeated]
        if sample.unread:
            notes.append(f"not read: {', '.join(sample.unread)}")
        return described(candidate, parts, domain, tracks, duration, notes)

    def open(self, stream: Stream) -> Recording:
        shard = stream.parts[0].uri
        sample = _sample(shard, stream.uri.removeprefix(f"{shard}#"))
        texts, _ = _texts(sample)
        if sample.video:
            return SampleVideo(sample.video, sample.subtitles, texts)
        return open_pictures(stream, sample.pictures, texts)


def _describe(sample: Sample, uri: str, max_pixels: int) -> tuple[list[Track], float, list[str]]:
    """The tracks of a sample's video or pictures, its duration in seconds, and notes."""
    if sample.video is None:
        track, notes = describe_pictures(uri, sample.pictures, max_pixels)
        return [track], len(sample.pictures) / (track.rate or 1.0), notes
    with closing(VideoDecoder(sample.video, max_pixels)) as decoder:
        track, duration, notes = describe(decoder)
        tracks = [track]
        tracks += [
            Track(kind=TrackKind.AUDIO, name=f"audio {audio.index}", codec=audio.name, language=audio.language)
            for audio in decoder.container.streams.audio
        ]
        inner = [(f"subtitles {text.index}", text.frames) for text in subtitles.text_tracks(decoder.container)]
    for beside in sample.subtitles:
        read = read_subtitles(beside)
        notes += [f"subtitles {basename(beside)}: {note}" for note in read.notes]
        if read.cues:
            tracks.append(Track(kind=TrackKind.SUBTITLES, name=basename(beside), items=len(read.cues)))
    tracks += [Track(kind=TrackKind.SUBTITLES, name=name, items=items or None) for name, items in inner]
    return tracks, duration, notes


@dataclass(frozen=True)
class Shard:
    """The samples of a shard by stem, in natural order, and what is wrong with it."""

    samples: dict[str, Sample]
    problems: tuple[Problem, ...]
    damage: str


def _shard(uri: str) -> Shard:
    """The samples of a shard. Kept while the file does not change: it is asked again for each of them.

    Raises:
        schemas.errors.InputError: the file cannot be read.
    """
    return _grouped(uri, fingerprint(uri))


@lru_cache(maxsize=16)
def _grouped(uri: str, sign: str) -> Shard:
    archive = read_archive(uri)
    files: dict[str, dict[str, Member]] = {}
    repeated: dict[str, list[str]] = {}
    problems = []
    for member in archive.members:
        match = _KEY.fullmatch(member.name.removeprefix("./"))
        if match is None or match["key"].rpartition("/")[2].startswith("__"):
            continue  # no suffix, hidden, or a note of the format itself
        key, suffix = match["key"], match["suffix"].lower()
        try:
            member.name.encode()
        except UnicodeEncodeError:
            shown = f"{uri}#{member.name.encode('utf-8', 'backslashreplace').decode()}"
            problems.append(Problem(input=shown, cause="its name is not valid UTF-8", remedy="Rename it"))
            continue
        if suffix in files.setdefault(key, {}):
            repeated.setdefault(key, []).append(suffix)
        files[key].setdefault(suffix, member)
    samples = {
        key: Sample(
            uri, key, tuple(sorted(files[key].items(), key=lambda item: natural(item[0]))), tuple(repeated.get(key, ()))
        )
        for key in sorted(files, key=natural)
    }
    return Shard(samples, tuple(problems), archive.damage)


def _sample(shard: str, key: str) -> Sample:
    """Raises InputError when the shard has no such sample any more."""
    found = _shard(shard).samples.get(key)
    if found is None:
        raise InputError(f"{shard}#{key}", "the shard has no such sample", "Discover the shard again")
    return found


def _texts(sample: Sample) -> tuple[tuple[str, ...], list[str]]:
    """What is said of a sample, each once, and notes on what cannot be read."""
    texts: list[str] = []
    notes: list[str] = []
    for suffix, member in sample.files:
        if _kind(suffix) not in _TEXT_SUFFIXES:
            continue
        if member.size > _MOST_BYTES:
            notes.append(f"{suffix}: not read: over {_MOST_BYTES >> 20} MB, which is too large for a caption")
            continue
        with open_binary(member.uri(sample.shard)) as file:
            text, said = subtitles.decode(file.read())
        notes += [f"{suffix}: {note}" for note in said]
        try:
            texts += _said(_kind(suffix), text.strip())
        except ValueError as error:
            notes.append(f"{suffix}: {error}: not read")
    sound = (text.replace("\0", "").encode("utf-8", "replace").decode() for text in texts)
    return tuple(dict.fromkeys(text for text in sound if text.strip())), notes


def _said(kind: str, text: str) -> list[str]:
    """The texts in a file of a kind. Raises ValueError when it is not of that kind."""
    if kind == ".cls":
        return [f"class {text}" if text.isdecimal() else text]
    if kind != ".json":
        return [text]
    try:
        said: Any = json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    values = [said.get(name) for name in _TEXT_NAMES] if isinstance(said, dict) else [said]
    flat = [item for value in values for item in (value if isinstance(value, list) else [value])]
    return [item.strip() for item in flat if isinstance(item, str)]


def _kind(suffix: str) -> str:
    """What a file is by the last part of its suffix: `.left.jpg` is a `.jpg`."""
    return split_suffix(f"file{suffix}")[1]

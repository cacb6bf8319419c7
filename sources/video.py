"""Reader of video files, with the subtitles beside them or inside."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache

from fsspec import AbstractFileSystem

from schemas.errors import InputError, Problem
from schemas.stream import Domain, Stream, StreamPart, Track, TrackKind
from sources import subtitles
from sources.base import Candidate, Cue, Recording, Samples
from sources.decoding import VideoDecoder
from sources.frame import Frame
from sources.identity import described
from sources.places import (
    Entry,
    basename,
    in_order,
    is_local,
    listed,
    locate,
    open_binary,
    parent,
    split_suffix,
    to_uri,
)
from sources.sound import samples

SUFFIXES = (".mp4", ".mkv", ".webm", ".avi", ".mov", ".gif", ".m4v", ".ts")


class VideoRecording(Recording):
    """An open video with its cues: those of the files beside it come first, then those of its own text tracks."""

    def __init__(self, uri: str, subtitle_files: Sequence[str] = ()) -> None:
        self.decoder = VideoDecoder(uri)
        self._uri = uri
        self._subtitle_files = subtitle_files

    def close(self) -> None:
        self.decoder.close()

    def frames(self, t0: float, t1: float, rate: float | None, include_end: bool = False) -> Iterator[Frame]:
        return self.decoder.frames(t0, t1, rate, include_end)

    def frames_at(self, times: Sequence[float]) -> Iterator[Frame]:
        return self.decoder.frames_at(times)

    def audio(self, t0: float, t1: float, rate: int) -> Iterator[Samples]:
        # In a container of its own: reading on in the decoder's would move it under a running iteration.
        return samples(self._uri, t0, t1, rate)

    def cues(self) -> Sequence[Cue]:
        """The cues of the first subtitle track that has any: a second one says the same in another language."""
        for uri in self._subtitle_files:
            if found := read_subtitles(uri).cues:
                return found
        if not subtitles.text_tracks(self.decoder.container):
            return ()
        # A container of its own: reading on in the decoder's would move it under a running iteration.
        second = VideoDecoder(self._uri)
        try:
            for track in subtitles.text_tracks(second.container):
                start = float(second.start * second.time_base)
                second.container.seek(0)
                if cues := sorted(subtitles.track_cues(second.container, track, start), key=lambda cue: cue.t0):
                    return cues
        finally:
            second.close()
        return ()


class VideoSource:
    """Video files with their subtitles."""

    name = "video"
    default_domain = Domain.DAILY_LIFE
    suffixes = SUFFIXES

    def claims(self, fs: AbstractFileSystem, root: str) -> bool:
        return split_suffix(root)[1] in SUFFIXES and bool(fs.isfile(root))

    def find(self, fs: AbstractFileSystem, root: str) -> Iterator[Candidate | Problem]:
        uri = to_uri(fs, root)
        stem = split_suffix(basename(root))[0]
        beside = [("subtitles", to_uri(fs, path)) for path in _texts(fs, parent(root)).get(stem, ())]
        yield Candidate(stem, self.name, uri, (("video", uri), *beside))

    def probe(self, candidate: Candidate, parts: tuple[StreamPart, ...], domain: Domain, max_pixels: int) -> Stream:
        decoder = VideoDecoder(candidate.parts[0][1], max_pixels)
        try:
            video, duration, notes = describe(decoder)
            tracks = [video]
            tracks += [
                Track(kind=TrackKind.AUDIO, name=f"audio {track.index}", codec=track.name, language=track.language)
                for track in decoder.container.streams.audio
            ]
            for part in parts:
                if part.role == "subtitles":
                    name = basename(part.uri)
                    read = read_subtitles(part.uri)
                    notes += [f"subtitles {name}: {note}" for note in read.notes]
                    if read.cues:
                        language = _language(candidate.name, name) or None
                        items = len(read.cues)
                        tracks.append(Track(kind=TrackKind.SUBTITLES, name=name, items=items, language=language))
            for inner in subtitles.text_tracks(decoder.container):
                tracks.append(
                    Track(
                        kind=TrackKind.SUBTITLES,
                        name=f"subtitles {inner.index}",
                        codec=inner.name,
                        items=inner.frames or None,
                        language=inner.language,
                    )
                )
        finally:
            decoder.close()
        return described(candidate, parts, domain, tracks, duration, notes)

    def open(self, stream: Stream) -> Recording:
        files = [part.uri for part in stream.parts if part.role == "subtitles"]
        return VideoRecording(stream.parts[0].uri, files)


def describe(decoder: VideoDecoder, name: str = "video") -> tuple[Track, float, list[str]]:
    """The track of an open video, its readable duration in seconds, and notes. Decodes one frame: a track that cannot
    be decoded at all is found here and not in the middle of a run.

    Raises:
        schemas.errors.InputError: no frame of it can be decoded.
    """
    extent = decoder.extent()
    first = next(iter(decoder.frames(0.0, float("inf"), None)), None)
    if first is None:
        raise InputError(decoder.uri, "no frame of its video can be decoded", "Record or copy it again")
    notes = []
    if extent.cut_off:
        notes.append(f"cut off: {extent.end:.3f} s of {extent.declared:.3f} s can be read")
    stream = decoder.stream
    track = Track(
        kind=TrackKind.VIDEO,
        name=name,
        codec=stream.codec_context.codec.canonical_name,
        width=first.width,
        height=first.height,
        rate=float(stream.average_rate) if stream.average_rate else None,
        items=None if extent.cut_off else stream.frames or None,
    )
    return track, max(extent.end, first.time), notes


def read_subtitles(uri: str) -> subtitles.Subtitles:
    """A subtitle file, or no cues and a note when it cannot be read."""
    try:
        with open_binary(uri) as file:
            return subtitles.parse(file.read(subtitles.MOST_BYTES + 1), split_suffix(uri)[1])
    except OSError as error:
        return subtitles.Subtitles((), (f"cannot be read: {error.strerror or error}",))


def _language(stem: str, name: str) -> str | None:
    """The language a subtitle file's name gives (`clip.en.vtt`), "" for none, None when it is of another video."""
    own = split_suffix(name)[0]
    if own == stem:
        return ""
    rest = own.removeprefix(f"{stem}.")
    return rest if rest != own and len(rest) <= 12 and "." not in rest else None


def _texts(fs: AbstractFileSystem, folder: str) -> Mapping[str, Sequence[str]]:
    """The subtitle files of a folder by the stem of their video. Remembered while the folder does not change: it is
    asked for again for each of its videos."""
    if is_local(fs):
        return _local_texts(folder, os.stat(folder).st_mtime_ns)
    return _stored_texts(fs, folder, _Listing(fs.ls(folder, detail=True)))


@lru_cache(maxsize=4)
def _local_texts(folder: str, changed: int) -> Mapping[str, Sequence[str]]:
    return _by_video(listed(locate(folder)[0], folder))


class _Listing:
    """What a store gave as its listing. Stores that remember listings give the very same object again."""

    def __init__(self, listing: object) -> None:
        self.listing = listing

    def __hash__(self) -> int:
        return id(self.listing)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Listing) and other.listing is self.listing


@lru_cache(maxsize=4)
def _stored_texts(fs: AbstractFileSystem, folder: str, listing: _Listing) -> Mapping[str, Sequence[str]]:
    return _by_video(listed(fs, folder))


def _by_video(files: Iterable[Entry]) -> Mapping[str, Sequence[str]]:
    """Subtitle files by the stem of their video: clip.b.srt is in the language b of clip.mp4, unless it belongs to
    clip.b.mp4; clip.srt comes before both."""
    videos, texts = set(), []
    for entry in files:
        stem, suffix = split_suffix(entry.name)
        if suffix in SUFFIXES:
            videos.add(stem)
        elif suffix in subtitles.SUFFIXES:
            texts.append(entry)
    found: dict[str, list[tuple[bool, str]]] = {}
    for entry in in_order(texts):
        stem = split_suffix(entry.name)[0]
        of = stem.rpartition(".")[0]
        found.setdefault(stem, []).append((False, entry.path))
        if stem not in videos and (language := _language(of, entry.name)) is not None:
            found.setdefault(of, []).append((language != "", entry.path))
    return {stem: [path for _, path in sorted(texts, key=lambda text: text[0])] for stem, texts in found.items()}

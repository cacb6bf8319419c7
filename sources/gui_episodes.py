"""Reader of recorded GUI episodes: screenshots with the action that was decided on each, without a video.

AgentNet (JSON lines), AgentNetBench, AITW and AndroidControl as decoded to JSON, and sets laid out like them: see
:mod:`sources.gui_episodes_layouts`. The published TFRecords of the Android sets are not read here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from fsspec import AbstractFileSystem

from schemas.errors import InputError, Problem
from schemas.stream import Domain, Stream, StreamPart, Track, TrackKind
from sources.base import Candidate, Cue, InputEvent, Recording, UIElement, Window
from sources.gui_episodes_actions import SECONDS, Hand
from sources.gui_episodes_layouts import Episode, Size, Step, accepts, read
from sources.identity import stream_sha256
from sources.images import PictureRecording, examine
from sources.json_rows import SUFFIXES, Row, claims, is_json, json_files, keys_at_head, row_at, rows
from sources.named_files import NamedFiles
from sources.picture_parts import look, pixel_limit, role, usable
from sources.places import basename, parent, split_suffix, to_uri

EPISODE = "episode"
"""The role of a file that holds nothing but this episode."""
_SHOWN_AGAIN = 0.5
"""Seconds before the next screenshot at which one is shown again: it has stood all the time, and whoever looks only at
the last second before a segment must see it."""


@dataclass(frozen=True)
class Told:
    """What an episode says besides its pictures, on the nominal time scale."""

    texts: tuple[str, ...]
    cues: tuple[Cue, ...]
    events: tuple[InputEvent, ...]
    elements: tuple[UIElement, ...]
    windows: tuple[Window, ...]
    notes: tuple[str, ...]


class GuiEpisodeSource:
    """Folders of episode files with their screenshots, and lone episode files."""

    name = "gui_episodes"
    default_domain = Domain.GUI
    suffixes = SUFFIXES

    def claims(self, fs: AbstractFileSystem, root: str) -> bool:
        return claims(fs, root, accepts)

    def find(self, fs: AbstractFileSystem, root: str) -> Iterator[Candidate | Problem]:
        """Every episode of every file that holds some. Sound JSON of another kind (splits, statistics) is passed
        over, as other unknown files are."""
        folder = root if fs.isdir(root) else parent(root)
        pictures = NamedFiles(fs, folder)
        for path in json_files(fs, root):
            if not accepts(keys_at_head(fs, path)) and is_json(fs, path):
                continue
            uri = to_uri(fs, path)
            try:
                for row in rows(uri):
                    yield row.problem if isinstance(row, InputError) else _candidate(fs, pictures, uri, row)
            except InputError as error:
                yield error.problem

    def probe(self, candidate: Candidate, parts: tuple[StreamPart, ...], domain: Domain, max_pixels: int) -> Stream:
        row = _row(candidate.uri)
        looked = look(parts, "screenshots", 1 / SECONDS, max_pixels)
        if looked.track is None:
            raise InputError(candidate.uri, "none of its screenshots can be read", "Copy them again")
        episode = _episode(candidate.uri, row, parts, max_pixels)
        told = tell(episode)
        tracks = [looked.track]
        for kind, name, items in (
            (TrackKind.EVENTS, "recorded actions", len(told.events)),
            (TrackKind.ELEMENTS, "elements", len(told.elements)),
            (TrackKind.SUBTITLES, "step instructions", len(told.cues)),
            (TrackKind.TEXT, "goal", len(told.texts)),
        ):
            if items:
                tracks.append(Track(kind=kind, name=name, items=items))
        return Stream(
            sha256=_identity(parts, row),
            uri=candidate.uri,
            name=candidate.name,
            domain=domain,
            format=self.name,
            parts=parts,
            tracks=tuple(tracks),
            duration=len(episode.steps) * SECONDS,
            notes=(
                f"nominal time: {SECONDS:g} s for each step",
                *looked.notes,
                *_missing(episode, parts),
                *told.notes,
            ),
        )

    def open(self, stream: Stream) -> Recording:
        row = _row(stream.uri)
        if _identity(stream.parts, row) != stream.sha256:
            raise InputError(stream.uri, "the episode is another one now", "Discover the file again")
        return GuiEpisodeRecording(stream, _episode(stream.uri, row, stream.parts, pixel_limit(stream)))


class GuiEpisodeRecording(PictureRecording):
    """An open episode. Screenshots are read when they are asked for."""

    def __init__(self, stream: Stream, episode: Episode) -> None:
        shown = []
        for place, uri in usable(stream):
            shown += [(place * SECONDS, uri), ((place + 1) * SECONDS - _SHOWN_AGAIN, uri)]
        super().__init__(shown, max_pixels=pixel_limit(stream))
        self._episode = episode

    @cached_property
    def _told(self) -> Told:
        return tell(self._episode)

    def texts(self) -> Sequence[str]:
        return self._told.texts

    def cues(self) -> Sequence[Cue]:
        return self._told.cues

    def events(self) -> Sequence[InputEvent]:
        return self._told.events

    def elements(self) -> Sequence[UIElement]:
        return self._told.elements

    def windows(self) -> Sequence[Window]:
        return self._told.windows


def tell(episode: Episode) -> Told:
    """Puts what an episode says on the nominal time scale: step i is shown at i * SECONDS, and acted on after that."""
    hand = Hand()
    events: list[InputEvent] = []
    elements: list[UIElement] = []
    left_out: Counter[str] = Counter()
    for place, step in enumerate(episode.steps):
        shown = place * SECONDS
        done = hand.do(step.actions, shown)
        pressed = next((event.time for event in done if event.action == "button"), None)
        elements += _elements(step, shown, pressed)
        events += done
        left_out.update(step.left_out)
    left_out.update(hand.notes)
    notes = [*episode.notes]
    if left_out:
        counted = ", ".join(f"{what} ({count})" if count > 1 else what for what, count in left_out.most_common(12))
        notes.append(f"actions left out or told otherwise: {counted}")
    return Told(
        texts=episode.texts,
        cues=tuple(
            Cue(place * SECONDS, (place + 1) * SECONDS, step.instruction)
            for place, step in enumerate(episode.steps)
            if step.instruction
        ),
        events=tuple(events),
        elements=tuple(elements),
        windows=tuple(
            Window((place + 1) * SECONDS, step.opens) for place, step in enumerate(episode.steps) if step.opens
        ),
        notes=tuple(notes),
    )


def _elements(step: Step, shown: float, pressed: float | None) -> Iterator[UIElement]:
    for element in step.elements:
        clicked = element.acted_on and pressed is not None
        yield UIElement(
            time=pressed if clicked and pressed is not None else shown,
            name=element.name,
            role=element.role,
            box=element.box,
            depth=element.depth,
            clicked=clicked,
        )


def _candidate(fs: AbstractFileSystem, pictures: NamedFiles, uri: str, row: Row) -> Candidate | Problem:
    """One episode as it is found: by its JSON and the names of its screenshots."""
    lone = row.number is None
    place = uri if lone else f"{uri}#{row.number}"
    try:
        episode = read(row.value, _unknown)
        parts = [(EPISODE, uri)] if lone else []
        for index, step in enumerate(episode.steps):
            path = pictures.find(step.picture) if step.picture else None
            if path is not None:
                parts.append((role(index), to_uri(fs, path)))
    except ValueError as error:
        return Problem(input=place, cause=str(error), remedy="Mend or remove this episode")
    if not any(part[0] != EPISODE for part in parts):
        remedy = "Copy the screenshots into the folder of the file, or into images/ there"
        return Problem(input=place, cause="none of its screenshots is there", remedy=remedy)
    stem = split_suffix(basename(uri))[0]
    name = episode.name or (stem if lone else f"{stem}-{row.number}")
    selector = "" if lone else str(row.number)
    return Candidate(name.replace("/", "_"), GuiEpisodeSource.name, place, tuple(parts), selector)


def _unknown(place: int) -> Size | None:
    return None


def _episode(uri: str, row: Row, parts: Sequence[StreamPart], max_pixels: int | None) -> Episode:
    """The episode of a row; places told in pixels are measured against its screenshots where the row says no size.

    Raises:
        schemas.errors.InputError: the row is no episode any more.
    """
    files = {part.role: part.uri for part in parts}

    def size_of(place: int) -> Size | None:
        try:
            header = examine(files[role(place)], max_pixels)
        except (KeyError, InputError):
            return None
        return header.width, header.height

    try:
        return read(row.value, size_of)
    except ValueError as error:
        raise InputError(uri, str(error), "Mend or remove this episode") from error


def _missing(episode: Episode, parts: Sequence[StreamPart]) -> Iterator[str]:
    there = {part.role for part in parts}
    absent = [str(place) for place in range(len(episode.steps)) if role(place) not in there]
    if absent:
        yield f"steps without a screenshot: {', '.join(absent)}"


def _row(uri: str) -> Row:
    """The record behind a stream's URI: a file, or `file.jsonl#line`."""
    before, mark, number = uri.rpartition("#")
    if mark and number.isdecimal() and split_suffix(before)[1] == ".jsonl":
        return row_at(before, int(number))
    row = next(rows(uri))
    if isinstance(row, InputError):
        raise row
    return row


def _identity(parts: Sequence[StreamPart], row: Row) -> str:
    """Screenshots and the record itself. The other lines of its file are no part of it: a change of one episode would
    make every other a new stream."""
    return stream_sha256(parts, "" if row.number is None else row.sha256)

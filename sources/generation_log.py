"""Reader of generation logs: JSON lines that say which pictures a model made from which prompt.

A record has `prompt` and the pictures made from it: one file name under `image`, or several under `images` or `frames`.
It may have `negative_prompt`, `seed`, `model`, an `id`, the `parent` it was made from and a `session`. Records that
follow one another and belong to one session, or of which each is the parent of the next, are one stream. Common
spellings of these keys are understood (`image_path`, `file_name`, `session_id`, ...).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fsspec import AbstractFileSystem

from schemas.base import digest
from schemas.errors import InputError, Problem
from schemas.stream import Domain, Stream, StreamPart, Track, TrackKind
from sources.base import Candidate, Cue, Recording
from sources.identity import stream_sha256
from sources.images import SUFFIXES as PICTURE_SUFFIXES
from sources.images import PictureRecording
from sources.json_rows import Row, claims, json_files, keys_at_head, rows
from sources.named_files import NamedFiles
from sources.picture_parts import look, pixel_limit, role, usable
from sources.places import basename, parent, split_suffix, to_uri
from sources.values import first, first_text, text

SECONDS = 1.0
"""Nominal time of a picture."""
MOST_RECORDS = 1000
"""So many records make one stream at most; a longer session goes on in the next one."""
_SUFFIXES = (".jsonl",)
_PROMPT = ("prompt", "text_prompt", "positive_prompt", "prompt_text")
_NEGATIVE = ("negative_prompt", "negativePrompt", "negativeprompt")
_PICTURES = (
    "images",
    "frames",
    "image_paths",
    "output_images",
    "image",
    "image_path",
    "image_file",
    "image_name",
    "file_name",
    "filename",
    "output_image",
    "output_path",
)
_PATH = ("path", "file", "file_name", "filename", "image", "image_path")
_SESSION = ("session", "session_id", "conversation_id", "thread_id", "chain_id")
_ID = ("id", "record_id", "generation_id", "image_id", "uuid")
_PARENT = ("parent", "parent_id")
_MODEL = ("model", "model_name", "checkpoint")
_MOST_TOLD = 8


@dataclass(frozen=True)
class Record:
    """One generation. `pictures`: their names as the log has them; an empty one where it names none."""

    prompt: str
    pictures: tuple[str, ...]
    session: str
    key: str
    parent: str
    model: str
    seed: str
    negative: str

    def goes_on_from(self, before: Record) -> bool:
        """Whether this record continues what the one before it in the log belongs to."""
        return bool(self.session == before.session and self.session) or bool(self.parent and self.parent == before.key)


@dataclass(frozen=True)
class Session:
    """Records that make one stream, the line of the first, and what their bytes are."""

    line: int
    records: tuple[Record, ...]
    sha256: str

    def slots(self) -> list[str]:
        """The name of each picture in order; every one has its place in time, whether it is there or not."""
        return [name for record in self.records for name in record.pictures]

    def cues(self) -> tuple[Cue, ...]:
        """Each prompt, for as long as its pictures are shown."""
        found, begin = [], 0
        for record in self.records:
            end = begin + len(record.pictures)
            found.append(Cue(begin * SECONDS, end * SECONDS, record.prompt))
            begin = end
        return tuple(found)

    def texts(self) -> tuple[str, ...]:
        """The prompt, where one speaks of the whole stream. Prompts of parts of it are cues only."""
        prompts = {record.prompt for record in self.records}
        return tuple(prompts) if len(prompts) == 1 else ()


def accepts(keys: frozenset[str]) -> bool:
    """Whether the keys at the beginning of a file are those of a generation log."""
    return bool(keys & set(_PROMPT)) and bool(keys & set(_PICTURES))


class GenerationLogSource:
    """Folders with logs of generations and the pictures that these name, and lone logs."""

    name = "generation_log"
    default_domain = Domain.AIGC
    suffixes = _SUFFIXES

    def claims(self, fs: AbstractFileSystem, root: str) -> bool:
        if not claims(fs, root, accepts, _SUFFIXES):
            return False
        logs = (to_uri(fs, path) for path in json_files(fs, root, _SUFFIXES) if accepts(keys_at_head(fs, path)))
        return _of_pictures(next(logs, None))

    def find(self, fs: AbstractFileSystem, root: str) -> Iterator[Candidate | Problem]:
        pictures = NamedFiles(fs, root if fs.isdir(root) else parent(root))
        for path in json_files(fs, root, _SUFFIXES):
            uri = to_uri(fs, path)
            try:
                if accepts(keys_at_head(fs, path)):
                    for session in sessions(uri):
                        if isinstance(session, Problem):
                            yield session
                        else:
                            yield _candidate(fs, pictures, uri, session)
            except InputError as error:
                yield error.problem

    def probe(self, candidate: Candidate, parts: tuple[StreamPart, ...], domain: Domain, max_pixels: int) -> Stream:
        looked = look(parts, "generated pictures", 1 / SECONDS, max_pixels)
        if looked.track is None:
            raise InputError(candidate.uri, "none of its pictures can be read", "Copy them again")
        session = _session(candidate.uri)
        tracks = [looked.track, Track(kind=TrackKind.SUBTITLES, name="prompts", items=len(session.records))]
        if session.texts():
            tracks.append(Track(kind=TrackKind.TEXT, name="prompt", items=1))
        slots = session.slots()
        there = {part.role for part in parts}
        absent = [str(place) for place in range(len(slots)) if role(place) not in there]
        return Stream(
            sha256=stream_sha256(parts, session.sha256),
            uri=candidate.uri,
            name=candidate.name,
            domain=domain,
            format=self.name,
            parts=parts,
            tracks=tuple(tracks),
            duration=len(slots) * SECONDS,
            notes=(
                f"nominal time: {SECONDS:g} s for each picture",
                *looked.notes,
                *([f"places without a picture: {', '.join(absent)}"] if absent else []),
                *_made_with(session),
            ),
        )

    def open(self, stream: Stream) -> Recording:
        session = _session(stream.uri)
        if stream_sha256(stream.parts, session.sha256) != stream.sha256:
            raise InputError(stream.uri, "the log says something else there now", "Discover it again")
        return GenerationRecording(stream, session)


class GenerationRecording(PictureRecording):
    """An open session: its pictures, each prompt as a cue over those made from it."""

    def __init__(self, stream: Stream, session: Session) -> None:
        pictures = [(place * SECONDS, uri) for place, uri in usable(stream)]
        super().__init__(pictures, session.texts(), pixel_limit(stream))
        self._cues = session.cues()

    def cues(self) -> Sequence[Cue]:
        return self._cues


def sessions(uri: str, start: int = 0) -> Iterator[Session | Problem]:
    """The sessions of a log from a line on, in its order, held one at a time. A bad record ends none: it is a Problem,
    and the session goes on after it.

    Raises:
        schemas.errors.InputError: the log cannot be read.
    """
    open_rows: list[tuple[Row, Record]] = []
    for row in rows(uri, start):
        if isinstance(row, InputError):
            yield row.problem
            continue
        record = _record(f"{uri}#{row.number}", row.value)
        if isinstance(record, Problem):
            yield record
            continue
        if open_rows and (len(open_rows) >= MOST_RECORDS or not record.goes_on_from(open_rows[-1][1])):
            yield _closed(open_rows)
            open_rows = []
        open_rows.append((row, record))
    if open_rows:
        yield _closed(open_rows)


def _closed(found: Sequence[tuple[Row, Record]]) -> Session:
    return Session(
        line=found[0][0].number or 0,
        records=tuple(record for _, record in found),
        sha256=digest([row.sha256 for row, _ in found]),
    )


def _of_pictures(log: str | None) -> bool:
    """Whether the first session of a log names pictures: logs of videos and of texts have the same keys."""
    if log is None:
        return False
    try:
        session = next((item for item in sessions(log) if isinstance(item, Session)), None)
    except InputError:
        return True  # to be reported
    return session is None or any(split_suffix(name)[1] in PICTURE_SUFFIXES for name in session.slots())


def _session(uri: str) -> Session:
    """The session behind a stream's URI, `log.jsonl#line`.

    Raises:
        schemas.errors.InputError: no session begins there any more.
    """
    log, _, line = uri.rpartition("#")
    begins = sessions(log, int(line)) if line.isdecimal() else iter(())
    found = next((item for item in begins if isinstance(item, Session)), None)
    if found is None or found.line != int(line):
        raise InputError(uri, "no record begins there any more", "Discover the log again")
    return found


def _record(entry: str, row: Any) -> Record | Problem:
    if not isinstance(row, dict):
        return Problem(input=entry, cause="is no record: not an object", remedy="Mend or remove this line")
    prompt = first_text(row, _PROMPT)
    if not prompt:
        return Problem(input=entry, cause="it has no prompt", remedy="Mend or remove this line")
    return Record(
        prompt=prompt,
        pictures=_names(row) or ("",),
        session=_word(row, _SESSION),
        key=_word(row, _ID),
        parent=_word(row, _PARENT),
        model=_word(row, _MODEL),
        seed=_word(row, ("seed",)),
        negative=first_text(row, _NEGATIVE),
    )


def _names(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of pictures: a text, a list of texts, or a list of objects that hold a path."""
    given = first(row, _PICTURES)
    items = given if isinstance(given, list) else [given]
    named = (first_text(item, _PATH) if isinstance(item, dict) else item for item in items)
    return tuple(text(name) if isinstance(name, str) else "" for name in named)


def _word(row: Mapping[str, Any], names: Sequence[str]) -> str:
    value = first(row, names)
    return text(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def _candidate(fs: AbstractFileSystem, pictures: NamedFiles, log: str, session: Session) -> Candidate | Problem:
    uri = f"{log}#{session.line}"
    parts = []
    try:
        for place, name in enumerate(session.slots()):
            path = pictures.find(name) if name else None
            if path is not None:
                parts.append((role(place), to_uri(fs, path)))
    except ValueError as error:
        return Problem(input=uri, cause=str(error), remedy="Mend or remove this record")
    if not parts:
        remedy = "Copy the pictures into the folder of the log, or into images/ there"
        return Problem(input=uri, cause="none of its pictures is there", remedy=remedy)
    own = session.records[0]
    name = own.session or own.key or f"{split_suffix(basename(log))[0]}-{session.line}"
    return Candidate(name.replace("/", "_"), GenerationLogSource.name, uri, tuple(parts), str(session.line))


def _made_with(session: Session) -> Iterator[str]:
    """What the pictures were made with, as far as the log says: a few of each."""
    for word in ("model", "seed", "negative"):
        told = [value for record in session.records if (value := getattr(record, word))]
        values = list(dict.fromkeys(value[:200] for value in told))
        if values:
            more = f" and {len(values) - _MOST_TOLD} more" if len(values) > _MOST_TOLD else ""
            what = "negative prompt" if word == "negative" else word
            yield f"{what}: {', '.join(values[:_MOST_TOLD])}{more}"

"""X_raw: one raw recording with its side tracks, addressed by its content."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import pyarrow as pa
from pydantic import Field

from schemas.base import Contract

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Seconds = Annotated[float, Field(ge=0.0)]


class Domain(StrEnum):
    """The five worlds a stream can come from."""

    DAILY_LIFE = "daily_life"
    EDUCATION = "education"
    GUI = "gui"
    EMBODIED = "embodied"
    AIGC = "aigc"


class TrackKind(StrEnum):
    """What a track of a stream carries, and so which experts can read it."""

    VIDEO = "video"
    AUDIO = "audio"
    IMAGES = "images"
    SUBTITLES = "subtitles"
    EVENTS = "events"
    ELEMENTS = "elements"
    SIGNALS = "signals"
    STROKES = "strokes"
    TEXT = "text"


class Track(Contract):
    """One track. Sizes are in pixels after rotation; rates in 1/s; `items` counts frames, cues, events or rows."""

    kind: TrackKind
    name: str
    codec: str | None = None
    width: int | None = None
    height: int | None = None
    rate: float | None = None
    items: int | None = None
    language: str | None = None


class StreamPart(Contract):
    """One file of a stream: its role for the reader (`video`, `subtitles`, `events`...), where it lies, its bytes."""

    role: str
    uri: str
    sha256: Sha256
    size: Annotated[int, Field(ge=0)]


class Stream(Contract):
    """A raw recording. `sha256` is taken over the roles and hashes of its parts, never over a path."""

    sha256: Sha256
    uri: str
    name: str
    domain: Domain
    format: str
    parts: tuple[StreamPart, ...]
    tracks: tuple[Track, ...]
    duration: Seconds
    notes: tuple[str, ...] = ()
    """What the reader has to say of it: cut off in the middle, subtitles malformed, a nominal time scale..."""

    def has(self, *kinds: TrackKind) -> bool:
        """Whether the stream carries a track of one of these kinds."""
        return any(track.kind in kinds for track in self.tracks)


TRACK = pa.struct(
    [
        pa.field("kind", pa.string(), False),
        pa.field("name", pa.string(), False),
        pa.field("codec", pa.string()),
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("rate", pa.float64()),
        pa.field("items", pa.int64()),
        pa.field("language", pa.string()),
    ]
)
PART = pa.struct(
    [
        pa.field("role", pa.string(), False),
        pa.field("uri", pa.string(), False),
        pa.field("sha256", pa.string(), False),
        pa.field("size", pa.int64(), False),
    ]
)
STREAM_SCHEMA = pa.schema(
    [
        pa.field("sha256", pa.string(), False),
        pa.field("uri", pa.string(), False),
        pa.field("name", pa.string(), False),
        pa.field("domain", pa.string(), False),
        pa.field("format", pa.string(), False),
        pa.field("parts", pa.list_(PART), False),
        pa.field("tracks", pa.list_(TRACK), False),
        pa.field("duration", pa.float64(), False),
        pa.field("notes", pa.list_(pa.string()), False),
    ]
)

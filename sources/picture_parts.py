"""Pictures among the parts of a stream, each at its own place in a sequence: looked at once, the verdict kept in notes.

The role of a part says which place its picture has (`picture 3`), so that a missing one shifts no other.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from schemas.errors import InputError
from schemas.stream import Stream, StreamPart, Track, TrackKind
from sources.images import examine
from sources.places import basename

_ROLE = re.compile(r"picture ([0-9]+)")
_LEFT_OUT = re.compile(r"picture ([0-9]+) left out ")


@dataclass(frozen=True)
class Look:
    """What `probe` saw of the pictures: their track (None when there is none to be used) and what is wrong."""

    track: Track | None
    notes: tuple[str, ...]


def role(place: int) -> str:
    """The role of the picture at a place, counted from 0."""
    return f"picture {place}"


def look(parts: Sequence[StreamPart], name: str, rate: float, max_pixels: int) -> Look:
    """Examines every picture. One that is damaged or has more than `max_pixels` pixels is left out with a note.

    Args:
        parts: all parts of the stream; those that are no pictures are passed over.
        name: what the track is called.
        rate: pictures per second on the nominal scale.
        max_pixels: the largest picture allowed, checked before decoding.
    """
    headers, notes = [], []
    for place, uri in _pictures(parts):
        try:
            headers.append(examine(uri, max_pixels))
        except InputError as error:
            notes.append(f"{role(place)} left out ({basename(uri)}): {error.problem.cause}")
    if not headers:
        return Look(None, tuple(notes))
    track = Track(
        kind=TrackKind.IMAGES,
        name=name,
        codec=headers[0].codec,
        width=max(header.width for header in headers),
        height=max(header.height for header in headers),
        rate=rate,
        items=len(headers),
    )
    return Look(track, tuple(notes))


def usable(stream: Stream) -> list[tuple[int, str]]:
    """Place and URI of every picture that :func:`look` did not leave out, in the order of places."""
    left_out = {int(found[1]) for note in stream.notes if (found := _LEFT_OUT.match(note))}
    return [(place, uri) for place, uri in _pictures(stream.parts) if place not in left_out]


def pixel_limit(stream: Stream) -> int | None:
    """No picture is larger than what `probe` saw: a file that changed since is refused."""
    track = next((track for track in stream.tracks if track.kind is TrackKind.IMAGES), None)
    return track.width * track.height if track is not None and track.width and track.height else None


def _pictures(parts: Sequence[StreamPart]) -> list[tuple[int, str]]:
    found = ((_ROLE.fullmatch(part.role), part.uri) for part in parts)
    return sorted((int(match[1]), uri) for match, uri in found if match)

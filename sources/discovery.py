"""From a place to described streams: what is there, what it is made of, what it holds."""

from __future__ import annotations

from collections.abc import Sequence

from schemas.base import digest
from schemas.stream import Stream, StreamPart
from sources import roster
from sources.base import Recording


def stream_sha256(parts: Sequence[StreamPart], selector: str = "") -> str:
    """The content address of a stream: roles and hashes of its parts and the selector, never a path."""
    return digest([[[part.role, part.sha256] for part in parts], selector])


def open_recording(stream: Stream) -> Recording:
    """Opens a probed stream with the reader of its format.

    Raises:
        schemas.errors.InputError: it cannot be read any more.
    """
    return roster.reader(stream.format).open(stream)

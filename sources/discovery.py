"""From a place to described streams: what is there, and who reads it."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence

from fsspec import AbstractFileSystem

from schemas.errors import Problem
from schemas.recipe import SourceSpec
from schemas.stream import Domain, Stream, StreamPart
from sources import roster
from sources.base import Candidate, Recording, Source
from sources.places import basename, entries, locate, parent, to_uri

_DEEPEST = 32
"""Folders below a source that are looked into; deeper ones are a loop of links."""


def discover(source: SourceSpec) -> Iterator[Candidate | Problem]:
    """The streams at a source's place, in natural order of their names, and what is wrong there.

    A file or folder goes to the first reader that claims it (structured formats come before plain video and pictures);
    a folder nobody claims is looked into. Files of no known format are left alone. A place that holds no stream at all
    is a problem, never silence.
    """
    fs, path = locate(source.uri)
    readers = [roster.reader(name) for name in ([source.format] if source.format else roster.names())]
    if not fs.exists(path) and not any(reader.claims(fs, path) for reader in readers):
        yield _absent(fs, path, source.uri)
        return
    found = False
    for item in _below(fs, path, readers, 0):
        found = True
        yield item
    if not found:
        kind = f"no {source.format} stream" if source.format else "no stream of a known format"
        remedy = "Check the path; docs/sources.md has the formats"
        yield Problem(input=source.uri, cause=f"{kind} lies here", remedy=remedy)


def _below(fs: AbstractFileSystem, path: str, readers: Sequence[Source], depth: int) -> Iterator[Candidate | Problem]:
    for reader in readers:
        if reader.claims(fs, path):
            yield from reader.find(fs, path)
            return
    if not fs.isdir(path):
        return
    if depth == _DEEPEST:
        cause = f"folders nest more than {_DEEPEST} deep"
        yield Problem(input=to_uri(fs, path), cause=cause, remedy="Look for a link that leads back to itself")
        return
    try:
        inside = entries(fs, path)
    except OSError as error:
        cause = f"cannot be listed: {error.strerror or error}"
        yield Problem(input=to_uri(fs, path), cause=cause, remedy="Check its permissions")
        return
    for entry in inside:
        yield from _below(fs, entry.path, readers, depth + 1)


def _absent(fs: AbstractFileSystem, path: str, uri: str) -> Problem:
    try:
        beside = [entry.name for entry in entries(fs, parent(path))]
    except OSError:
        beside = []
    close = difflib.get_close_matches(basename(path), beside, n=1)
    remedy = f"Did you mean {close[0]!r}?" if close else "Check the path"
    return Problem(input=uri, cause="there is nothing at this place", remedy=remedy)


def probe(candidate: Candidate, parts: tuple[StreamPart, ...], domain: Domain | None, max_pixels: int) -> Stream:
    """Describes a candidate; without a domain it is that of its format.

    Raises:
        schemas.errors.InputError: it cannot be read, or its pictures have more than `max_pixels` pixels.
    """
    reader = roster.reader(candidate.format)
    return reader.probe(candidate, parts, domain or reader.default_domain, max_pixels)


def open_recording(stream: Stream) -> Recording:
    """Opens a probed stream with the reader of its format.

    Raises:
        schemas.errors.InputError: it cannot be read any more.
    """
    return roster.reader(stream.format).open(stream)

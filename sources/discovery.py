"""From a place to described streams: what is there, what it is made of, what it holds."""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence

from fsspec import AbstractFileSystem

from schemas.base import digest
from schemas.errors import InputError, Problem
from schemas.recipe import SourceSpec
from schemas.stream import Domain, Stream, StreamPart
from sources import roster
from sources.base import Candidate, Recording, Source
from sources.places import locate, open_binary, to_uri

_BLOCK = 1 << 20
_DEEPEST = 32
"""Folders below a source that are looked into; deeper ones are a loop of links."""


def discover(source: SourceSpec) -> Iterator[Candidate | Problem]:
    """The streams at a source's place, in natural order of their names, and what is wrong there.

    A file or folder goes to the first reader that claims it (structured formats come before plain video and pictures);
    a folder nobody claims is looked into. Files of no known format are left alone. A place that holds no stream at all
    is a problem, never silence.
    """
    fs, path = locate(source.uri)
    path = path.rstrip("/") or path
    readers = [roster.reader(source.format)] if source.format else [roster.reader(name) for name in roster.names()]
    if not fs.exists(path) and not any(reader.claims(fs, path) for reader in readers):
        yield _absent(fs, path, source.uri)
        return
    found = False
    for item in _below(fs, path, readers, 0):
        found = True
        yield item
    if not found:
        kind = f"no {source.format} stream" if source.format else "no stream of a known format"
        yield Problem(
            input=source.uri, cause=f"{kind} lies here", remedy="Check the path; docs/sources.md has the formats"
        )


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
        names = sorted((entry["name"] for entry in fs.ls(path, detail=True)), key=natural)
    except OSError as error:
        yield Problem(input=to_uri(fs, path), cause=f"cannot be listed: {error}", remedy="Check its permissions")
        return
    for name in names:
        if not name.rstrip("/").rsplit("/", 1)[-1].startswith("."):
            yield from _below(fs, name, readers, depth + 1)


def natural(path: str) -> list[tuple[int, int, str]]:
    """A sort key that puts `clip 2` before `clip 10`."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", path) if part]


def _absent(fs: AbstractFileSystem, path: str, uri: str) -> Problem:
    parent, _, name = path.rpartition("/")
    try:
        beside = [entry.rstrip("/").rsplit("/", 1)[-1] for entry in fs.ls(parent or "/", detail=False)]
    except OSError:
        beside = []
    close = difflib.get_close_matches(name, beside, n=1)
    hint = f"did you mean {close[0]!r}?" if close else "check the path"
    return Problem(input=uri, cause="there is nothing at this place", remedy=hint[0].upper() + hint[1:])


def fingerprint(uri: str) -> str:
    """What changes when a file is written again, without reading it: size, times and inode, or the store's ETag.

    Raises:
        schemas.errors.InputError: there is no such file.
    """
    fs, path = locate(uri)
    try:
        info = fs.info(path)
    except OSError as error:
        raise InputError(
            uri, f"cannot be read: {error.strerror or error}", "Check the path and its permissions"
        ) from error
    # `created` is the local change time: it moves even when someone sets the modification time back.
    keys = ("size", "mtime", "created", "ino", "ETag", "LastModified", "last_modified", "md5Hash", "generation")
    return digest([str(info[key]) for key in keys if key in info])


def hash_parts(candidate: Candidate, known: Mapping[str, tuple[str, str, int]]) -> tuple[StreamPart, ...]:
    """The parts of a candidate with their SHA-256. A file whose fingerprint is in `known` (URI to fingerprint,
    SHA-256, bytes) is not read again.

    Raises:
        schemas.errors.InputError: a file cannot be read.
    """
    return tuple(_part(role, uri, known.get(uri)) for role, uri in candidate.parts)


def _part(role: str, uri: str, known: tuple[str, str, int] | None) -> StreamPart:
    if known is not None and known[0] == fingerprint(uri):
        return StreamPart(role=role, uri=uri, sha256=known[1], size=known[2])
    content, size = hashlib.sha256(), 0
    try:
        with open_binary(uri) as file:
            while block := file.read(_BLOCK):
                content.update(block)
                size += len(block)
    except OSError as error:
        raise InputError(
            uri, f"cannot be read: {error.strerror or error}", "Check the path and its permissions"
        ) from error
    return StreamPart(role=role, uri=uri, sha256=content.hexdigest(), size=size)


def stream_sha256(parts: Sequence[StreamPart], selector: str = "") -> str:
    """The content address of a stream: roles and hashes of its parts and the selector, never a path."""
    return digest([[[part.role, part.sha256] for part in parts], selector])


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

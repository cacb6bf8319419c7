"""What a stream is, by content: hashes of its files, and cheap signs that a file is still the one that was hashed."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from schemas.base import digest
from schemas.errors import InputError
from schemas.stream import Domain, Stream, StreamPart, Track
from sources.base import Candidate
from sources.places import file_sign, is_local, locate, open_binary

_CHUNK = 1 << 20
_LOCKS = tuple(threading.Lock() for _ in range(64))
_REMOTE_SIGNS = ("ETag", "etag", "LastModified", "last_modified", "mtime", "updated", "created")


def stream_sha256(parts: Sequence[StreamPart], selector: str = "") -> str:
    """The content address of a stream: roles and hashes of its parts and the selector, never a path."""
    return digest([[[part.role, part.sha256] for part in parts], selector])


def described(
    candidate: Candidate,
    parts: tuple[StreamPart, ...],
    domain: Domain,
    tracks: Iterable[Track],
    duration: float,
    notes: Iterable[str] = (),
) -> Stream:
    """The stream that a candidate is: what every reader's `probe` ends with. `duration` in seconds."""
    return Stream(
        sha256=stream_sha256(parts, candidate.selector),
        uri=candidate.uri,
        name=candidate.name,
        domain=domain,
        format=candidate.format,
        parts=parts,
        tracks=tuple(tracks),
        duration=duration,
        notes=tuple(notes),
    )


def fingerprint(uri: str) -> str:
    """Changes whenever the file may have changed: size, times in nanoseconds and inode of a local file, size and
    ETag or time of change of an object.

    Raises:
        schemas.errors.InputError: there is no such file, or it may not be looked at.
    """
    fs, path = locate(uri)
    try:
        if is_local(fs):
            return file_sign(os.stat(path))
        info = fs.info(path)
        signs = [f"{info.get('size')}", *(f"{info[sign]}" for sign in _REMOTE_SIGNS if info.get(sign))]
        return "-".join(signs) if len(signs) > 1 else fs.ukey(path)
    except FileNotFoundError as error:
        raise InputError(uri, "no such file", "It was here when the folder was listed: copy it again") from error
    except OSError as error:
        raise InputError(uri, f"cannot be looked at: {error.strerror or error}", "Check its permissions") from error


def hash_parts(candidate: Candidate, known: Mapping[str, tuple[str, str, int]]) -> tuple[StreamPart, ...]:
    """The files of a candidate with their SHA-256, read in bounded memory.

    Args:
        candidate: what a reader found.
        known: fingerprint, SHA-256 and size by URI. A file whose fingerprint is still the same is not read.

    Raises:
        schemas.errors.InputError: a file cannot be read.
    """
    parts = []
    for role, uri in candidate.parts:
        sign = fingerprint(uri)
        before = known.get(uri)
        if before is not None and before[0] == sign:
            sha256, size = before[1:]
        else:
            with _LOCKS[hash(uri) % len(_LOCKS)]:  # threads that meet in one file: the first reads it, the others wait
                sha256, size = _hash(uri, sign)
        parts.append(StreamPart(role=role, uri=uri, sha256=sha256, size=size))
    return tuple(parts)


@lru_cache(maxsize=256)
def _hash(uri: str, sign: str) -> tuple[str, int]:
    """SHA-256 and size. Kept by fingerprint, because one file may hold thousands of streams."""
    sha256, size = hashlib.sha256(), 0
    try:
        with open_binary(uri) as file:
            while chunk := file.read(_CHUNK):
                sha256.update(chunk)
                size += len(chunk)
    except OSError as error:
        raise InputError(uri, f"cannot be read: {error.strerror or error}", "Check its permissions") from error
    return sha256.hexdigest(), size

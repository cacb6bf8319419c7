"""Records in JSON files, one a file or one a line: told apart by the keys at their beginning, read one at a time."""

from __future__ import annotations

import hashlib
import json
import re
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from fsspec import AbstractFileSystem

from schemas.errors import InputError
from sources.identity import fingerprint
from sources.places import in_order, listed, open_binary, split_suffix, to_uri
from sources.video import SUFFIXES as VIDEO_SUFFIXES

SUFFIXES = (".json", ".jsonl")
LARGEST = 1 << 28
"""Bytes that one record may have: it is parsed in memory."""
_HEAD = 1 << 16
_PEEKS = 3
_KEY = re.compile(rb'"([^"\\\n]{1,64})"\s*:')

Accepts = Callable[[frozenset[str]], bool]
"""Whether the keys near the beginning of a file are those of a format."""


@dataclass(frozen=True)
class Row:
    """One record. `number`: that of its line, from 0; None when the file holds nothing else. `sha256`: of its bytes."""

    number: int | None
    value: Any
    sha256: str


def keys_at_head(fs: AbstractFileSystem, path: str) -> frozenset[str]:
    """The keys in the first 64 KiB of a JSON file, at any depth; none when it cannot be read."""
    try:
        with fs.open(path, "rb") as file:
            head = file.read(_HEAD)
    except OSError:
        return frozenset()
    return frozenset(key.decode("utf-8", "replace") for key in _KEY.findall(head))


def claims(fs: AbstractFileSystem, root: str, accepts: Accepts, suffixes: tuple[str, ...] = SUFFIXES) -> bool:
    """Whether a file, or one of the first few JSON files of a folder, has a format's keys at its beginning.

    A folder that holds videos too is not claimed whole: they would not be read. Its JSON files are, one by one.
    """
    if fs.isfile(root):
        return split_suffix(root)[1] in suffixes and accepts(keys_at_head(fs, root))
    if not fs.isdir(root) or any(split_suffix(entry.name)[1] in VIDEO_SUFFIXES for entry in listed(fs, root)):
        return False
    return any(accepts(keys_at_head(fs, path)) for path in json_files(fs, root, suffixes)[:_PEEKS])


def json_files(fs: AbstractFileSystem, root: str, suffixes: tuple[str, ...] = SUFFIXES) -> list[str]:
    """The JSON files in a folder, in natural order of their names, or the file itself."""
    if fs.isfile(root):
        return [root]
    if not fs.isdir(root):
        return []
    found = (entry for entry in listed(fs, root) if not entry.is_folder and split_suffix(entry.name)[1] in suffixes)
    return [entry.path for entry in in_order(found)]


def is_json(fs: AbstractFileSystem, path: str) -> bool:
    """Whether a file that was not recognised by its keys is sound JSON of another kind, and not a damaged record."""
    try:
        return isinstance(next(rows(to_uri(fs, path)), None), Row)
    except InputError:
        return False


def rows(uri: str, start: int = 0) -> Iterator[Row | InputError]:
    """The records of a file, one at a time. A malformed line is an InputError in its place; the next ones follow.

    Args:
        uri: a `.jsonl` file, or any other that holds one JSON value.
        start: the line to begin with; those before it are not parsed.

    Raises:
        schemas.errors.InputError: the file cannot be read, or is one JSON value and malformed.
    """
    if split_suffix(uri)[1] != ".jsonl":
        yield _parsed(uri, None, _whole(uri))
        return
    for number, line in enumerate(_lines(uri, start), start):
        if not line.strip():
            continue
        try:
            yield _parsed(f"{uri}#{number}", number, line)
        except InputError as error:
            yield error


def row_at(uri: str, number: int) -> Row:
    """One line of a JSON lines file, found without parsing those before it.

    Raises:
        schemas.errors.InputError: there is no such line, or it is malformed.
    """
    row = next(rows(uri, number), None)
    if isinstance(row, InputError):
        raise row
    if row is None or row.number != number:
        raise InputError(f"{uri}#{number}", "the file has no such line any more", "Discover it again")
    return row


def _whole(uri: str) -> bytes:
    try:
        with open_binary(uri) as file:
            return file.read(LARGEST + 1)
    except OSError as error:
        raise _unreadable(uri, error) from error


def _lines(uri: str, start: int) -> Iterator[bytes]:
    offsets = _offsets(uri, fingerprint(uri)) if start else (0,)
    if start and start >= len(offsets):
        return
    try:
        with open_binary(uri) as file:
            file.seek(offsets[start])
            while line := file.readline(LARGEST + 1):
                yield line
                while len(line) > LARGEST and not line.endswith(b"\n"):
                    line = file.readline(LARGEST + 1)  # the rest of a line that is too long belongs to it
    except OSError as error:
        raise _unreadable(uri, error) from error


@lru_cache(maxsize=4)
def _offsets(uri: str, sign: str) -> array[int]:
    """Where each line begins. Kept for a few files by fingerprint, because one may hold thousands of streams."""
    offsets, position = array("Q"), 0
    try:
        with open_binary(uri) as file:
            begins = True
            while piece := file.readline(1 << 20):
                if begins:
                    offsets.append(position)
                position += len(piece)
                begins = piece.endswith(b"\n")
    except OSError as error:
        raise _unreadable(uri, error) from error
    return offsets


def _parsed(uri: str, number: int | None, data: bytes) -> Row:
    if len(data) > LARGEST:
        raise InputError(uri, f"has more than the {LARGEST >> 20} MiB that one record may have", "Split it")
    if not data.strip():
        raise InputError(uri, "the file is empty", "Copy it again")
    try:
        value = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise InputError(uri, f"is not JSON: {error}", "Mend or remove it") from error
    return Row(number, value, hashlib.sha256(data).hexdigest())


def _unreadable(uri: str, error: OSError) -> InputError:
    if isinstance(error, FileNotFoundError):
        return InputError(uri, "the file is missing", "Copy it again")
    return InputError(uri, f"cannot be read: {error.strerror or error}", "Check its permissions")

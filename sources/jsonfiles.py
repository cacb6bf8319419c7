"""JSON and JSON lines beside recordings, which break as often as anything else: read what can be read, say the rest."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import IO, Any

from schemas.errors import InputError
from sources.places import open_binary

LARGEST = 1 << 28
"""Bytes that a JSON file, or one line of a JSON lines file, may have: it is parsed in memory."""


def read_json(uri: str) -> Any:
    """A JSON file.

    Raises:
        schemas.errors.InputError: it is missing, cannot be read, is not JSON, or has more than `LARGEST` bytes.
    """
    try:
        with open_binary(uri) as file:
            data = file.read(LARGEST + 1)
        if len(data) > LARGEST:
            raise InputError(uri, f"has more than the {LARGEST >> 20} MiB that a JSON file may have", "Leave it out")
        return json.loads(data.decode("utf-8-sig"))
    except FileNotFoundError as error:
        raise InputError(uri, "the file is missing", "Copy it again") from error
    except OSError as error:
        raise InputError(uri, f"cannot be read: {error.strerror or error}", "Check its permissions") from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits is a plain ValueError
        raise InputError(uri, f"is not JSON: {error}", "Mend or remove it") from error


def read_jsonl(uri: str) -> tuple[list[dict[str, Any]], str | None]:
    """The objects of a JSON lines file, and what is wrong with it: nothing in it, or lines that are no object."""
    rows: list[dict[str, Any]] = []
    bad: list[int] = []
    try:
        with open_binary(uri) as file:
            for number, line in enumerate(_lines(file), 1):
                if not line.strip():
                    continue
                try:
                    row = json.loads(line.decode("utf-8-sig")) if len(line) <= LARGEST else None
                except (ValueError, RecursionError):
                    row = None
                if isinstance(row, dict):
                    rows.append(row)
                else:
                    bad.append(number)
    except FileNotFoundError:
        return [], "the file is missing"
    except OSError as error:
        return rows, f"cannot be read: {error.strerror or error}"
    if bad:
        more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
        return rows, f"malformed: line {bad[0]}{more} left out"
    return rows, None if rows else "the file is empty"


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    """The lines of a file. Of one that is longer than `LARGEST` only the beginning comes, one byte longer than that."""
    while line := file.readline(LARGEST + 1):
        yield line
        while len(line) > LARGEST and not line.endswith(b"\n"):
            line = file.readline(LARGEST + 1)

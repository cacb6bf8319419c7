"""JSON and JSON lines beside recordings, which break as often as anything else: read what can be read, say the rest."""

from __future__ import annotations

import json
from typing import Any

from schemas.errors import InputError
from sources.places import open_binary


def read_json(uri: str) -> Any:
    """A JSON file.

    Raises:
        schemas.errors.InputError: it is missing, cannot be read, or is not JSON.
    """
    try:
        with open_binary(uri) as file:
            return json.loads(file.read().decode("utf-8-sig"))
    except FileNotFoundError as error:
        raise InputError(uri, "the file is missing", "Copy it again") from error
    except OSError as error:
        raise InputError(uri, f"cannot be read: {error.strerror or error}", "Check its permissions") from error
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise InputError(uri, f"is not JSON: {error}", "Mend or remove it") from error


def read_jsonl(uri: str) -> tuple[list[dict[str, Any]], str | None]:
    """The objects of a JSON lines file, and what is wrong with it: nothing in it, or lines that are no object."""
    rows: list[dict[str, Any]] = []
    bad: list[int] = []
    try:
        with open_binary(uri) as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                try:
                    row = json.loads(line.decode("utf-8-sig"))
                except (UnicodeDecodeError, json.JSONDecodeError, RecursionError):
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

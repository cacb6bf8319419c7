"""Values in JSON that others wrote: taken where they are what they should be, else refused without a word."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any


def number(value: Any) -> float | None:
    """A finite number, or None for whatever else may stand in its place."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e15:
        return None
    return float(value)


def numbers(value: Any, count: int) -> tuple[float, ...] | None:
    """A list of `count` finite numbers, also one written as text (`"[0.1, 0.2]"`); None for anything else."""
    values = [number(item) for item in listed(value)]
    found = tuple(item for item in values if item is not None)
    return found if len(values) == count == len(found) else None


def listed(value: Any) -> list[Any]:
    """A list, also one written as JSON text; empty for anything else."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return []
    return value if isinstance(value, list) else []


def text(value: Any) -> str:
    """Text that can be written anywhere: JSON may hold halves of characters, and window titles do."""
    return str(value or "").encode("utf-8", "replace").decode()


def first(row: Mapping[str, Any], names: Sequence[str]) -> Any:
    """The value under the first of these names that has one; None when none has."""
    return next((row[name] for name in names if row.get(name) not in (None, "", [], {})), None)


def first_text(row: Mapping[str, Any], names: Sequence[str]) -> str:
    """The first of these that holds words; empty when none does."""
    return next((text(row[name]).strip() for name in names if isinstance(row.get(name), str) and row[name].strip()), "")

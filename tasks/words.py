"""Words for people, in logs and artifacts."""

from __future__ import annotations


def count(number: int, word: str, plural: str | None = None) -> str:
    """`1 row`, `3 rows`, `12,000 rows`."""
    return f"{number:,} {word if number == 1 else plural or word + 's'}"

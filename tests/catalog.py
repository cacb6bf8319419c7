"""The catalog of a corpus, read without DataClaw while builds write to it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any


def select(corpus: Path, query: str) -> list[tuple[Any, ...]]:
    """What a query finds; nothing as long as its tables are not made."""
    file = corpus / "catalog.db"
    if not file.exists():
        return []
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=30)) as db:
        try:
            return db.execute(query).fetchall()
        except sqlite3.OperationalError:
            return []


def committed(corpus: Path) -> int:
    """Units whose end is known."""
    return len(select(corpus, "SELECT unit FROM units"))

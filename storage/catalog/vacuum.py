"""Housekeeping of the database."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from schemas.errors import CorpusError
from storage.catalog.engine import catalog_error


def vacuum(engine: Engine) -> int:
    """Gives the space of deleted rows back, on SQLite to the disk; returns the bytes that the database is smaller.

    Raises:
        CorpusError: the database refuses.
    """
    sqlite = engine.dialect.name == "sqlite"
    # VACUUM works outside of transactions only, which the driver itself must be told.
    try:
        with closing(engine.raw_connection()) as connection:
            driver: Any = connection.driver_connection
            if not sqlite:
                driver.autocommit = True
            cursor = connection.cursor()
            try:
                if not sqlite:
                    cursor.execute("VACUUM (ANALYZE)")
                    return 0
                before = _pages(cursor)
                cursor.execute("VACUUM")
                cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                return before - _pages(cursor)
            finally:
                cursor.close()
                if not sqlite:
                    driver.autocommit = False
    except SQLAlchemyError as error:
        raise catalog_error(engine, error) from error
    except engine.dialect.dbapi.Error as error:  # type: ignore[union-attr]
        raise CorpusError(
            f"catalog {engine.url.render_as_string()}", f"cannot be vacuumed: {error}", "Run maintenance again"
        ) from error


def _pages(cursor: Any) -> int:
    """Bytes of a SQLite database."""
    sizes = [cursor.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size")]
    return int(sizes[0] * sizes[1])

"""The way to the database: engines, transactions that hold on SQLite and PostgreSQL alike, and migrations."""

from __future__ import annotations

import os
import random
import re
import sqlite3
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote

from sqlalchemy import Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError, SQLAlchemyError

from schemas.errors import CorpusError, UsageError
from storage.location import Location

T = TypeVar("T")

HEAD = "0007"
"""The newest revision under storage/migrations."""
WRITE = {"dataclaw_write": True}
"""Execution options of a transaction that will write."""

READ: dict[str, Any] = {"dataclaw_write": False}
"""...and of one that only reads. All its questions see one moment: on SQLite always, on PostgreSQL when asked for."""
READ_POSTGRESQL: dict[str, Any] = {**READ, "isolation_level": "REPEATABLE READ", "postgresql_readonly": True}

_BUSY_MS = 60_000
"""How long a writer waits for another one. Commits take milliseconds; the longest is a migration."""
_CACHE_KB = 64 << 10
"""Of SQLite's pages, for each connection. Its own choice of 2 MB is too little for catalogs of a million units."""
_POOL = {"pool_pre_ping": True, "pool_size": 4, "max_overflow": 4, "pool_recycle": 1800, "pool_timeout": 60}
"""A build uses one connection, two at most (work, and the word that it is alive); many builds share a server. A
connection that a restart or a firewall has cut is found out before it is used."""
_LIBPQ = {"connect_timeout": 10, "keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}
"""A server that has gone without a word is noticed within a minute, not within the two hours of the system."""
_MIGRATION_LOCK = 0x6461746163
PATIENCE = 120.0
"""Seconds for which a server that was there and is gone is waited for: a restart, a failover."""
PATIENCE_AT_FIRST = 5.0
"""...and one that was not there yet: more likely its address is wrong."""
_PASSING = ("40001", "40P01", "57P01", "57P02", "57P03", "53300", "08")
"""SQLSTATEs (or their class) of what goes by: serialization failure, deadlock, a server that stops, crashes, starts or
has no connection to spare, and connections that broke."""
_LEAST_DELAY, _MOST_DELAY = 0.05, 2.0


def connect(url: str) -> Engine:
    """An engine for a catalog URL. Nothing is opened yet.

    Raises:
        UsageError: the URL is malformed, or its driver is not installed.
    """
    try:
        parsed = make_url(url)
        options: dict[str, Any] = {}
        if parsed.get_backend_name() == "sqlite" and parsed.database:
            parsed = parsed.set(database=unquote(parsed.database))  # SQLAlchemy does so from 2.1 on
        elif parsed.get_backend_name() == "postgresql":
            options = dict(_POOL)
            if parsed.get_dialect().driver.startswith("psycopg"):
                given = set(parsed.query)
                options["connect_args"] = {key: value for key, value in _LIBPQ.items() if key not in given}
        engine = create_engine(parsed, hide_parameters=True, **options)
    except (ArgumentError, NoSuchModuleError) as error:
        cause = "the catalog URL is malformed or names an unknown database"
        raise UsageError(_shown(url), cause, "Give a SQLAlchemy URL, such as sqlite:////data/catalog.db") from error
    except ModuleNotFoundError as error:
        raise UsageError(_shown(url), f"the driver {error.name} is missing", f"pip install {error.name}") from error
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def persistently(engine: Engine, work: Callable[[], T], patience: float = PATIENCE) -> T:
    """Does a piece of work that is one transaction, and does it again as long as what keeps it from ending goes by.

    When the connection breaks during the commit itself, nobody can tell whether it landed: a transaction id tells
    nothing after a crash, since it may have been given out anew. So the work must be such that its repetition has no
    effect.
    """
    deadline = time.monotonic() + patience
    delay = _LEAST_DELAY
    while True:
        try:
            return work()
        except DBAPIError as error:
            if not _goes_by(engine, error) or time.monotonic() + delay > deadline:
                raise
        time.sleep(delay * random.uniform(0.5, 1.0))  # apart from those that were refused with us
        delay = min(2 * delay, _MOST_DELAY)


def _goes_by(engine: Engine, error: DBAPIError) -> bool:
    if error.connection_invalidated:
        return True
    state = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None)
    if state is None:  # libpq gives none where no connection came about
        return engine.dialect.name == "postgresql" and isinstance(error, OperationalError)
    return str(state).startswith(_PASSING)


def migrate(engine: Engine) -> None:
    """Brings the database to the newest revision. Several processes may do so at once.

    Raises:
        CorpusError: the catalog was written by a newer DataClaw.
        SQLAlchemyError: the database cannot be opened or changed.
    """
    _create_sqlite(engine)
    persistently(engine, lambda: _migrate(engine), PATIENCE_AT_FIRST)


def _migrate(engine: Engine) -> None:
    with engine.connect() as connection:
        if _revision(connection) == HEAD:
            return
    with engine.execution_options(**WRITE).begin() as connection:
        # SQLite holds others off by its write lock from the first statement on; PostgreSQL needs to be asked.
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
        revision = _revision(connection)
        if revision == HEAD:
            return
        if revision is not None and revision > HEAD:
            raise CorpusError(
                engine.url.render_as_string(), f"is at revision {revision}, newer than {HEAD}", "Upgrade DataClaw"
            )
        _upgrade(connection)


def catalog_error(engine: Engine, error: SQLAlchemyError) -> CorpusError:
    """A database's refusal as an error that a person can act on."""
    cause = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
    remedy = "Check that the database can be reached and written, and run again: nothing that was committed is lost"
    if "full" in cause:
        remedy = "Free space on its disk and run again: nothing that was committed is lost"
    elif "locked" in cause:
        remedy = "Another process holds the catalog: wait for it, or stop it, and run again"
    elif "not a database" in cause or "malformed" in cause:
        remedy = "Restore the file from a copy, or move it away: the next build makes a new one"
    return CorpusError(f"catalog {engine.url.render_as_string()}", cause, remedy)


def _shown(url: str) -> str:
    """A URL without its password, also when it cannot be parsed."""
    return re.sub(r"//([^/@:]*):[^/]*@", r"//\1:***@", url)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _upgrade(connection: Connection) -> None:
    from alembic import command  # most openings find the catalog up to date and need none of it
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parents[1] / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _create_sqlite(engine: Engine) -> None:
    """Makes a SQLite file in WAL mode, in which readers and a writer do not wait for each other.

    The mode is kept in the file. To change it later fails when another process has the file open, whatever the busy
    timeout, so the file appears in that mode from the start.
    """
    path = engine.url.database
    if engine.dialect.name != "sqlite" or not path or path.startswith((":memory:", "file:")):
        return
    folder, name = os.path.split(os.path.abspath(path))
    if os.path.exists(path) or not os.path.isdir(folder):
        return
    with tempfile.TemporaryDirectory() as scratch:
        empty = os.path.join(scratch, "empty.db")
        with closing(sqlite3.connect(empty)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
        data = Path(empty).read_bytes()
    try:
        Location.of(folder).create(name, data)
    except FileExistsError:
        return  # another process made it at this moment


def _set_up_sqlite(connection: Any, _record: object) -> None:
    # Python's own transaction control begins too late (not before reads and schema changes); _begin_sqlite does it.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (f"busy_timeout={_BUSY_MS}", "synchronous=FULL", "foreign_keys=ON", f"cache_size=-{_CACHE_KB}"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads first and writes later fails at once when another one wrote in between, whatever the
    # busy timeout; one that takes the write lock at its start waits.
    writing = connection.get_execution_options().get("dataclaw_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

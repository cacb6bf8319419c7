"""An upgrade of DataClaw while a build of the older version is under way: what that one made it commits, at its next
opening of the catalog it is refused in clear words, and the newer one goes on with the rest.

The older version is this one; the newer one has a migration more.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pyarrow.parquet as pq
import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, inspect, text

from schemas.outcome import Outcome
from schemas.rows import RESULT_SCHEMA, Result, Written
from storage.catalog import engine as engines
from storage.catalog.catalog import Catalog
from storage.corpus import Corpus

MIGRATIONS = Path(engines.__file__).parents[1] / "migrations"
NEXT = f"""
import sqlalchemy as sa
from alembic import op

revision = "9999"
down_revision = "{engines.HEAD}"


def upgrade():
    op.create_table("moods", sa.Column("unit", sa.String(64), primary_key=True))
    op.add_column("units", sa.Column("mood", sa.Text()))
"""
OLDER = """
import sys
import pyarrow.parquet as pq
from schemas.errors import CorpusError
from schemas.rows import Written
from storage.catalog.catalog import Catalog
from storage.corpus import Corpus
from storage.write import WriteTriplets

url, corpus = sys.argv[1], Corpus.open(sys.argv[2])
written = Written.from_table(WriteTriplets(corpus.uri)(pq.read_table(sys.argv[3])))
with Catalog.open(url, corpus) as catalog:
    catalog.begin_run("older", "r", "h", "{}")
    catalog.claim("older", [row.outcome.unit for row in written])
    catalog.commit("older", written[:1])
    print("under way", flush=True)
    sys.stdin.readline()
    catalog.commit("older", written[1:2])
try:
    Catalog.open(url, corpus)
except CorpusError as error:
    print(error, flush=True)
"""


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return Corpus.open(tmp_path / "corpus", create=True)


@pytest.fixture
def upgrade(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Makes this process one of the next version."""
    migrations = tmp_path / "next" / "migrations"
    shutil.copytree(MIGRATIONS, migrations, ignore=shutil.ignore_patterns("__pycache__"))
    (migrations / "versions" / "9999_moods.py").write_text(NEXT)

    def now() -> None:
        monkeypatch.setattr(engines, "__file__", str(tmp_path / "next" / "catalog" / "engine.py"))
        monkeypatch.setattr(engines, "HEAD", "9999")

    return now


def has_moods(url: str) -> bool:
    return inspect(create_engine(url)).has_table("moods")


def test_a_build_of_the_older_version_commits_what_it_made_and_is_then_refused(
    url: str, corpus: Corpus, tmp_path: Path, make: Any, upgrade: Callable[[], None]
) -> None:
    units = [make.done(name) for name in "abc"]
    keys = [unit.outcome.unit for unit in units]
    pq.write_table(Result.to_table(units, RESULT_SCHEMA), tmp_path / "results.parquet")
    order = [sys.executable, "-c", OLDER, url, corpus.uri, str(tmp_path / "results.parquet")]
    with subprocess.Popen(order, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as older:
        assert older.stdin is not None
        assert older.stdout is not None
        assert older.stdout.readline() == "under way\n"
        upgrade()
        with Catalog.open(url, corpus) as newer:
            assert has_moods(url)
            newer.begin_run("newer", "r", "h", "{}")
            assert set(newer.claim("newer", keys).held) == set(keys[1:]), "the older one is alive and at work"
            said = older.communicate("\n")[0]
            assert older.returncode == 0
            assert "is at revision 9999, newer than" in said
            assert "Upgrade DataClaw" in said
            ended = {unit: outcome for unit, (outcome, _) in newer.ended_units(keys).items()}
            assert ended == dict.fromkeys(keys[:2], Outcome.DONE), "all that it committed is there"
            assert newer.claim("newer", keys).taken == {keys[2]}, "the rest is free"


def test_a_migration_waits_for_a_commit_that_is_under_way(
    url: str,
    corpus: Corpus,
    write: Callable[..., list[Written]],
    make: Any,
    monkeypatch: pytest.MonkeyPatch,
    upgrade: Callable[[], None],
) -> None:
    with Catalog.open(url, corpus) as older:
        older.begin_run("older", "r", "h", "{}")
        written = write(make.done("a"), make.done("b"))
        within, migrated = Event(), Event()
        assign = Catalog._assign

        def assign_at_leisure(*arguments: Any) -> None:
            within.set()
            assert not migrated.wait(0.5), "tables must not change under a transaction"
            assign(*arguments)

        monkeypatch.setattr(Catalog, "_assign", assign_at_leisure)

        def open_newer() -> None:
            within.wait()
            upgrade()
            Catalog.open(url, corpus).close()
            migrated.set()

        newer = Thread(target=open_newer)
        newer.start()
        assert older.commit("older", written).done == 2
        newer.join(60)
        assert migrated.is_set()
        assert has_moods(url)
        assert len(older.ended_units([row.outcome.unit for row in written])) == 2


def test_the_newest_migration_keeps_what_is_there(
    url: str, corpus: Corpus, write: Callable[..., list[Written]], make: Any
) -> None:
    written = write(make.done("a"), make.filtered("b"), make.failed("c"))
    with Catalog.open(url, corpus) as catalog:
        catalog.begin_run("before", "r", "h", "{}")
        catalog.commit("before", written)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    engine = engines.connect(url)
    with engine.execution_options(**engines.WRITE).begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "-1")
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar() != engines.HEAD
    engine.dispose()
    with Catalog.open(url, corpus) as catalog:
        assert [run.id for run in catalog.runs()] == ["before"]
        assert len(catalog.ended_units([row.outcome.unit for row in written])) == 2
        assert catalog.commit("before", written).known == 2

"""A PostgreSQL server that stops, restarts or breaks a deadlock costs a build time, and no work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import create_engine, event, select, text
from sqlalchemy.orm import Session

from schemas.errors import CorpusError
from schemas.outcome import Outcome
from schemas.recipe import Deduplication, Splitting
from schemas.rows import Written
from storage.catalog import engine as engines
from storage.catalog.catalog import Catalog
from storage.catalog.models import CorpusRow
from storage.corpus import Corpus
from tests.storage.conftest import new_database
from tests.storage.postgresql import Server

Write = Callable[..., list[Written]]


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return Corpus.open(tmp_path / "corpus", create=True)


@pytest.fixture
def catalog(own_server: Server, corpus: Corpus) -> Iterator[Catalog]:
    with new_database(own_server.url) as url, Catalog.open(url, corpus) as opened:
        opened.begin_run("run-1", "recipe", "h", "{}")
        yield opened


def rows(catalog: Catalog) -> int:
    catalog.admit(Deduplication(), Splitting())
    return catalog.statistics().rows


def test_a_restart_between_two_questions_is_not_noticed(own_server: Server, catalog: Catalog) -> None:
    assert [run.id for run in catalog.runs()] == ["run-1"]
    own_server.restart()
    assert [run.id for run in catalog.runs()] == ["run-1"]


@pytest.mark.parametrize("moment", ["before the commit", "after the commit"])
def test_a_commit_in_the_middle_of_which_the_server_restarts_lands_exactly_once(
    own_server: Server, catalog: Catalog, write: Write, make: Any, moment: str
) -> None:
    """After the commit: it landed, but its answer did not arrive, and the whole transaction is done again."""
    written = write(*(make.done(str(number)) for number in range(40)), make.filtered("x"), make.failed("y"))
    crashes: list[str] = []
    dialect = catalog._engine.dialect
    commit = dialect.do_commit

    def crash(connection: Any) -> None:
        if not crashes:
            crashes.append(moment)
            if moment == "after the commit":
                commit(connection)
            own_server.restart()
            connection.execute("SELECT 1")  # the driver finds the connection cut
        commit(connection)

    dialect.do_commit = crash  # type: ignore[method-assign]
    counts = catalog.commit("run-1", written)
    assert crashes == [moment]
    assert (counts.done, counts.known) == ((40, 0) if moment == "before the commit" else (0, 41))
    assert rows(catalog) == 40
    assert len(catalog.rejects()) == 1
    assert catalog.status().units == {Outcome.DONE: 40, Outcome.FILTERED: 1, Outcome.FAILED: 1}
    assert catalog.commit("run-1", written).known == 41


def test_a_crash_between_the_statements_of_a_commit_leaves_nothing_behind_and_it_is_done_again(
    own_server: Server, catalog: Catalog, write: Write, make: Any
) -> None:
    crashes: list[str] = []

    def crash(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("INSERT INTO units") and not crashes:
            crashes.append(statement)
            own_server.restart()

    event.listen(catalog._engine, "before_cursor_execute", crash)
    assert catalog.commit("run-1", write(make.done("a"), make.done("b"))).done == 2
    assert len(crashes) == 1
    assert rows(catalog) == 2


def test_a_server_that_is_away_for_a_while_is_waited_for(own_server: Server, catalog: Catalog) -> None:
    own_server.stop()
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(catalog.runs)
        own_server.start()
        assert [run.id for run in asked.result()] == ["run-1"]


def test_a_server_that_stays_away_is_named_with_what_to_do(
    own_server: Server, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "PATIENCE_AT_FIRST", 0.2)
    own_server.stop()
    try:
        with pytest.raises(CorpusError, match="refused") as caught:
            Catalog.open(own_server.url, corpus)
    finally:
        own_server.start()
    assert "can be reached" in caught.value.problem.remedy


def test_of_two_transactions_that_wait_for_each_other_one_is_done_again(
    catalog: Catalog, corpus: Corpus, tmp_path: Path
) -> None:
    url = catalog._engine.url.render_as_string(hide_password=False)
    other_corpus = Corpus.open(tmp_path / "other", create=True)
    both_hold_theirs = Barrier(2)
    attempts: list[str] = []
    with Catalog.open(url, other_corpus) as other:

        def cross(mine: Catalog, theirs: str) -> None:
            def work(session: Session) -> None:
                attempts.append(theirs)
                if len(attempts) <= 2:
                    both_hold_theirs.wait(60)
                session.execute(select(CorpusRow.id).where(CorpusRow.id == theirs).with_for_update())

            mine._db.transact(work)

        with ThreadPoolExecutor(2) as pool:
            ends = [pool.submit(cross, catalog, other_corpus.id), pool.submit(cross, other, corpus.id)]
            for end in ends:
                end.result()
    assert len(attempts) == 3, "PostgreSQL ended one of them"


def test_what_will_not_go_by_is_not_tried_again(catalog: Catalog) -> None:
    tried: list[int] = []

    def work(session: Session) -> None:
        tried.append(1)
        session.execute(text("SELECT no_such_column FROM runs"))

    with pytest.raises(CorpusError, match="no_such_column"):
        catalog._db.transact(work)
    assert len(tried) == 1


def test_all_questions_of_one_reading_see_the_catalog_at_one_moment(catalog: Catalog) -> None:
    def work(session: Session) -> tuple[int, int]:
        def count() -> int:
            return session.scalar(text("SELECT count(*) FROM runs")) or 0

        before = count()
        catalog.begin_run("run-2", "recipe", "h", "{}")
        return before, count()

    assert catalog._db.read(work) == (1, 1)
    assert len(catalog.runs()) == 2


def test_an_open_catalog_holds_few_connections(own_server: Server, catalog: Catalog) -> None:
    with ThreadPoolExecutor(24) as pool:
        assert len(list(pool.map(lambda _: len(catalog.runs()), range(48)))) == 48
    with create_engine(own_server.url).connect() as administration:
        query = text("SELECT count(*) FROM pg_stat_activity WHERE datname = :name")
        held = administration.scalar(query, {"name": catalog._engine.url.database})
    assert held <= 8

"""Two builds of one corpus share its work: no unit is done by both, and none is lost with a run that died."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from threading import enumerate as enumerate_threads
from typing import Any

import pytest
from sqlalchemy import create_engine, update

from schemas.outcome import RunState
from schemas.rows import Written
from storage.catalog.catalog import Catalog
from storage.catalog.claims import signs_of_life
from storage.catalog.models import LeaseRow, RunRow
from storage.catalog.records import Claimed
from storage.corpus import Corpus


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return Corpus.open(tmp_path / "corpus", create=True)


@pytest.fixture
def catalog(url: str, corpus: Corpus) -> Iterator[Catalog]:
    with Catalog.open(url, corpus) as opened:
        for run in ("run-1", "run-2"):
            opened.begin_run(run, "recipe", "h", "{}")
        yield opened


def change(url: str, model: type[Any], column: Any, run: str, **values: object) -> None:
    with create_engine(url).begin() as connection:
        connection.execute(update(model).where(column == run).values(**values))


def elsewhere(url: str, run: str) -> None:
    """Makes a run one of another machine, where nobody here can look for its process."""
    change(url, RunRow, RunRow.id, run, host="another machine")


def test_what_one_run_has_taken_on_the_other_leaves_to_it(catalog: Catalog) -> None:
    assert catalog.claim("run-1", ["a", "b"]) == Claimed(frozenset("ab"), {})
    assert catalog.claim("run-2", ["b", "c"]) == Claimed(frozenset("c"), {"b": "run-1"})
    assert catalog.claim("run-1", ["a", "b"]) == Claimed(frozenset("ab"), {}), "a run may ask again for what it has"
    assert catalog.claim("run-1", []) == Claimed(frozenset(), {})


def test_what_ended_while_it_was_planned_is_not_given_out_again(
    catalog: Catalog, write: Callable[..., list[Written]], make: Any
) -> None:
    units = [make.sha(name) for name in "abc"]
    catalog.claim("run-1", units)
    catalog.commit("run-1", write(make.done("a"), make.filtered("b"), make.failed("c")))
    catalog.end_run("run-1", RunState.COMPLETED)
    assert catalog.claim("run-2", units) == Claimed(frozenset({make.sha("c")}), {}), "what failed is tried again"


@pytest.mark.parametrize("state", [RunState.COMPLETED, RunState.FAILED, RunState.INTERRUPTED])
def test_a_run_that_ended_has_nothing_any_more(catalog: Catalog, state: RunState) -> None:
    catalog.claim("run-1", ["a"])
    catalog.end_run("run-1", state)
    assert catalog.claim("run-2", ["a"]).taken == {"a"}
    assert not catalog.renew("run-1"), "a late sign of life does not bring it back"
    assert catalog.claim("run-2", ["a"]).taken == {"a"}


KILLED = """
import os, sys
from storage.catalog.catalog import Catalog
from storage.corpus import Corpus
with Catalog.open(sys.argv[1], Corpus.open(sys.argv[2])) as catalog:
    catalog.begin_run("run-gone", "r", "h", "{}")
    assert catalog.claim("run-gone", ["a", "b"]).taken == {"a", "b"}
    os.kill(os.getpid(), 9)
"""


def test_what_a_killed_run_of_this_machine_had_is_free_at_once(url: str, catalog: Catalog, corpus: Corpus) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, url, corpus.uri], capture_output=True, text=True)
    assert killed.returncode == -9, killed.stderr
    assert catalog.claim("run-1", ["a", "b"]) == Claimed(frozenset("ab"), {})


def test_what_a_silent_run_of_another_machine_had_is_free_after_its_lease(url: str, catalog: Catalog) -> None:
    catalog.claim("run-1", ["a"])
    elsewhere(url, "run-1")
    assert catalog.claim("run-2", ["a"]).held == {"a": "run-1"}
    change(url, LeaseRow, LeaseRow.run_id, "run-1", until=datetime.now(UTC) - timedelta(seconds=1))
    assert catalog.claim("run-2", ["a"]).taken == {"a"}
    assert catalog.claim("run-1", ["a"]).held == {"a": "run-2"}, "one that only seemed dead does not take it back"


def test_a_sign_of_life_and_a_commit_make_the_lease_last(
    url: str, catalog: Catalog, write: Callable[..., list[Written]], make: Any
) -> None:
    for sign in (lambda: catalog.renew("run-1"), lambda: catalog.commit("run-1", write(make.done("x")))):
        catalog.claim("run-1", ["a"])
        elsewhere(url, "run-1")
        change(url, LeaseRow, LeaseRow.run_id, "run-1", until=datetime.now(UTC) - timedelta(seconds=1))
        assert sign()
        assert catalog.claim("run-2", ["a"]).held == {"a": "run-1"}


def test_signs_of_life_are_given_until_the_work_is_over() -> None:
    given, thrice = [], Event()

    def give() -> bool:
        given.append(1)
        if len(given) >= 3:
            thrice.set()
        return True

    with signs_of_life(give, every=0.01):
        assert thrice.wait(60)
    assert not [thread for thread in enumerate_threads() if thread.name == "signs of life"]


def test_a_run_that_is_alive_here_keeps_its_lease(url: str, catalog: Catalog) -> None:
    elsewhere(url, "run-1")
    catalog.claim("run-1", ["a"])
    change(url, LeaseRow, LeaseRow.run_id, "run-1", until=datetime.now(UTC) - timedelta(seconds=1))
    with catalog.alive("run-1", every=0.01):
        while "run-1" not in catalog._db.read(catalog._claims.live):
            pass
    assert catalog.claim("run-2", ["a"]).held == {"a": "run-1"}


def test_many_that_ask_at_once_share_the_units_without_a_gap_or_an_overlap(url: str, corpus: Corpus) -> None:
    units = [f"unit-{number:03}" for number in range(400)]

    def ask(number: int) -> Claimed:
        mine = units if number % 2 else units[::-1]
        with Catalog.open(url, corpus) as catalog:
            catalog.begin_run(f"run-{number}", "r", "h", "{}")
            parts = [catalog.claim(f"run-{number}", mine[start : start + 50]) for start in range(0, 400, 50)]
        return Claimed(
            frozenset().union(*(part.taken for part in parts)), {k: v for part in parts for k, v in part.held.items()}
        )

    with ThreadPoolExecutor(4) as pool:
        answers = dict(enumerate(pool.map(ask, range(4))))
    owners = {unit: f"run-{number}" for number, answer in answers.items() for unit in answer.taken}
    assert sorted(owners) == units
    assert sum(len(answer.taken) for answer in answers.values()) == 400
    for answer in answers.values():
        assert all(owners[unit] == holder for unit, holder in answer.held.items())


def test_corpora_in_one_database_do_not_claim_from_each_other(url: str, catalog: Catalog, tmp_path: Path) -> None:
    catalog.claim("run-1", ["a"])
    with Catalog.open(url, Corpus.open(tmp_path / "other", create=True)) as other:
        other.begin_run("run-1", "r", "h", "{}")
        other.begin_run("run-3", "r", "h", "{}")
        assert other.claim("run-3", ["a"]).taken == {"a"}

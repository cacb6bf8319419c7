"""Rolling back: the good rows are back, the bad ones stay away, history is kept, and builds go on from there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from schemas.errors import CorpusError
from schemas.manifest import Manifest
from schemas.outcome import Outcome, RunState
from schemas.rows import Written
from schemas.triplet import Triplet
from storage import rollback, snapshots
from storage.catalog.catalog import Catalog
from storage.corpus import Corpus
from storage.publish import publish_corpus
from storage.rollback import roll_back

Write = Callable[..., list[Written]]


class Killed(BaseException):
    """The process dies here."""


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return Corpus.open(tmp_path / "corpus", create=True)


@pytest.fixture
def catalog(corpus: Corpus, url: str, make: Any) -> Iterator[Catalog]:
    """On every kind of database, since rollbacks ask questions of their own."""
    with Catalog.open(url, corpus) as opened:
        opened.begin_run("run-1", "recipe", make.sha("recipe"), "{}")
        opened.end_run("run-1", RunState.COMPLETED)
        yield opened


def units_of(corpus: Corpus, manifest: Manifest | None) -> list[str]:
    assert manifest is not None
    return sorted(
        triplet.unit for batch in snapshots.iter_triplets(corpus, manifest, 10) for triplet in Triplet.from_table(batch)
    )


def shas(make: Any, *names: str) -> list[str]:
    return sorted(make.sha(name) for name in names)


@pytest.fixture
def released(corpus: Corpus, catalog: Catalog, write: Write, make: Any) -> tuple[Manifest, Manifest]:
    """A good snapshot of rows a and b, and a bad one, in which a was replaced and c is new."""
    catalog.commit("run-1", write(make.done("a", "slot a"), make.done("b", "slot b")))
    good = publish_corpus(corpus, catalog, "run-1", "0")
    catalog.commit("run-2", write(make.done("a, bad", "slot a"), make.done("c, bad", "slot c")))
    bad = publish_corpus(corpus, catalog, "run-2", "0")
    assert good is not None
    assert bad is not None
    return good, bad


def test_the_rows_of_an_old_snapshot_are_published_as_the_next_one(
    corpus: Corpus, catalog: Catalog, make: Any, released: tuple[Manifest, Manifest]
) -> None:
    good, bad = released
    done = roll_back(corpus, catalog, good.number, "0")
    newest = snapshots.latest(corpus)
    assert newest is not None
    assert (done.published, done.rows, done.restored, done.withdrawn) == (3, 2, 1, 2)
    assert (newest.number, newest.parent) == (3, 2)
    assert (newest.shards, newest.statistics) == (good.shards, good.statistics)
    assert units_of(corpus, newest) == shas(make, "a", "b")
    assert units_of(corpus, bad) == shas(make, "a, bad", "b", "c, bad")
    assert snapshots.numbers(corpus) == [1, 2, 3]
    assert catalog.status().rows == 2


def test_the_next_build_neither_brings_the_bad_rows_back_nor_loses_the_good_ones(
    corpus: Corpus, catalog: Catalog, make: Any, write: Write, released: tuple[Manifest, Manifest]
) -> None:
    roll_back(corpus, catalog, 1, "0")
    bad = shas(make, "a, bad", "c, bad")
    ended = catalog.ended_units(bad)
    assert {unit: outcome for unit, (outcome, _) in ended.items()} == dict.fromkeys(bad, Outcome.FILTERED)
    assert all("rolled back to snapshot 1" in str(problem) for _, problem in ended.values())
    # As a build with the recipe of the bad release does it: it finds every unit ended, and has no work.
    for _ in range(2):
        catalog.assign("run-3", [("slot a", make.sha("a, bad")), ("slot c", make.sha("c, bad"))])
        catalog.commit("run-3", write(make.done("a, bad", "slot a")))
        assert publish_corpus(corpus, catalog, "run-3", "0") is None
    assert {reject.outcome.unit for reject in catalog.rejects()} == set(bad)


def test_a_mended_recipe_takes_the_place_of_rows_that_were_brought_back(
    corpus: Corpus, catalog: Catalog, write: Write, make: Any, released: tuple[Manifest, Manifest]
) -> None:
    roll_back(corpus, catalog, 1, "0")
    catalog.commit("run-3", write(make.done("a, mended", "slot a"), make.filtered("c, mended", "slot c")))
    manifest = publish_corpus(corpus, catalog, "run-3", "0")
    assert units_of(corpus, manifest) == shas(make, "a, mended", "b")
    catalog.commit("run-4", write(make.filtered("b, mended", "slot b")))
    assert units_of(corpus, publish_corpus(corpus, catalog, "run-4", "0")) == shas(make, "a, mended")


def test_a_row_from_before_that_a_recipe_goes_back_to_takes_the_place_too(
    corpus: Corpus, catalog: Catalog, write: Write, make: Any
) -> None:
    for run, unit in enumerate(("oldest", "old", "bad")):
        catalog.commit(f"run-{run}", write(make.done(unit, "slot")))
        publish_corpus(corpus, catalog, f"run-{run}", "0")
    roll_back(corpus, catalog, 2, "0")
    catalog.assign("run-5", [("slot", make.sha("oldest"))])
    assert units_of(corpus, publish_corpus(corpus, catalog, "run-5", "0")) == shas(make, "oldest")


def test_what_a_bad_release_refused_does_not_take_a_good_row_away(
    corpus: Corpus, catalog: Catalog, write: Write, make: Any
) -> None:
    catalog.commit("run-1", write(make.done("a", "slot a"), make.done("b", "slot b")))
    publish_corpus(corpus, catalog, "run-1", "0")
    catalog.commit("run-2", write(make.filtered("a, refused", "slot a")))
    publish_corpus(corpus, catalog, "run-2", "0")
    roll_back(corpus, catalog, 1, "0")
    catalog.assign("run-3", [("slot a", make.sha("a, refused"))])
    assert publish_corpus(corpus, catalog, "run-3", "0") is None
    assert units_of(corpus, snapshots.latest(corpus)) == shas(make, "a", "b")


def test_a_duplicate_that_the_bad_rows_kept_out_stays_away_with_them(
    corpus: Corpus, catalog: Catalog, write: Write, make: Any
) -> None:
    catalog.commit("run-1", write(make.done("a")))
    publish_corpus(corpus, catalog, "run-1", "0")
    said = '{"steps": ["Open the door"]}'
    catalog.commit("run-2", write(make.done("bad", output=said)))
    catalog.commit("run-3", write(make.done("bad twin", output=said)))
    publish_corpus(corpus, catalog, "run-3", "0")
    roll_back(corpus, catalog, 1, "0")
    assert publish_corpus(corpus, catalog, "run-4", "0") is None
    catalog.commit("run-5", write(make.done("good", output=said)))
    assert units_of(corpus, publish_corpus(corpus, catalog, "run-5", "0")) == shas(make, "a", "good")


def test_a_rollback_can_be_rolled_forward(
    corpus: Corpus, catalog: Catalog, make: Any, released: tuple[Manifest, Manifest]
) -> None:
    _, bad = released
    roll_back(corpus, catalog, 1, "0")
    done = roll_back(corpus, catalog, 2, "0")
    newest = snapshots.latest(corpus)
    assert newest is not None
    assert (done.published, newest.shards, newest.statistics) == (4, bad.shards, bad.statistics)
    assert publish_corpus(corpus, catalog, "run-3", "0") is None
    assert catalog.rejects() == []


def test_rolling_back_to_what_is_there_publishes_nothing(
    corpus: Corpus, catalog: Catalog, released: tuple[Manifest, Manifest]
) -> None:
    done = roll_back(corpus, catalog, 2, "0")
    assert (done.published, done.restored, done.withdrawn) == (None, 0, 0)
    assert roll_back(corpus, catalog, 1, "0").published == 3
    assert roll_back(corpus, catalog, 1, "0").published is None


def test_a_dry_run_says_what_would_change_and_changes_nothing(
    corpus: Corpus, catalog: Catalog, released: tuple[Manifest, Manifest]
) -> None:
    done = roll_back(corpus, catalog, 1, "0", dry_run=True)
    assert (done.published, done.restored, done.withdrawn) == (None, 1, 2)
    assert publish_corpus(corpus, catalog, "run-3", "0") is None
    assert snapshots.numbers(corpus) == [1, 2]


@pytest.mark.parametrize("where", ["before", "between", "after"])
def test_cut_off_anywhere_the_next_build_or_rollback_ends_it(
    corpus: Corpus,
    catalog: Catalog,
    make: Any,
    released: tuple[Manifest, Manifest],
    monkeypatch: pytest.MonkeyPatch,
    where: str,
) -> None:
    good, _ = released

    def die(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        if where == "before":
            patched.setattr(Catalog, "turn_to", die)
        elif where == "between":
            patched.setattr(rollback, "publish_admitted", die)
        else:
            patched.setattr(Catalog, "record_snapshot", die)
        with pytest.raises(Killed):
            roll_back(corpus, catalog, 1, "0")
    if where == "before":
        roll_back(corpus, catalog, 1, "0")
    else:
        publish_corpus(corpus, catalog, "run-3", "0")
    newest = snapshots.latest(corpus)
    assert newest is not None
    assert (newest.number, newest.shards) == (3, good.shards)
    assert [record.number for record in catalog.snapshots()] == [1, 2, 3]


def test_a_damaged_snapshot_is_not_gone_back_to(
    corpus: Corpus, catalog: Catalog, released: tuple[Manifest, Manifest]
) -> None:
    good, _ = released
    corpus.location.replace(good.shards[0].path, b"broken")
    with pytest.raises(CorpusError, match="snapshot 1 cannot be published"):
        roll_back(corpus, catalog, 1, "0")
    assert publish_corpus(corpus, catalog, "run-3", "0") is None


def test_a_run_under_way_is_waited_for_unless_told_otherwise(
    corpus: Corpus, catalog: Catalog, released: tuple[Manifest, Manifest]
) -> None:
    catalog.begin_run("run-9", "recipe", "0" * 64, "{}")
    with pytest.raises(CorpusError, match="run-9 is under way"):
        roll_back(corpus, catalog, 1, "0")
    assert roll_back(corpus, catalog, 1, "0", anyway=True).published == 3


def test_a_catalog_that_does_not_know_the_rows_is_refused(
    corpus: Corpus, released: tuple[Manifest, Manifest], tmp_path: Any
) -> None:
    with (
        Catalog.open(f"sqlite:///{tmp_path}/another.db", corpus) as another,
        pytest.raises(CorpusError, match="knows nothing of 2 of its rows"),
    ):
        roll_back(corpus, another, 1, "0")
    assert snapshots.numbers(corpus) == [1, 2]


def test_a_rollback_stands_among_the_runs(
    corpus: Corpus, catalog: Catalog, released: tuple[Manifest, Manifest]
) -> None:
    roll_back(corpus, catalog, 1, "0")
    run = catalog.runs(1)[0]
    assert (run.recipe_name, run.state, run.report and run.report.snapshot) == (
        "rollback to snapshot 1",
        RunState.COMPLETED,
        3,
    )

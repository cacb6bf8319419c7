"""A sample of what was published is proven anew, and what fails is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.errors import CorpusError
from schemas.rows import RESULT_SCHEMA, Result, Written
from storage import snapshots
from storage.catalog.catalog import Catalog
from storage.corpus import Corpus
from storage.publish import publish_corpus
from storage.write import WriteTriplets
from tasks.verify_sample import sample
from tests.storage.conftest import Make


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    """Forty rows in two shards, whose outputs follow no schema."""
    corpus = Corpus.open(tmp_path / "corpus", create=True)
    with Catalog.open(corpus.catalog_url(), corpus) as catalog:
        catalog.begin_run("run-1", "recipe", Make.sha("recipe"), "{}")
        for part in range(2):
            rows = [Make.done(f"{part} {number}") for number in range(20)]
            catalog.commit("run-1", Written.from_table(WriteTriplets(corpus.uri)(Result.to_table(rows, RESULT_SCHEMA))))
        publish_corpus(corpus, catalog, "run-1", "0")
    return corpus


def test_rows_that_do_not_hold_are_returned_with_their_reasons(corpus: Corpus) -> None:
    verdict = sample(corpus.uri, 7, seed=1)
    assert (verdict.snapshot, verdict.seed, verdict.rows) == (1, 1, 7)
    assert len({failure.input for failure in verdict.failures}) == 7
    assert all(failure.cause for failure in verdict.failures)


def test_a_seed_draws_the_same_rows_again_and_another_one_others(corpus: Corpus) -> None:
    def drawn(seed: int | None) -> set[str]:
        return {failure.input for failure in sample(corpus.uri, 7, seed=seed).failures}

    assert drawn(1) == drawn(1) != drawn(2)
    first = sample(corpus.uri, 7)
    assert {failure.input for failure in first.failures} == drawn(first.seed)


def test_a_small_corpus_is_looked_at_as_a_whole(corpus: Corpus) -> None:
    assert sample(corpus.uri, 1000).rows == 40


def test_a_damaged_and_a_missing_file_are_failures(corpus: Corpus) -> None:
    manifest = snapshots.latest(corpus)
    assert manifest is not None
    one, other = manifest.shards
    corpus.location.replace(one.path, corpus.location.read_bytes(one.path)[:-1])
    corpus.location.remove(other.path)
    verdict = sample(corpus.uri, 1000)
    assert verdict.rows == 0
    assert {failure.input for failure in verdict.failures} == {
        corpus.location.uri(one.path),
        corpus.location.uri(other.path),
    }


def test_nothing_published_is_nothing_to_fail(tmp_path: Path) -> None:
    empty = Corpus.open(tmp_path / "empty", create=True)
    verdict = sample(empty.uri, 10)
    assert (verdict.snapshot, verdict.rows, verdict.failures) == (None, 0, ())
    with pytest.raises(CorpusError, match="no snapshot 3"):
        sample(empty.uri, 10, snapshot=3)

"""A corpus keeps its identity wherever its folder goes."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from schemas.errors import CorpusError, UsageError
from storage.catalog.catalog import Catalog
from storage.catalog.engine import connect
from storage.corpus import Corpus


def test_a_corpus_is_made_once_and_found_again(corpus: Corpus) -> None:
    assert Corpus.open(corpus.uri) == corpus
    assert Corpus.open(corpus.uri, create=True) == corpus
    assert corpus.name.startswith("my corpus")


def test_a_moved_corpus_keeps_its_identity_and_its_catalog(tmp_path: Path) -> None:
    before = Corpus.open(tmp_path / "before", create=True)
    with Catalog.open(before.catalog_url(), before) as catalog:
        catalog.begin_run("run-1", "recipe", "hash", "{}")
    (tmp_path / "before").rename(tmp_path / "after #?%")
    after = Corpus.open(tmp_path / "after #?%")
    assert after.id == before.id
    with Catalog.open(after.catalog_url(), after) as catalog:
        assert [run.id for run in catalog.runs()] == ["run-1"]
    assert (tmp_path / "after #?%" / "catalog.db").exists()


def test_of_processes_that_make_a_corpus_at_once_all_get_the_same(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        opened = list(pool.map(lambda _: Corpus.open(tmp_path / "c", create=True), range(8)))
    assert len({corpus.id for corpus in opened}) == 1


def test_a_missing_corpus_is_named_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no corpus here") as caught:
        Corpus.open(tmp_path / "nothing")
    assert "dataclaw build" in caught.value.problem.remedy
    assert not (tmp_path / "nothing").exists()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"id": "x", "name": "n", "format": 1}'])
def test_a_malformed_identity_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "corpus.json").write_text(content)
    with pytest.raises(CorpusError, match=r"corpus\.json.*malformed"):
        Corpus.open(tmp_path)


def test_a_corpus_of_a_later_format_is_not_touched(tmp_path: Path) -> None:
    corpus = Corpus.open(tmp_path, create=True)
    identity = json.loads((tmp_path / "corpus.json").read_text())
    (tmp_path / "corpus.json").write_text(json.dumps({**identity, "format": 2}))
    with pytest.raises(CorpusError, match="format"):
        Corpus.open(corpus.uri)


def test_the_catalog_lies_in_a_local_corpus_and_must_be_named_for_any_other(tmp_path: Path) -> None:
    local = Corpus.open(tmp_path / "a #?%41\n", create=True)
    assert connect(local.catalog_url()).url.database == str(tmp_path / "a #?%41\n" / "catalog.db")
    assert local.catalog_url("postgresql://host/db") == "postgresql://host/db"
    remote = Corpus.open("memory://remote/corpus", create=True)
    with pytest.raises(UsageError, match=r"placement\.catalog"):
        remote.catalog_url()
    assert remote.catalog_url("sqlite:///x.db") == "sqlite:///x.db"

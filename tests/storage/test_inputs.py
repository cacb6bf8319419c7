"""What is known of inputs: settled when all that is asked of them is done and stands where it belongs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from schemas.rows import Written
from storage.catalog.catalog import Catalog
from storage.catalog.inputs import input_key, place_of
from storage.corpus import Corpus

Write = Callable[..., list[Written]]


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return Corpus.open(tmp_path / "corpus", create=True)


@pytest.fixture
def catalog(url: str, corpus: Corpus) -> Iterator[Catalog]:
    with Catalog.open(url, corpus) as opened:
        opened.begin_run("run-1", "recipe", "h", "{}")
        yield opened


def settled(catalog: Catalog, *keys: str) -> set[str]:
    catalog.sweep_inputs()
    return set(catalog.settled_inputs(keys))


def test_an_input_is_settled_when_every_unit_asked_of_it_is_done(catalog: Catalog, write: Write, make: Any) -> None:
    units = {name: (f"slot of {name}", make.sha(name)) for name in "abcd"}
    catalog.record_inputs({"one": [units["a"]], "two": [units["b"], units["c"]], "other": [units["d"]]})
    assert settled(catalog, "one", "two", "other", "unheard of") == set()
    catalog.commit("run-1", write(make.done("a"), make.done("b"), make.filtered("d")))
    assert settled(catalog, "one", "two", "other", "unheard of") == {"one"}
    catalog.commit("run-1", write(make.done("c")))
    catalog.sweep_inputs()
    assert catalog.settled_inputs(["one", "two", "other"]) == {"one": 1, "two": 2}
    assert catalog.settled_inputs([]) == {}


def test_an_input_whose_slot_another_unit_has_taken_is_forgotten(catalog: Catalog, write: Write, make: Any) -> None:
    catalog.record_inputs({"before": [("slot", make.sha("a"))]})
    catalog.commit("run-1", write(make.done("a", slot="slot")))
    assert settled(catalog, "before") == {"before"}
    catalog.commit("run-1", write(make.done("b", slot="slot")))
    assert settled(catalog, "before") == set()
    catalog.assign("run-1", [("slot", make.sha("a"))])
    assert settled(catalog, "before") == set(), "the next plan enters it again"


def test_what_is_asked_of_an_input_now_replaces_what_was(catalog: Catalog, write: Write, make: Any) -> None:
    catalog.record_inputs({"key": [("slot of a", make.sha("a")), ("slot of b", make.sha("b"))]})
    catalog.record_inputs({"key": [("slot of a", make.sha("a"))]})
    catalog.record_inputs({"key": [("slot of a", make.sha("a"))]})
    catalog.commit("run-1", write(make.done("a")))
    assert settled(catalog, "key") == {"key"}


def test_keys_of_one_folder_lie_together() -> None:
    a, b = (place_of("asked", folder) for folder in ("/a", "/b"))
    keys = sorted(input_key(place, name) for place in (a, b) for name in "xyz")
    assert {keys.index(input_key(a, name)) // 3 for name in "xyz"} in ({0}, {1})
    assert len(set(keys)) == 6
    assert {len(key) for key in keys} == {64}


def test_sqlite_finds_inputs_by_their_index_and_looks_through_no_table(tmp_path: Path, corpus: Corpus) -> None:
    """It knows nothing of how many rows there are, and once took the wrong index: each key took a millisecond."""
    asked: list[tuple[str, Any]] = []
    with Catalog.open(f"sqlite:///{tmp_path}/catalog.db", corpus) as catalog:
        event.listen(catalog._engine, "before_cursor_execute", lambda *a: asked.append((a[2], a[3])))
        catalog.settled_inputs(["one", "two"])
        questions = [question for question in asked if question[0].startswith("SELECT")]
        with catalog._engine.connect() as connection:
            steps = [
                step[3]
                for question, values in questions
                for step in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {question}", values)
            ]
    looked_up = [step for step in steps if "inputs" in step]
    assert len(looked_up) == 1
    assert all("COVERING INDEX inputs_by_key (corpus_id=? AND key=?" in step for step in looked_up), looked_up

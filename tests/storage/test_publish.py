"""Publishing: nothing is lost, nothing doubled, wherever it is cut off."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from schemas.manifest import Manifest
from schemas.recipe import Splitting
from schemas.rows import RESULT_SCHEMA, Result, Written
from schemas.triplet import Triplet
from storage import publish, snapshots
from storage.catalog.catalog import Catalog
from storage.corpus import Corpus
from storage.publish import publish_corpus
from storage.shards import write_parquet

Write = Callable[..., list[Written]]


class Killed(BaseException):
    """The process dies here."""


def units_of(corpus: Corpus, manifest: Manifest) -> list[str]:
    return sorted(
        triplet.unit for batch in snapshots.iter_triplets(corpus, manifest, 10) for triplet in Triplet.from_table(batch)
    )


def shas(make: Any, *names: str) -> list[str]:
    return sorted(make.sha(name) for name in names)


def test_what_was_committed_is_published_with_its_figures(
    corpus: Corpus, catalog: Catalog, write: Write, make: Any
) -> None:
    catalog.commit("run-1", write(make.done("a", reward=0.5), make.filtered("b")))
    catalog.commit("run-1", write(make.done("c", reward=1.0)))
    manifest = publish_corpus(corpus, catalog, "run-1", "1.2.3")
    assert manifest is not None
    assert snapshots.latest(corpus) == manifest
    assert (manifest.number, manifest.parent, manifest.run, manifest.corpus) == (1, None, "run-1", corpus.id)
    assert manifest.statistics.model_dump() == {
        "rows": 2,
        "by_domain": {"gui": 2},
        "by_task_type": {"tutorial": 2},
        "reward_mean": 0.75,
        "reward_min": 0.5,
        "by_split": {"train": 1, "validation": 1},
        "tasks": {"tutorial": {"rows": 2, "streams": 2, "diversity": 1.0}},
    }
    assert units_of(corpus, manifest) == shas(make, "a", "c")
    assert snapshots.verify_files(corpus, manifest) == []
    (record,) = catalog.snapshots()
    assert (record.number, record.rows, record.shards) == (1, 2, 2)


def test_nothing_new_is_no_snapshot(corpus: Corpus, catalog: Catalog, write: Write, make: Any) -> None:
    assert publish_corpus(corpus, catalog, "run-1", "0") is None
    catalog.commit("run-1", written := write(make.done("a")))
    assert publish_corpus(corpus, catalog, "run-1", "0") is not None
    assert publish_corpus(corpus, catalog, "run-2", "0") is None
    catalog.commit("run-2", written)
    catalog.commit("run-2", write(make.filtered("b"), make.failed("c")))
    assert publish_corpus(corpus, catalog, "run-2", "0") is None
    assert snapshots.numbers(corpus) == [1]


def test_rows_that_were_replaced_leave_the_next_snapshot_and_stay_in_the_last(
    corpus: Corpus, catalog: Catalog, write: Write, make: Any
) -> None:
    catalog.commit("run-1", write(make.done("a", "slot a"), make.done("b", "slot b")))
    first = publish_corpus(corpus, catalog, "run-1", "0")
    catalog.commit("run-2", write(make.done("a, new recipe", "slot a")))
    second = publish_corpus(corpus, catalog, "run-2", "0")
    assert first is not None
    assert second is not None
    assert (second.number, second.parent) == (2, 1)
    assert units_of(corpus, second) == shas(make, "a, new recipe", "b")
    assert units_of(corpus, first) == shas(make, "a", "b")
    assert snapshots.verify_files(corpus, first) == snapshots.verify_files(corpus, second) == []
    catalog.assign("run-3", [("slot a", make.sha("a"))])
    third = publish_corpus(corpus, catalog, "run-3", "0")
    assert third is not None
    assert units_of(corpus, third) == shas(make, "a", "b")


def test_when_the_last_row_goes_an_empty_snapshot_says_so(
    corpus: Corpus, catalog: Catalog, write: Write, make: Any
) -> None:
    catalog.commit("run-1", write(make.done("a", "slot")))
    publish_corpus(corpus, catalog, "run-1", "0")
    catalog.commit("run-2", write(make.filtered("b", "slot")))
    manifest = publish_corpus(corpus, catalog, "run-2", "0")
    assert manifest is not None
    assert (manifest.shards, manifest.statistics.rows) == ((), 0)
    assert publish_corpus(corpus, catalog, "run-2", "0") is None


def test_a_row_written_twice_in_one_shard_is_published_once(
    corpus: Corpus, catalog: Catalog, write: Write, make: Any
) -> None:
    catalog.commit("run-1", write(make.done("a"), make.done("a"), make.done("b")))
    manifest = publish_corpus(corpus, catalog, "run-1", "0")
    assert manifest is not None
    assert units_of(corpus, manifest) == shas(make, "a", "b")


def rows_by_split(corpus: Corpus, manifest: Manifest) -> dict[str, int]:
    """Counted by a reader that knows files only; every file must have the column."""
    found: Counter[str] = Counter()
    for shard in manifest.shards:
        with corpus.location.open(shard.path) as file:
            found.update(pq.read_table(file)["split"].to_pylist())
    return dict(found)


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_files_say_the_split_that_their_rows_have(
    corpus: Corpus, catalog: Catalog, write: Write, make: Any, share: float
) -> None:
    split = Splitting(validation_share=share)
    catalog.commit("run-1", write(*(make.done(str(number)) for number in range(20))))
    manifest = publish_corpus(corpus, catalog, "run-1", "0", split=split)
    assert manifest is not None
    assert rows_by_split(corpus, manifest) == manifest.statistics.by_split
    assert manifest.statistics.by_split.get("validation", 0) in {0.0: [0], 0.4: range(3, 14), 1.0: [20]}[share]
    assert publish_corpus(corpus, catalog, "run-2", "0", split=split) is None
    catalog.commit("run-2", write(make.done("new")))
    second = publish_corpus(corpus, catalog, "run-2", "0", split=split)
    assert second is not None
    assert set(manifest.shards) < set(second.shards)


def test_rows_of_before_there_were_splits_and_signatures_get_both(
    corpus: Corpus, catalog: Catalog, write: Write, make: Any
) -> None:
    written = write(make.done("a"), make.done("b"), make.done("c", stream=make.stream("a"), output='{"steps": []}'))
    assert written[0].shard is not None
    with corpus.location.open(written[0].shard) as file:
        old = write_parquet(corpus.location, "data", pq.read_table(file).drop_columns("split"))
    place = {"shard": old.path, "shard_sha256": old.sha256, "shard_size": old.size, "split": None, "signature": None}
    catalog.commit("run-1", [row.model_copy(update=place) for row in written])
    manifest = publish_corpus(corpus, catalog, "run-1", "0")
    assert manifest is not None
    assert units_of(corpus, manifest) == shas(make, "a", "b", "c")
    assert rows_by_split(corpus, manifest) == manifest.statistics.by_split
    assert publish_corpus(corpus, catalog, "run-2", "0") is None


def test_a_duplicate_is_left_out_of_the_files_and_comes_back_when_the_other_goes(
    corpus: Corpus, catalog: Catalog, write: Write, make: Any
) -> None:
    said = '{"steps": ["Open the door"]}'
    catalog.commit("run-1", write(make.done("b", "slot b", output=said)))
    catalog.commit("run-2", write(make.done("a", output=said), make.done("c")))
    first = publish_corpus(corpus, catalog, "run-2", "0")
    assert first is not None
    assert units_of(corpus, first) == shas(make, "b", "c")
    catalog.commit("run-3", write(make.filtered("b2", "slot b")))
    second = publish_corpus(corpus, catalog, "run-3", "0")
    assert second is not None
    assert units_of(corpus, second) == shas(make, "a", "c")
    assert snapshots.verify_files(corpus, second) == []


STEPS = [
    ("write_shard before", publish, "write_shard", True),
    ("write_shard after", publish, "write_shard", False),
    ("replace_shard before", Catalog, "replace_shard", True),
    ("replace_shard after", Catalog, "replace_shard", False),
    ("publish before", snapshots, "publish", True),
    ("publish after", snapshots, "publish", False),
    ("record_snapshot before", Catalog, "record_snapshot", True),
    ("record_snapshot after", Catalog, "record_snapshot", False),
]


@pytest.mark.parametrize(("place", "name", "before"), [step[1:] for step in STEPS], ids=[step[0] for step in STEPS])
def test_killed_at_any_step_the_next_run_publishes_all_once(
    corpus: Corpus, catalog: Catalog, write: Write, make: Any, place: Any, name: str, before: bool
) -> None:
    catalog.commit("run-1", write(make.done("a", "slot a"), make.done("b", "slot b"), make.done("c", "slot c")))
    assert publish_corpus(corpus, catalog, "run-1", "0") is not None
    catalog.commit("run-2", write(make.done("a2", "slot a"), make.done("d", "slot d")))
    catalog.commit("run-2", write(make.filtered("d2", "slot d")))
    original = getattr(place, name)

    def die(*arguments: Any) -> Any:
        if not before:
            original(*arguments)
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(place, name, die)
        with pytest.raises(Killed):
            publish_corpus(corpus, catalog, "run-2", "0")
    # Readers see the old snapshot or the new one, whole.
    seen = snapshots.latest(corpus)
    assert seen is not None
    assert snapshots.verify_files(corpus, seen) == []
    assert len(units_of(corpus, seen)) == 3

    publish_corpus(corpus, catalog, "run-3", "0")
    final = snapshots.latest(corpus)
    assert final is not None
    assert final.number == 2
    assert units_of(corpus, final) == shas(make, "a2", "b", "c")
    assert snapshots.verify_files(corpus, final) == []
    assert [record.number for record in catalog.snapshots()] == [1, 2]
    assert publish_corpus(corpus, catalog, "run-4", "0") is None


def test_killed_between_shard_and_commit_the_work_is_done_again_and_published_once(
    corpus: Corpus, catalog: Catalog, write: Write, make: Any
) -> None:
    write(make.done("a"))  # and the driver dies
    assert catalog.ended_units([make.sha("a")]) == {}
    assert publish_corpus(corpus, catalog, "run-1", "0") is None
    catalog.commit("run-2", write(make.done("a"), make.done("b")))
    manifest = publish_corpus(corpus, catalog, "run-2", "0")
    assert manifest is not None
    assert units_of(corpus, manifest) == shas(make, "a", "b")


def test_killed_within_a_commit_nothing_of_it_is_known(
    corpus: Corpus, catalog: Catalog, write: Write, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: Any) -> None:
        raise Killed

    written = write(make.done("a"), make.filtered("b"))
    with monkeypatch.context() as patch:
        patch.setattr(Catalog, "_assign", die)
        with pytest.raises(Killed):
            catalog.commit("run-1", written)
    assert catalog.ended_units([make.sha("a"), make.sha("b")]) == {}
    assert catalog.rejects(run="run-1") == []
    assert catalog.commit("run-2", written).done == 1


def test_a_lost_race_ends_in_the_next_number_with_all_rows(
    corpus: Corpus, catalog: Catalog, write: Write, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog.commit("run-1", write(make.done("a")))
    original = snapshots.publish
    raced = []

    def overtaken(corpus: Corpus, manifest: Manifest) -> None:
        if not raced:
            raced.append(manifest.number)
            original(corpus, manifest.model_copy(update={"run": "the other", "shards": ()}))
        original(corpus, manifest)

    monkeypatch.setattr(snapshots, "publish", overtaken)
    manifest = publish_corpus(corpus, catalog, "run-1", "0")
    assert manifest is not None
    assert (manifest.number, manifest.parent) == (2, 1)
    assert units_of(corpus, manifest) == shas(make, "a")
    assert [record.number for record in catalog.snapshots()] == [1, 2]


def test_a_number_once_used_is_not_used_again(corpus: Corpus, catalog: Catalog, write: Write, make: Any) -> None:
    catalog.commit("run-1", write(make.done("a")))
    publish_corpus(corpus, catalog, "run-1", "0")
    corpus.location.remove("snapshots/000001.json")
    manifest = publish_corpus(corpus, catalog, "run-2", "0")
    assert manifest is not None
    assert (manifest.number, manifest.parent) == (2, None)


WORKER = """
import sys
import pyarrow.parquet as pq
from schemas.rows import RESULT_SCHEMA, Result, Written
from storage.catalog.catalog import Catalog
from storage.corpus import Corpus
from storage.publish import publish_corpus
from storage.write import WriteTriplets

corpus = Corpus.open(sys.argv[1])
results = pq.read_table(sys.argv[2])
with Catalog.open(corpus.catalog_url(), corpus) as catalog:
    for number in range(results.num_rows):
        catalog.commit("run", Written.from_table(WriteTriplets(corpus.uri)(results.slice(number, 1))))
        publish_corpus(corpus, catalog, "run", "0")
        print(number, flush=True)
"""


@pytest.mark.parametrize("after", [0, 4])
def test_a_process_killed_at_work_leaves_a_corpus_that_the_next_one_completes(
    tmp_path: Path, make: Any, after: int
) -> None:
    corpus = Corpus.open(tmp_path / "corpus", create=True)
    names = [str(number) for number in range(15)]
    pq.write_table(Result.to_table(map(make.done, names), RESULT_SCHEMA), tmp_path / "results.parquet")
    command = [sys.executable, "-c", WORKER, corpus.uri, str(tmp_path / "results.parquet")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as worker:
        assert worker.stdout is not None
        for _ in range(after + 1):
            worker.stdout.readline()
        worker.kill()
    last = snapshots.latest(corpus)
    assert last is not None
    assert last.statistics.rows > after
    assert snapshots.verify_files(corpus, last) == []

    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    final = snapshots.latest(corpus)
    assert final is not None
    assert units_of(corpus, final) == shas(make, *names)
    assert snapshots.verify_files(corpus, final) == []

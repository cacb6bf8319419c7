"""Maintenance: fewer and larger files, old snapshots gone, nothing that anybody needs is lost."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from schemas.errors import CorpusError
from schemas.manifest import Manifest
from schemas.outcome import RunState
from schemas.rows import Written
from schemas.triplet import Triplet
from storage import expiry, maintenance, snapshots
from storage.anchors import write_anchors
from storage.catalog.catalog import Catalog
from storage.compaction import compact
from storage.corpus import Corpus
from storage.maintenance import Policy, maintain
from storage.publish import publish_corpus
from storage.rollback import roll_back

Write = Callable[..., list[Written]]
NOW = timedelta(0)
ALL = Policy(keep=1, days=0.0, grace=NOW, fewest=2)


class Killed(BaseException):
    """The process dies here."""


@pytest.fixture
def catalog(catalog: Catalog) -> Catalog:
    catalog.end_run("run-1", RunState.COMPLETED)
    return catalog


@pytest.fixture
def nights(corpus: Corpus, catalog: Catalog, write: Write, make: Any) -> list[Manifest]:
    """A snapshot for each of four nights, each with a row more."""
    made = []
    for night in range(4):
        catalog.commit(f"run-{night}", write(make.done(f"night {night}")))
        manifest = publish_corpus(corpus, catalog, f"run-{night}", "0")
        assert manifest is not None
        made.append(manifest)
    return made


def rows_of(corpus: Corpus, manifest: Manifest | None) -> dict[str, Triplet]:
    assert manifest is not None
    assert snapshots.verify_files(corpus, manifest) == []
    return {
        triplet.id: triplet
        for batch in snapshots.iter_triplets(corpus, manifest, 10)
        for triplet in Triplet.from_table(batch)
    }


def files(corpus: Corpus) -> set[str]:
    return {file.path for folder in ("data", "anchors") for file in corpus.location.files(folder)}


def test_small_shards_become_one_and_rows_stay_what_they_are(
    corpus: Corpus, catalog: Catalog, nights: list[Manifest]
) -> None:
    before = rows_of(corpus, nights[-1])
    done = maintain(corpus, catalog, "0", Policy(grace=NOW, fewest=2))
    newest = snapshots.latest(corpus)
    assert newest is not None
    assert (done.compacted.before, done.compacted.after, done.published) == (4, 1, 5)
    assert len(newest.shards) == 1
    assert rows_of(corpus, newest) == before
    assert newest.statistics == nights[-1].statistics
    for manifest in nights:  # readers of older snapshots find what they found before
        assert rows_of(corpus, manifest).keys() <= before.keys()
    assert publish_corpus(corpus, catalog, "run-9", "0") is None
    assert maintain(corpus, catalog, "0", Policy(grace=NOW, fewest=2)).compacted.before == 0


def test_merged_shards_reach_the_target_and_a_few_small_ones_wait_for_more(
    corpus: Corpus, catalog: Catalog, nights: list[Manifest]
) -> None:
    size = max(shard.size for shard in nights[-1].shards)
    assert compact(corpus, catalog, target=4 * size, fewest=5, dry_run=True).before == 0
    assert compact(corpus, catalog, target=2 * size + 1, fewest=5, dry_run=True).before in {0, 3}
    assert compact(corpus, catalog, target=size, dry_run=True).before == 0


def test_dead_rows_are_left_out_of_merged_shards_and_can_come_back(
    corpus: Corpus, catalog: Catalog, write: Write, make: Any
) -> None:
    catalog.commit("run-1", write(make.done("a", "slot a"), make.done("b", "slot b")))
    publish_corpus(corpus, catalog, "run-1", "0")
    catalog.commit("run-2", write(make.done("a2", "slot a")))
    maintain(corpus, catalog, "0", ALL)
    publish_corpus(corpus, catalog, "run-2", "0")
    maintain(corpus, catalog, "0", ALL)
    units = {triplet.unit for triplet in rows_of(corpus, snapshots.latest(corpus)).values()}
    assert units == {make.sha("a2"), make.sha("b")}
    catalog.assign("run-3", [("slot a", make.sha("a"))])
    publish_corpus(corpus, catalog, "run-3", "0")
    units = {triplet.unit for triplet in rows_of(corpus, snapshots.latest(corpus)).values()}
    assert units == {make.sha("a"), make.sha("b")}


@pytest.mark.parametrize("step", ["first replace", "second replace", "publish"])
def test_compaction_cut_off_anywhere_loses_and_doubles_nothing(
    corpus: Corpus, catalog: Catalog, nights: list[Manifest], monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    before = rows_of(corpus, nights[-1])
    real, calls = Catalog.replace_shard, iter(range(100))

    def replace(self: Catalog, *args: Any) -> None:
        if next(calls) == {"first replace": 0, "second replace": 1}.get(step):
            raise Killed
        real(self, *args)

    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(Catalog, "replace_shard", replace)
        if step == "publish":
            patched.setattr(maintenance, "publish_admitted", die)
        with pytest.raises(Killed):
            maintain(corpus, catalog, "0", ALL)
    assert rows_of(corpus, snapshots.latest(corpus)) == before
    publish_corpus(corpus, catalog, "run-9", "0")
    assert rows_of(corpus, snapshots.latest(corpus)) == before
    maintain(corpus, catalog, "0", ALL)
    assert rows_of(corpus, snapshots.latest(corpus)) == before


@pytest.mark.parametrize(
    ("keep", "days", "gone"), [(1, 0.0, [1, 2, 3]), (3, 0.0, [1]), (1, 1.0, []), (0, 0.0, [1, 2, 3]), (9, 0.0, [])]
)
def test_snapshots_stay_by_number_or_by_age_and_the_newest_always(
    corpus: Corpus, nights: list[Manifest], keep: int, days: float, gone: list[int]
) -> None:
    numbers, kept = expiry.expired(corpus, keep, days)
    assert numbers == gone
    assert kept == [manifest for manifest in nights if manifest.number not in gone]
    later = datetime.now(UTC) + timedelta(days=2)
    assert expiry.expired(corpus, 1, 1.0, now=later)[0] == [1, 2, 3]


def test_what_only_expired_snapshots_named_goes_and_numbers_are_not_used_again(
    corpus: Corpus, catalog: Catalog, nights: list[Manifest], write: Write, make: Any
) -> None:
    old = {shard.path for shard in nights[-1].shards}
    done = maintain(corpus, catalog, "0", ALL)
    newest = snapshots.latest(corpus)
    assert newest is not None
    assert done.expired == (1, 2, 3, 4)
    assert done.orphans == 4
    assert done.orphan_bytes == sum(shard.size for shard in nights[-1].shards)
    assert files(corpus) == {shard.path for shard in newest.shards}
    assert not old & files(corpus)
    assert snapshots.numbers(corpus) == [5]
    catalog.commit("run-9", write(make.done("next")))
    manifest = publish_corpus(corpus, catalog, "run-9", "0")
    assert manifest is not None
    assert manifest.number == 6


def test_the_newest_manifest_cannot_be_removed(corpus: Corpus, nights: list[Manifest]) -> None:
    with pytest.raises(CorpusError, match="is the newest snapshot"):
        snapshots.remove(corpus, 4)
    assert snapshots.latest(corpus) == nights[-1]


def test_left_over_files_go_only_after_the_grace_period(
    corpus: Corpus, catalog: Catalog, nights: list[Manifest], write: Write, make: Any
) -> None:
    (left,) = write(make.done("never committed"))
    corpus.location.replace("data/half.tmp", b"half written")
    assert maintain(corpus, catalog, "0", Policy(grace=timedelta(hours=1))).orphans == 0
    done = maintain(corpus, catalog, "0", Policy(grace=NOW))
    assert done.orphans == 2
    assert left.shard not in files(corpus)
    assert not corpus.location.exists("data/half.tmp")
    assert rows_of(corpus, nights[-1])


def test_what_a_run_under_way_may_still_commit_stays(
    corpus: Corpus, catalog: Catalog, nights: list[Manifest], write: Write, make: Any
) -> None:
    catalog.begin_run("run-7", "recipe", "0" * 64, "{}")
    written = write(make.done("late"))
    anchors = write_anchors(corpus.location, "run-7", [("key", "ocr", "sig", [make.anchor(make.stream())])])
    done = maintain(corpus, catalog, "0", Policy(grace=NOW))
    assert (done.orphans, done.waits_for) == (0, ("run-7",))
    catalog.commit("run-7", written)
    assert publish_corpus(corpus, catalog, "run-7", "0") is not None
    catalog.end_run("run-7", RunState.FAILED)
    maintain(corpus, catalog, "0", Policy(grace=NOW))
    assert anchors.path not in files(corpus)  # it ended, and the catalog never heard of them
    assert rows_of(corpus, snapshots.latest(corpus))


def test_a_file_written_anew_meanwhile_is_left_alone(
    corpus: Corpus, catalog: Catalog, nights: list[Manifest], write: Write, make: Any
) -> None:
    (left,) = write(make.done("repeated"))
    assert left.shard is not None
    hour = timedelta(hours=1)
    later = datetime.now(UTC) + 2 * hour
    (orphan,) = expiry.orphans(corpus, catalog, nights, hour, now=later)
    assert orphan.path == left.shard
    assert not expiry.remove(corpus, orphan, hour)
    assert corpus.location.exists(left.shard)


def test_anchors_that_the_catalog_knows_stay(
    corpus: Corpus, catalog: Catalog, nights: list[Manifest], make: Any
) -> None:
    rows = [("key", "ocr", "sig", [make.anchor(make.stream())])]
    kept = write_anchors(corpus.location, "run-1", rows)
    catalog.record_anchors("run-1", [(kept, [("key", "ocr", "sig")])])
    twice = write_anchors(corpus.location, "run-2", rows)
    catalog.record_anchors("run-2", [(twice, [("key", "ocr", "sig")])])
    maintain(corpus, catalog, "0", Policy(grace=NOW))
    assert kept.path in files(corpus)
    assert twice.path not in files(corpus)


def test_a_reader_that_lists_before_and_reads_after_an_expiry_finds_the_newest(
    corpus: Corpus, catalog: Catalog, nights: list[Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = snapshots.numbers, iter(range(100))
    monkeypatch.setattr(snapshots, "numbers", lambda of: [1, 2] if next(calls) == 0 else real(of))
    corpus.location.remove("snapshots/000002.json")
    assert snapshots.latest(corpus) == nights[-1]


BUILDER = """
import sys
from conftest import Make
from schemas.rows import RESULT_SCHEMA, Result, Written
from storage.catalog.catalog import Catalog
from storage.corpus import Corpus
from storage.publish import publish_corpus
from storage.write import WriteTriplets

uri, url = sys.argv[1:]
corpus = Corpus.open(uri)
with Catalog.open(url, corpus) as catalog:
    catalog.begin_run("builder", "recipe", Make.sha("recipe"), "{}")
    for night in range(12):
        rows = Result.to_table([Make.done(f"{night} {part}") for part in range(2)], RESULT_SCHEMA)
        catalog.commit("builder", Written.from_table(WriteTriplets(uri)(rows)))
        publish_corpus(corpus, catalog, "builder", "0")
"""


@pytest.mark.long
def test_a_build_of_another_process_loses_nothing_to_maintenance(tmp_path: Path, make: Any) -> None:
    corpus = Corpus.open(tmp_path / "corpus", create=True)
    url = corpus.catalog_url()
    root = Path(__file__).resolve().parents[2]
    with Catalog.open(url, corpus) as catalog:
        builder = subprocess.Popen(
            [sys.executable, "-c", BUILDER, corpus.uri, url],
            env={**os.environ, "PYTHONPATH": f"{root}:{root / 'tests' / 'storage'}"},
            stderr=subprocess.PIPE,
        )
        merged = 0
        while builder.poll() is None:
            merged += maintain(corpus, catalog, "0", Policy(keep=3, days=0.0, grace=NOW, fewest=2)).compacted.before
        assert builder.returncode == 0, builder.communicate()[1].decode()
        builder.communicate()
        publish_corpus(corpus, catalog, "run-9", "0")
        maintain(corpus, catalog, "0", ALL)
        assert merged
        units = {triplet.unit for triplet in rows_of(corpus, snapshots.latest(corpus)).values()}
        assert units == {make.sha(f"{night} {part}") for night in range(12) for part in range(2)}
        assert len(files(corpus)) == 1


def test_a_rollback_after_maintenance_finds_all_it_needs(
    corpus: Corpus, catalog: Catalog, nights: list[Manifest]
) -> None:
    before = rows_of(corpus, nights[1])
    maintain(corpus, catalog, "0", Policy(keep=9, grace=NOW, fewest=2))
    roll_back(corpus, catalog, 2, "0")
    maintain(corpus, catalog, "0", Policy(keep=9, grace=NOW, fewest=2))
    assert rows_of(corpus, snapshots.latest(corpus)) == before
    roll_back(corpus, catalog, 4, "0")
    assert rows_of(corpus, snapshots.latest(corpus)) == rows_of(corpus, nights[3])


def test_a_dry_run_removes_and_writes_nothing(corpus: Corpus, catalog: Catalog, nights: list[Manifest]) -> None:
    before = files(corpus)
    done = maintain(corpus, catalog, "0", ALL, dry_run=True)
    assert done.dry_run
    assert (done.compacted.before, done.expired) == (4, (1, 2, 3))
    assert done.bytes_after == done.bytes_before > 0
    assert files(corpus) == before
    assert snapshots.numbers(corpus) == [1, 2, 3, 4]


def test_another_corpus_catalog_is_refused_before_anything_is_removed(
    corpus: Corpus, nights: list[Manifest], tmp_path: Any
) -> None:
    before = files(corpus)
    with (
        Catalog.open(f"sqlite:///{tmp_path}/another.db", corpus) as another,
        pytest.raises(CorpusError, match="knows none of its runs and snapshots"),
    ):
        maintain(corpus, another, "0", ALL)
    assert files(corpus) == before


def test_the_catalog_gives_its_space_back(url: str, corpus: Corpus, make: Any) -> None:
    with Catalog.open(url, corpus) as catalog:
        names = [f"/raw/{number}" + "x" * 500 for number in range(3000)]
        catalog.record_files((name, "print", make.sha(name), 1) for name in names)
        with catalog._engine.begin() as connection:
            connection.exec_driver_sql("DELETE FROM files")
        freed = catalog.vacuum()
        assert freed > 1_000_000 or not url.startswith("sqlite")
        assert catalog.known_files(names[:1]) == {}
        catalog.begin_run("run-1", "recipe", make.sha("recipe"), "{}")
        assert [run.id for run in catalog.runs()] == ["run-1"]


def test_merged_shards_hold_the_row_groups_that_readers_bound_their_memory_by(
    corpus: Corpus, catalog: Catalog, write: Write, make: Any
) -> None:
    for part in range(3):
        catalog.commit("run-1", write(*(make.done(f"{part} {number}") for number in range(9))))
    publish_corpus(corpus, catalog, "run-1", "0")
    maintain(corpus, catalog, "0", ALL)
    manifest = snapshots.latest(corpus)
    assert manifest is not None
    (shard,) = manifest.shards
    with corpus.location.open(shard.path) as file:
        parquet = pq.ParquetFile(file)
        assert [parquet.metadata.row_group(number).num_rows for number in range(2)] == [16, 11]
    assert os.path.basename(shard.path) == f"{shard.sha256}.parquet"
    assert compact(corpus, catalog, fewest=2).before == 0

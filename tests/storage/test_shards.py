"""Shards are immutable, named by their content, and readable by anyone."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas.errors import CorpusError
from schemas.geometry import Box
from schemas.triplet import TRIPLET_SCHEMA, Triplet
from storage.corpus import Corpus
from storage.location import Location
from storage.shards import iter_shard, read_shard, verify_shard, write_shard


def test_triplets_come_back_as_they_were(corpus: Corpus, make: Any) -> None:
    triplets = [make.triplet("a"), make.triplet("b")]
    shard = write_shard(corpus.location, "data", Triplet.to_table(triplets, TRIPLET_SCHEMA))
    assert shard.path == f"data/{shard.sha256}.parquet"
    assert (shard.rows, shard.size) == (2, corpus.location.size(shard.path))
    table = read_shard(corpus.location, shard.path)
    assert table.schema.equals(TRIPLET_SCHEMA)
    assert Triplet.from_table(table) == triplets
    assert read_shard(corpus.location, shard.path, ["id", "score"]).column_names == ["id", "score"]
    verify_shard(corpus.location, shard)


def test_the_same_content_is_the_same_file(corpus: Corpus, make: Any) -> None:
    table = Triplet.to_table([make.triplet("a")], TRIPLET_SCHEMA)
    assert write_shard(corpus.location, "data", table) == write_shard(corpus.location, "data", table)
    assert len(corpus.location.names("data")) == 1


def test_rows_are_read_a_few_at_a_time(corpus: Corpus, make: Any) -> None:
    triplets = [make.triplet(str(number)) for number in range(40)]
    shard = write_shard(corpus.location, "data", Triplet.to_table(triplets, TRIPLET_SCHEMA))
    batches = list(iter_shard(corpus.location, shard.path, 7))
    assert max(batch.num_rows for batch in batches) <= 7
    assert [t for batch in batches for t in Triplet.from_table(batch)] == triplets
    with corpus.location.open(shard.path) as file:
        groups = pq.ParquetFile(file).metadata
        assert max(groups.row_group(i).num_rows for i in range(groups.num_row_groups)) <= 16


def test_the_first_rows_are_there_before_the_whole_shard_is_read(corpus: Corpus, make: Any) -> None:
    triplet = make.triplet("a")
    (frame,) = triplet.evidence
    noise = [frame.image.model_copy(update={"bytes": os.urandom(100_000)}) for _ in range(64)]
    triplets = [
        triplet.model_copy(update={"evidence": (frame.model_copy(update={"image": image}),)}) for image in noise
    ]
    shard = write_shard(corpus.location, "data", Triplet.to_table(triplets, TRIPLET_SCHEMA))
    before = pa.total_allocated_bytes()
    tracemalloc.start()
    try:
        first = next(iter_shard(corpus.location, shard.path, 1))
        _, held = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert first.num_rows == 1
    assert held + pa.total_allocated_bytes() - before < 0.75 * shard.size


def test_a_shard_with_a_changed_or_missing_byte_is_found_out(corpus: Corpus, make: Any) -> None:
    shard = write_shard(corpus.location, "data", Triplet.to_table([make.triplet("a")], TRIPLET_SCHEMA))
    data = corpus.location.read_bytes(shard.path)
    corpus.location.replace(shard.path, data[:-1])
    with pytest.raises(CorpusError, match="not those that were published"):
        verify_shard(corpus.location, shard)
    with pytest.raises(CorpusError, match="damaged"):
        read_shard(corpus.location, shard.path)
    corpus.location.remove(shard.path)
    with pytest.raises(CorpusError, match="cannot be read"):
        verify_shard(corpus.location, shard)


def test_a_row_count_that_the_manifest_has_wrong_is_found_out(corpus: Corpus, make: Any) -> None:
    shard = write_shard(corpus.location, "data", Triplet.to_table([make.triplet("a")], TRIPLET_SCHEMA))
    with pytest.raises(CorpusError, match="holds 1 rows where the manifest says 2"):
        verify_shard(corpus.location, shard.model_copy(update={"rows": 2}))


@pytest.mark.parametrize("boxes", [[None], [None, (0, 0, 1, 1)], [(0, 0, 1, 1)]])
def test_what_engines_loosen_is_put_right(corpus: Corpus, make: Any, boxes: list[Any]) -> None:
    triplet = make.triplet("a")
    box = [box and Box.clipped(*box) for box in boxes]
    anchors = tuple(triplet.anchors[0].model_copy(update={"box": item}) for item in box)
    triplet = triplet.model_copy(update={"anchors": anchors})
    table = Triplet.to_table([triplet], TRIPLET_SCHEMA)
    shard = write_shard(corpus.location, "data", table)
    assert write_shard(corpus.location, "data", pa.Table.from_pylist(table.to_pylist())) == shard
    read = read_shard(corpus.location, shard.path)
    assert read.schema.equals(TRIPLET_SCHEMA)
    assert Triplet.from_table(read) == [triplet]
    assert write_shard(corpus.location, "data", read) == shard


def test_a_full_disk_is_named_and_leaves_nothing_behind(disk_of: Callable[[str], Path], make: Any) -> None:
    disk = disk_of("1m")
    corpus = Corpus.open(disk / "corpus", create=True)
    noise = os.urandom(800_000).hex()
    big = Triplet.to_table(
        [make.triplet("big", output=noise), make.triplet("more", output=noise[::-1])], TRIPLET_SCHEMA
    )
    with pytest.raises(CorpusError) as caught:
        write_shard(corpus.location, "data", big)
    assert "No space left on device" in caught.value.problem.cause
    assert "Free space" in caught.value.problem.remedy
    assert list((disk / "corpus" / "data").iterdir()) == []
    small = write_shard(corpus.location, "data", Triplet.to_table([make.triplet("a")], TRIPLET_SCHEMA))
    verify_shard(corpus.location, small)


def test_a_data_folder_that_is_a_file_is_named(tmp_path: Path, make: Any) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(CorpusError, match="Not a directory"):
        write_shard(Location.of(tmp_path), "data", Triplet.to_table([make.triplet("a")], TRIPLET_SCHEMA))

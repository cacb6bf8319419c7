"""The writer turns a batch of ended units into one shard and a receipt for each."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from schemas.errors import CorpusError
from schemas.rows import RESULT_SCHEMA, WRITTEN_SCHEMA, Result, Written
from schemas.triplet import Split, Triplet
from storage.corpus import Corpus
from storage.shards import read_shard
from storage.write import WriteTriplets


def test_a_batch_becomes_one_shard_and_every_unit_gets_its_receipt(
    corpus: Corpus, write: Callable[..., list[Written]], make: Any
) -> None:
    results = [make.done("a"), make.filtered("b"), make.done("c", reward=0.75), make.failed("d")]
    written = write(*results)
    assert [row.outcome for row in written] == [result.outcome for result in results]
    (name,) = corpus.location.names("data")
    a, b, c, d = written
    assert a.shard == c.shard == f"data/{name}"
    assert (a.shard_rows, a.shard_size) == (2, corpus.location.size(f"data/{name}"))
    assert (a.reward, c.reward, a.domain) == (0.9, 0.75, "gui")
    for row in (b, d):
        assert (row.shard, row.shard_sha256, row.shard_rows, row.domain, row.reward) == (None, None, 0, None, None)
    stored = Triplet.from_table(read_shard(corpus.location, f"data/{name}"))
    assert [row.split for row in stored] == [a.split, c.split]
    assert [row.model_copy(update={"split": Split.TRAIN}) for row in stored] == [
        results[0].triplet,
        results[2].triplet,
    ]
    assert [row.signature is None for row in written] == [False, True, False, True]
    assert a.signature != c.signature


def test_a_batch_without_triplets_writes_nothing(
    corpus: Corpus, write: Callable[..., list[Written]], make: Any
) -> None:
    assert [row.shard for row in write(make.filtered("a"))] == [None]
    assert corpus.location.names("data") == []
    empty = WriteTriplets(corpus.uri)(RESULT_SCHEMA.empty_table())
    assert empty.num_rows == 0
    assert empty.schema.equals(WRITTEN_SCHEMA)


def test_the_writer_takes_batches_in_pieces_and_travels_to_other_processes(corpus: Corpus, make: Any) -> None:
    writer = pickle.loads(pickle.dumps(WriteTriplets(corpus.uri)))
    pieces = pa.concat_tables(
        [Result.to_table([result], RESULT_SCHEMA) for result in (make.filtered("a"), make.done("b"), make.done("c"))]
    )
    table = writer(pieces)
    assert table.schema.equals(WRITTEN_SCHEMA)
    assert [row.shard_rows for row in Written.from_table(table)] == [0, 2, 2]


def test_a_failed_write_is_an_error_and_gives_no_receipt(tmp_path: Path, make: Any) -> None:
    (tmp_path / "data").write_text("in the way")
    with pytest.raises(CorpusError, match="Not a directory"):
        WriteTriplets(str(tmp_path))(Result.to_table([make.done("a")], RESULT_SCHEMA))

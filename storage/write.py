"""The sink of the pipeline, as a worker runs it: ended units in, their triplets on the storage, receipts out."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

from schemas.errors import InputError
from schemas.outcome import Outcome
from schemas.recipe import Splitting
from schemas.rows import RESULT_SCHEMA, WRITTEN_SCHEMA, Result
from schemas.signature import SIGNATURE_SCHEMA, Signature
from schemas.triplet import TRIPLET_SCHEMA
from storage.corpus import DATA
from storage.deaths import Deaths
from storage.location import Location
from storage.shards import conform, with_splits, write_shard
from storage.signature import sign
from storage.split import likely_splits

DEFAULT_SPLIT = Splitting()


class WriteTriplets:
    """Maps a batch of RESULT rows to WRITTEN rows; the triplets of the batch become one shard under data/.

    The rows say where their triplet lies; nothing is visible until the catalog has them and a snapshot names the
    shard. Triplets are written with the split they will most likely have; the few others are put right at publishing.

    Args:
        suspects: says how many rows a worker of this `run` may have had in hand in whose place this one is there.
    """

    def __init__(
        self, corpus: str, split: Splitting = DEFAULT_SPLIT, run: str = "", suspects: Callable[[], int] = int
    ) -> None:
        self._corpus = Location.of(corpus)
        self._validation_share = split.validation_share
        self._deaths = Deaths(self._corpus, run, suspects())

    def __call__(self, batch: pa.Table) -> pa.Table:
        """
        Raises:
            CorpusError: the shard cannot be written (disk full, no permission). Nothing is recorded then, and the
                next run does the units of this batch again.
        """
        batch = conform(batch, RESULT_SCHEMA)
        if self._deaths.wary:
            return pa.concat_tables([self._one(batch.slice(row, 1)) for row in range(batch.num_rows)])
        return self._write(batch)

    def _one(self, row: pa.Table) -> pa.Table:
        """A row by itself; one that took its worker down is not written."""
        (result,) = Result.from_table(row)
        outcome, triplet = result.outcome, result.triplet
        if triplet is None:
            return self._write(row)
        try:
            with self._deaths.holding(["write", outcome.unit], triplet.streams[0].uri):
                return self._write(row)
        except InputError as error:
            failed = outcome.model_copy(update={"outcome": Outcome.FAILED, "triplet": None, "problem": error.problem})
            problems = (*result.problems, error.problem)
            unwritten = result.model_copy(update={"outcome": failed, "triplet": None, "problems": problems})
            return self._write(Result.to_table([unwritten], RESULT_SCHEMA))

    def _write(self, batch: pa.Table) -> pa.Table:
        has_triplet = pc.is_valid(batch["triplet"])
        triplets = _rows(batch["triplet"].filter(has_triplet))
        splits = likely_splits(triplets["streams"], self._validation_share)
        triplets = with_splits(triplets, splits)
        columns: dict[str, pa.ChunkedArray | pa.Array] = {
            name: batch[name] for name in WRITTEN_SCHEMA.names if name in RESULT_SCHEMA.names
        }
        columns["domain"] = pc.struct_field(batch["triplet"], ["domain"])
        columns["split"] = _spread(has_triplet, pa.array(splits, pa.string()))
        columns["signature"] = _spread(has_triplet, _structs(sign(triplets)))
        columns["reward"] = pc.struct_field(batch["triplet"], ["score", "reward"])
        shard = write_shard(self._corpus, DATA, triplets) if triplets.num_rows else None
        columns["shard"] = _where(has_triplet, shard and shard.path, None, pa.string())
        columns["shard_sha256"] = _where(has_triplet, shard and shard.sha256, None, pa.string())
        columns["shard_rows"] = _where(has_triplet, shard and shard.rows, 0, pa.int64())
        columns["shard_size"] = _where(has_triplet, shard and shard.size, 0, pa.int64())
        return pa.table([columns[name] for name in WRITTEN_SCHEMA.names], schema=WRITTEN_SCHEMA)


def _rows(structs: pa.ChunkedArray) -> pa.Table:
    """A column of triplets as a table of triplets. Chunk by chunk: text and pictures of one chunk fit its offsets,
    those of all together may not."""
    batches = [pa.RecordBatch.from_struct_array(chunk) for chunk in structs.chunks if len(chunk)]
    return pa.Table.from_batches(batches, schema=TRIPLET_SCHEMA)


def _structs(signatures: list[Signature]) -> pa.Array:
    return pa.array([signature.model_dump() for signature in signatures], pa.struct(list(SIGNATURE_SCHEMA)))


def _spread(mask: pa.ChunkedArray, values: pa.Array) -> pa.Array:
    """The values in order where the mask holds, null elsewhere."""
    places = pc.subtract(pc.cumulative_sum(pc.cast(mask.combine_chunks(), pa.int64())), 1)
    return values.take(pc.if_else(mask.combine_chunks(), places, pa.scalar(None, pa.int64())))


def _where(mask: pa.ChunkedArray, value: object, otherwise: object, kind: pa.DataType) -> pa.ChunkedArray:
    return pc.if_else(mask, pa.scalar(value, kind), pa.scalar(otherwise, kind))

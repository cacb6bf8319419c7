"""Parquet shards: immutable files named by the SHA-256 of their own bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.errors import CorpusError
from schemas.manifest import Shard
from schemas.triplet import TRIPLET_SCHEMA, Split
from storage.location import Location

_ROW_GROUP = 16
"""Rows that a reader must hold at once. A triplet carries its evidence pictures, so rows are large."""
_BLOCK = 1 << 20
"""Bytes hashed at once."""

_EVIDENCE_FEATURES = {
    "evidence": {
        "_type": "List",
        "feature": {
            "stream": {"dtype": "string", "_type": "Value"},
            "time": {"dtype": "float64", "_type": "Value"},
            "image": {"_type": "Image"},
        },
    }
}


def _nullable(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(field.name, _nullable(field.type)) for field in kind])
    if pa.types.is_list(kind):
        return pa.list_(_nullable(kind.value_type))
    return kind


_EVIDENCE = TRIPLET_SCHEMA.get_field_index("evidence")
SHARD_SCHEMA: pa.Schema = TRIPLET_SCHEMA.set(
    _EVIDENCE, pa.field("evidence", _nullable(TRIPLET_SCHEMA.field("evidence").type))
).with_metadata({b"huggingface": json.dumps({"info": {"features": _EVIDENCE_FEATURES}}).encode()})
"""The triplet's schema as it stands in files. `datasets` decodes the evidence into pictures when its features are
declared in the file, and takes the declaration only for a column without required fields."""


def conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The columns of `schema` under its types: what engines loosen on the way (nullability, list names) is put right.

    Raises:
        pyarrow.ArrowInvalid: a value does not fit.
        KeyError: a column is missing.
    """
    if "split" in schema.names and "split" not in table.column_names:
        table = with_splits(table, [Split.TRAIN] * table.num_rows)  # rows of before there were splits
    columns = [_conform(table[field.name], field.type) for field in schema]
    return pa.table(columns, schema=schema)


def with_splits(triplets: pa.Table, splits: Sequence[Split]) -> pa.Table:
    """The rows with these splits in place of their own."""
    column = pa.array(splits, pa.string())
    others = triplets.drop_columns("split") if "split" in triplets.column_names else triplets
    return others.append_column(TRIPLET_SCHEMA.field("split"), column)


def _conform(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    if column.type == kind:
        return column
    if _nullable(column.type) == _nullable(kind):
        try:
            return column.cast(kind)
        except pa.ArrowInvalid:
            pass  # a cast to a required field refuses also the nulls that lie under a missing parent
    return pa.chunked_array([pa.array(column.to_pylist(), type=kind)])


def write_parquet(
    root: Location, folder: str, table: pa.Table, metadata: Mapping[bytes, bytes] | None = None, row_group: int = 65536
) -> Shard:
    """Writes a table as `{folder}/{sha256}.parquet`; the same content twice is the same file.

    Raises:
        CorpusError: the file cannot be written (disk full, no permission); nothing is left behind.
    """
    if metadata:
        table = table.replace_schema_metadata({**(table.schema.metadata or {}), **metadata})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", row_group_size=row_group)
    data: bytes = sink.getvalue().to_pybytes()
    sha256 = hashlib.sha256(data).hexdigest()
    shard = Shard(path=f"{folder}/{sha256}.parquet", sha256=sha256, rows=table.num_rows, size=len(data))
    # Written also where it is there: its date is then new, so that nobody takes it for left over and removes it.
    root.replace(shard.path, data)
    return shard


def write_shard(root: Location, folder: str, table: pa.Table) -> Shard:
    """Writes triplets (a table under TRIPLET_SCHEMA) as one shard.

    Raises:
        CorpusError: the file cannot be written (disk full, no permission); nothing is left behind.
        pyarrow.ArrowInvalid: the table is not under the schema.
    """
    return write_parquet(root, folder, conform(table, SHARD_SCHEMA), row_group=_ROW_GROUP)


@contextmanager
def open_shard(root: Location, path: str) -> Iterator[pq.ParquetFile]:
    """Opens a Parquet file.

    Raises:
        CorpusError: the file is missing or damaged, here or while it is read.
    """
    with root.open(path) as file:
        try:
            # Buffering ahead would read the whole file before its first rows: memory would grow with the shard.
            with pq.ParquetFile(file, pre_buffer=False) as parquet:
                yield parquet
        except pa.ArrowInvalid as error:
            raise CorpusError(
                root.uri(path), f"is damaged ({error})", "Restore the file from a copy; `dataclaw verify` lists all"
            ) from error


def read_shard(root: Location, path: str, columns: Sequence[str] | None = None) -> pa.Table:
    """Reads triplets back under TRIPLET_SCHEMA, or those of its columns that are asked for.

    Raises:
        CorpusError: the file is missing or damaged.
    """
    with open_shard(root, path) as parquet:
        return conform(parquet.read(columns=columns), _projected(columns))


def iter_shard(root: Location, path: str, batch_size: int, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """Reads triplets back, at most `batch_size` rows at a time; memory does not grow with the shard.

    Raises:
        CorpusError: the file is missing or damaged.
    """
    schema = _projected(columns)
    with open_shard(root, path) as parquet:
        for batch in parquet.iter_batches(batch_size=batch_size, columns=columns):
            yield conform(pa.Table.from_batches([batch]), schema)


def verify_shard(root: Location, shard: Shard) -> None:
    """Compares a shard with what the manifest says of it: size, checksum, rows.

    Raises:
        CorpusError: the file is missing, damaged or another one; the message says which.
    """
    digest, size = hashlib.sha256(), 0
    with root.open(shard.path) as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            size += len(block)
    if (digest.hexdigest(), size) != (shard.sha256, shard.size):
        raise CorpusError(
            root.uri(shard.path),
            f"its bytes are not those that were published ({size} bytes of {shard.size}, SHA-256 {digest.hexdigest()})",
            "Restore the file from a copy",
        )
    with open_shard(root, shard.path) as parquet:
        if parquet.metadata.num_rows != shard.rows:
            raise CorpusError(
                root.uri(shard.path),
                f"holds {parquet.metadata.num_rows} rows where the manifest says {shard.rows}",
                "Restore the manifest from a copy",
            )


def key_values(root: Location, path: str) -> dict[bytes, bytes]:
    """The key-value metadata in a Parquet file's footer; reads nothing else.

    Raises:
        CorpusError: the file is missing or damaged.
    """
    with open_shard(root, path) as parquet:
        return dict(parquet.schema_arrow.metadata or {})


def _projected(columns: Iterable[str] | None) -> pa.Schema:
    if columns is None:
        return TRIPLET_SCHEMA
    return pa.schema([TRIPLET_SCHEMA.field(name) for name in columns])

"""Anchor shards: what experts measured, kept beside the corpus so that no segment is looked at twice.

One Parquet file holds a batch of segments. Its footer lists every (segment, expert, signature) that it settles, also
those where the expert found nothing, so that a driver learns from footers alone what the workers of a killed run had
finished.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from schemas.anchor import ANCHOR_SCHEMA, FactualAnchor
from schemas.errors import CorpusError
from schemas.manifest import Shard
from storage.location import Location
from storage.shards import conform, key_values, open_shard, write_parquet

FOLDER = "anchors"
_SETTLED = b"dataclaw.anchors"

SegmentAnchors = tuple[str, str, str, Sequence[FactualAnchor]]
"""Segment key, expert, its signature, and what it found."""
Settled = tuple[str, str, str]
"""Segment key, expert, its signature."""

ANCHOR_SHARD_SCHEMA = pa.schema(
    [
        pa.field("segment_key", pa.string(), False),
        pa.field("expert_name", pa.string(), False),
        pa.field("expert_signature", pa.string(), False),
        *ANCHOR_SCHEMA,
    ]
)


def write_anchors(root: Location, run: str, segment_rows: Iterable[SegmentAnchors]) -> Shard:
    """Writes what experts found in a batch of segments as one file under `anchors/<run>/`.

    Raises:
        CorpusError: the file cannot be written; nothing is left behind.
    """
    settled: list[Settled] = []
    rows = []
    for key, expert, signature, anchors in segment_rows:
        settled.append((key, expert, signature))
        labels = {"segment_key": key, "expert_name": expert, "expert_signature": signature}
        rows += [{**labels, **anchor.model_dump()} for anchor in anchors]
    table = pa.Table.from_pylist(rows, schema=ANCHOR_SHARD_SCHEMA)
    return write_parquet(root, f"{FOLDER}/{run}", table, {_SETTLED: json.dumps(settled).encode()})


def read_anchors(
    root: Location, paths: Iterable[str], segment_key: str, signatures: Mapping[str, str]
) -> list[FactualAnchor]:
    """The anchors of one segment by these experts (name to signature), in the order they were found.

    What two files hold of one (segment, expert), since a worker was killed and its work repeated, is read once.

    Raises:
        CorpusError: a file is missing or damaged.
    """
    anchors: list[FactualAnchor] = []
    missing = dict(signatures)
    for path in paths:
        here = {
            expert
            for key, expert, signature in _settled(root, path)
            if key == segment_key and missing.get(expert) == signature
        }
        if not here:
            continue
        with open_shard(root, path) as parquet:
            table = parquet.read()
        chosen = pc.and_(
            pc.equal(table["segment_key"], segment_key), pc.is_in(table["expert_name"], pa.array(sorted(here)))
        )
        anchors += FactualAnchor.from_table(conform(table.filter(chosen), ANCHOR_SCHEMA))
        for expert in here:
            del missing[expert]
    return anchors


def scan(root: Location, run: str, but: Collection[str] = ()) -> Iterator[tuple[Shard, list[Settled]]]:
    """The anchor shards of a run with what each settles, from their footers only; paths in `but` are passed over.

    Raises:
        CorpusError: a file is damaged.
    """
    for name in root.names(f"{FOLDER}/{run}"):
        path = f"{FOLDER}/{run}/{name}"
        if path in but:
            continue
        size = root.size(path)
        if not name.endswith(".parquet") or size is None:
            continue
        with open_shard(root, path) as parquet:
            rows = parquet.metadata.num_rows
        yield Shard(path=path, sha256=name.removesuffix(".parquet"), rows=rows, size=size), _settled(root, path)


def _settled(root: Location, path: str) -> list[Settled]:
    written = key_values(root, path).get(_SETTLED)
    if written is None:
        raise CorpusError(root.uri(path), "is no anchor shard", f"Remove it from the {FOLDER} folder")
    return [(key, expert, signature) for key, expert, signature in json.loads(written)]

"""Publishing: what the catalog holds live becomes the next snapshot.

The order makes every interruption harmless: shards are rewritten under names of their own, the catalog learns of each
rewritten shard in one transaction, the manifest appears in one step, and the catalog's note of it comes last (and is
made good by the next call when it is missing).
"""

from __future__ import annotations

from datetime import UTC, datetime

import pyarrow as pa

from schemas.errors import CorpusError
from schemas.manifest import Manifest, Shard
from schemas.triplet import TRIPLET_SCHEMA
from storage import snapshots
from storage.catalog.catalog import Catalog
from storage.catalog.records import LiveShard
from storage.corpus import DATA, Corpus
from storage.shards import read_shard, write_shard

_ATTEMPTS = 20


def publish_corpus(corpus: Corpus, catalog: Catalog, run_id: str, version: str) -> Manifest | None:
    """Publishes the live rows as the next snapshot; None when they are those of the latest one.

    Raises:
        CorpusError: storage or catalog refuse, or other processes publish faster than this one can.
    """
    for _ in range(_ATTEMPTS):
        parent = snapshots.latest(corpus)
        last = _catch_up(corpus, catalog)
        shards = tuple(_compacted(corpus, catalog, live) for live in catalog.live_shards())
        statistics = catalog.statistics()
        if sum(shard.rows for shard in shards) != statistics.rows:
            continue  # another process committed in between
        if set(shards) == (set(parent.shards) if parent else set()):
            return None
        manifest = Manifest(
            corpus=corpus.id,
            number=last + 1,
            parent=parent.number if parent else None,
            run=run_id,
            created=datetime.now(UTC),
            shards=tuple(sorted(shards, key=lambda shard: shard.path)),
            arrow_schema=str(TRIPLET_SCHEMA),
            statistics=statistics,
            dataclaw_version=version,
        )
        try:
            snapshots.publish(corpus, manifest)
        except snapshots.SnapshotTakenError:
            continue
        catalog.record_snapshot(manifest)
        return manifest
    raise CorpusError(corpus.uri, f"{_ATTEMPTS} attempts to publish were overtaken", "Run one build at a time")


def _compacted(corpus: Corpus, catalog: Catalog, live: LiveShard) -> Shard:
    """The shard without rows that are no longer live. The old file stays: earlier snapshots name it."""
    if live.keep is None:
        return live.shard
    table = read_shard(corpus.location, live.shard.path)
    units = table["unit"].to_pylist()
    first = {unit: index for index, unit in reversed(list(enumerate(units)))}
    kept = table.take(pa.array(sorted(first[unit] for unit in live.keep)))
    shard = write_shard(corpus.location, DATA, kept)
    catalog.replace_shard(live.shard, shard, live.keep)
    return shard


def _catch_up(corpus: Corpus, catalog: Catalog) -> int:
    """Records snapshots that a process published and did not live to record. Returns the highest number ever used:
    that of a manifest which was removed is not given away again."""
    known = {snapshot.number for snapshot in catalog.snapshots()}
    there = snapshots.numbers(corpus)
    for number in there:
        if number not in known:
            catalog.record_snapshot(snapshots.load(corpus, number))
    return max([*known, *there], default=0)

"""Publishing: what the catalog holds live becomes the next snapshot.

The order makes every interruption harmless: shards are rewritten under names of their own, the catalog learns of each
rewritten shard in one transaction, the manifest appears in one step, and the catalog's note of it comes last (and is
made good by the next call when it is missing).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

import pyarrow as pa

from schemas.errors import CorpusError
from schemas.manifest import Manifest, Shard
from schemas.recipe import Deduplication, Splitting
from schemas.triplet import TRIPLET_SCHEMA
from storage import snapshots
from storage.catalog.catalog import Catalog
from storage.catalog.records import Judged, LiveShard, SignedRow
from storage.corpus import DATA, Corpus
from storage.shards import iter_shard, read_shard, with_splits, write_shard
from storage.signature import COLUMNS, sign

_ATTEMPTS = 20
_RULES, _SPLIT = Deduplication(), Splitting()
_SIGNED = 16
"""Rows read at once to be signed."""


def admit_rows(
    corpus: Corpus, catalog: Catalog, rules: Deduplication = _RULES, split: Splitting = _SPLIT
) -> list[Judged]:
    """Decides which of the committed rows the corpus takes, and on which side of the split each is.

    Returns the units that now end otherwise than was recorded: rows refused, and rows taken in again.

    Raises:
        CorpusError: storage or catalog refuse.
    """
    sign_rows(corpus, catalog)
    catalog.let_go()
    return catalog.admit(rules, split)


def sign_rows(corpus: Corpus, catalog: Catalog) -> None:
    """Enters the rows that were committed before rows had signatures.

    Raises:
        CorpusError: storage or catalog refuse.
    """
    for path in catalog.unsigned_shards():
        for rows in iter_shard(corpus.location, path, _SIGNED, ["id", "unit", *COLUMNS]):
            catalog.sign(_signed(rows))


def publish_corpus(
    corpus: Corpus,
    catalog: Catalog,
    run_id: str,
    version: str,
    rules: Deduplication = _RULES,
    split: Splitting = _SPLIT,
) -> Manifest | None:
    """Publishes the live rows as the next snapshot; None when they are those of the latest one. Rows that nobody has
    judged yet are judged first.

    Raises:
        CorpusError: storage or catalog refuse, or other processes publish faster than this one can.
    """
    return _publish(corpus, catalog, run_id, version, lambda: admit_rows(corpus, catalog, rules, split))


def publish_admitted(corpus: Corpus, catalog: Catalog, run_id: str, version: str) -> Manifest | None:
    """As :func:`publish_corpus`, but rows that nobody has judged yet stay out.

    Raises:
        CorpusError: storage or catalog refuse, or other processes publish faster than this one can.
    """
    return _publish(corpus, catalog, run_id, version, lambda: None)


def _publish(
    corpus: Corpus, catalog: Catalog, run_id: str, version: str, prepare: Callable[[], object]
) -> Manifest | None:
    for _ in range(_ATTEMPTS):
        parent = snapshots.latest(corpus)
        last = _catch_up(corpus, catalog)
        prepare()
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
    """The shard without rows that are not live, and with the splits that they have. The old file stays: earlier
    snapshots name it, and rows that were kept out may be taken in one day."""
    if live.keep is None:
        return live.shard
    shard = write_shard(corpus.location, DATA, live_rows(corpus, live))
    catalog.replace_shard(live.shard, shard, live.keep)
    return shard


def live_rows(corpus: Corpus, live: LiveShard) -> pa.Table:
    """The live rows of a shard in their order, each once, with the splits that they have.

    Raises:
        CorpusError: the shard is missing or damaged.
    """
    table = read_shard(corpus.location, live.shard.path)
    if live.keep is None:
        return table
    units = table["unit"].to_pylist()
    first = {unit: index for index, unit in reversed(list(enumerate(units)))}
    places = sorted(first[unit] for unit in live.keep)
    return with_splits(table.take(pa.array(places)), [live.keep[units[place]] for place in places])


def _signed(rows: pa.Table) -> list[SignedRow]:
    """Rows of before there were signatures and splits."""
    streams = [tuple(stream["sha256"] for stream in row) for row in rows["streams"].to_pylist()]
    columns = zip(rows["unit"].to_pylist(), rows["id"].to_pylist(), streams, sign(rows), strict=True)
    return [SignedRow(unit, triplet, found, signature, None) for unit, triplet, found, signature in columns]


def _catch_up(corpus: Corpus, catalog: Catalog) -> int:
    """Records snapshots that a process published and did not live to record. Returns the highest number ever used:
    that of a manifest which was removed is not given away again."""
    known = {snapshot.number for snapshot in catalog.snapshots()}
    there = snapshots.numbers(corpus)
    for number in there:
        if number not in known:
            with suppress(snapshots.MissingSnapshotError):  # it expired at this moment
                catalog.record_snapshot(snapshots.load(corpus, number))
    return max([*known, *there], default=0)

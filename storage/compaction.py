"""Compaction: the many small shards of many nights become few of a size that is read well. Rows keep their ids."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pyarrow as pa

from schemas.manifest import Shard
from storage.catalog.catalog import Catalog
from storage.catalog.records import LiveShard
from storage.corpus import DATA, Corpus
from storage.publish import live_rows
from storage.shards import write_shard

TARGET = 64 << 20
"""Bytes of a merged shard. One is held in memory, with its rows."""
FEWEST = 8
"""Shards that are merged when they stay below the target: else the last one would be written anew every night."""


@dataclass(frozen=True)
class Compacted:
    """Small shards, and those that their rows lie in now (or would, at most so many)."""

    before: int
    bytes_before: int
    after: int
    bytes_after: int | None
    """None when nothing was written."""


def compact(
    corpus: Corpus, catalog: Catalog, target: int = TARGET, fewest: int = FEWEST, dry_run: bool = False
) -> Compacted:
    """Merges shards of less than half the target. The old files stay for the snapshots that name them; a new snapshot
    is to be published afterwards.

    Cut off anywhere, the catalog says of each row where it lies, and the next publishing or compaction goes on.

    Raises:
        CorpusError: storage or catalog refuse.
    """
    groups = list(_groups(catalog.live_shards(), target, fewest))
    small = [live.shard for group in groups for live in group]
    written: list[Shard] = [] if dry_run else [_merge(corpus, catalog, group) for group in groups]
    return Compacted(
        before=len(small),
        bytes_before=sum(shard.size for shard in small),
        after=len(groups),
        bytes_after=None if dry_run else sum(shard.size for shard in written),
    )


def _groups(shards: Iterable[LiveShard], target: int, fewest: int) -> Iterator[list[LiveShard]]:
    """Shards that become one, by path, so that a repetition after a crash makes the same files."""
    group: list[LiveShard] = []
    size = 0
    for live in shards:
        if live.shard.size >= target // 2:
            continue
        group.append(live)
        size += live.shard.size
        if size >= target:
            yield group
            group, size = [], 0
    if len(group) >= max(2, fewest):
        yield group


def _merge(corpus: Corpus, catalog: Catalog, group: list[LiveShard]) -> Shard:
    tables = [live_rows(corpus, live) for live in group]
    merged = write_shard(corpus.location, DATA, pa.concat_tables(tables))
    for live, table in zip(group, tables, strict=True):
        catalog.replace_shard(live.shard, merged, table["unit"].to_pylist())
    return merged

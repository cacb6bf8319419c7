"""Rolling back: the rows of an old snapshot are published anew, and the catalog agrees that they are the live ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from schemas.errors import CorpusError
from schemas.manifest import Manifest
from schemas.triplet import Split
from storage import snapshots
from storage.catalog.catalog import Catalog
from storage.catalog.records import PublishedRow
from storage.corpus import Corpus
from storage.publish import publish_admitted, sign_rows
from storage.runs import under_way, upkeep
from storage.shards import iter_shard

_BATCH = 4096
"""Rows whose keys are read at once; their pictures are not."""


@dataclass(frozen=True)
class Rollback:
    """What a rollback did, or would do: the snapshot it went to, and the one it published (None when the newest one
    has these rows already, or nothing was to be done)."""

    to: int
    published: int | None
    rows: int
    restored: int
    withdrawn: int
    dry_run: bool


def roll_back(
    corpus: Corpus, catalog: Catalog, number: int, version: str, dry_run: bool = False, anyway: bool = False
) -> Rollback:
    """Publishes the rows of snapshot `number` as the next snapshot. History is kept.

    The catalog turns first, in one transaction, then the snapshot appears: cut off in between, the next build, or the
    same rollback again, publishes it.

    Args:
        anyway: also while a run is under way, whose rows are then published by it.

    Raises:
        CorpusError: there is no such snapshot, its files are damaged, a run is under way, or the catalog does not know
            its rows.
    """
    if (active := under_way(catalog)) and not (anyway or dry_run):
        raise CorpusError(
            corpus.uri,
            f"run {active[0].id} is under way since {active[0].started:%Y-%m-%d %H:%M} UTC",
            "Wait until it has ended, or stop it; --anyway rolls back beneath it, and it will publish its rows",
        )
    target = snapshots.load(corpus, number)
    if problems := snapshots.verify_files(corpus, target):
        worst = problems[0]
        raise CorpusError(worst.input, f"snapshot {number} cannot be published: {worst.cause}", worst.remedy)
    rows = list(_rows(corpus, target))
    if dry_run:
        turned = catalog.turn_to(target, rows, "", dry_run=True)
        return Rollback(number, None, len(rows), turned.restored, turned.withdrawn, dry_run=True)
    sign_rows(corpus, catalog)
    with upkeep(corpus, catalog, f"rollback to snapshot {number}") as run:
        turned = catalog.turn_to(target, rows, run.id)
        run.manifest = publish_admitted(corpus, catalog, run.id, version)
    published = None if run.manifest is None else run.manifest.number
    return Rollback(number, published, len(rows), turned.restored, turned.withdrawn, dry_run=False)


def _rows(corpus: Corpus, manifest: Manifest) -> Iterator[PublishedRow]:
    for shard in manifest.shards:
        for table in iter_shard(corpus.location, shard.path, _BATCH, ["id", "unit", "split"]):
            columns = (table[name].to_pylist() for name in ("unit", "id", "split"))
            for unit, triplet, split in zip(*columns, strict=True):
                yield PublishedRow(unit, triplet, shard, Split(split))

"""Maintenance of a corpus: small shards merged, old snapshots and left-over files gone, the catalog made small."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from storage import expiry, snapshots
from storage.catalog.catalog import Catalog
from storage.compaction import FEWEST, TARGET, Compacted, compact
from storage.corpus import Corpus
from storage.publish import publish_admitted
from storage.runs import under_way, upkeep


@dataclass(frozen=True)
class Policy:
    """What maintenance may do."""

    keep: int = 10
    """Newest snapshots that stay, whatever their age."""
    days: float = 30.0
    """Snapshots younger than so many days stay as well."""
    grace: timedelta = timedelta(days=2)
    """Files younger than this are never taken for left over: the run that wrote them may not have committed yet."""
    target: int = TARGET
    """Bytes of a merged shard."""
    fewest: int = FEWEST
    """Small shards that are merged when they stay below the target."""


@dataclass(frozen=True)
class Maintenance:
    """What was done, or would be."""

    compacted: Compacted
    published: int | None
    """The snapshot with the merged shards."""
    expired: tuple[int, ...]
    orphans: int
    orphan_bytes: int
    bytes_before: int
    """Of all files of the corpus, the catalog apart."""
    bytes_after: int
    catalog_bytes_freed: int
    waits_for: tuple[str, ...]
    """Runs under way: what is younger than they are was left alone, and the catalog was not vacuumed."""
    dry_run: bool


def maintain(
    corpus: Corpus, catalog: Catalog, version: str, policy: Policy | None = None, dry_run: bool = False
) -> Maintenance:
    """Removes expired snapshots and then what nothing needs any more, merges small shards and publishes them, and
    vacuums the catalog. Builds may run meanwhile. Cut off anywhere, nothing is lost, and the next call goes on.

    Raises:
        CorpusError: storage or catalog refuse.
    """
    policy = policy or Policy()
    active = tuple(run.id for run in under_way(catalog))
    before = _stored(corpus)
    # First what gives room: on a full disk nothing can be merged.
    gone, removed = _clear(corpus, catalog, policy, dry_run)
    published = None
    compacted = compact(corpus, catalog, policy.target, policy.fewest, dry_run=True)
    if compacted.before and not dry_run:
        with upkeep(corpus, catalog, "maintenance") as run:
            compacted = compact(corpus, catalog, policy.target, policy.fewest)
            run.manifest = publish_admitted(corpus, catalog, run.id, version)
            published = None if run.manifest is None else run.manifest.number
        more_gone, more_removed = _clear(corpus, catalog, policy, dry_run)
        gone, removed = gone + more_gone, removed + more_removed
    freed = 0 if dry_run or active else catalog.vacuum()
    return Maintenance(
        compacted=compacted,
        published=published,
        expired=tuple(gone),
        orphans=len(removed),
        orphan_bytes=sum(orphan.size for orphan in removed),
        bytes_before=before,
        bytes_after=before if dry_run else _stored(corpus),
        catalog_bytes_freed=freed,
        waits_for=active,
        dry_run=dry_run,
    )


def _clear(corpus: Corpus, catalog: Catalog, policy: Policy, dry_run: bool) -> tuple[list[int], list[expiry.Orphan]]:
    """Removes expired snapshots, and then what nothing needs: what those had alone is left over as well."""
    gone, kept = expiry.expired(corpus, policy.keep, policy.days)
    if not dry_run:
        for number in gone:
            snapshots.remove(corpus, number)
    left = expiry.orphans(corpus, catalog, kept, policy.grace)
    return gone, left if dry_run else [orphan for orphan in left if expiry.remove(corpus, orphan, policy.grace)]


def _stored(corpus: Corpus) -> int:
    return sum(file.size for folder in ("data", "anchors", snapshots.FOLDER) for file in corpus.location.files(folder))

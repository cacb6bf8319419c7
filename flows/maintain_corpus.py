"""Maintenance of a corpus, on a schedule: small shards merged, old snapshots and left-over files gone."""

from __future__ import annotations

from prefect import flow

from storage.maintenance import Maintenance
from tasks.maintain import maintain_one


@flow(name="maintain_corpus", flow_run_name="maintain {corpus}", validate_parameters=True)
def maintain_corpus(
    corpus: str,
    catalog: str | None = None,
    keep: int = 10,
    days: float = 30.0,
    grace_hours: float = 48.0,
    dry_run: bool = False,
) -> Maintenance:
    """Maintains a corpus. Builds may run meanwhile.

    Args:
        corpus: folder or URI.
        catalog: URL of its catalog; a file inside a local corpus when none is named.
        keep: newest snapshots that stay; those of the last `days` days stay as well.
        grace_hours: files younger than this are never taken for left over.
        dry_run: only says what would be done.

    Raises:
        DataClawError: storage or catalog refuse; nothing is lost, and the next run goes on.
    """
    return maintain_one(corpus, catalog, keep, days, grace_hours, dry_run)

"""Maintenance of a corpus, on a schedule: small shards merged, old snapshots and left-over files gone."""

from __future__ import annotations

from prefect import flow
from prefect.runtime import deployment

from storage.access import check_corpus_of_run
from storage.maintenance import Maintenance
from tasks.maintain import maintain_one, maintained_state


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
        corpus: Folder or URI.
        catalog: URL of its catalog. None: the file inside a local corpus.
        keep: So many of the newest snapshots stay, and those of the last `days`.
        days: Snapshots younger than this stay, and the newest `keep`.
        grace_hours: Files younger than this are never taken for left over.
        dry_run: Only says what would be done.

    Raises:
        DataClawError: storage or catalog refuse; nothing is lost, and the next run goes on.
    """
    check_corpus_of_run(corpus, catalog, sent=deployment.id is not None)
    done = maintain_one(corpus, catalog, keep, days, grace_hours, dry_run)
    return maintained_state(done)  # type: ignore[return-value]  # callers get what was done, Prefect the message

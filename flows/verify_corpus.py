"""Verification of a corpus, on a schedule: a sample of what was published is proven anew."""

from __future__ import annotations

from prefect import flow

from tasks.events import announce_verdict
from tasks.verify_sample import Verdict, verify_sample


@flow(name="verify_corpus", flow_run_name="verify {corpus}", validate_parameters=True)
def verify_corpus(corpus: str, rows: int = 100, snapshot: int | None = None, seed: int | None = None) -> Verdict:
    """Verifies a sample of rows and returns what fails; a failing row does not fail the flow, it raises an event.

    Args:
        corpus: folder or URI.
        rows: how many are drawn.
        snapshot: its number; the newest when none is named.
        seed: draws the rows of an earlier verdict again.

    Raises:
        DataClawError: there is no corpus, or no such snapshot.
    """
    verdict = verify_sample(corpus, rows, snapshot, seed)
    announce_verdict(verdict)
    return verdict

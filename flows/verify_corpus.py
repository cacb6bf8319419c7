"""Verification of a corpus, on a schedule: a sample of what was published is proven anew."""

from __future__ import annotations

from prefect import flow
from prefect.runtime import deployment

from storage.access import check_corpus_of_run
from tasks.events import announce_verdict
from tasks.verify_sample import Verdict, verdict_state, verify_sample


@flow(name="verify_corpus", flow_run_name="verify {corpus}", validate_parameters=True)
def verify_corpus(corpus: str, rows: int = 100, snapshot: int | None = None, seed: int | None = None) -> Verdict:
    """Verifies a sample of rows and returns what fails; a failing row does not fail the flow, it raises an event.

    Args:
        corpus: Folder or URI.
        rows: How many are drawn.
        snapshot: Its number. None: the newest.
        seed: Of the drawing: that of an earlier verdict draws its rows again. None: another one each time.

    Raises:
        DataClawError: there is no corpus, or no such snapshot.
    """
    check_corpus_of_run(corpus, sent=deployment.id is not None)
    verdict = verify_sample(corpus, rows, snapshot, seed)
    announce_verdict(verdict)
    return verdict_state(verdict)  # type: ignore[return-value]  # callers get the verdict, Prefect the name of the end

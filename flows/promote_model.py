"""A candidate that was measured takes the place of the current version, or does not."""

from __future__ import annotations

from prefect import flow
from prefect.runtime import deployment

from storage.access import check_corpus_of_run
from tasks.benchmark import trial_of
from tasks.promote import Decision, decide, decided_state, judge_candidate


@flow(name="promote_model", flow_run_name="promote {model}", validate_parameters=True)
def promote_model(model: str, corpus: str, catalog: str | None = None) -> Decision:
    """Promotes a model when the rule of its training says so, and a person where the rule asks for one.

    Args:
        model: A version of a registered model, NAME@NUMBER.
        corpus: Folder or URI of the corpus that it was trained on.
        catalog: URL of the database that it is registered in. None: the file inside a local corpus.

    Raises:
        DataClawError: it was not measured, or another version became current meanwhile.
    """
    sent = deployment.id is not None
    check_corpus_of_run(corpus, catalog, sent=sent)
    trial = trial_of(model, corpus, catalog, sent=sent)
    judgement = judge_candidate(trial)
    decision = decide(trial, judgement)
    return decided_state(trial, judgement, decision)  # type: ignore[return-value]  # callers get the decision

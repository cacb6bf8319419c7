"""A registered model on DataClaw-val, beside rules and the version that is current."""

from __future__ import annotations

from prefect import flow
from prefect.runtime import deployment

from benchmark.val.results import Result
from storage.access import check_corpus_of_run
from tasks.benchmark import announce_benchmarked, benchmarked_state, have_set, measure, trial_of


@flow(name="run_benchmark", flow_run_name="benchmark {model}", validate_parameters=True)
def run_benchmark(model: str, corpus: str, catalog: str | None = None) -> list[Result]:
    """Measures a model as its training says.

    Args:
        model: A version of a registered model, NAME@NUMBER.
        corpus: Folder or URI of the corpus that it was trained on.
        catalog: URL of the database that it is registered in. None: the file inside a local corpus.

    Raises:
        DataClawError: there is no such model or set, or it cannot be asked; what was answered is kept.
    """
    sent = deployment.id is not None
    check_corpus_of_run(corpus, catalog, sent=sent)
    trial = trial_of(model, corpus, catalog, sent=sent)
    have_set(trial)
    results = measure(trial)
    announce_benchmarked(trial, results)
    return benchmarked_state(trial, results)  # type: ignore[return-value]  # callers get results, Prefect the message

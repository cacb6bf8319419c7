"""The model learns from a corpus that has grown: SFT, GRPO, and a candidate in the registry."""

from __future__ import annotations

from prefect import flow
from prefect.runtime import deployment

from schemas.model import ModelVersion
from schemas.training import Training
from tasks.train import course_of, register_candidate, registered_state, train


@flow(name="retrain", flow_run_name="retrain on {corpus}", validate_parameters=True)
def retrain(
    training: Training | str,
    corpus: str,
    snapshot: int | None = None,
    catalog: str | None = None,
    folder: str | None = None,
) -> ModelVersion:
    """Trains a model and registers it as a candidate. One that died goes on from its checkpoint when it is run again.

    Args:
        training: The path or URI of a training file, or a whole training.
        corpus: Folder or URI.
        snapshot: Its number. None: the newest.
        catalog: URL of the database for the model. None: the file inside a local corpus.
        folder: Of this machine, for what is under way. None: beside the models of a local corpus.

    Raises:
        DataClawError: what is named is not there, a stage failed, or the registry refuses; what is done is kept.
    """
    course = course_of(training, corpus, snapshot, catalog, folder, sent=deployment.id is not None)
    sft = train(course, "sft") if course.training.sft else None
    grpo = train(course, "grpo", sft) if course.training.grpo else None
    model = register_candidate(course, sft, grpo)
    return registered_state(model, course)  # type: ignore[return-value]  # callers get the model, Prefect the message

"""Supervised fine-tuning alone, on published outputs."""

from __future__ import annotations

from prefect import flow
from prefect.runtime import deployment

from schemas.training import Training
from tasks.train import Stage, course_of, train, trained_state


@flow(name="train_sft", flow_run_name="SFT on {corpus}", validate_parameters=True)
def train_sft(training: Training | str, corpus: str, snapshot: int | None = None, folder: str | None = None) -> Stage:
    """Tunes a base on published outputs. `train_grpo` and `retrain` with the same training go on from it.

    Args:
        training: The path or URI of a training file, or a whole training.
        corpus: Folder or URI.
        snapshot: Its number. None: the newest.
        folder: Of this machine, for what is under way. None: beside the models of a local corpus.

    Raises:
        DataClawError: what is named is not there, or the stage failed; what is done is kept.
    """
    course = course_of(training, corpus, snapshot, None, folder, sent=deployment.id is not None)
    return trained_state("sft", train(course, "sft"))  # type: ignore[return-value]  # Prefect the message

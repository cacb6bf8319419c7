"""Reinforcement alone, by the verifier's reward."""

from __future__ import annotations

from prefect import flow
from prefect.runtime import deployment

from schemas.training import Training
from tasks.train import Stage, course_of, done, train, trained_state


@flow(name="train_grpo", flow_run_name="GRPO on {corpus}", validate_parameters=True)
def train_grpo(training: Training | str, corpus: str, snapshot: int | None = None, folder: str | None = None) -> Stage:
    """Reinforces a model: what SFT made of the same training on the same snapshot, else the model that it names.

    Args:
        training: The path or URI of a training file, or a whole training.
        corpus: Folder or URI.
        snapshot: Its number. None: the newest.
        folder: Of this machine, for what is under way. None: beside the models of a local corpus.

    Raises:
        DataClawError: what is named is not there, or the stage failed; what is done is kept.
    """
    course = course_of(training, corpus, snapshot, None, folder, sent=deployment.id is not None)
    return trained_state("grpo", train(course, "grpo", done(course, "sft")))  # type: ignore[return-value]

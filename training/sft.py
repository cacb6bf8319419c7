"""Supervised fine-tuning on published outputs, by TRL."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from schemas.errors import UsageError
from schemas.training import Training
from training.dataset import Bounds, mixed, on_disk
from training.examples import Example
from training.head import score_answers_alone
from training.trainer import (
    Tell,
    Trained,
    adapters,
    careful,
    clear_ends,
    load_model,
    processing,
    settings,
    template_settings,
    train,
    vision,
)

log = logging.getLogger(__name__)


def train_sft(training: Training, offered: Iterable[Example], out: Path, tell: Tell | None = None) -> Trained:
    """Tunes a base on examples; the loss is that of the answers alone. Called again after whatever ended it, it goes on
    from the last whole checkpoint in `out`, and ends as it would have.

    Args:
        offered: examples of the training side; they are read once.
        out: folder for data, checkpoints, logs and, in `model`, the tuned adapter (or all weights).
        tell: hears of progress.

    Raises:
        UsageError: the model is not there, or the training has no SFT.
        DataClawError: no example fits, memory or disk do not suffice, or the loss is no number any more.
    """
    from trl import SFTConfig, SFTTrainer

    how = training.sft
    if how is None:
        raise UsageError(training.name, "its training has no SFT", "Name sft in it")
    sees = vision(training.model)
    with clear_ends(out, training, how, how.max_tokens):
        config = SFTConfig(
            **settings(training, how, out),
            num_train_epochs=how.epochs,
            max_steps=how.steps or -1,
            max_length=None,  # what is too long was left out: cut off it would teach broken JSON
            completion_only_loss=True,
        )
        data, taken = on_disk(offered, training.model.name, sees, Bounds(whole=how.max_tokens), out / "data")
        log.info("%d examples, %d left out", taken.taken, taken.left_out.total())
        processor = processing(training, sees)
        told = template_settings(processor)

        class Trainer(careful(SFTTrainer)):  # type: ignore[misc]  # TRL is not typed
            def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
                self.about(inputs.pop("ids"))
                given = super().compute_loss(model, inputs, *args, **kwargs)
                self.check(float((given[0] if isinstance(given, tuple) else given).detach()))
                return given

        if told:
            data = data.add_column("chat_template_kwargs", [told] * len(data))
        trainer = Trainer(
            model=load_model(training),
            args=config,
            train_dataset=mixed(data, training.mixture),
            processing_class=processor,
            peft_config=adapters(training),
        )
        score_answers_alone(trainer.model)
        trainer.data_collator = _Naming(trainer.data_collator)
        return train(trainer, training, how, taken, tell)


class _Naming:
    """A collator whose batches say which rows they are of."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        return {**self._inner(examples), "ids": [example["id"] for example in examples]}

"""Group relative policy optimisation with the verifier's reward, by TRL."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from schemas.errors import UsageError
from schemas.training import GRPO, Rollouts, Training
from training.dataset import Bounds, mixed, on_disk
from training.examples import Example
from training.head import score_answers_alone
from training.rewards import Judge, reward_functions
from training.rollouts import engine_starting, rollout_settings
from training.trainer import (
    Tell,
    Trained,
    adapters,
    bad_loss,
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


def train_grpo(training: Training, offered: Iterable[Example], out: Path, tell: Tell | None = None) -> Trained:
    """Tunes a model on the rewards of its own answers. `training.model.adapter` is what SFT made: it is tuned on, and
    the divergence is measured to it. Goes on from the last whole checkpoint in `out`, as :func:`train_sft`.

    Logged are, beside TRL's own figures, the reward and its parts apart (`rewards/R/mean`, `rewards/R_format/mean`,
    `rewards/R_anchor/mean`, `rewards/R_eff/mean`, `rewards/R_cover/mean`) and the share of the step that scoring took
    (`reward_share`).

    Args:
        offered: examples of the training side, whose answers are not used; they are read once.
        out: folder for data, checkpoints, logs and, in `model`, the tuned adapter (or all weights).
        tell: hears of progress.

    Raises:
        UsageError: the model is not there, or the training has no GRPO.
        DataClawError: no example fits, memory or disk do not suffice, or the loss is no number any more.
    """
    how = training.grpo
    if how is None:
        raise UsageError(training.name, "its training has no GRPO", "Name grpo in it")
    if how.rollouts is Rollouts.TRANSFORMERS:  # the version of an engine that nobody asks is no matter
        warnings.filterwarnings("ignore", message="TRL currently supports vLLM")
    from trl import GRPOConfig, GRPOTrainer

    sees = vision(training.model)
    judge = Judge(how.reward)
    functions, weights = reward_functions(judge, how.coverage)
    with clear_ends(out, training, how, how.max_question + how.max_answer):
        processor = processing(training, sees, padding_side="left")
        shared = settings(training, how, out)
        questions = _questions(how)
        config = GRPOConfig(
            **shared,
            max_steps=how.steps,
            num_generations=how.generations,
            max_completion_length=how.max_answer,
            temperature=how.temperature,
            top_p=how.top_p,
            beta=how.beta,
            epsilon=how.epsilon,
            num_iterations=how.iterations,
            scale_rewards=how.normalise,
            loss_type="grpo",
            reward_weights=weights,
            chat_template_kwargs=template_settings(processor),
            **rollout_settings(how),
        )
        bounds = Bounds(question=how.max_question)
        data, taken = on_disk(offered, training.model.name, sees, bounds, out / "data")
        log.info("%d examples, %d left out", taken.taken, taken.left_out.total())
        if taken.taken < questions:
            cause = f"a step asks {questions} questions, and there are {taken.taken}"
            raise UsageError(training.name, cause, "Lower grpo.batch or grpo.accumulate, or raise grpo.generations")

        class Trainer(careful(GRPOTrainer)):  # type: ignore[misc]  # TRL is not typed
            def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> Any:
                before = self._rows
                self.about(item["id"] for item in inputs)
                try:
                    return super()._generate_and_score_completions(inputs)
                except RuntimeError as error:
                    if "probability tensor" not in str(error):
                        raise
                    what = "the probabilities of its tokens are no numbers any more"
                    raise bad_loss(what, self.state.global_step, before or self._rows, out) from error

            def training_step(self, *args: Any, **kwargs: Any) -> Any:
                begun, scored = time.perf_counter(), judge.seconds
                loss = super().training_step(*args, **kwargs)
                share = (judge.seconds - scored) / max(time.perf_counter() - begun, 1e-9)
                self._metrics["train"]["reward_share"].append(share)
                self.check(float(loss))
                return loss

        with engine_starting(how, training.seed):
            trainer = Trainer(
                model=load_model(training),
                args=config,
                train_dataset=mixed(data.remove_columns("completion"), training.mixture),
                reward_funcs=functions,
                processing_class=processor,
                peft_config=adapters(training),
            )
        score_answers_alone(trainer.model, how.temperature)
        return train(trainer, training, how, taken, tell)


def _questions(how: GRPO) -> int:
    """Different questions in a step, over all processes.

    Raises:
        UsageError: the answers of a step are no whole groups.
    """
    from accelerate import PartialState

    answers: int = how.batch * how.accumulate * PartialState().num_processes
    if answers % how.generations:
        cause = f"{answers} answers in a step (batch, times accumulate, times processes) are no multiple of generations"
        raise UsageError(f"generations {how.generations}", cause, "Change grpo.batch, grpo.accumulate or generations")
    return answers // how.generations

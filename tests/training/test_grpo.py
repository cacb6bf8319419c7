"""GRPO on a tiny model that SFT has taught a form, with the verifier's reward of what it really writes."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from schemas.recipe import ModelSpec
from schemas.training import GRPO, SFT, LoRA, Rollouts, Training
from tests.training.rows import examples
from tests.training.runs import train
from training.examples import Example
from training.settings import going_on
from training.trainer import logged

pytestmark = [pytest.mark.models, pytest.mark.long]
FIGURES = ("loss", "grad_norm", "reward", "rewards/R_anchor/mean", "kl", "completions/mean_length")


def figures(out: Path) -> list[dict[str, float]]:
    return [{name: line[name] for name in FIGURES if name in line} for line in logged(out) if "loss" in line]


def changed(training: Training, **changes: Any) -> Training:
    assert training.grpo is not None
    return training.model_copy(update={"grpo": training.grpo.model_copy(update=changes)})


@pytest.fixture(scope="module")
def taught(tiny_qwen3: Path, tmp_path_factory: pytest.TempPathFactory) -> Training:
    """A training of a model that writes the form now and then: all weights were tuned, then an adapter."""
    out = tmp_path_factory.mktemp("taught")
    quick = {"accumulate": 1, "batch": 8, "save_every": 60, "gradient_checkpointing": False}
    training = Training(
        name="tiny",
        model=ModelSpec(name=str(tiny_qwen3), brief=True, frames=0, anchor_tokens=64),
        lora=None,
        sft=SFT(steps=60, learning_rate=5e-3, **quick),
        grpo=GRPO(
            steps=4,
            generations=4,
            batch=8,
            max_answer=32,
            save_every=2,
            learning_rate=1e-3,
            beta=0.05,
            gradient_checkpointing=False,
        ),
    )
    assert train("sft", training, rows(training), out / "whole").code == 0
    training = going_on(training, out / "whole" / "model").model_copy(
        update={"lora": LoRA(rank=4, alpha=8), "sft": SFT(steps=4, learning_rate=5e-3, **quick)}
    )
    assert train("sft", training, rows(training), out / "adapter").code == 0
    return going_on(training, out / "adapter" / "model")


def rows(training: Training) -> Sequence[Example]:
    return examples(training.model, 8)


@pytest.fixture(scope="module")
def unbroken(taught: Training, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("unbroken")
    assert train("grpo", taught, rows(taught), out).code == 0
    return out


def test_answers_are_rewarded_and_the_divergence_is_to_what_sft_made(unbroken: Path) -> None:
    first, *later = [line for line in logged(unbroken) if "loss" in line]
    assert any(line["reward_std"] > 0 for line in (first, *later)), (
        "nothing to learn from: all answers are worth the same"
    )
    assert first["reward"] == pytest.approx(first["rewards/R/mean"])
    assert first["kl"] == pytest.approx(0.0, abs=1e-6)
    assert later[-1]["kl"] > 1e-6
    assert all(0.0 <= line["reward_share"] < 0.5 for line in (first, *later))


def test_what_is_saved_is_the_tuned_adapter_alone(unbroken: Path) -> None:
    for folder in (unbroken / "model", unbroken / "checkpoint-4"):
        assert (folder / "adapter_model.safetensors").exists()
        assert not (folder / "ref").exists()


@pytest.mark.parametrize("step", [1, 3])
def test_a_run_killed_at_a_step_goes_on_to_the_figures_of_one_that_was_not(
    taught: Training, unbroken: Path, tmp_path: Path, step: int
) -> None:
    assert train("grpo", taught, rows(taught), tmp_path, die_at=step).code == -signal.SIGKILL
    assert len(figures(tmp_path)) == step
    assert train("grpo", taught, rows(taught), tmp_path).code == 0
    assert figures(tmp_path) == figures(unbroken)


def test_several_steps_on_the_same_answers_go_on_from_between_two_sets(taught: Training, tmp_path: Path) -> None:
    often = changed(taught, iterations=2)
    assert train("grpo", often, rows(taught), tmp_path / "whole").code == 0
    assert train("grpo", often, rows(taught), tmp_path / "killed", die_at=3).code == -signal.SIGKILL
    assert train("grpo", often, rows(taught), tmp_path / "killed").code == 0
    assert figures(tmp_path / "killed") == figures(tmp_path / "whole")


def test_an_absurd_learning_rate_ends_the_run_and_names_its_rows(taught: Training, tmp_path: Path) -> None:
    absurd = changed(taught, learning_rate=1e30, clip=1e30, warmup=0.0)
    ended = train("grpo", absurd, rows(taught), tmp_path)
    assert ended.error is not None, ended
    named = ended.error.problem.input.partition("rows ")[2].split(", ")
    assert {*named} <= {row.triplet.id[:12] for row in rows(taught)}
    assert "learning_rate" in ended.error.problem.remedy


def test_answers_that_make_no_whole_groups_are_refused(taught: Training, tmp_path: Path) -> None:
    ended = train("grpo", changed(taught, generations=3), rows(taught), tmp_path)
    assert ended.error is not None
    assert "no multiple of generations" in ended.error.problem.cause


def test_fewer_questions_than_a_step_asks_are_refused(taught: Training, tmp_path: Path) -> None:
    ended = train("grpo", taught, rows(taught)[:1], tmp_path)
    assert ended.error is not None
    assert "a step asks 2 questions, and there are 1" in ended.error.problem.cause


def test_checkpoints_between_two_steps_on_the_same_answers_are_refused() -> None:
    with pytest.raises(ValidationError, match="save_every 3 is no multiple of iterations 2"):
        GRPO(iterations=2, save_every=3)


def test_an_engine_answers_as_the_model_does_that_is_tuned(taught: Training, tmp_path: Path) -> None:
    """Each token's log-probability in vLLM, after steps that change much, and in the trainer; of two trainings that
    begin at once, of two seeds on one question. The engine computes in bfloat16; with its first weights in the place
    of the tuned ones the largest difference was 6."""
    engine = changed(taught, rollouts=Rollouts.VLLM, max_question=512, learning_rate=3e-2, generations=8)
    seeds = [engine.model_copy(update={"seed": seed}) for seed in (0, 1)]
    outs = [tmp_path / "one", tmp_path / "other"]
    with ThreadPoolExecutor() as beside:
        ended = list(beside.map(lambda one, out: train("grpo", one, rows(taught)[:1], out), seeds, outs))
    assert [one.code for one in ended] == [0, 0], ended
    for out in outs:
        lines = [line for line in logged(out) if "loss" in line]
        assert len(lines) == 4
        assert any(line["grad_norm"] > 0 for line in lines), "the weights never changed"
        for line in lines:
            assert line["completions/mean_length"] > 1
            assert line["sampling/sampling_logp_difference/max"] < 0.2
        assert lines[-1]["kl"] > 0.05
    first, other = (logged(out)[0] for out in outs)
    drawn = ("completions/mean_length", "sampling/sampling_logp_difference/mean")
    assert [first[name] for name in drawn] != [other[name] for name in drawn], "both seeds drew the same answers"


def test_rollouts_by_a_server_need_one() -> None:
    with pytest.raises(ValidationError, match="names no server"):
        GRPO(rollouts=Rollouts.SERVER)

"""SFT on a real, tiny model: what is learned, and what becomes of a run that breaks."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from schemas.recipe import ModelSpec
from schemas.training import SFT, Training
from tests.training.rows import examples, row
from tests.training.runs import Ended, train
from training.checkpoints import SEAL
from training.examples import example_of
from training.trainer import LOG, logged

pytestmark = [pytest.mark.models, pytest.mark.long]


def losses(out: Path) -> dict[int, float]:
    return {int(line["step"]): line["loss"] for line in logged(out) if "loss" in line}


def size(folder: Path) -> int:
    """Bytes of a folder's files, each in whole pages as a disk in memory holds them."""
    return sum(-(-path.stat().st_size // 4096) * 4096 for path in folder.rglob("*") if path.is_file())


def tuned(settings: Training, **changes: Any) -> Training:
    assert settings.sft is not None
    return settings.model_copy(update={"sft": settings.sft.model_copy(update=changes)})


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Callable[[Training], Path]:
    """The folder of an unbroken run of some settings."""
    made: dict[str, Path] = {}

    def run(training: Training) -> Path:
        key = training.model_dump_json()
        if key not in made:
            made[key] = tmp_path_factory.mktemp("unbroken")
            assert train("sft", training, examples(training.model), made[key]).code == 0
        return made[key]

    return run


def test_adapters_are_tuned_and_the_loss_falls(settings: Training, unbroken: Callable[[Training], Path]) -> None:
    out = unbroken(settings)
    found = losses(out)
    assert list(found) == [1, 2, 3, 4]
    assert found[4] < found[1]
    assert (out / "model" / "adapter_model.safetensors").exists()
    assert not (out / "model" / "model.safetensors").exists()
    assert list((out / "tensorboard").iterdir())


def test_all_weights_are_tuned_where_no_adapters_are_asked_for(settings: Training, tmp_path: Path) -> None:
    ended = train("sft", settings.model_copy(update={"lora": None}), examples(settings.model), tmp_path)
    assert ended.code == 0, ended
    assert (tmp_path / "model" / "model.safetensors").exists()
    assert losses(tmp_path)[4] < losses(tmp_path)[1]


@pytest.mark.parametrize("step", [1, 3])
def test_a_run_killed_at_a_step_goes_on_to_the_losses_of_one_that_was_not(
    settings: Training, unbroken: Callable[[Training], Path], tmp_path: Path, step: int
) -> None:
    assert train("sft", settings, examples(settings.model), tmp_path, die_at=step).code == -signal.SIGKILL
    assert len(losses(tmp_path)) == step
    assert train("sft", settings, examples(settings.model), tmp_path).code == 0
    assert losses(tmp_path) == losses(unbroken(settings))


def test_a_broken_checkpoint_is_passed_over_for_the_one_before(
    settings: Training, unbroken: Callable[[Training], Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(unbroken(settings), out)
    weights = out / "checkpoint-4" / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\1\2\3")
    assert train("sft", settings, examples(settings.model), out).code == 0
    assert (out / "broken-checkpoint-4").is_dir()
    assert (out / "checkpoint-4" / SEAL).exists()
    assert losses(out) == losses(unbroken(settings))


def test_a_loss_that_is_no_number_ends_the_run_and_names_its_rows(settings: Training, tmp_path: Path) -> None:
    rows = examples(settings.model)
    ended = train("sft", tuned(settings, learning_rate=1e30, clip=1e30, warmup=0.0), rows, tmp_path)
    assert ended.error is not None
    problem = ended.error.problem
    assert problem.input.startswith("step 2, rows ")
    named = problem.input.removeprefix("step 2, rows ").split(", ")
    assert len(named) == 2
    assert {*named} <= {row.triplet.id[:12] for row in rows}
    assert "nan" in problem.cause
    assert "learning_rate" in problem.remedy


def test_a_disk_that_fills_ends_the_run_and_room_lets_it_go_on(
    settings: Training, unbroken: Callable[[Training], Path], tmp_path: Path, disk_of: Callable[[str], Path]
) -> None:
    whole = unbroken(settings)
    half = size(whole) - size(whole / "model") - size(whole / "checkpoint-4") // 2
    disk = disk_of(f"{half >> 10}k")
    ended = train("sft", settings, examples(settings.model), disk / "out")
    assert ended.error is not None, ended
    assert ended.error.problem.cause == "the disk is full"
    assert (disk / "out" / "checkpoint-2" / SEAL).exists()
    assert all((folder / SEAL).exists() for folder in (disk / "out").glob("checkpoint-*"))
    shutil.copytree(disk / "out", tmp_path / "roomy")
    assert train("sft", settings, examples(settings.model), tmp_path / "roomy").code == 0
    assert losses(tmp_path / "roomy") == losses(unbroken(settings))


def test_too_little_memory_says_what_it_takes_and_what_takes_less(settings: Training, tmp_path: Path) -> None:
    greedy = tuned(settings, batch=64, steps=1)
    ended = train("sft", greedy, examples(settings.model, 64), tmp_path, spare=64 << 20)
    assert ended.error is not None, ended
    problem = ended.error.problem
    assert "memory does not suffice: a step takes up to weights 0." in problem.cause
    assert "batch 1 instead of 64" in problem.remedy
    assert "gradient_checkpointing: true" in problem.remedy


def test_examples_that_cannot_be_learned_from_are_left_out_and_counted(settings: Training, tmp_path: Path) -> None:
    rows = examples(settings.model, 7)
    invalid = rows[0].triplet.model_copy(update={"score": rows[0].triplet.score.model_copy(update={"format": 0.0})})
    rows[0] = replace(rows[0], triplet=invalid)
    long = row(1, anchors=100)
    rows[1] = example_of(long, settings.model.model_copy(update={"anchor_tokens": 6000}))
    rows[2] = example_of(long, settings.model)
    done = train("sft", tuned(settings, max_tokens=2048, steps=1), rows, tmp_path).result
    assert done.taken.taken == 4
    untold = "its question does not tell all that its answer states (raise model.anchor_tokens, or show frames)"
    assert done.taken.left_out == {
        "its output does not satisfy its schema": 1,
        "it has more than 2048 tokens": 1,
        untold: 1,
    }
    assert json.loads((tmp_path / "data" / "examples.json").read_text())["taken"] == 4


def test_rows_none_of_which_can_be_used_are_an_error(settings: Training, tmp_path: Path) -> None:
    ended = train("sft", tuned(settings, max_tokens=64), examples(settings.model), tmp_path)
    assert ended.error is not None
    assert "no example can be used: 8 it has more than 64 tokens" in ended.error.problem.cause


def written(model: Path) -> dict[str, bytes]:
    """The files of a model but one, of TRL's settings, which holds where it lies."""
    return {path.name: path.read_bytes() for path in model.iterdir() if path.name != "training_args.bin"}


def test_a_folder_with_another_run_is_refused(
    settings: Training, unbroken: Callable[[Training], Path], tmp_path: Path
) -> None:
    shutil.copytree(unbroken(settings), tmp_path / "out")
    other = tuned(settings, learning_rate=1e-5).model_copy(update={"seed": 7})
    ended = train("sft", other, examples(settings.model), tmp_path / "out")
    assert ended.error is not None
    assert "it holds another run: seed 0 (now 7), settings.learning_rate" in ended.error.problem.cause


@pytest.mark.parametrize("lost", [False, True], ids=["again", "killed before its model was written"])
def test_a_run_that_has_ended_is_not_trained_on(
    settings: Training, unbroken: Callable[[Training], Path], tmp_path: Path, lost: bool
) -> None:
    out = shutil.copytree(unbroken(settings), tmp_path / "out")
    before = written(out / "model")
    lines = logged(out)
    if lost:
        shutil.rmtree(out / "model")
    ended = train("sft", settings, examples(settings.model), out)
    assert ended.error is None
    assert ended.result.steps == lines[-1]["step"]
    assert logged(out) == lines
    assert written(out / "model") == before
    assert "Tuned by DataClaw (SFT" in before["README.md"].decode()


def test_a_model_that_sees_nothing_is_not_shown_frames(settings: Training, tmp_path: Path) -> None:
    showing = settings.model_copy(update={"model": settings.model.model_copy(update={"frames": 2})})
    ended = train("sft", showing, [], tmp_path)
    assert ended.error is not None
    assert "set model.frames: 0" in ended.error.problem.remedy


def test_a_model_that_sees_is_asked_as_a_build_asks_it_and_learns_the_answer_alone(tiny_qwen3_vl: Path) -> None:
    from transformers import AutoProcessor
    from trl.trainer.sft_trainer import DataCollatorForVisionLanguageModeling

    from synthesis.backends.checkpoint import Checkpoint
    from training.dataset import record

    model = ModelSpec(name=str(tiny_qwen3_vl), brief=True, frames=2, image_side=64)
    example = examples(model, 1, frames=2)[0]
    checkpoint = Checkpoint(model.name)
    processor = AutoProcessor.from_pretrained(model.name)
    row = record(example, checkpoint, sees=True)
    asked = processor.apply_chat_template(_plain(row["prompt"]), tokenize=False, add_generation_prompt=True)
    built = [
        {
            "role": message.role,
            "content": [
                {"type": "text", "text": part} if isinstance(part, str) else {"type": "image"}
                for part in checkpoint.parts(message)
            ],
        }
        for message in example.messages
    ]
    assert asked == processor.apply_chat_template(built, tokenize=False, add_generation_prompt=True)

    parts = [part for message in example.messages for part in checkpoint.parts(message)]
    images = [part for part in parts if not isinstance(part, str)]
    collate = DataCollatorForVisionLanguageModeling(processor, completion_only_loss=True)
    batch = collate([{"prompt": _plain(row["prompt"]), "completion": _plain(row["completion"]), "images": images}])
    learned = batch["labels"][0][batch["labels"][0] != -100]
    assert processor.tokenizer.decode(learned).strip() == f"{example.completion}<|im_end|>"


def _plain(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without the empty fields that a column of messages has."""
    return [
        {**message, "content": [{k: v for k, v in part.items() if v is not None} for part in message["content"]]}
        for message in messages
    ]


def test_a_model_that_sees_is_tuned_on_pictures_without_touching_its_eyes(tiny_qwen3_vl: Path, tmp_path: Path) -> None:
    from safetensors import safe_open

    model = ModelSpec(name=str(tiny_qwen3_vl), brief=True, frames=2, image_side=64)
    training = Training(name="tiny", model=model, sft=SFT(steps=1, accumulate=1, batch=2, save_every=1))
    ended: Ended = train("sft", training, examples(model, 4, frames=2), tmp_path)
    assert ended.code == 0, ended
    with safe_open(tmp_path / "model" / "adapter_model.safetensors", "pt") as weights:
        assert weights.keys()
        assert not [name for name in weights.keys() if "visual" in name]  # noqa: SIM118  # no mapping


def test_of_text_alone_the_loss_is_that_of_the_answer(settings: Training, tmp_path: Path) -> None:
    """The number of tokens that the loss is of, from TRL's own rows."""
    from datasets import Dataset
    from transformers import AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    from training.dataset import Bounds, on_disk
    from training.trainer import load_model

    example = examples(settings.model, 1)[0]
    data, _ = on_disk([example], settings.model.name, False, Bounds(), tmp_path / "data")
    assert isinstance(data, Dataset)
    tokenizer = AutoTokenizer.from_pretrained(settings.model.name)
    config = SFTConfig(
        str(tmp_path), max_length=None, completion_only_loss=True, remove_unused_columns=False, use_cpu=True, bf16=False
    )
    trainer = SFTTrainer(load_model(settings), config, train_dataset=data, processing_class=tokenizer)
    batch = next(iter(trainer.get_train_dataloader()))
    learned = batch["labels"][0][batch["labels"][0] != -100]
    assert tokenizer.decode(learned).strip() == f"{example.completion}<|im_end|>"
    assert (tmp_path / LOG).exists() is False

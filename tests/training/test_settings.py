"""Trainings as files."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.errors import UsageError
from training.settings import going_on, load_training


def written(folder: Path, text: str) -> Path:
    path = folder / "training.yaml"
    path.write_text(text)
    return path


def test_folders_are_relative_to_the_file_and_names_of_the_hub_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    there = load_training(written(tmp_path, "{name: a, model: {name: base, adapter: ../tuned}}"))
    assert there.model.name == str(tmp_path / "base")
    assert there.model.adapter == str(tmp_path.parent / "tuned")
    hub = load_training(written(tmp_path, "{name: a, model: {name: Qwen/Qwen3.5-9B}}"))
    assert hub.model.name == "Qwen/Qwen3.5-9B"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{name: a, model: {name: b}, sft: {epoch: 1}}", "unknown key sft.epoch, did you mean 'epochs'?"),
        ("{name: a, model: {name: b}, grpo: {rollouts: vlm}}", "grpo.rollouts is 'vlm': did you mean 'vllm'?"),
        ("{name: a, model: {name: b}, sft: {schedule: cosin}}", "sft.schedule is 'cosin': did you mean 'cosine'?"),
        ("{name: a}", "model is missing"),
        ("{name: a, model: {name: b}, sft: {keep: 1}}", "sft.keep: Input should be greater than or equal to 2"),
        ("{name: a, model: {name: b}, grpo: {rollouts: server}}", "rollouts: server names no server"),
        ("[]", "holds no training"),
        ("a: [", "is not YAML"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UsageError, match="training") as raised:
        load_training(written(tmp_path, text))
    assert words in raised.value.problem.cause


def test_it_goes_on_with_an_adapter_or_with_a_whole_model(tmp_path: Path) -> None:
    training = load_training(written(tmp_path, "{name: a, model: {name: hub/base}}"))
    whole = going_on(training, tmp_path)
    assert (whole.model.name, whole.model.adapter) == (str(tmp_path), None)
    (tmp_path / "adapter_config.json").write_text("{}")
    adapter = going_on(training, tmp_path)
    assert (adapter.model.name, adapter.model.adapter) == ("hub/base", str(tmp_path))

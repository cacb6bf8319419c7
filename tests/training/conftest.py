"""A model small enough to be tuned in seconds, and settings to tune it by."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from schemas.recipe import ModelSpec
from schemas.training import GRPO, SFT, LoRA, Training
from tests.models.fixtures import once
from tests.models.fixtures import tiny_qwen3_vl as tiny_qwen3_vl

os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.fixture(scope="session")
def tiny_qwen3(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a random Qwen3 that sees nothing."""
    from tests.models.tiny_qwen3 import make

    return once(request.config, "tiny_qwen3", lambda: make(tmp_path_factory.mktemp("tiny_qwen3")))


@pytest.fixture
def settings(tiny_qwen3: Path) -> Training:
    """Of a few quick steps."""
    return Training(
        name="tiny",
        model=ModelSpec(name=str(tiny_qwen3), brief=True, frames=0, anchor_tokens=64),
        lora=LoRA(rank=4, alpha=8),
        sft=SFT(steps=4, accumulate=1, batch=2, save_every=2, learning_rate=1e-3, gradient_checkpointing=False),
        grpo=GRPO(
            steps=4,
            generations=2,
            batch=4,
            max_answer=24,
            save_every=2,
            learning_rate=1e-3,
            gradient_checkpointing=False,
        ),
    )

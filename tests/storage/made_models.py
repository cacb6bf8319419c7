"""Small folders that look like models, and registry entries of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from schemas.model import Base, ModelFile, NewModel, Weights
from schemas.recipe import ModelSpec
from tests.storage.conftest import sha

BASE = Base(name="some/base", fingerprint="commit-1")


def adapter_folder(folder: Path, seed: int = 0, size: int = 1000) -> Path:
    """What PEFT saves, and what trainers leave beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps({"r": 4, "seed": seed}))
    (folder / "adapter_model.safetensors").write_bytes(bytes([seed % 256]) * size)
    (folder / "training_args.bin").write_bytes(b"a pickle")
    (folder / "checkpoint-5").mkdir(exist_ok=True)
    (folder / "checkpoint-5" / "adapter_model.safetensors").write_bytes(b"half trained")
    return folder


def entry(seed: int = 0, name: str = "tailor", **rest: Any) -> NewModel:
    """A model whose files are taken to be stored."""
    file = ModelFile(path="adapter_model.safetensors", sha256=sha(f"weights {seed}"), size=10)
    weights = Weights(base=BASE, files=(file,))
    values: dict[str, Any] = {
        "name": name,
        "weights": weights,
        "place": f"/models/{name}/{weights.digest}",
        "prompting": ModelSpec(name=BASE.name, brief=True, frames=2, anchor_tokens=500),
        "code_version": "1",
        "registered_by": "a test",
    }
    return NewModel(**(values | rest))

"""Registered sets of experts, on small bases and on those that are none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas.model import ModelVersion
from schemas.recipe import ModelSpec
from schemas.stream import Domain
from storage.catalog.registry import Registry
from storage.corpus import Corpus
from storage.weights import FOLDER
from tests.storage.made_models import adapter_folder
from tests.training.test_router import rows
from training.registry import register, register_experts
from training.router import fit_router

DOMAINS = (Domain.EDUCATION, Domain.EMBODIED, Domain.GUI)


@dataclass(frozen=True)
class Registered:
    """A set in the catalog of a corpus: `experts@1`, of `tailor@1`, `tailor@2`, ..."""

    corpus: Corpus
    set: ModelVersion
    members: tuple[ModelVersion, ...]


def registered(folder: Path, base: Path, adapters: Mapping[Any, Path]) -> Registered:
    """A set of these adapters, by kind, in their order."""
    corpus = Corpus.open(folder / "corpus", create=True)
    root = corpus.location.join(FOLDER)
    prompting = ModelSpec(name=str(base), brief=True, context=2048, frames=0, max_tokens=40)
    router = fit_router(rows(range(6))).router
    with Registry.open(corpus.catalog_url(), create=True) as registry:
        members = [
            register(registry, files, root, "tailor", prompting, "a test", kind=kind)
            for kind, files in adapters.items()
        ]
        made = register_experts(registry, members, router, root, "experts", "a test", metrics={"router/right": 1.0})
    return Registered(corpus, made, tuple(members))


def without_weights(folder: Path, omni: bool = True) -> Registered:
    """A set whose files look like a model's and are none: a server answers, or nobody."""
    base = folder / "base"
    base.mkdir()
    (base / "config.json").write_text('{"text_config": {"max_position_embeddings": 512}}')
    (base / "model.safetensors").write_bytes(b"base")
    kinds = (*DOMAINS, "omni") if omni else DOMAINS
    return registered(folder, base, {kind: adapter_folder(folder / kind, seed) for seed, kind in enumerate(kinds)})

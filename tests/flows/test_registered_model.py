"""Nights with a registered model: a promotion is new work, a candidate is not, and a rollback brings the rows back."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from faulty_server import FaultyServer, ok

from schemas.model import ModelVersion
from schemas.recipe import ModelSpec
from storage.catalog.registry import Registry
from storage.corpus import Corpus
from storage.weights import FOLDER
from tests.flows.test_models import build, dataclaw, recipe, rows, truthful
from tests.storage.made_models import adapter_folder
from training.registry import register

pytestmark = pytest.mark.long


def trained(corpus: Corpus, folder: Path, seed: int) -> ModelVersion:
    """A model that was tuned to be asked in few words. Its weights are none: a server answers."""
    base = folder / "base"
    base.mkdir(exist_ok=True)
    (base / "config.json").write_text("{}")
    (base / "model.safetensors").write_bytes(b"base")
    prompting = ModelSpec(name=str(base), brief=True, max_tokens=400)
    with Registry.open(corpus.catalog_url(), create=True) as registry:
        made = adapter_folder(folder / f"trained {seed}", seed)
        return register(registry, made, corpus.location.join(FOLDER), "lines", prompting, "a test")


def test_promotion_is_new_work_a_candidate_is_not_and_rollback_brings_rows_back(tmp_path: Path) -> None:
    corpus = Corpus.open(tmp_path / "corpus", create=True)
    with FaultyServer([], then=ok(truthful)) as server:
        file = recipe(tmp_path, server, clips=1)
        content = yaml.safe_load(file.read_text())
        content["synthesis"] = {"backend": "model:lines"}
        file.write_text(yaml.safe_dump(content))
        for seed in (1, 2):
            trained(corpus, tmp_path, seed)
        early = dataclaw("build", file)
        assert early.returncode == 2
        assert "no current version" in early.stderr

        promote(corpus, "lines@1", None)
        assert build(file)["units_done"] == 1
        (first,) = rows(tmp_path / "corpus")
        assert first["provenance"]["backend"] == "model:lines@1"
        assert first["provenance"]["model"] == f"{tmp_path / 'base'}+lines@1"
        assert {request.body["model"] for request in server.requests} == {"lines@1"}, "a candidate is not asked"
        assert not any("minItems" in request.text for request in server.requests), "it is asked in few words, as tuned"
        assert dataclaw("verify", tmp_path / "corpus").returncode == 0
        again = dataclaw("replay", tmp_path / "corpus", first["id"][:16], "--ask")
        assert again.returncode == 0, again.stdout + again.stderr

        promote(corpus, "lines@2", 1)
        assert build(file)["units_done"] == 1
        (second,) = rows(tmp_path / "corpus")
        assert second["provenance"]["backend"] == "model:lines@2"

        with Registry.open(corpus.catalog_url()) as registry:
            registry.roll_back("lines@2", "ann")
        asked = len(server.requests)
        assert build(file)["units_known"] == 1
        assert len(server.requests) == asked
        assert rows(tmp_path / "corpus") == [first]


def promote(corpus: Corpus, reference: str, over: int | None) -> None:
    with Registry.open(corpus.catalog_url()) as registry:
        registry.promote(reference, over, "ann")

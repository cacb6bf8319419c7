"""A recipe that names a registered model is a recipe for a certain version of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from schemas.errors import UsageError
from schemas.recipe import ModelSpec, Placement, Recipe, Serving, SourceSpec, Synthesis
from storage.catalog.registry import Registry
from storage.corpus import Corpus
from storage.recipes import recipe_of_run
from storage.registered import with_registered_model
from tests.storage.made_models import entry


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    """With two versions of a model, the first current."""
    corpus = Corpus.open(tmp_path / "corpus", create=True)
    with Registry.open(corpus.catalog_url(), create=True) as registry:
        for seed in range(2):
            registry.add(entry(seed), lambda: True)
        registry.promote("tailor@1", None, "ann")
    return corpus


def recipe(of: Corpus, backend: str = "model:tailor", **rest: Any) -> Recipe:
    synthesis = Synthesis(backend=backend, **rest.pop("synthesis", {}))
    values = {"name": "r", "corpus": of.uri, "sources": (SourceSpec(uri="raw"),), "intents": ("x",)}
    return Recipe(**(values | rest), synthesis=synthesis)  # type: ignore[arg-type]


def promote(corpus: Corpus, reference: str, over: int) -> None:
    with Registry.open(corpus.catalog_url()) as registry:
        registry.promote(reference, over, "ann")


def test_the_current_version_is_named_by_its_number_with_its_prompting_and_weights(corpus: Corpus) -> None:
    resolved = with_registered_model(recipe(corpus))
    registered = entry(0)
    assert resolved.synthesis.backend == "model:tailor@1"
    assert resolved.synthesis.model == registered.prompting.model_copy(
        update={"adapter": f"sha256:{registered.weights.digest}"}
    )
    assert resolved.placement.serving.weights == registered.place
    assert with_registered_model(resolved) == resolved, "a recipe that was resolved stays as it is"
    assert recipe_of_run(recipe(corpus), sent=False).hash == resolved.hash


def test_a_promoted_model_is_new_work_and_a_candidate_is_not(corpus: Corpus) -> None:
    before = with_registered_model(recipe(corpus)).hash
    with Registry.open(corpus.catalog_url()) as registry:
        registry.add(entry(2), lambda: True)
    assert with_registered_model(recipe(corpus)).hash == before
    promote(corpus, "tailor@2", 1)
    assert with_registered_model(recipe(corpus)).hash != before
    assert with_registered_model(recipe(corpus, "model:tailor@1")).hash == before, "a number never moves"


def test_where_a_model_is_served_and_where_its_files_lie_changes_no_result(corpus: Corpus, tmp_path: Path) -> None:
    here = with_registered_model(recipe(corpus))
    served = Placement(serving=Serving(base_url="http://localhost:8000/v1", gpus=1))
    assert with_registered_model(recipe(corpus, placement=served)).hash == here.hash
    os.rename(corpus.uri, tmp_path / "moved")
    assert with_registered_model(recipe(Corpus.open(tmp_path / "moved"))).hash == here.hash


def test_keys_that_come_with_a_model_are_refused(corpus: Corpus) -> None:
    with pytest.raises(UsageError, match="asked as it was tuned"):
        with_registered_model(recipe(corpus, synthesis={"model": ModelSpec(name="other")}))


def test_a_corpus_that_is_not_there_has_no_model(corpus: Corpus, tmp_path: Path) -> None:
    elsewhere = {"corpus": str(tmp_path / "new")}
    with pytest.raises(UsageError, match=r"placement\.catalog"):
        with_registered_model(recipe(corpus, **elsewhere))
    named = Placement(catalog=corpus.catalog_url())
    assert with_registered_model(recipe(corpus, placement=named, **elsewhere)).synthesis.backend == "model:tailor@1"


def test_a_recipe_that_was_sent_reaches_no_model_outside_of_the_roots(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = (SourceSpec(uri=str(tmp_path / "raw")),)
    monkeypatch.setenv("DATACLAW_ROOTS", str(tmp_path))
    with pytest.raises(UsageError, match=r"placement\.serving\.weights.*outside"):
        recipe_of_run(recipe(corpus, sources=raw), sent=True)
    monkeypatch.setenv("DATACLAW_ROOTS", f"{tmp_path},/models")
    assert recipe_of_run(recipe(corpus, sources=raw), sent=True).synthesis.backend == "model:tailor@1"


@pytest.mark.parametrize("backend", ["model:", "model:Tailor", "model:tailor@", "model:tailor@0", "vllm:x", "a@1"])
def test_a_backend_that_is_no_name_is_refused(backend: str) -> None:
    with pytest.raises(ValidationError):
        Synthesis(backend=backend)

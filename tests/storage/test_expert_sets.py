"""A set of experts as one model: its files, its place in the registry, and recipes that name it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from schemas.errors import CorpusError, UsageError
from schemas.model import EXPERTS, ROUTER, ModelFile, Weights
from schemas.recipe import Recipe, SourceSpec, Synthesis
from schemas.stream import Domain
from storage.catalog.registry import Registry
from storage.corpus import Corpus
from storage.location import Location
from storage.registered import with_registered_model
from storage.weights import fetch, read, store
from tests.storage.conftest import sha
from tests.storage.made_models import BASE, adapter_folder, entry


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two experts and Omni; what training left beside the adapters is no part of them."""
    folder = tmp_path / "set"
    members = {"gui": "tailor@1", "embodied": "tailor@2", "omni": "tailor@3"}
    for seed, name in enumerate(members):
        adapter_folder(folder / name, seed)
    (folder / EXPERTS).write_text(json.dumps({"members": members}))
    (folder / ROUTER).write_text("{}")
    return folder


def test_a_set_is_stored_and_fetched_with_the_folders_of_its_members(folder: Path, tmp_path: Path) -> None:
    weights, place = store(folder, BASE, Location.of(f"memory://{tmp_path.name}/models"), "experts")
    assert [file.path for file in weights.files] == [
        "experts.json",
        "router.json",
        "embodied/adapter_config.json",
        "embodied/adapter_model.safetensors",
        "gui/adapter_config.json",
        "gui/adapter_model.safetensors",
        "omni/adapter_config.json",
        "omni/adapter_model.safetensors",
    ]
    fetched = fetch(place, weights.digest)
    for file in weights.files:
        assert (fetched / file.path).read_bytes() == (folder / file.path).read_bytes()


def test_one_file_is_read_by_its_checksum_without_the_others(folder: Path, tmp_path: Path) -> None:
    weights, place = store(folder, BASE, Location.of(tmp_path / "models"), "experts")
    place.remove("gui/adapter_model.safetensors")
    assert read(place, weights.digest, ROUTER) == b"{}"
    place.replace(ROUTER, b"[]")
    with pytest.raises(CorpusError, match=r"router\.json.*does not have its checksum"):
        read(place, weights.digest, ROUTER)
    with pytest.raises(CorpusError, match="none of its files"):
        read(place, weights.digest, "training_args.bin")


def test_a_member_that_is_no_version_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / EXPERTS).write_text(json.dumps({"members": {"gui": "tailor"}}))
    with pytest.raises(ValidationError, match="names no version"):
        store(folder, BASE, Location.of(tmp_path / "models"), "experts")


# --- recipes ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    """With a current set, current experts of its domains, and a model that is none."""
    corpus = Corpus.open(tmp_path / "corpus", create=True)
    files = (ModelFile(path=EXPERTS, sha256=sha("experts"), size=9),)
    with Registry.open(corpus.catalog_url(), create=True) as registry:
        for kind in (Domain.GUI, Domain.EMBODIED):
            registry.promote(registry.add(entry(len(kind), kind=kind), lambda: True).reference, None, "ann")
        made = entry(kind="experts", weights=Weights(base=BASE, files=files), parents=("tailor@1", "tailor@2"))
        registry.promote(registry.add(made, lambda: True).reference, None, "ann")
        registry.promote(registry.add(entry(9, name="single"), lambda: True).reference, None, "ann")
    return corpus


def recipe(of: Corpus, **synthesis: Any) -> Recipe:
    return Recipe(
        name="r",
        corpus=of.uri,
        sources=(SourceSpec(uri="raw"),),
        intents=("x",),
        synthesis=Synthesis(**({"backend": "model:tailor"} | synthesis)),
    )


def test_the_name_of_a_set_stands_for_the_set_and_the_router_chooses(corpus: Corpus) -> None:
    resolved = with_registered_model(recipe(corpus))
    assert (resolved.synthesis.backend, resolved.synthesis.route) == ("model:tailor@3", "router")
    assert with_registered_model(resolved) == resolved
    with Registry.open(corpus.catalog_url()) as registry:
        assert registry.get("tailor", Domain.GUI).number == 1
        omni = registry.add(entry(5), lambda: True)
        registry.promote(omni.reference, None, "ann")
        assert registry.get("tailor") == registry.get(omni.reference), "a current Omni model comes first"


def test_a_forced_route_is_another_result(corpus: Corpus) -> None:
    hashes = {with_registered_model(recipe(corpus, route=route)).hash for route in (None, "router", "wrong", "omni")}
    assert len(hashes) == 3


def test_a_route_where_there_is_one_model_is_refused(corpus: Corpus) -> None:
    assert with_registered_model(recipe(corpus, backend="model:single")).synthesis.route is None
    with pytest.raises(UsageError, match="nothing to route between"):
        with_registered_model(recipe(corpus, backend="model:single", route="omni"))
    with pytest.raises(ValidationError, match="has no experts"):
        recipe(corpus, backend="rules", route="omni")
    with pytest.raises(ValidationError):
        recipe(corpus, route="expert:gardening")


def test_a_recipe_without_experts_keeps_the_hash_that_it_had_before_there_were_any(corpus: Corpus) -> None:
    assert "route" not in with_registered_model(recipe(corpus, backend="model:single")).identity["synthesis"]

"""From a folder that training wrote to a registered model, and back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.errors import CorpusError, UsageError
from schemas.model import ModelVersion, SnapshotRef
from schemas.recipe import ModelSpec
from schemas.stream import Domain
from storage.catalog.registry import Registry
from storage.corpus import Corpus
from storage.location import Location
from storage.weights import FOLDER, fetch
from tests.storage.made_models import adapter_folder
from training.registry import Compared, compare, delete, fingerprint, register, verify


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return Corpus.open(tmp_path / "corpus", create=True)


@pytest.fixture
def registry(corpus: Corpus) -> Iterator[Registry]:
    with Registry.open(corpus.catalog_url(), create=True) as opened:
        yield opened


@pytest.fixture
def base(tmp_path: Path) -> Path:
    folder = tmp_path / "base"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"base")
    return folder


@pytest.fixture
def prompting(base: Path) -> ModelSpec:
    return ModelSpec(name=str(base), brief=True, anchor_tokens=500, frames=0)


@pytest.fixture
def trained(registry: Registry, corpus: Corpus, prompting: ModelSpec, tmp_path: Path) -> ModelVersion:
    folder = adapter_folder(tmp_path / "trained")
    return register(
        registry,
        folder,
        corpus.location.join(FOLDER),
        "tailor",
        prompting,
        "run-1",
        kind=Domain.EDUCATION,
        snapshot=SnapshotRef(corpus=corpus.id, number=3),
        recipe={"sft": {"epochs": 2.0}},
        metrics={"loss": 0.5},
    )


def test_a_trained_folder_becomes_a_candidate_below_its_corpus(trained: ModelVersion, corpus: Corpus) -> None:
    assert trained.reference == "tailor@1"
    assert trained.place == corpus.location.uri(f"models/tailor/{trained.weights.digest}")
    assert fetch(Location.of(trained.place), trained.weights.digest).is_dir()
    assert verify(trained) == []


def test_registering_that_was_cut_off_is_done_again_without_doubling(
    registry: Registry, corpus: Corpus, prompting: ModelSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def again() -> ModelVersion:
        root = corpus.location.join(FOLDER)
        return register(registry, adapter_folder(tmp_path / "trained"), root, "tailor", prompting, "run-1")

    with monkeypatch.context() as patch:
        patch.setattr(Registry, "add", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            again()
    assert registry.versions() == [], "output first, record after"
    assert again() == again()
    assert len(registry.versions()) == 1


def test_a_base_that_was_changed_and_a_file_that_was_changed_are_found(trained: ModelVersion, base: Path) -> None:
    (base / "model.safetensors").write_bytes(b"other")
    (Path(trained.place) / "adapter_model.safetensors").write_bytes(b"x" * 1000)
    assert verify(trained) == [
        "adapter_model.safetensors does not have its checksum",
        f"the base {base} is another one than it was tuned on",
    ]


def test_a_base_that_is_nowhere_is_refused(
    registry: Registry, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UsageError, match="base is not on this machine"):
        fingerprint("nobody/has-this-model")
    with pytest.raises(UsageError, match="holds no model"):
        fingerprint(str(tmp_path))


def test_what_was_deleted_meanwhile_is_stored_again(
    trained: ModelVersion, registry: Registry, corpus: Corpus, prompting: ModelSpec, tmp_path: Path
) -> None:
    registry.retire(trained.reference)
    delete(registry, trained.reference)
    assert Location.of(trained.place).names() == []
    with pytest.raises(CorpusError, match="Register it again"):
        registry.add(trained, lambda: False)
    folder, root = tmp_path / "trained", corpus.location.join(FOLDER)
    again = register(registry, folder, root, "tailor", prompting, "run-2")
    assert (again.number, verify(again)) == (2, [])


def test_metrics_stand_side_by_side(trained: ModelVersion) -> None:
    other = trained.model_copy(update={"metrics": {"loss": 0.25, "semantic": 0.7}})
    assert compare(trained, other) == [Compared("loss", 0.5, 0.25), Compared("semantic", None, 0.7)]
    assert [line.difference for line in compare(trained, other)] == [-0.25, None]

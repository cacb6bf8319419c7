"""Experts of the domains of a snapshot: each tuned on its own rows, entered with their router as one set."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest

from schemas.errors import DataClawError, UsageError
from schemas.manifest import Manifest
from schemas.recipe import ModelSpec
from schemas.stream import Domain
from schemas.task_spec import Intent
from schemas.training import Training
from schemas.triplet import Split, Triplet
from storage import snapshots
from storage.catalog.registry import Registry
from storage.corpus import Corpus
from synthesis.agents.own_schema.agent import own_spec
from tests.dataclaw.conftest import write_corpus
from tests.storage.made_models import adapter_folder
from tests.training.rows import FORM, row
from training.dataset import Taken
from training.experts import Experts, register_trained, train_experts
from training.registry import verify
from training.router import fit_router
from training.trainer import Tell, Trained

ASKED = {Domain.EMBODIED: "Say what the robot's gripper does.", Domain.EDUCATION: "Explain this lesson to a pupil."}


def made(domain: Domain, number: int, split: Split = Split.TRAIN) -> Triplet:
    triplet = row(number, own_spec(Intent(text=ASKED[domain]), json.dumps(FORM)))
    streams = tuple(stream.model_copy(update={"domain": domain}) for stream in triplet.streams)
    return triplet.model_copy(update={"domain": domain, "streams": streams, "split": split})


def rows(*domains: Domain) -> list[Triplet]:
    """Four rows of each domain to learn from, and one that judges the router."""
    numbered = [(domain, 10 * place + number) for place, domain in enumerate(domains) for number in range(5)]
    return [made(domain, n, Split.VALIDATION if n % 10 == 4 else Split.TRAIN) for domain, n in numbered]


def published(folder: Path, *domains: Domain) -> tuple[Corpus, Manifest]:
    corpus = write_corpus(folder, rows(*domains))
    return corpus, snapshots.load(corpus, 1)


def quiet(name: str) -> AbstractContextManager[Tell]:
    return nullcontext(lambda step, steps, figures: None)


def on(base: Path) -> Training:
    return Training(name="tailor", model=ModelSpec(name=str(base), brief=True, frames=0))


def test_what_was_trained_is_entered_as_one_set_and_again_without_doubling(tmp_path: Path) -> None:
    corpus, manifest = published(tmp_path / "corpus", *ASKED)
    base = tmp_path / "base"
    base.mkdir()
    (base / "config.json").write_text("{}")
    (base / "model.safetensors").write_bytes(b"base")
    fitted = fit_router(rows(*ASKED), rows(*ASKED))
    trained = {
        domain: Trained(adapter_folder(tmp_path / domain, seed), 4, Taken(), {"loss": 0.5})
        for seed, domain in enumerate(ASKED)
    }
    with Registry.open(corpus.catalog_url(), create=True) as registry:
        both = [
            register_trained(registry, Experts(trained, fitted), on(base), corpus, manifest, "a test") for _ in range(2)
        ]
        assert both[0] == both[1]
        members = {str(model.kind): model for model in registry.versions("tailor")}
    assert sorted(members) == ["education", "embodied", "experts"]
    whole = members["experts"]
    assert whole.parents == ("tailor@1", "tailor@2")
    assert whole.metrics == {"router/right": 1.0, "router/to_omni": 0.0}
    assert whole.snapshot == members["embodied"].snapshot
    assert members["embodied"].metrics == {"loss": 0.5}
    assert verify(whole) == []


def test_what_cannot_be_experts_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    corpus, manifest = published(tmp_path / "one", Domain.EMBODIED)
    with pytest.raises(DataClawError, match="nothing to choose"):
        train_experts(on(tmp_path), corpus, manifest, tmp_path / "out", quiet)
    with pytest.raises(UsageError, match="experts are adapters"):
        train_experts(on(tmp_path).model_copy(update={"lora": None}), corpus, manifest, tmp_path / "out", quiet)
    assert not (tmp_path / "out").exists()


@pytest.mark.models
@pytest.mark.long
@pytest.mark.usefixtures("one_thread")
def test_each_expert_learns_from_the_rows_of_its_own_domain(settings: Training, tmp_path: Path) -> None:
    corpus, manifest = published(tmp_path / "corpus", *ASKED)
    grpo = settings.grpo
    assert grpo is not None
    training = settings.model_copy(update={"grpo": grpo.model_copy(update={"domains": (Domain.EMBODIED,)})})
    told: list[str] = []

    def telling(name: str) -> AbstractContextManager[Tell]:
        told.append(name)
        return quiet(name)

    experts = train_experts(training, corpus, manifest, tmp_path / "out", telling)
    assert told == ["education: sft", "embodied: sft", "embodied: grpo"]
    for domain, one in experts.trained.items():
        assert one.taken.by_domain == Counter({str(domain): 4})
        assert one.folder.parent.parent == tmp_path / "out" / domain
    files = [one.folder / "adapter_model.safetensors" for one in experts.trained.values()]
    written = [file.read_bytes() for file in files]
    assert written[0] != written[1]
    again = train_experts(training, corpus, manifest, tmp_path / "out", telling)
    assert [one.steps for one in again.trained.values()] == [one.steps for one in experts.trained.values()]
    assert [file.read_bytes() for file in files] == written
    with Registry.open(corpus.catalog_url(), create=True) as registry:
        model = register_trained(registry, experts, training, corpus, manifest, "a test")
    assert (model.kind, verify(model)) == ("experts", [])

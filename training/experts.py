"""Experts instead of one model for all: an adapter for each domain on a shared base, and the router between them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import UsageError
from schemas.manifest import Manifest
from schemas.model import ModelVersion
from schemas.stream import Domain
from schemas.training import Training
from schemas.triplet import Split, Triplet
from storage import snapshots
from storage.catalog.registry import Registry
from storage.corpus import Corpus
from storage.weights import FOLDER
from training.examples import examples
from training.registry import register_experts, register_tuned
from training.router import Fitted, fit_router
from training.settings import going_on
from training.trainer import Tell, Trained

_ROWS = 64
"""Held in memory at a time."""
Telling = Callable[[str], AbstractContextManager[Tell]]
"""Opens what hears of the progress of one training, which it is told the name of."""


@dataclass(frozen=True)
class Experts:
    """What was trained: for each domain its last stage, and the router."""

    trained: Mapping[Domain, Trained]
    fitted: Fitted

    @property
    def metrics(self) -> dict[str, float]:
        """Of the router, on rows that it was not fitted on."""
        judged = {"router/right": self.fitted.right, "router/to_omni": self.fitted.to_omni}
        return {name: value for name, value in judged.items() if value is not None}


def train_experts(training: Training, corpus: Corpus, manifest: Manifest, out: Path, telling: Telling) -> Experts:
    """Tunes one adapter on the rows of each domain, by SFT and then, where the training has it for the domain, by GRPO;
    the router is fitted on the same rows. Called again after whatever ended it, it goes on where it was.

    Args:
        training: of every expert alike.
        manifest: of the snapshot whose training side is learned from; its other side judges the router.
        out: folder; the stages of a domain lie in `DOMAIN/sft` and `DOMAIN/grpo`.
        telling: hears of progress.

    Raises:
        UsageError: the training is not one of adapters.
        DataClawError: as :func:`training.sft.train_sft`; or the snapshot has rows of one domain only.
    """
    if training.lora is None or training.sft is None:
        cause = "experts are adapters on one base, tuned on their own rows"
        raise UsageError(training.name, cause, "Give the training lora and sft")
    # First, because it takes seconds and is refused where there is nothing to choose between.
    fitted = fit_router(_rows(corpus, manifest, Split.TRAIN), _rows(corpus, manifest, Split.VALIDATION))
    domains = [Domain(name) for name in fitted.router.names]
    trained = {domain: _expert(training, domain, corpus, manifest, out / domain, telling) for domain in domains}
    return Experts(trained, fitted)


def register_trained(
    registry: Registry,
    experts: Experts,
    training: Training,
    corpus: Corpus,
    manifest: Manifest,
    by: str,
    omni: ModelVersion | None = None,
) -> ModelVersion:
    """Enters every expert as a version of the training's name, and all of them as one set, which is returned. Done
    again, nothing is doubled.

    Args:
        omni: joins the set, for what the router is not sure of; tuned from the same base and asked alike.

    Raises:
        UsageError: Omni is none of this set.
        CorpusError: storage or catalog refuse.
    """
    root = corpus.location.join(FOLDER)
    members = [
        register_tuned(registry, trained.folder, training, corpus, manifest.number, by, trained.metrics, domain)
        for domain, trained in experts.trained.items()
    ]
    others = [] if omni is None else [omni]
    router = experts.fitted.router
    return register_experts(registry, [*members, *others], router, root, training.name, by, metrics=experts.metrics)


def _expert(
    training: Training, domain: Domain, corpus: Corpus, manifest: Manifest, out: Path, telling: Telling
) -> Trained:
    from training.grpo import train_grpo  # with torch, which who only registers need not have
    from training.sft import train_sft

    with telling(f"{domain}: sft") as tell:
        done = train_sft(training, examples(corpus, manifest, training.model, Split.TRAIN, [domain]), out / "sft", tell)
    if training.grpo is None or (training.grpo.domains and domain not in training.grpo.domains):
        return done
    with telling(f"{domain}: grpo") as tell:
        tuned = going_on(training, done.folder)
        return train_grpo(tuned, examples(corpus, manifest, tuned.model, Split.TRAIN, [domain]), out / "grpo", tell)


def _rows(corpus: Corpus, manifest: Manifest, split: Split) -> Iterator[Triplet]:
    for batch in snapshots.iter_triplets(corpus, manifest, _ROWS):
        yield from (triplet for triplet in Triplet.from_table(batch) if triplet.split is split)

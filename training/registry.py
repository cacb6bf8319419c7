"""Models into the registry, and what can be said of those that are there: are they whole, which of two is better."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from schemas.base import digest
from schemas.errors import UsageError
from schemas.model import EXPERTS, ROUTER, Base, Expertise, ExpertSet, ModelVersion, NewModel, SnapshotRef
from schemas.recipe import ModelSpec
from schemas.training import Training
from storage import weights
from storage.catalog.registry import Registry
from storage.corpus import Corpus
from storage.location import Location
from synthesis.backends.checkpoint import file_of
from synthesis.router import Router


def register(
    registry: Registry,
    folder: Path,
    root: Location,
    name: str,
    prompting: ModelSpec,
    by: str,
    *,
    kind: Expertise = "omni",
    snapshot: SnapshotRef | None = None,
    recipe: Mapping[str, Any] | None = None,
    metrics: Mapping[str, float] | None = None,
    parents: Sequence[str] = (),
) -> ModelVersion:
    """Stores the files of a trained model and enters it as a candidate: output first, record after. Cut off in between,
    it is done again without anything being doubled.

    Args:
        registry: of the catalog.
        folder: what `save_pretrained` wrote: an adapter, or a whole model.
        root: where files of models go (:mod:`storage.weights`); `models` of the corpus, for one.
        name: of the model.
        prompting: how it was asked in training; its `name` is the base that was tuned.
        by: who or what registers it.
        kind: Omni, or the domain that it is the expert of.
        snapshot: what it was trained on.
        recipe: of the training.
        metrics: those of the training; a benchmark adds its own (:meth:`Registry.measure`).
        parents: versions that it was made from.

    Raises:
        UsageError: there is no model in the folder, its base is not on this machine, or a parent is not registered.
        CorpusError: storage or catalog refuse.
    """
    tuned = Path(prompting.name).expanduser()
    base = str(tuned.resolve()) if tuned.is_dir() else prompting.name  # workers may run in another folder
    stored, place = weights.store(folder, Base(name=base, fingerprint=fingerprint(base)), root, name)
    model = NewModel(
        name=name,
        kind=kind,
        weights=stored,
        place=place.uri(),
        prompting=prompting,
        snapshot=snapshot,
        recipe=dict(recipe or {}),
        code_version=version("dataclaw-factory"),
        metrics=dict(metrics or {}),
        parents=tuple(parents),
        registered_by=by,
    )
    return registry.add(model, lambda: weights.is_stored(place, stored))


def register_tuned(
    registry: Registry,
    folder: Path,
    training: Training,
    corpus: Corpus,
    snapshot: int,
    by: str,
    metrics: Mapping[str, float],
    kind: Expertise = "omni",
) -> ModelVersion:
    """Enters what a training made of a snapshot, by the training's name, with the files beside the corpus.

    Raises:
        UsageError, CorpusError: as :func:`register`.
    """
    return register(
        registry,
        folder,
        corpus.location.join(weights.FOLDER),
        training.name,
        training.model.model_copy(update={"adapter": None}),
        by,
        kind=kind,
        snapshot=SnapshotRef(corpus=corpus.id, number=snapshot),
        recipe=training.model_dump(mode="json"),
        metrics=metrics,
    )


def register_experts(
    registry: Registry,
    members: Sequence[ModelVersion],
    router: Router,
    root: Location,
    name: str,
    by: str,
    *,
    metrics: Mapping[str, float] | None = None,
) -> ModelVersion:
    """Enters a set of experts as a candidate: copies of their adapters and the router between them, under one digest.

    Args:
        registry: of the catalog.
        members: adapters on one base that are asked alike, of one domain each; one may be Omni.
        router: between the domains of the members.
        root: where files of models go; `models` of the corpus, for one.
        name: of the set.
        by: who or what registers it.
        metrics: of the router, for one.

    Raises:
        UsageError: the members are no set.
        CorpusError: storage or catalog refuse.
    """
    experts = _set_of(name, members, router)
    first = members[0]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for member in members:
            fetched = weights.fetch(Location.of(member.place), member.weights.digest)
            (folder / member.kind).mkdir()
            for file in member.weights.files:
                shutil.copyfile(fetched / file.path, folder / member.kind / file.path)
        (folder / EXPERTS).write_text(experts.model_dump_json(indent=2))
        router.save(folder / ROUTER)
        stored, place = weights.store(folder, first.weights.base, root, name)
    model = NewModel(
        name=name,
        kind="experts",
        weights=stored,
        place=place.uri(),
        prompting=first.prompting,
        snapshot=first.snapshot,
        recipe=first.recipe,
        code_version=version("dataclaw-factory"),
        metrics=dict(metrics or {}),
        parents=tuple(member.reference for member in members),
        registered_by=by,
    )
    return registry.add(model, lambda: weights.is_stored(place, stored))


def _set_of(name: str, members: Sequence[ModelVersion], router: Router) -> ExpertSet:
    """Raises UsageError where members and router are no set."""
    for member in members:
        if not member.weights.is_adapter:
            raise UsageError(member.reference, "it is no adapter, and experts share a base", "Tune adapters (lora)")
        if (member.weights.base, member.prompting) != (members[0].weights.base, members[0].prompting):
            cause = f"it is on another base than {members[0].reference}, or is asked otherwise"
            raise UsageError(member.reference, cause, "Train the experts of a set with the same settings")
    named = {member.kind: member.reference for member in members if member.kind != "experts"}
    if len(named) != len(members):
        raise UsageError(name, "two of its experts are of one kind", "Name one expert for each domain")
    if set(named) - {"omni"} != set(router.names):
        cause = f"the router knows {', '.join(router.names)}, and the experts are of {', '.join(sorted(named))}"
        raise UsageError(name, cause, "Fit the router on the domains that have experts")
    return ExpertSet(members=named)


def fingerprint(base: str) -> str:
    """What tells that a base is still the same: of a folder, a digest of the files that a model is loaded from; of a
    hub id, the commit that is in this machine's cache.

    Raises:
        UsageError: the base is not on this machine.
    """
    folder = Path(base).expanduser()
    if folder.is_dir():
        return digest([file.model_dump(mode="json") for file in weights.describe(folder)])
    config = file_of(base, "config.json")
    if config is None:
        raise UsageError(base, "the base is not on this machine", "Fetch it with `hf download`, or name its folder")
    return config.parent.name


def verify(model: ModelVersion) -> list[str]:
    """What is wrong with a registered model: its files, byte by byte, and its base where that is on this machine."""
    found = weights.faults(Location.of(model.place), model.weights)
    base = model.weights.base
    try:
        if fingerprint(base.name) != base.fingerprint:
            found.append(f"the base {base.name} is another one than it was tuned on")
    except UsageError:
        pass  # nothing can be said of it here
    return found


def delete(registry: Registry, reference: str) -> ModelVersion:
    """Deletes a retired version that nothing needs, and its files.

    Raises:
        UsageError: there is none, or it is needed: says by what.
    """
    return registry.delete(reference, lambda model: weights.remove(Location.of(model.place), model.weights))


@dataclass(frozen=True)
class Compared:
    """A metric of two models; None where one was not measured by it."""

    metric: str
    first: float | None
    second: float | None

    @property
    def difference(self) -> float | None:
        """How much more the second has. Whether more is better, the metric says."""
        return None if self.first is None or self.second is None else self.second - self.first


def compare(first: ModelVersion, second: ModelVersion) -> list[Compared]:
    """The metrics of two models side by side, by name."""
    names = sorted(first.metrics.keys() | second.metrics.keys())
    return [Compared(name, first.metrics.get(name), second.metrics.get(name)) for name in names]

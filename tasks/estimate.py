"""What a build would ask of a model, before it starts."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from schemas.errors import CorpusError
from schemas.recipe import Recipe, SourceSpec
from schemas.stream import Stream
from storage.catalog.catalog import Catalog
from storage.corpus import Corpus
from synthesis.agents.roster import agent_of
from synthesis.backends.model import ModelBackend
from synthesis.backends.roster import backend_class
from synthesis.base import Evidence
from synthesis.estimate import NOTHING, Estimate, estimate
from tasks.asking import Asking

_NOWHERE = "http://localhost/v1"


@dataclass(frozen=True)
class BuildCost:
    """Units still to do with what they will ask of the model, by task type."""

    streams: int
    units: dict[str, int]
    by_task: dict[str, Estimate]
    known: int
    """Units that earlier runs ended: they cost nothing."""

    @property
    def total(self) -> Estimate:
        return sum(self.by_task.values(), NOTHING)


def cost_of(recipe: Recipe, sources: Sequence[tuple[SourceSpec, Sequence[Stream]]]) -> BuildCost:
    """The cost of a build of these streams. Nothing is measured and no model is loaded or asked.

    Raises:
        UsageError: the recipe's backend has no model, or names none.
    """
    # Where a server is matters to nobody here: none is asked.
    serving = recipe.placement.serving.model_copy(update={"base_url": recipe.placement.serving.base_url or _NOWHERE})
    backend = backend_class(recipe.synthesis.backend)(recipe.synthesis, serving)
    groups = [group for source, streams in sources for group in Asking(recipe, source).groups(streams)]
    known = _known(recipe, [unit.unit for group in groups for unit in group.units])
    units: dict[str, int] = {}
    by_task: dict[str, Estimate] = {}
    for group in groups:
        for unit in group.units:
            if unit.unit in known:
                continue
            name = unit.spec.task_type
            units[name] = units.get(name, 0) + 1
            one = NOTHING
            if isinstance(backend, ModelBackend):
                evidence = Evidence(group.streams, (), unit.spec)
                one = estimate(
                    agent_of(unit.spec), evidence, backend.settings, backend.chat, recipe.synthesis.max_repairs
                )
            by_task[name] = by_task.get(name, NOTHING) + one
    return BuildCost(sum(len(streams) for _, streams in sources), units, by_task, len(known))


def _known(recipe: Recipe, units: Sequence[str]) -> Collection[str]:
    """The units that the corpus has ended, where there is one already."""
    try:
        corpus = Corpus.open(recipe.corpus)
    except CorpusError:  # nothing was built yet
        return ()
    with Catalog.open(corpus.catalog_url(recipe.placement.catalog), corpus) as catalog:
        return catalog.ended_units(units).keys()

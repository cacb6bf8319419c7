"""A run: what every task of one build needs to know. Small and picklable; handles are opened where they are used."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from schemas.outcome import RunReport, RunState
from schemas.recipe import Recipe
from storage.anchors import scan
from storage.catalog.catalog import Catalog
from storage.corpus import Corpus
from storage.deaths import forget
from storage.recipes import storable


@dataclass(frozen=True)
class Run:
    """One build under way: its id, its recipe, and where corpus and catalog are."""

    id: str
    recipe: Recipe
    catalog_url: str = field(repr=False)
    started: datetime

    @contextmanager
    def catalog(self) -> Iterator[Catalog]:
        """A catalog session that is closed again."""
        with Catalog.open(self.catalog_url, Corpus.open(self.recipe.corpus)) as catalog:
            yield catalog


@contextmanager
def begin_run(recipe: Recipe) -> Iterator[Run]:
    """Makes the corpus when it is not there yet, and keeps the catalog's word on the run true to its end.

    A run that is left by an error is recorded as interrupted (a signal) or failed; the error goes on.

    Raises:
        CorpusError: the corpus or its catalog cannot be opened or written.
    """
    corpus = Corpus.open(recipe.corpus, create=True)
    started = datetime.now(UTC)
    run = Run(
        id=f"{started:%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}",
        recipe=recipe,
        catalog_url=corpus.catalog_url(recipe.placement.catalog),
        started=started,
    )
    with run.catalog() as catalog:
        catalog.begin_run(run.id, recipe.name, recipe.hash, storable(recipe))
    try:
        with run.catalog() as catalog, catalog.alive(run.id):
            yield run
    except BaseException as error:
        state = RunState.FAILED if isinstance(error, Exception) else RunState.INTERRUPTED
        message = str(error) or type(error).__name__
        with run.catalog() as catalog:
            absorb_anchors(run, catalog)
            catalog.end_run(run.id, state, _unfinished(run, state, message))
        forget(corpus.location, run.id)
        raise


def absorb_anchors(run: Run, catalog: Catalog) -> None:
    """Enters the anchor shards of runs that have not said how they ended (this one, others under way, killed ones):
    what workers measured is kept even when the driver died before it heard of it. Killed runs end here."""
    corpus = Corpus.open(run.recipe.corpus)
    killed = set(catalog.killed_runs())
    for name in catalog.unended_runs():
        catalog.record_anchors(name, scan(corpus.location, name))
        if name in killed:
            forget(corpus.location, name)
            catalog.end_run(name, RunState.INTERRUPTED)


def _unfinished(run: Run, state: RunState, message: str) -> RunReport:
    return RunReport(
        run=run.id,
        name=run.recipe.name,
        corpus=run.recipe.corpus,
        recipe_hash=run.recipe.hash,
        state=state,
        started=run.started,
        ended=datetime.now(UTC),
        message=message,
    )

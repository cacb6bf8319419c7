"""Runs as maintenance meets them: which may still commit, and its own, so that snapshots say where they come from."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from schemas.manifest import Manifest
from schemas.outcome import RunReport, RunState
from storage.catalog.catalog import Catalog
from storage.catalog.records import RunRecord
from storage.corpus import Corpus

_LONGEST = timedelta(days=7)
"""A run of another machine that began before and never said how it ended is taken for dead."""
_NEWEST = 1000
"""Runs that are looked through for those that have not ended."""


@dataclass
class Upkeep:
    """A run of maintenance under way: its id, and the snapshot that it published."""

    id: str
    manifest: Manifest | None = None


@contextmanager
def upkeep(corpus: Corpus, catalog: Catalog, name: str) -> Iterator[Upkeep]:
    """Records maintenance as a run, to its end whatever it is. Its recipe is that of the newest run, so that what it
    publishes has one that can be asked for.

    Raises:
        CorpusError: the catalog refuses.
    """
    last = catalog.runs(limit=1)
    recipe_hash = last[0].recipe_hash if last else ""
    recipe = (catalog.recipe_of(last[0].id) if last else None) or "{}"
    started = datetime.now(UTC)
    run = Upkeep(f"{started:%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}")
    catalog.begin_run(run.id, name, recipe_hash, recipe)
    state = RunState.FAILED
    try:
        yield run
        state = RunState.COMPLETED
    finally:
        report = RunReport(
            run=run.id,
            name=name,
            corpus=corpus.uri,
            recipe_hash=recipe_hash,
            state=state,
            started=started,
            ended=datetime.now(UTC),
            snapshot=None if run.manifest is None else run.manifest.number,
            rows=0 if run.manifest is None else run.manifest.statistics.rows,
            message=name,
        )
        catalog.end_run(run.id, state, report)


def under_way(catalog: Catalog) -> list[RunRecord]:
    """Runs that may still commit, oldest first: neither ended, nor killed on this machine, nor older than a week."""
    open_ = set(catalog.unended_runs()) - set(catalog.killed_runs())
    if not open_:
        return []
    since = datetime.now(UTC) - _LONGEST
    found = [run for run in catalog.runs(_NEWEST) if run.id in open_ and run.started > since]
    return sorted(found, key=lambda run: run.started)

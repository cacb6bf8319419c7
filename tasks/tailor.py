"""Stage tailor: runs the pipeline over what is pending and commits every shard as it comes."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast
from uuid import UUID

from prefect import get_run_logger, task
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.cache_policies import NO_CACHE
from ray.exceptions import RayTaskError

from experts.ensemble import Stopwatch
from schemas.errors import CorpusError, DataClawError
from schemas.outcome import Cost, Outcome, UnitOutcome
from schemas.rows import Work, Written
from storage.catalog.catalog import Catalog
from tasks.cluster import cluster
from tasks.discover import Discovery
from tasks.pipeline import assemble
from tasks.plan import Plan, make_plan
from tasks.run import Run, absorb_anchors

_PASSES = 3
"""A worker that was killed takes the groups it held with it; the next pass brings them again from their anchors."""
_PROGRESS_SECONDS = 2.0
"""At most one progress message to the server in this time."""


@dataclass
class Tailored:
    """What the pipeline did: how units ended, what broke on the way, what it cost."""

    ended: dict[str, tuple[Outcome, str]] = field(default_factory=dict)
    failed_streams: set[str] = field(default_factory=set)
    problems: dict[str, list[str]] = field(default_factory=dict)
    """Words about streams that broke off or failed, by URI."""
    watch: Stopwatch = field(default_factory=Stopwatch)

    def costs(self) -> tuple[Cost, ...]:
        return self.watch.costs()

    def counts(self) -> Counter[Outcome]:
        return Counter(outcome for outcome, _ in self.ended.values())


@task(name="tailor", cache_policy=NO_CACHE)
def tailor(run: Run, found: Discovery, plan: Plan) -> Tailored:
    """Extracts, synthesises, verifies and writes until every pending unit has ended.

    Raises:
        CorpusError: shards cannot be written, or units are left over after all passes.
    """
    log = get_run_logger()
    done = Tailored()
    if not plan.work:
        log.info("nothing to do: no unit is pending, no expert runs")
        return done
    progress = _Progress(len(plan.pending))
    with run.catalog() as catalog, cluster(run.recipe.placement.ray_address) as cpus:
        log.info("looking at %d segments on %d CPUs", len(plan.work), cpus)
        work = plan.work
        for attempt in range(_PASSES):
            if attempt:
                log.warning(
                    "%d units were lost with their workers: pass %d", len(plan.pending) - len(done.ended), attempt + 1
                )
                absorb_anchors(run, catalog)
                work = make_plan(run.recipe, found, catalog).work
            _one_pass(work, run, cpus, catalog, done, progress)
            if plan.pending <= done.ended.keys():
                break
        absorb_anchors(run, catalog)
    progress.finish(done)
    if left := plan.pending - done.ended.keys():
        raise CorpusError(
            run.recipe.corpus, f"{len(left)} units did not end", "Run the build again; see the worker logs"
        )
    return done


def _one_pass(work: Sequence[Work], run: Run, cpus: int, catalog: Catalog, done: Tailored, progress: _Progress) -> None:
    try:
        for block in assemble(work, run.recipe, run.id, cpus).iter_batches(
            batch_size=None, batch_format="pyarrow", prefetch_batches=0
        ):
            written = Written.from_table(block)
            with done.watch.running("commit", calls=1):
                catalog.commit(run.id, written)
            for row in written:
                _note(row, done)
            progress.show(done)
    except RayTaskError as error:
        if isinstance(error.cause, DataClawError):
            raise error.cause from error
        raise


def _note(row: Written, done: Tailored) -> None:
    outcome = row.outcome
    done.ended[outcome.unit] = (outcome.outcome, _reason(outcome))
    done.failed_streams.update(row.failed_streams)
    for problem in row.problems:
        words = done.problems.setdefault(problem.input, [])
        if str(problem) not in words:
            words.append(str(problem))
    for cost in row.costs:
        done.watch.add(cost.stage, cost.wall, cost.cpu, cost.calls)


def _reason(outcome: UnitOutcome) -> str:
    return "" if outcome.problem is None else str(outcome.problem)


class _Progress:
    """Progress for people: an artifact in the Prefect UI and a line in the log, both at a bounded rate."""

    def __init__(self, total: int) -> None:
        self._total = max(1, total)
        self._last = time.monotonic()
        self._artifact = cast(UUID, create_progress_artifact(progress=0.0, description=f"{total} units of work"))
        self._log = get_run_logger()

    def show(self, done: Tailored) -> None:
        if time.monotonic() - self._last >= _PROGRESS_SECONDS:
            self._last = time.monotonic()
            self._tell(done)

    def finish(self, done: Tailored) -> None:
        self._tell(done)

    def _tell(self, done: Tailored) -> None:
        counts = done.counts()
        update_progress_artifact(self._artifact, progress=100.0 * len(done.ended) / self._total)
        self._log.info(
            "%d of %d units: %d done, %d filtered, %d failed",
            len(done.ended),
            self._total,
            counts[Outcome.DONE],
            counts[Outcome.FILTERED],
            counts[Outcome.FAILED],
        )

"""Stage tailor: runs the pipeline over what is pending and commits every shard as it comes."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import cast
from uuid import UUID

from prefect import get_run_logger, task
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.cache_policies import NO_CACHE
from ray.exceptions import RayTaskError

from experts.ensemble import Stopwatch
from schemas.errors import CorpusError, DataClawError
from schemas.outcome import ENDS, Cost, Outcome, UnitOutcome
from schemas.recipe import Budget
from schemas.rows import Work, Written
from schemas.usage import Usage
from storage.anchors import scan
from storage.catalog.catalog import Catalog
from storage.corpus import Corpus
from storage.deaths import forget
from synthesis.purse import NO_BOUND, Allowance
from tasks.cluster import Cluster, cluster
from tasks.discover import Discovery
from tasks.intents import intent_model
from tasks.pipeline import assemble
from tasks.plan import Plan, make_plan
from tasks.run import Run, absorb_anchors
from tasks.secrets import secrets_of
from tasks.telling import telling
from tasks.words import count

_IN_VAIN = 3
"""Passes in which nothing ended, one after the other, before a run gives up. The worker that gathers groups takes those
that it holds with it when it is killed; the next pass brings them again from their anchors."""
_LEAST_PAUSE, _MOST_PAUSE = 5.0, 60.0
"""Seconds between two words of progress."""


@dataclass
class Tailored:
    """What the pipeline did: how units ended, what broke on the way, what it cost."""

    ended: dict[str, tuple[Outcome, str]] = field(default_factory=dict)
    failed_streams: set[str] = field(default_factory=set)
    problems: dict[str, list[str]] = field(default_factory=dict)
    """Words about streams that broke off or failed, by URI."""
    watch: Stopwatch = field(default_factory=Stopwatch)
    usage: Usage = field(default_factory=Usage)

    def costs(self) -> tuple[Cost, ...]:
        return self.watch.costs()

    def counts(self) -> Counter[Outcome]:
        return Counter(outcome for outcome, _ in self.ended.values())


@task(name="tailor", cache_policy=NO_CACHE)
def tailor(run: Run, found: Discovery, plan: Plan) -> Tailored:
    """Extracts, synthesises, verifies and writes until every pending unit has ended.

    Raises:
        CorpusError: shards cannot be written, or units are left over that no further pass brings to an end.
    """
    log = get_run_logger()
    done = Tailored()
    if not plan.work:
        log.info("nothing to do: no unit is pending, no expert runs")
        return done
    with run.catalog() as catalog, cluster(run.recipe) as at, _Progress(run, plan) as progress:
        log.info("looking at %s on %s", count(plan.segments_new, "segment"), count(at.cpus(), "CPU"))
        work, again, in_vain = plan.work, False, 0
        while work and in_vain < _IN_VAIN:
            before = len(done.ended)
            _one_pass(work, run, at, catalog, done, progress, again)
            in_vain = 0 if len(done.ended) > before else in_vain + 1
            absorb_anchors(run, catalog)
            work, again = _left(run, found, plan, catalog, done), True
        forget(Corpus.open(run.recipe.corpus).location, run.id)
    if waiting := done.counts()[Outcome.POSTPONED]:
        log.warning("the budget is met: %s left for the next run", count(waiting, "unit"))
    if left := plan.pending - done.ended.keys():
        raise CorpusError(
            run.recipe.corpus, f"{count(len(left), 'unit')} did not end", "Run the build again; see the worker logs"
        )
    return done


def _left(run: Run, found: Discovery, plan: Plan, catalog: Catalog, done: Tailored) -> list[Work]:
    """What a pass left over, planned anew: anchors that were measured meanwhile are known, and what another run has
    ended or taken over is put right in `plan`."""
    if plan.pending <= done.ended.keys():
        return []
    now = make_plan(run.recipe, found, catalog, intent_model(run.recipe), run.id)
    taken = (plan.pending - done.ended.keys()) & now.ended.keys()
    plan.pending -= taken
    plan.ended.update((unit, now.ended[unit]) for unit in taken)
    plan.held.update((unit, now.held[unit]) for unit in taken & now.held.keys())
    left = count(len(plan.pending - done.ended.keys()), "unit")
    get_run_logger().warning("%s lost with a worker: once more", left)
    rows = [(row, tuple(unit for unit in row.units if unit.unit not in done.ended)) for row in now.work]
    return [row.model_copy(update={"units": units}) for row, units in rows if units]


def allowance(run: Run, catalog: Catalog) -> Allowance:
    """What this run may still ask of models: the least of what its budgets of the run and of the day leave."""
    budget = run.recipe.budget
    if budget == Budget():
        return NO_BOUND
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    by_run, by_day = catalog.usage(run=run.id), catalog.usage(since=midnight)
    best = Usage(
        prompt_tokens=_least(budget.run_tokens, 0, budget.day_tokens, 0) or 0,
        images=_least(budget.run_images, 0, budget.day_images, 0) or 0,
    )
    return Allowance(
        tokens=_least(budget.run_tokens, by_run.tokens, budget.day_tokens, by_day.tokens),
        images=_least(budget.run_images, by_run.images, budget.day_images, by_day.images),
        best=best,
    )


def _least(of_run: int | None, by_run: int, of_day: int | None, by_day: int) -> int | None:
    left = [] if of_run is None else [of_run - by_run]
    left += [] if of_day is None else [of_day - by_day]
    return max(0, min(left)) if left else None


def _one_pass(
    work: Sequence[Work], run: Run, at: Cluster, catalog: Catalog, done: Tailored, progress: _Progress, again: bool
) -> None:
    try:
        with at.watched():
            for block in assemble(
                work, run.recipe, run.id, at, allowance(run, catalog), secrets_of(run.recipe), again
            ).iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
                written = Written.from_table(block)
                with done.watch.running("commit", calls=1):
                    catalog.commit(run.id, written)
                for row in written:
                    _note(row, done)
                progress.ended(done)
    except RayTaskError as error:
        if isinstance(error.cause, DataClawError):
            raise error.cause from error
        raise


def _note(row: Written, done: Tailored) -> None:
    outcome = row.outcome
    done.ended[outcome.unit] = (outcome.outcome, _reason(outcome))
    done.usage += outcome.usage
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
    """Progress for people: an artifact in the Prefect UI and a line in the log, both at a bounded rate.

    A thread of its own tells it: the driver waits inside Ray until units end, which may take long. How many segments
    have been looked at meanwhile is known from the anchor shards that the workers of this run leave behind.
    """

    def __init__(self, run: Run, plan: Plan) -> None:
        self._run = run.id
        self._corpus = Corpus.open(run.recipe.corpus).location
        self._units, self._segments = len(plan.pending), plan.segments_new
        self._counts: Counter[Outcome] = Counter()
        self._shards: set[str] = set()
        self._looked_at: set[str] = set()
        self._told = ""
        self._artifact: UUID | None = None
        with telling("progress is not shown"):
            description = f"{count(self._units, 'unit')} of work"
            self._artifact = cast(UUID, create_progress_artifact(progress=0.0, description=description))
        self._log = get_run_logger()
        self._over = threading.Event()
        # Prefect finds the run and its server in the context, which a thread does not take over by itself.
        self._thread = threading.Thread(target=copy_context().run, args=(self._beat,), daemon=True)

    def __enter__(self) -> _Progress:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._tell()

    def ended(self, done: Tailored) -> None:
        """Takes note of how units ended so far."""
        self._counts = done.counts()

    def _beat(self) -> None:
        begun = time.monotonic()
        while not self._over.wait(_pause(time.monotonic() - begun)):
            self._tell(again=True)

    def _tell(self, again: bool = False) -> None:
        """Says how far the run is; what was said last is said again only when asked for."""
        ended = self._counts.total()
        words = f"{ended} of {count(self._units, 'unit')} ended"
        if ended:
            words += ": " + ", ".join(f"{self._counts[outcome]} {outcome}" for outcome in ENDS)
            if waiting := self._counts[Outcome.POSTPONED]:
                words += f", {waiting} postponed"
        if self._segments:
            words = f"{self._count_segments()} of {count(self._segments, 'segment')} looked at; {words}"
        if words != self._told or again:
            self._told = words
            self._log.info(words)
            if self._artifact is not None:
                with telling("progress is not shown", retries=1):
                    update_progress_artifact(self._artifact, progress=100.0 * ended / max(1, self._units))

    def _count_segments(self) -> int:
        """Segments whose anchors are written; each shard's footer is read once."""
        with suppress(CorpusError):  # the commit says what is wrong with the storage, this only counts
            for shard, settled in scan(self._corpus, self._run, but=self._shards):
                self._shards.add(shard.path)
                self._looked_at.update(segment for segment, _, _ in settled)
        return len(self._looked_at)


def _pause(gone: float) -> float:
    """Seconds to the next word of progress: a twentieth of those gone by, so that the log of a night stays readable."""
    return min(max(_LEAST_PAUSE, gone / 20), _MOST_PAUSE)

"""Stage 2 as a worker runs it: groups of streams in, one result per unit of work out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pyarrow as pa

from experts.ensemble import Stopwatch
from experts.roster import EXPERTS, expert_class, signature, specs_for
from schemas.anchor import FactualAnchor
from schemas.errors import DataClawError, InputError, NeedsModelError, Problem, UnsuitedError, UsageError
from schemas.outcome import Outcome, UnitOutcome
from schemas.recipe import ExpertSpec, Recipe
from schemas.rows import RESULT_SCHEMA, Group, Result, UnitPlan
from schemas.score import Score
from schemas.stream import Stream
from schemas.task_spec import TaskSpec
from schemas.triplet import ExpertVersion, Provenance, Triplet, triplet_id
from schemas.usage import Usage
from storage.deaths import Deaths
from storage.location import Location
from synthesis.agents.roster import agent_of
from synthesis.backends.base import Writer
from synthesis.backends.roster import backend_class
from synthesis.backends.secret import Secrets
from synthesis.base import Agent, Evidence
from synthesis.evidence import pick_frames, select_anchors, within
from synthesis.prompt import prepared
from synthesis.purse import NO_BOUND, Allowance, Purse, SpentError, StreamSpentError
from synthesis.verification.verify import parse_output, passes, score_output, share_supported

log = logging.getLogger(__name__)


class SynthesiseGroups:
    """Maps GROUP rows to RESULT rows, one for each unit of each group.

    What goes wrong with one unit is that unit's outcome; the others go on. Calls may run at once in one event loop:
    while one waits for a model, others go on.

    Args:
        allowance: what this worker may ask of models.
        secrets: keys of the servers that it asks.
        suspects: says how many units a worker may have had in hand in whose place this one is there.
    """

    def __init__(
        self,
        recipe: Recipe,
        run: str,
        allowance: Allowance = NO_BOUND,
        secrets: Secrets | None = None,
        suspects: Callable[[], int] = int,
    ) -> None:
        if secrets is not None:
            secrets.install()
        self._recipe = recipe
        self._recipe_hash = recipe.hash
        self._run = run
        self._backend = backend_class(recipe.synthesis.backend)(recipe.synthesis, recipe.placement.serving)
        self._purse = Purse(allowance.tokens, allowance.images, best=allowance.best)
        self._deaths = Deaths(Location.of(recipe.corpus), run, suspects())
        self._alone = asyncio.Lock()

    async def __call__(self, batch: pa.Table) -> pa.Table:
        groups = await asyncio.gather(*(self.results(group) for group in Group.from_table(batch)))
        return Result.to_table([result for results in groups for result in results], RESULT_SCHEMA)

    async def close(self) -> None:
        """Lets the backend's connections and engines go."""
        await self._backend.close()

    async def results(self, group: Group) -> list[Result]:
        """The end of every unit of a group. The group's own costs go with its first result, so that sums are right."""
        budget, streams = self._recipe.budget, max(1, len(group.streams))
        purse = Purse(_times(budget.stream_tokens, streams), _times(budget.stream_images, streams), self._purse)
        watches = [Stopwatch() for _ in group.units]
        making = [self._end(group, unit, watch, purse) for unit, watch in zip(group.units, watches, strict=True)]
        # Rules wait for nothing: one after the other, each is charged with its own time only.
        ends = [await end for end in making] if self._backend.model is None else await asyncio.gather(*making)
        for cost in group.costs if watches else ():
            watches[0].add(cost.stage, cost.wall, cost.cpu, cost.calls)
        results = []
        for unit, watch, end in zip(group.units, watches, ends, strict=True):
            results.append(
                Result(
                    outcome=UnitOutcome(
                        unit=unit.unit,
                        slot=unit.slot,
                        group=group.group,
                        task_type=unit.spec.task_type if end.triplet is None else end.triplet.task_type,
                        outcome=end.outcome,
                        streams=tuple(stream.sha256 for stream in group.streams) or group.failed_streams,
                        triplet=None if end.triplet is None else end.triplet.id,
                        problem=end.problem,
                        score=end.score,
                        output=end.output,
                        usage=end.usage,
                        trail=end.trail if end.triplet is None else None,
                    ),
                    triplet=end.triplet,
                    failed_streams=group.failed_streams,
                    problems=(*group.problems, *([end.note] if end.note else [])),
                    costs=watch.costs(),
                )
            )
        return results

    async def _end(self, group: Group, unit: UnitPlan, watch: Stopwatch, purse: Purse) -> _End:
        where = group.streams[0].uri if group.streams else group.group
        if not group.streams:
            problem = group.problems[0] if group.problems else None
            return _End(
                Outcome.FAILED,
                problem=problem
                or Problem(input=where, cause="none of its streams could be read", remedy="See the quarantine."),
            )
        try:
            async with self._alone if self._deaths.wary else nullcontext():
                with self._deaths.holding(["synthesise", unit.unit], where):
                    return await self._of_unit(group, unit, watch, purse)
        except InputError as error:  # set aside; whatever else is wrong with an input is an end of the unit
            return _End(Outcome.FAILED, problem=error.problem, note=error.problem)

    async def _of_unit(self, group: Group, unit: UnitPlan, watch: Stopwatch, purse: Purse) -> _End:
        """The end of a unit under its spec, or under the first of those that are made instead that can be."""
        where = group.streams[0].uri
        end = await self._of_spec(group, unit, unit.spec, watch, purse)
        for spec in unit.instead if end.outcome is Outcome.FILTERED else ():
            other = await self._of_spec(group, unit, spec, watch, purse)
            end = replace(end, usage=end.usage + other.usage)
            other = replace(other, usage=end.usage)
            if other.outcome is Outcome.POSTPONED:
                return other
            if other.triplet is not None and end.problem is not None:
                note = f"{spec.task_type} was made instead of {unit.spec.task_type}: {end.problem.cause}"
                return replace(other, note=Problem(input=where, cause=note, remedy=end.problem.remedy))
        return end

    async def _of_spec(self, group: Group, unit: UnitPlan, spec: TaskSpec, watch: Stopwatch, purse: Purse) -> _End:
        """The end of a unit under one spec, with what was asked of a model for it whatever came of it."""
        try:
            agent, evidence = agent_of(spec), self._evidence(group, spec)
            writer = self._backend.start(agent, evidence, purse)
        except Exception as error:
            return _broken(group.streams[0].uri, spec.task_type, error)
        end = await self._tried(group, unit, writer, agent, evidence, watch)
        trail = None if writer.trail is None or not writer.trail.exchanges else writer.trail.model_dump_json()
        return replace(end, usage=writer.usage, trail=trail)

    async def _tried(
        self, group: Group, unit: UnitPlan, writer: Writer, agent: Agent, evidence: Evidence, watch: Stopwatch
    ) -> _End:
        where = group.streams[0].uri
        try:
            return await self._make(group, unit, writer, agent, evidence, watch)
        except NeedsModelError as error:
            return _End(Outcome.FILTERED, problem=error.problem, output=prepared(agent, evidence))
        except UnsuitedError as error:
            return _End(Outcome.FILTERED, problem=error.problem)
        except StreamSpentError as error:
            cause = f"the budget does not cover it: {error.problem.cause}"
            remedy = "Raise the budget (stream_tokens, run_tokens, day_tokens or images), or show the model less."
            return _End(Outcome.FILTERED, problem=Problem(input=where, cause=cause, remedy=remedy))
        except SpentError as error:
            return _End(Outcome.POSTPONED, problem=error.problem.model_copy(update={"input": where}))
        except UsageError:
            raise  # a wrong key or model breaks every unit alike: the run ends, and what is left stays pending
        except Exception as error:  # one broken unit must not take the others down; it ends with its reason
            return _broken(where, agent.task_type, error)

    async def _make(
        self, group: Group, unit: UnitPlan, writer: Writer, agent: Agent, evidence: Evidence, watch: Stopwatch
    ) -> _End:
        streams, spec = group.streams, evidence.spec
        stage = f"synthesise:{spec.task_type}"
        with watch.running(stage, calls=1):
            output = await writer.write()
        repairs = 0
        while True:
            with watch.running("verify", calls=1):
                anchors, score = self._judge(agent, output, evidence)
            if passes(score, self._recipe.reward) or repairs == self._recipe.synthesis.max_repairs:
                break
            with watch.running(stage, calls=1):
                mended = await writer.mend(output, score)
            if mended is None:
                break
            output, repairs = mended, repairs + 1
        if not passes(score, self._recipe.reward):
            return _End(Outcome.FILTERED, problem=_verdict(streams[0], score), score=score, output=output)
        settings = self._recipe.synthesis
        with watch.running("evidence", calls=1):
            value = parse_output(output, spec, agent).value
            most, side = settings.evidence_frames, settings.evidence_side
            frames = await asyncio.to_thread(pick_frames, agent, value, streams, most, side)
        triplet = Triplet(
            id=triplet_id(streams, spec, anchors, output),
            unit=unit.unit,
            domain=streams[0].domain,
            task_type=spec.task_type,
            streams=streams,
            intent=spec.intent,
            spec=spec,
            anchors=anchors,
            evidence=frames,
            output=output,
            score=score,
            provenance=Provenance(
                run=self._run,
                recipe_hash=self._recipe_hash,
                reward=self._recipe.reward,
                experts=self._versions(streams, spec),
                backend=self._backend.name,
                model=self._backend.model if writer.trail is None else writer.trail.model,
                agent_version=agent.version,
                prompt_version=self._backend.prompt_version,
                repairs=repairs,
                readings=tuple(name for name in (unit.spec.task_type, *unit.readings) if name != spec.task_type),
                usage=writer.usage,
                trail=None if writer.trail is None else writer.trail.model_dump_json(),
                created=datetime.now(UTC),
            ),
        )
        return _End(Outcome.DONE, triplet=triplet)

    def _judge(self, agent: Agent, output: str, evidence: Evidence) -> tuple[tuple[FactualAnchor, ...], Score]:
        """The anchors the row will hold and the score on exactly these, so that the row alone gives it again."""
        spec, streams = evidence.spec, evidence.streams
        parsed = parse_output(output, spec, agent)
        claims = agent.claims(parsed.value, streams) if parsed.valid else []
        anchors = select_anchors(evidence.anchors, claims)
        return anchors, score_output(output, spec, streams, anchors, self._recipe.reward)

    def _evidence(self, group: Group, spec: TaskSpec) -> Evidence:
        """What a unit may rest on: the anchors of its own experts (others of its group may need more) in its window."""
        own = {expert.name for stream in group.streams for expert in self._experts(stream, spec)}
        mine = [anchor for anchor in group.anchors if anchor.expert not in EXPERTS.places or anchor.expert in own]
        anchors = within(_in_order(group.streams, mine), group.streams, spec.constraints.window)
        return Evidence(streams=group.streams, anchors=anchors, spec=spec)

    def _experts(self, stream: Stream, spec: TaskSpec) -> list[ExpertSpec]:
        return specs_for(stream, self._recipe.experts, agent_of(spec).experts)

    def _versions(self, streams: Sequence[Stream], spec: TaskSpec) -> tuple[ExpertVersion, ...]:
        """Who looked at these streams."""
        versions = {
            expert.name: ExpertVersion(
                name=expert.name,
                version=expert_class(expert.name).version,
                signature=signature(expert, self._recipe.sampling),
            )
            for stream in streams
            for expert in self._experts(stream, spec)
        }
        return tuple(versions[name] for name in sorted(versions))


@dataclass(frozen=True)
class _End:
    """How a unit ended."""

    outcome: Outcome
    triplet: Triplet | None = None
    problem: Problem | None = None
    score: Score | None = None
    output: str | None = None
    note: Problem | None = None
    """That something else was made than was asked first."""
    usage: Usage = field(default_factory=Usage)
    trail: str | None = None


def _broken(where: str, task_type: str, error: Exception) -> _End:
    """The end of a unit that broke."""
    if isinstance(error, DataClawError):
        return _End(Outcome.FAILED, problem=error.problem)
    log.error("%s: %s", where, task_type, exc_info=error)
    cause = f"{type(error).__name__} while making {task_type}: {error}"
    remedy = "Report it with the stream; the rest of the run went on."
    return _End(Outcome.FAILED, problem=Problem(input=where, cause=cause, remedy=remedy))


def _times(bound: int | None, streams: int) -> int | None:
    return None if bound is None else bound * streams


def _in_order(streams: Sequence[Stream], anchors: Sequence[FactualAnchor]) -> tuple[FactualAnchor, ...]:
    """Anchors as :class:`Evidence` promises them, whatever order they came in: equal evidence gives equal rows."""
    place = {stream.sha256: number for number, stream in enumerate(streams)}
    mine = [anchor for anchor in anchors if anchor.stream in place]
    return tuple(
        sorted(mine, key=lambda a: (place[a.stream], a.t0, a.t1, a.kind, a.content, str(a.box), str(a.point), a.expert))
    )


def _verdict(stream: Stream, score: Score) -> Problem:
    """Why an output was rejected, in words."""
    if score.format_errors:
        cause = f"the output is not valid: {score.format_errors[0].lstrip(': ')}"
    elif score.unsupported:
        first = score.unsupported[0]
        cause = (
            f"{len(score.unsupported)} of {len(score.supports)} claims are not supported, the first at "
            f"{first.path}: {first.reason}"
        )
    elif not score.supports:
        cause = f"it claims nothing that a fact could carry, and the reward is {score.reward:.3f}"
    else:
        cause = f"the reward is {score.reward:.3f} with {share_supported(score):.0%} of claims supported"
    return Problem(input=stream.uri, cause=cause, remedy="See `dataclaw rejects` for the output and its report.")

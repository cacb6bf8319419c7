"""Stage 2 as a worker runs it: groups of streams in, one result per unit of work out."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pyarrow as pa

from experts.ensemble import Stopwatch
from experts.roster import EXPERTS, expert_class, signature, specs_for
from schemas.anchor import FactualAnchor
from schemas.errors import DataClawError, NeedsModelError, Problem, UnsuitedError
from schemas.outcome import Cost, Outcome, UnitOutcome
from schemas.recipe import ExpertSpec, Recipe
from schemas.rows import RESULT_SCHEMA, Group, Result, UnitPlan
from schemas.score import Score
from schemas.stream import Stream
from schemas.task_spec import TaskSpec
from schemas.triplet import ExpertVersion, Provenance, Triplet, triplet_id
from synthesis.agents.roster import agent_of
from synthesis.backends.roster import backend_class
from synthesis.base import Agent, Evidence
from synthesis.evidence import pick_frames, select_anchors, within
from synthesis.prompt import prepare
from synthesis.verification.verify import parse_output, passes, score_output, share_supported

log = logging.getLogger(__name__)


class SynthesiseGroups:
    """Maps GROUP rows to RESULT rows, one for each unit of each group.

    What goes wrong with one unit is that unit's outcome; the others go on.
    """

    def __init__(self, recipe: Recipe, run: str) -> None:
        self._recipe = recipe
        self._recipe_hash = recipe.hash
        self._run = run
        self._backend = backend_class(recipe.synthesis.backend)()

    def __call__(self, batch: pa.Table) -> pa.Table:
        results = [result for group in Group.from_table(batch) for result in self.results(group)]
        return Result.to_table(results, RESULT_SCHEMA)

    def results(self, group: Group) -> list[Result]:
        """The end of every unit of a group. The group's own costs go with its first result, so that sums are right."""
        costs: Sequence[Cost] = group.costs
        results = []
        for unit in group.units:
            watch = Stopwatch()
            for cost in costs:
                watch.add(cost.stage, cost.wall, cost.cpu, cost.calls)
            costs = ()
            end = self._end(group, unit, watch)
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
                    ),
                    triplet=end.triplet,
                    failed_streams=group.failed_streams,
                    problems=(*group.problems, *([end.note] if end.note else [])),
                    costs=watch.costs(),
                )
            )
        return results

    def _end(self, group: Group, unit: UnitPlan, watch: Stopwatch) -> _End:
        where = group.streams[0].uri if group.streams else group.group
        if not group.streams:
            problem = group.problems[0] if group.problems else None
            return _End(
                Outcome.FAILED,
                problem=problem
                or Problem(input=where, cause="none of its streams could be read", remedy="See the quarantine."),
            )
        end = self._of_spec(group, unit, unit.spec, watch)
        for spec in unit.instead if end.outcome is Outcome.FILTERED else ():
            other = self._of_spec(group, unit, spec, watch)
            if other.triplet is not None and end.problem is not None:
                note = f"{spec.task_type} was made instead of {unit.spec.task_type}: {end.problem.cause}"
                return replace(other, note=Problem(input=where, cause=note, remedy=end.problem.remedy))
        return end

    def _of_spec(self, group: Group, unit: UnitPlan, spec: TaskSpec, watch: Stopwatch) -> _End:
        where = group.streams[0].uri
        try:
            return self._make(group, unit, spec, watch)
        except NeedsModelError as error:
            return _End(Outcome.FILTERED, problem=error.problem, output=self._prepared(group, spec))
        except UnsuitedError as error:
            return _End(Outcome.FILTERED, problem=error.problem)
        except DataClawError as error:
            return _End(Outcome.FAILED, problem=error.problem)
        except Exception as error:  # one broken unit must not take the others down; it ends with its reason
            log.exception("%s: %s", where, spec.task_type)
            cause = f"{type(error).__name__} while making {spec.task_type}: {error}"
            return _End(
                Outcome.FAILED,
                problem=Problem(
                    input=where, cause=cause, remedy="Report it with the stream; the rest of the run went on."
                ),
            )

    def _make(self, group: Group, unit: UnitPlan, spec: TaskSpec, watch: Stopwatch) -> _End:
        streams = group.streams
        agent, evidence = agent_of(spec), self._evidence(group, spec)
        stage = f"synthesise:{spec.task_type}"
        with watch.running(stage, calls=1):
            output = self._backend.write(agent, evidence)
        repairs = 0
        while True:
            with watch.running("verify", calls=1):
                anchors, score = self._judge(agent, output, evidence)
            if passes(score, self._recipe.reward) or repairs == self._recipe.synthesis.max_repairs:
                break
            with watch.running(stage, calls=1):
                mended = self._backend.mend(agent, output, score, evidence)
            if mended is None:
                break
            output, repairs = mended, repairs + 1
        if not passes(score, self._recipe.reward):
            return _End(Outcome.FILTERED, problem=_verdict(streams[0], score), score=score, output=output)
        settings = self._recipe.synthesis
        with watch.running("evidence", calls=1):
            value = parse_output(output, spec, agent).value
            frames = pick_frames(agent, value, streams, settings.evidence_frames, settings.evidence_side)
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
                model=self._backend.model,
                agent_version=agent.version,
                prompt_version=self._backend.prompt_version,
                repairs=repairs,
                readings=tuple(name for name in (unit.spec.task_type, *unit.readings) if name != spec.task_type),
                created=datetime.now(UTC),
            ),
        )
        return _End(Outcome.DONE, triplet=triplet)

    def _prepared(self, group: Group, spec: TaskSpec) -> str:
        """What a backend with a model would be asked."""
        return prepare(agent_of(spec), self._evidence(group, spec)).text

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
    else:
        cause = f"the reward is {score.reward:.3f} with {share_supported(score):.0%} of claims supported"
    return Problem(input=stream.uri, cause=cause, remedy="See `dataclaw rejects` for the output and its report.")

"""Stage plan: what is asked of which streams, less what earlier runs have ended. An anti-join, before any work."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from experts.roster import signature, specs_for
from schemas.base import digest
from schemas.errors import UnsuitedError
from schemas.outcome import InputOutcome, Outcome
from schemas.recipe import Recipe, SourceSpec
from schemas.rows import UnitPlan, Work
from schemas.segment import cut_segments
from schemas.stream import Stream
from schemas.task_spec import Intent, TaskSpec
from storage.catalog.catalog import Catalog
from synthesis.agents.roster import agent_class, experts_of_units
from synthesis.intent.model import IntentModel
from synthesis.intent.own_form import resolve_own
from synthesis.intent.resolve import BUILD_FROM, choose, resolve
from synthesis.prompts import VERSION as PROMPTS
from tasks.discover import Discovery
from tasks.intents import intent_model
from tasks.run import Run, absorb_anchors
from tasks.words import count

_NEXT_BEST = 3
"""Readings of a vague intent that are tried where the best one cannot be made."""


@dataclass(frozen=True)
class Ended:
    """A unit that an earlier run ended, as far as reports need it."""

    outcome: Outcome
    reason: str


@dataclass
class Plan:
    """The work of a run. `streams_of` and `ended` let the report say how every input ends."""

    work: list[Work] = field(default_factory=list)
    pending: set[str] = field(default_factory=set)
    """Units to do."""
    streams_of: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """SHA-256 of the streams of each unit, old and new."""
    ended: dict[str, Ended] = field(default_factory=dict)
    known_slots: list[tuple[str, str]] = field(default_factory=list)
    """(slot, unit) of units that earlier runs ended."""
    unsuited: list[InputOutcome] = field(default_factory=list)
    segments_known: int = 0
    segments_new: int = 0
    stream_seconds: float = 0.0


@dataclass(frozen=True)
class Grouped:
    """Streams made into units together."""

    streams: tuple[Stream, ...]
    units: tuple[UnitPlan, ...]

    @property
    def key(self) -> str:
        return digest([stream.sha256 for stream in self.streams])[:32]


@task(name="plan", cache_policy=NO_CACHE)
def plan_work(run: Run, found: Discovery) -> Plan:
    """Resolves intents, groups streams and takes out what is done already."""
    with run.catalog() as catalog:
        absorb_anchors(run, catalog)
        plan = make_plan(run.recipe, found, catalog, intent_model(run.recipe))
        # What went back to an earlier state (content, recipe) has its row again, without any work.
        catalog.assign(run.id, plan.known_slots)
    segments = (
        f"; {count(plan.segments_new, 'segment')} to look at, {plan.segments_known} with known anchors"
        if plan.work
        else ""
    )
    get_run_logger().info(
        "%s to do, %d known from earlier runs%s", count(len(plan.pending), "unit"), len(plan.ended), segments
    )
    return plan


def make_plan(recipe: Recipe, found: Discovery, catalog: Catalog, model: IntentModel | None = None) -> Plan:
    """The plan of a build; asks the catalog a bounded number of questions, whatever the number of streams. The intents
    are read by a language model where one is given."""
    plan = Plan()
    groups = [group for source, streams in found.sources for group in groups_of(recipe, source, streams, plan, model)]
    known = catalog.ended_units([unit.unit for group in groups for unit in group.units])
    for group in groups:
        for unit in group.units:
            plan.streams_of[unit.unit] = tuple(stream.sha256 for stream in group.streams)
            if unit.unit in known:
                outcome, problem = known[unit.unit]
                plan.ended[unit.unit] = Ended(outcome, "" if problem is None else str(problem))
                plan.known_slots.append((unit.slot, unit.unit))
    todo = [
        Grouped(group.streams, units)
        for group in groups
        if (units := tuple(unit for unit in group.units if unit.unit not in known))
    ]
    plan.pending = {unit.unit for group in todo for unit in group.units}
    _lay_out(recipe, todo, catalog, plan)
    return plan


def groups_of(
    recipe: Recipe, source: SourceSpec, streams: Sequence[Stream], plan: Plan, model: IntentModel | None = None
) -> Iterable[Grouped]:
    """The groups of one source: streams that belong together for a task that joins them, each stream for the others."""
    for key, bundle in _bundles(source, streams):
        yield from _grouped(recipe, source, bundle, key, plan, model)


def _bundles(source: SourceSpec, streams: Sequence[Stream]) -> Iterable[tuple[str, list[Stream]]]:
    """Streams that may be joined, and what they have in common: those of `group_by`, or all of the source."""
    if source.group_by is None:
        return [("", list(streams))] if streams else []
    bundles: dict[str, list[Stream]] = {}
    for stream in streams:
        if source.group_by == "folder":
            key = stream.uri.rpartition("/")[0]
        else:
            match = re.search(source.group_by, stream.uri)
            key = "\n".join(part or "" for part in match.groups()) if match else stream.uri
        bundles.setdefault(key, []).append(stream)
    return bundles.items()


def _grouped(
    recipe: Recipe,
    source: SourceSpec,
    streams: Sequence[Stream],
    key: str,
    plan: Plan,
    model: IntentModel | None,
) -> Iterable[Grouped]:
    intents = [Intent(text=text, domain=source.domain) for text in source.intents or recipe.intents]
    together: list[UnitPlan] = []
    apart: dict[str, list[UnitPlan]] = {stream.sha256: [] for stream in streams}
    reasons: dict[str, list[str]] = {stream.sha256: [] for stream in streams}
    everything = _named_apart(streams)
    bundled = source.group_by is not None and len(streams) > 1
    for intent in intents:
        specs, every = _resolved(recipe, intent, everything, [], model)
        joint = [_joining(spec) for spec in specs if spec.joins_streams or (bundled and _can_join(spec))]
        together += _units(recipe, intent, joint, every, everything, where=source.uri + key)
        joined = {spec.task_type for spec in joint}
        for stream in streams:
            specs, every = _resolved(recipe, intent, [stream], reasons[stream.sha256], model)
            alone = [spec for spec in specs if spec.task_type not in joined]
            apart[stream.sha256] += _units(recipe, intent, alone, every, (stream,), where=stream.uri)
    if together:
        yield Grouped(everything, tuple(together))
    for stream in streams:
        if apart[stream.sha256]:
            yield Grouped((stream,), tuple(apart[stream.sha256]))
        elif not together:
            plan.unsuited.append(
                InputOutcome(
                    uri=stream.uri,
                    sha256=stream.sha256,
                    outcome=Outcome.FILTERED,
                    reasons=tuple(reasons[stream.sha256]),
                )
            )


def _can_join(spec: TaskSpec) -> bool:
    return agent_class(spec.task_type).joins


def _joining(spec: TaskSpec) -> TaskSpec:
    return spec.model_copy(update={"joins_streams": True})


def _resolved(
    recipe: Recipe, intent: Intent, streams: Sequence[Stream], reasons: list[str], model: IntentModel | None
) -> tuple[list[TaskSpec], list[TaskSpec]]:
    """The specs to build of an intent, and those of all its plausible readings, best first. None, with the reason
    noted, when nothing suits."""
    try:
        if recipe.output_schema is not None:
            own = [resolve_own(intent, recipe.output_schema, streams)]
            return own, own
        specs = resolve(intent, streams, model)
    except UnsuitedError as error:
        reasons.append(str(error))
        return [], []
    return choose(specs), specs


def _named_apart(streams: Sequence[Stream]) -> tuple[Stream, ...]:
    """Streams with unique names, since outputs speak of streams by name."""
    taken: dict[str, int] = {}
    named = []
    for stream in streams:
        earlier = taken.get(stream.name, 0)
        taken[stream.name] = earlier + 1
        named.append(stream.model_copy(update={"name": f"{stream.name}-{earlier + 1}"}) if earlier else stream)
    return tuple(named)


def _units(
    recipe: Recipe,
    intent: Intent,
    specs: Sequence[TaskSpec],
    every: Sequence[TaskSpec],
    streams: Sequence[Stream],
    where: str,
) -> list[UnitPlan]:
    """Keys for each spec: `unit` names everything its result depends on, `slot` what it is about."""
    identity = recipe.identity
    told = None if recipe.synthesis.model is None else PROMPTS
    chosen = {spec.task_type for spec in specs}

    def made_by(spec: TaskSpec) -> list[Any]:
        agent = agent_class(spec.task_type)
        wanted = [expert for stream in streams for expert in specs_for(stream, recipe.experts, agent.experts)]
        return [spec.key, agent.version, sorted({signature(expert, recipe.sampling) for expert in wanted})]

    def instead_of(spec: TaskSpec) -> tuple[TaskSpec, ...]:
        left = [other for other in every if other.task_type not in chosen]
        if spec.confidence < BUILD_FROM:  # no form was named: the next best one that can be made is as good
            return tuple(left[:_NEXT_BEST])
        return tuple(other for other in left if other.task_type in agent_class(spec.task_type).instead)

    return [
        UnitPlan(
            unit=digest(
                [
                    [[stream.sha256, stream.name, stream.domain] for stream in streams],
                    [made_by(one) for one in (spec, *instead_of(spec))],
                    identity["sampling"],
                    [identity["synthesis"], told],
                    identity["reward"],
                ]
            ),
            slot=digest([where, intent.text, spec.task_type]),
            spec=spec,
            readings=tuple(other.task_type for other in every if other.task_type != spec.task_type),
            instead=instead_of(spec),
        )
        for spec in specs
    ]


def _lay_out(recipe: Recipe, groups: Sequence[Grouped], catalog: Catalog, plan: Plan) -> None:
    """Turns groups into rows of work, one for each segment, with what is known of it from earlier runs."""
    cut = {stream.sha256: cut_segments(stream, recipe.sampling.segment_seconds) for g in groups for stream in g.streams}
    anchored = catalog.anchored([segment.key for segments in cut.values() for segment in segments])
    counted: set[str] = set()
    for group in groups:
        total = sum(len(cut[stream.sha256]) for stream in group.streams)
        also = experts_of_units(group.units)
        for stream in group.streams:
            wanted = {
                expert.name: signature(expert, recipe.sampling) for expert in specs_for(stream, recipe.experts, also)
            }
            for segment in cut[stream.sha256]:
                shards = {
                    name: anchored[(segment.key, name, sig)]
                    for name, sig in wanted.items()
                    if (segment.key, name, sig) in anchored
                }
                missing = tuple(name for name in wanted if name not in shards)
                plan.work.append(
                    Work(
                        group=group.key,
                        group_segments=total,
                        stream=stream,
                        segment=segment,
                        experts=missing,
                        known=tuple(sorted(set(shards.values()))),
                        units=group.units,
                    )
                )
                if segment.key not in counted:
                    counted.add(segment.key)
                    if missing:
                        plan.segments_new += 1
                        plan.stream_seconds += segment.t1 - segment.t0
                    else:
                        plan.segments_known += 1

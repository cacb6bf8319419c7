"""Stage plan: what is asked of the streams that are to be looked at, less what earlier runs have ended. An anti-join,
before any work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from experts.roster import signature, specs_for
from schemas.outcome import InputOutcome, Outcome
from schemas.recipe import Recipe
from schemas.rows import Work
from schemas.segment import cut_segments
from schemas.usage import Usage
from storage.catalog.catalog import Catalog
from synthesis.agents.roster import experts_of_units
from synthesis.intent.model import IntentModel
from tasks.asking import Asking, Grouped
from tasks.discover import Discovery
from tasks.intents import intent_model
from tasks.run import Run, absorb_anchors
from tasks.words import count

_CHUNK = 50_000
"""Groups between two questions to the catalog."""


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
    """Units that are not this run's to do: an earlier one ended them, or another has them now (`held`)."""
    held: dict[str, str] = field(default_factory=dict)
    """Units that another live run is making, with its id. They count as postponed here."""
    known_slots: list[tuple[str, str]] = field(default_factory=list)
    """(slot, unit) of units that earlier runs ended, where the slot does not hold the unit now."""
    inputs: dict[str, set[tuple[str, str]]] = field(default_factory=dict)
    """(slot, unit) of all that is asked of an input, by its key: when it is done, the input is settled."""
    unsuited: list[InputOutcome] = field(default_factory=list)
    ambiguous: dict[str, set[str]] = field(default_factory=dict)
    """Task types for which an intent is taken that names none, or several."""
    usage: Usage = field(default_factory=Usage)
    """What was asked of a model to read the intents."""
    segments_known: int = 0
    segments_new: int = 0
    stream_seconds: float = 0.0


@task(name="plan", cache_policy=NO_CACHE)
def plan_work(run: Run, found: Discovery) -> Plan:
    """Resolves intents, groups streams, takes out what is done already, and claims the rest but for what another run of
    this moment has claimed."""
    with run.catalog() as catalog:
        absorb_anchors(run, catalog)
        model = intent_model(run.recipe)
        plan = make_plan(run.recipe, found, catalog, model, run.id)
        if model is not None and model.usage.requests:
            plan.usage = model.usage
            catalog.record_usage(run.id, "intents", model.usage)
        # What went back to an earlier state (content, recipe) has its row again, without any work.
        catalog.assign(run.id, plan.known_slots)
        if model is None or not model.failed:  # what rules read in its stead, it reads another night
            catalog.record_inputs(plan.inputs)
    segments = (
        f"; {count(plan.segments_new, 'segment')} to look at, {plan.segments_known} with known anchors"
        if plan.work
        else ""
    )
    log = get_run_logger()
    known = len(plan.ended) - len(plan.held) + found.units_settled
    log.info("%s to do, %d known from earlier runs%s", count(len(plan.pending), "unit"), known, segments)
    for text, task_types in plan.ambiguous.items():
        log.info("%r is taken for %s; `dataclaw plan` shows every reading", text, ", ".join(sorted(task_types)))
    if plan.held:
        log.info("%s left to %s", count(len(plan.held), "unit"), ", ".join(sorted(set(plan.held.values()))))
    return plan


def make_plan(
    recipe: Recipe, found: Discovery, catalog: Catalog, model: IntentModel | None = None, run: str | None = None
) -> Plan:
    """The plan of a build; asks the catalog a number of questions for each thousand streams, never one for each.

    Args:
        recipe: what is asked.
        found: of which streams.
        catalog: what is known.
        model: a language model that reads the intents; None: rules do.
        run: the run that will do the work: what is pending is claimed for it. None: nothing is claimed.
    """
    plan = Plan()
    left: list[Grouped] = []
    changing: set[str] = set()
    for source, streams in found.sources:
        asking = Asking(recipe, source, model)
        groups = asking.groups(streams)
        while some := list(islice(groups, _CHUNK)):
            left += _left(some, catalog, run, plan)
            for group in some:
                keys = {found.keys.get(stream.sha256, "") for stream in group.streams}
                changing |= keys if group.of_all else set()
                for key in keys:
                    plan.inputs.setdefault(key, set()).update((unit.slot, unit.unit) for unit in group.units)
        plan.unsuited += asking.unsuited
        for text, task_types in asking.ambiguous.items():
            plan.ambiguous.setdefault(text, set()).update(task_types)
    # Inputs that are not settled when their units are done: what cannot be made of a stream is said every time.
    for key in {"", *changing, *(found.keys.get(item.sha256 or "", "") for item in plan.unsuited)}:
        plan.inputs.pop(key, None)
    plan.pending = {unit.unit for group in left for unit in group.units}
    _lay_out(recipe, left, catalog, plan)
    return plan


def _left(groups: Sequence[Grouped], catalog: Catalog, run: str | None, plan: Plan) -> list[Grouped]:
    """The groups with what is left to do of them; the rest goes into the plan as ended."""
    slots = [(unit.slot, unit.unit) for group in groups for unit in group.units]
    asked = {unit for _, unit in slots}
    known = catalog.ended_units(asked)
    held: dict[str, str] = {}
    if run is not None:
        claimed = catalog.claim(run, asked - known.keys())
        held = dict(claimed.held)
        # What is in neither, another run ended while this one was planning.
        known |= catalog.ended_units(asked - known.keys() - held.keys() - claimed.taken)
    plan.held.update(held)
    plan.known_slots += catalog.moved((slot, unit) for slot, unit in slots if unit in known)
    ends = {unit: Ended(end, "" if problem is None else str(problem)) for unit, (end, problem) in known.items()}
    ends |= {unit: Ended(Outcome.POSTPONED, f"run {other} is making it") for unit, other in held.items()}
    plan.ended.update(ends)
    left = []
    for group in groups:
        members = tuple(stream.sha256 for stream in group.streams)
        plan.streams_of.update((unit.unit, members) for unit in group.units)
        if units := tuple(unit for unit in group.units if unit.unit not in ends):
            left.append(Grouped(group.streams, units))
    return left


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

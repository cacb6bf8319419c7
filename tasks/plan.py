"""Stage plan: what is asked of which streams, less what earlier runs have ended. An anti-join, before any work.

A night's input is mostly known. So for a stream whose units have ended, no more is done than to form their keys:
intents are resolved once for all streams that look alike to the resolver (:class:`_Look`), and objects are made only of
what is left to do.
"""

from __future__ import annotations

import gc
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import islice
from json.encoder import encode_basestring as quoted
from typing import Any, NamedTuple

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from experts.roster import signature, specs_for
from schemas.base import canonical_json, digest
from schemas.errors import Problem, UnsuitedError
from schemas.outcome import InputOutcome, Outcome
from schemas.recipe import Recipe, SourceSpec
from schemas.rows import UnitPlan, Work
from schemas.segment import cut_segments
from schemas.stream import Domain, Stream, TrackKind
from schemas.task_spec import Intent, TaskSpec
from schemas.usage import Usage
from sources.cameras import camera_of, episode_uri
from storage.catalog.catalog import Catalog
from synthesis.agents.roster import agent_class, experts_of_units
from synthesis.intent.constraints import ClashError, read_wishes
from synthesis.intent.forms import forms
from synthesis.intent.model import IntentModel
from synthesis.intent.own_form import resolve_own
from synthesis.intent.reading import read
from synthesis.intent.resolve import BUILD_FROM, choose, resolve
from synthesis.intent.wording import one_line
from synthesis.prompts import VERSION as PROMPTS
from tasks.discover import Discovery
from tasks.intents import intent_model
from tasks.run import Run, absorb_anchors
from tasks.words import count

_NEXT_BEST = 3
"""Readings of a vague intent that are tried where the best one cannot be made."""
_CHUNK = 50_000
"""Groups between two questions to the catalog."""


@dataclass(frozen=True)
class Ended:
    """A unit that an earlier run ended, as far as reports need it."""

    outcome: Outcome
    reason: str


_DONE = Ended(Outcome.DONE, "")


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
    unsuited: list[InputOutcome] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    """What was asked of a model to read the intents."""
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
        for start in range(0, len(plan.known_slots), _CHUNK):
            catalog.assign(run.id, plan.known_slots[start : start + _CHUNK])
    segments = (
        f"; {count(plan.segments_new, 'segment')} to look at, {plan.segments_known} with known anchors"
        if plan.work
        else ""
    )
    log = get_run_logger()
    known = len(plan.ended) - len(plan.held)
    log.info("%s to do, %d known from earlier runs%s", count(len(plan.pending), "unit"), known, segments)
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
    todo = _Left(catalog, run, plan)
    with _no_collection():
        for source, streams in found.sources:
            for groups in _batches(_asked(recipe, source, streams, plan, model)):
                todo.add(groups)
    plan.pending = {unit.unit for group in todo.groups for unit in group.units}
    _lay_out(recipe, todo.groups, catalog, plan)
    return plan


@contextmanager
def _no_collection() -> Iterator[None]:
    """Without the search for cycles, of which planning makes none: among millions of objects that stay, it takes longer
    than the planning."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


class _Left:
    """What is left to do of what is asked, as grouped streams; the rest goes into the plan as ended."""

    def __init__(self, catalog: Catalog, run: str | None, plan: Plan) -> None:
        self.groups: list[Grouped] = []
        self._catalog = catalog
        self._run = run
        self._plan = plan
        self._ends: dict[Ended, Ended] = {}

    def add(self, groups: Sequence[_AskedOf]) -> None:
        plan = self._plan
        asked = [(group.where, one, key) for group in groups for key, one in group.units]
        slots = [(one.slot(where), key) for where, one, key in asked]
        open_ = self._catalog.unsettled(slots)
        known = self._catalog.ended_units(open_)
        if self._run is not None:
            claimed = self._catalog.claim(self._run, open_ - known.keys())
            plan.held.update(claimed.held)
            # What is in neither, another run ended while this one was planning.
            known |= self._catalog.ended_units(open_ - known.keys() - claimed.held.keys() - claimed.taken)
        for group in groups:
            members = tuple(stream.sha256 for stream in group.streams)
            left = []
            for key, one in group.units:
                plan.streams_of[key] = members
                if key not in open_:
                    plan.ended[key] = _DONE
                elif key in known:
                    outcome, problem = known[key]
                    self._end(key, Ended(outcome, "" if problem is None else str(problem)))
                elif key in plan.held:
                    self._end(key, Ended(Outcome.POSTPONED, f"run {plan.held[key]} is making it"))
                else:
                    left.append(one.plan(key, group.where))
            if left:
                self.groups.append(Grouped(group.streams, tuple(left)))
        plan.known_slots += self._catalog.moved([(slot, key) for slot, key in slots if key in known])

    def _end(self, key: str, ended: Ended) -> None:
        self._plan.ended[key] = self._ends.setdefault(ended, ended)  # many ends, few different ones


def groups_of(
    recipe: Recipe, source: SourceSpec, streams: Sequence[Stream], plan: Plan, model: IntentModel | None = None
) -> Iterable[Grouped]:
    """The groups of one source: streams that belong together for a task that joins them, each stream for the others."""
    for group in _asked(recipe, source, streams, plan, model):
        yield Grouped(group.streams, tuple(asked.plan(key, group.where) for key, asked in group.units))


def _bundles(source: SourceSpec, streams: Sequence[Stream]) -> Iterable[tuple[str, Sequence[Stream]]]:
    """Streams that may be joined, and what they have in common: those of `group_by`; without it the cameras of an
    episode, or all of the source."""
    cameras = source.group_by is None and any(camera_of(stream) for stream in streams)
    if source.group_by is None and not cameras:
        return [("", streams)] if streams else []
    bundles: dict[str, list[Stream]] = {}
    for stream in streams:
        if cameras:
            key = episode_uri(stream)
        elif source.group_by == "folder":
            key = stream.uri.rpartition("/")[0]
        else:
            match = re.search(source.group_by or "", stream.uri)
            key = "\n".join(part or "" for part in match.groups()) if match else stream.uri
        bundles.setdefault(key, []).append(stream)
    return bundles.items()


class _Look(NamedTuple):
    """All that resolving an intent sees of a stream."""

    domain: Domain
    kinds: frozenset[TrackKind]
    duration: float | None
    """None where the intents speak of no time: it plays no part then."""


@dataclass(frozen=True)
class _Asked:
    """A spec to carry out on streams of one look, with the parts of its keys that are the same for all of them."""

    spec: TaskSpec
    readings: tuple[str, ...]
    instead: tuple[TaskSpec, ...]
    of_unit: str
    of_slot: str

    def unit(self, streams: Sequence[Stream]) -> str:
        """Names everything the result depends on: `digest` of the list of streams, how it is made, and settings."""
        named = ",".join(['["' + one.sha256 + '",' + quoted(one.name) + ',"' + one.domain + '"]' for one in streams])
        return sha256(f"[[{named}],{self.of_unit}".encode()).hexdigest()

    def slot(self, where: str) -> str:
        """Names what it is about: `digest` of the place, the intent and the task type."""
        return sha256(f"[{quoted(where)},{self.of_slot}".encode()).hexdigest()

    def plan(self, unit: str, where: str) -> UnitPlan:
        return UnitPlan(unit=unit, slot=self.slot(where), spec=self.spec, readings=self.readings, instead=self.instead)


class _AskedOf(NamedTuple):
    """A group of streams and what is asked of it, by unit; `where` it is, for the slots."""

    streams: tuple[Stream, ...]
    units: list[tuple[str, _Asked]]
    where: str


@dataclass(frozen=True)
class _Resolved:
    """The specs to build of an intent, and those of all its plausible readings, best first; or why there are none, as
    it was said of the stream `said_of`."""

    specs: Sequence[TaskSpec] = ()
    every: Sequence[TaskSpec] = ()
    problem: Problem | None = None
    said_of: str = ""

    def reason(self, stream: Stream) -> str:
        """Why nothing can be made of a stream that looks like the one it was said of."""
        assert self.problem is not None
        if self.problem.input != self.said_of:
            return str(self.problem)
        return str(self.problem.model_copy(update={"input": stream.uri}))


class _Resolver:
    """Resolves intents, once for all streams of one look."""

    def __init__(self, recipe: Recipe, intents: Sequence[Intent], model: IntentModel | None) -> None:
        self._recipe = recipe
        self._intents = intents
        self._model = model
        self._timed = any(_speaks_of_time(intent.text) for intent in intents)
        self._known: dict[tuple[_Look, tuple[frozenset[str], ...]], tuple[list[_Asked], list[_Resolved]]] = {}

    def look(self, stream: Stream) -> _Look:
        kinds = frozenset([track.kind for track in stream.tracks])
        return _Look(stream.domain, kinds, stream.duration if self._timed else None)

    def alone(self, stream: Stream, joined: tuple[frozenset[str], ...]) -> tuple[list[_Asked], list[_Resolved]]:
        """What is asked of a stream by itself, but for the task types that each intent asks of all together; and what
        each intent came to."""
        key = self.look(stream), joined
        if key not in self._known:
            answers = [self.resolve(intent, [stream]) for intent in self._intents]
            asked: list[_Asked] = []
            for intent, answer, taken in zip(self._intents, answers, joined, strict=True):
                specs = [spec for spec in answer.specs if spec.task_type not in taken]
                asked += self.asked(intent, specs, answer.every, [stream])
            if self._timed:
                return asked, answers  # nearly every stream has a duration of its own
            self._known[key] = asked, answers
        return self._known[key]

    def resolve(self, intent: Intent, streams: Sequence[Stream]) -> _Resolved:
        try:
            if self._recipe.output_schema is not None:
                own = [resolve_own(intent, self._recipe.output_schema, streams)]
                return _Resolved(own, own)
            specs = resolve(intent, streams, self._model)
        except UnsuitedError as error:
            return _Resolved(problem=error.problem, said_of=streams[0].uri)
        return _Resolved(choose(specs), specs)

    def asked(
        self, intent: Intent, specs: Sequence[TaskSpec], every: Sequence[TaskSpec], streams: Sequence[Stream]
    ) -> list[_Asked]:
        """What each spec asks of streams that look like these."""
        recipe, identity = self._recipe, self._recipe.identity
        told = None if recipe.synthesis.model is None else PROMPTS
        chosen = {spec.task_type for spec in specs}
        settings = [identity["sampling"], [identity["synthesis"], told], identity["reward"]]

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
            _Asked(
                spec=spec,
                readings=tuple(other.task_type for other in every if other.task_type != spec.task_type),
                instead=instead_of(spec),
                # The end of the canonical JSON of a list, whose first member is another for each group.
                of_unit=canonical_json([[made_by(one) for one in (spec, *instead_of(spec))], *settings])[1:],
                of_slot=canonical_json([intent.text, spec.task_type])[1:],
            )
            for spec in specs
        ]


def _speaks_of_time(text: str) -> bool:
    """Whether what an intent asks may depend on how long the input is: it names a part of it (`the last minute`)."""
    for sentence in {one_line(text), read(text, forms()).sentence}:
        try:
            wishes = read_wishes(sentence)
        except ClashError:
            return True
        if wishes.constraints.window is not None or wishes.notes:
            return True
    return False


def _asked(
    recipe: Recipe, source: SourceSpec, streams: Sequence[Stream], plan: Plan, model: IntentModel | None
) -> Iterator[_AskedOf]:
    """What is asked of the streams of one source, group by group. Those of which nothing can be made go into `plan`."""
    intents = [Intent(text=text, domain=source.domain) for text in source.intents or recipe.intents]
    resolver = _Resolver(recipe, intents, model)
    for key, bundle in _bundles(source, streams):
        cameras = source.group_by is None and any(camera_of(stream) for stream in bundle)
        bundled = len(bundle) > 1 and (cameras or source.group_by is not None)
        samples = _samples(bundle)
        together: list[_Asked] = []
        joined: list[frozenset[str]] = []
        for intent in intents:
            answer = resolver.resolve(intent, samples)
            joint = [
                _joining(spec)
                for spec in answer.specs
                if spec.joins_streams or (bundled and agent_class(spec.task_type).joinable(bundle))
            ]
            together += resolver.asked(intent, joint, answer.every, samples)
            joined.append(frozenset(spec.task_type for spec in joint))
        if together:
            everything = _named_apart(bundle)
            yield _AskedOf(everything, [(asked.unit(everything), asked) for asked in together], source.uri + key)
        apart = tuple(joined)
        for stream in bundle:
            if cameras and camera_of(stream):  # it shows what the episode's own stream shows: near copies of its rows
                if not together:
                    plan.unsuited.append(_further_camera(stream))
                continue
            asked, answers = resolver.alone(stream, apart)
            if asked:
                yield _AskedOf((stream,), [(one.unit((stream,)), one) for one in asked], stream.uri)
            elif not together:
                reasons = tuple(answer.reason(stream) for answer in answers if answer.problem is not None)
                plan.unsuited.append(
                    InputOutcome(uri=stream.uri, sha256=stream.sha256, outcome=Outcome.FILTERED, reasons=reasons)
                )


def _samples(streams: Sequence[Stream]) -> list[Stream]:
    """Streams that stand for all where an intent is resolved for them together: it asks which tracks there are in any
    of them, and whether all last as long."""
    looks: dict[tuple[Domain, frozenset[TrackKind]], Stream] = {}
    for stream in streams:
        looks.setdefault((stream.domain, frozenset([track.kind for track in stream.tracks])), stream)
    samples = list(looks.values())
    if len({stream.duration for stream in samples}) == 1:
        other = next((stream for stream in streams if stream.duration != samples[0].duration), None)
        samples += [] if other is None else [other]
    return samples


def _batches(groups: Iterable[_AskedOf]) -> Iterator[list[_AskedOf]]:
    """Groups, as many at once as one question to the catalog is about."""
    waiting = iter(groups)
    while batch := list(islice(waiting, _CHUNK)):
        yield batch


def _further_camera(stream: Stream) -> InputOutcome:
    reason = "it is a further camera of an episode, and no form that was asked for joins cameras"
    return InputOutcome(uri=stream.uri, sha256=stream.sha256, outcome=Outcome.FILTERED, reasons=(reason,))


def _joining(spec: TaskSpec) -> TaskSpec:
    return spec.model_copy(update={"joins_streams": True})


def _named_apart(streams: Sequence[Stream]) -> tuple[Stream, ...]:
    """Streams with unique names, since outputs speak of streams by name."""
    taken: dict[str, int] = {}
    named = []
    for stream in streams:
        earlier = taken.get(stream.name, 0)
        taken[stream.name] = earlier + 1
        named.append(stream.model_copy(update={"name": f"{stream.name}-{earlier + 1}"}) if earlier else stream)
    return tuple(named)


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

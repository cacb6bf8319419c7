"""What a recipe asks of the streams of a source: which belong together, and the units that are to be made of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from experts.roster import signature, specs_for
from schemas.base import digest
from schemas.errors import Problem, UnsuitedError
from schemas.outcome import InputOutcome, Outcome
from schemas.recipe import Recipe, SourceSpec
from schemas.rows import UnitPlan
from schemas.stream import Domain, Stream, TrackKind
from schemas.task_spec import Intent, TaskSpec
from sources.cameras import camera_of, episode_uri
from synthesis.agents.roster import agent_class
from synthesis.intent.constraints import ClashError, read_wishes
from synthesis.intent.forms import forms
from synthesis.intent.model import IntentModel
from synthesis.intent.own_form import resolve_own
from synthesis.intent.reading import read
from synthesis.intent.resolve import BUILD_FROM, choose, resolve
from synthesis.intent.wording import one_line
from synthesis.prompts import VERSION as PROMPTS
from tasks.discover import group_of

_NEXT_BEST = 3
"""Readings of a vague intent that are tried where the best one cannot be made."""
_FURTHER_CAMERA = "it is a further camera of an episode, and no form that was asked for joins cameras"


@dataclass(frozen=True)
class Grouped:
    """Streams made into units together."""

    streams: tuple[Stream, ...]
    units: tuple[UnitPlan, ...]
    of_all: bool = False
    """They are all that the source has: one more, and the group is another."""

    @property
    def key(self) -> str:
        return digest([stream.sha256 for stream in self.streams])[:32]


class _Look(NamedTuple):
    """All that resolving an intent sees of a stream."""

    domain: Domain
    kinds: frozenset[TrackKind]
    duration: float | None
    """None where the intents speak of no time: it plays no part then."""


@dataclass(frozen=True)
class _Asked:
    """A spec to carry out on streams of one look."""

    spec: TaskSpec
    readings: tuple[str, ...]
    instead: tuple[TaskSpec, ...]
    made_by: list[Any]

    def of(self, streams: Sequence[Stream], where: str) -> UnitPlan:
        """As a unit, whose key names everything that the result depends on; that of its slot names the place, the
        intent and the task type."""
        named = [[stream.sha256, stream.name, stream.domain] for stream in streams]
        return UnitPlan(
            unit=digest([named, *self.made_by]),
            slot=digest([where, self.spec.intent.text, self.spec.task_type]),
            spec=self.spec,
            readings=self.readings,
            instead=self.instead,
        )


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


_Alone = tuple[list[_Asked], list[_Resolved]]
"""What is asked of a stream by itself, and what each intent came to."""


@dataclass
class Asking:
    """What is asked of one source. Intents are resolved once for all streams that look alike to the resolver."""

    recipe: Recipe
    source: SourceSpec
    model: IntentModel | None = None
    """Reads the intents; None: rules do."""
    unsuited: list[InputOutcome] = field(default_factory=list)
    """Streams of which nothing can be made, with the reasons; complete when the groups are."""
    ambiguous: dict[str, set[str]] = field(default_factory=dict)
    """Task types for which an intent is taken that names none, or several."""

    def __post_init__(self) -> None:
        texts = self.source.intents or self.recipe.intents
        self._intents = [Intent(text=text, domain=self.source.domain) for text in texts]
        self._timed = any(_speaks_of_time(text) for text in texts)
        self._known: dict[tuple[_Look, tuple[frozenset[str], ...]], _Alone] = {}

    def groups(self, streams: Sequence[Stream]) -> Iterator[Grouped]:
        """The groups of the source: streams that belong together for a task that joins them, each stream for the
        others."""
        for key, bundle in bundles(self.source, streams):
            cameras = self.source.group_by is None and any(camera_of(stream) for stream in bundle)
            joined = [self._joined(intent, bundle, cameras) for intent in self._intents]
            together = [asked for some in joined for asked in some]
            if together:
                everything = _named_apart(bundle)
                units = tuple(asked.of(everything, self.source.uri + key) for asked in together)
                yield Grouped(everything, units, of_all=self.source.group_by is None and not cameras)
            apart = tuple(frozenset(asked.spec.task_type for asked in some) for some in joined)
            for stream in bundle:
                if cameras and camera_of(stream):  # it shows what the episode's own stream shows: near copies
                    if not together:
                        self._leave_out(stream, (_FURTHER_CAMERA,))
                    continue
                asked, answers = self._alone(stream, apart)
                if asked:
                    yield Grouped((stream,), tuple(one.of((stream,), stream.uri) for one in asked))
                elif not together:
                    self._leave_out(stream, (answer.reason(stream) for answer in answers if answer.problem))

    def _joined(self, intent: Intent, bundle: Sequence[Stream], cameras: bool) -> list[_Asked]:
        """What an intent asks of a bundle as a whole."""
        bundled = len(bundle) > 1 and (cameras or self.source.group_by is not None)
        samples = _samples(bundle)
        answer = self._resolve(intent, samples)
        joint = [
            spec.model_copy(update={"joins_streams": True})
            for spec in answer.specs
            if spec.joins_streams or (bundled and agent_class(spec.task_type).joinable(bundle))
        ]
        return self._ask(joint, answer.every, samples)

    def _alone(self, stream: Stream, joined: tuple[frozenset[str], ...]) -> _Alone:
        """What is asked of a stream by itself: not the task types that each intent asks of all together."""
        kinds = frozenset(track.kind for track in stream.tracks)
        key = _Look(stream.domain, kinds, stream.duration if self._timed else None), joined
        if key in self._known:
            return self._known[key]
        answers = [self._resolve(intent, [stream]) for intent in self._intents]
        asked: list[_Asked] = []
        for answer, taken in zip(answers, joined, strict=True):
            asked += self._ask([spec for spec in answer.specs if spec.task_type not in taken], answer.every, [stream])
        if not self._timed:  # else nearly every stream has a look of its own
            self._known[key] = asked, answers
        return asked, answers

    def _resolve(self, intent: Intent, streams: Sequence[Stream]) -> _Resolved:
        try:
            if self.recipe.output_schema is not None:
                own = [resolve_own(intent, self.recipe.output_schema, streams)]
                return _Resolved(own, own)
            every = resolve(intent, streams, self.model)
        except UnsuitedError as error:
            return _Resolved(problem=error.problem, said_of=streams[0].uri)
        chosen = choose(every)
        if len(chosen) > 1 or chosen[0].confidence < BUILD_FROM:
            self.ambiguous.setdefault(intent.text, set()).update(spec.task_type for spec in chosen)
        return _Resolved(chosen, every)

    def _ask(self, specs: Sequence[TaskSpec], every: Sequence[TaskSpec], streams: Sequence[Stream]) -> list[_Asked]:
        """What each spec asks of streams that look like these."""
        recipe, identity = self.recipe, self.recipe.identity
        told = None if recipe.synthesis.model is None else PROMPTS
        settings = [identity["sampling"], [identity["synthesis"], told], identity["reward"]]
        left = [other for other in every if other.task_type not in {spec.task_type for spec in specs}]

        def made_by(spec: TaskSpec) -> list[Any]:
            agent = agent_class(spec.task_type)
            wanted = [expert for stream in streams for expert in specs_for(stream, recipe.experts, agent.experts)]
            return [spec.key, agent.version, sorted({signature(expert, recipe.sampling) for expert in wanted})]

        def instead_of(spec: TaskSpec) -> tuple[TaskSpec, ...]:
            if spec.confidence < BUILD_FROM:  # no form was named: the next best one that can be made is as good
                return tuple(left[:_NEXT_BEST])
            return tuple(other for other in left if other.task_type in agent_class(spec.task_type).instead)

        return [
            _Asked(
                spec=spec,
                readings=tuple(other.task_type for other in every if other.task_type != spec.task_type),
                instead=instead_of(spec),
                made_by=[[made_by(one) for one in (spec, *instead_of(spec))], *settings],
            )
            for spec in specs
        ]

    def _leave_out(self, stream: Stream, reasons: Iterable[str]) -> None:
        self.unsuited.append(
            InputOutcome(uri=stream.uri, sha256=stream.sha256, outcome=Outcome.FILTERED, reasons=tuple(reasons))
        )


def bundles(source: SourceSpec, streams: Sequence[Stream]) -> Iterable[tuple[str, Sequence[Stream]]]:
    """Streams that may be joined, and what they have in common: those of `group_by`; without it the cameras of an
    episode, or all of the source."""
    cameras = source.group_by is None and any(camera_of(stream) for stream in streams)
    if source.group_by is None and not cameras:
        return [("", streams)] if streams else []
    found: dict[str, list[Stream]] = {}
    for stream in streams:
        key = episode_uri(stream) if source.group_by is None else group_of(source.group_by, stream.uri)
        found.setdefault(key, []).append(stream)
    return found.items()


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


def _samples(streams: Sequence[Stream]) -> list[Stream]:
    """Streams that stand for all where an intent is resolved for them together: it asks which tracks there are in any
    of them, and whether all last as long."""
    looks: dict[tuple[Domain, frozenset[TrackKind]], Stream] = {}
    for stream in streams:
        looks.setdefault((stream.domain, frozenset(track.kind for track in stream.tracks)), stream)
    samples = list(looks.values())
    if len({stream.duration for stream in samples}) == 1:
        other = next((stream for stream in streams if stream.duration != samples[0].duration), None)
        samples += [] if other is None else [other]
    return samples


def _named_apart(streams: Sequence[Stream]) -> tuple[Stream, ...]:
    """Streams with unique names, since outputs speak of streams by name."""
    taken: dict[str, int] = {}
    named = []
    for stream in streams:
        earlier = taken.get(stream.name, 0)
        taken[stream.name] = earlier + 1
        named.append(stream.model_copy(update={"name": f"{stream.name}-{earlier + 1}"}) if earlier else stream)
    return tuple(named)

"""Scores experts against labelled streams: a plain loop, one expert alone at a time, so that its latency is its own."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from benchmark.experts.kinds import kinds_of
from benchmark.experts.labels import Labels, labels_of
from benchmark.experts.results import Measured, Outcome, Results, Standing, StreamScore, machine
from benchmark.experts.scores import score, tolerance_of
from experts.base import Expert
from experts.ensemble import Ensemble, Stopwatch
from experts.gather import join_stream
from experts.roster import EXPERTS, expert_class
from schemas.anchor import FactualAnchor
from schemas.errors import DataClawError, InputError, Problem, UsageError
from schemas.recipe import Sampling, SourceSpec
from schemas.segment import cut_segments
from schemas.stream import Stream
from sources.base import Candidate
from sources.discovery import discover, hash_parts, open_recording, probe

log = logging.getLogger(__name__)

MEMBERS = 20
"""Streams taken of one data set (an archive of drawings may hold thousands)."""


@dataclass(frozen=True)
class Labelled:
    """A stream, and what is known of it."""

    stream: Stream
    labels: tuple[Labels, ...]


@dataclass(frozen=True)
class Plan:
    """What there is to do: which experts look at which streams."""

    experts: tuple[str, ...]
    streams: tuple[Labelled, ...]
    problems: tuple[Problem, ...] = ()
    left_out: dict[str, int] = field(default_factory=dict)
    """By data set, how many of its members were not taken."""
    sampling: Sampling = field(default_factory=Sampling)

    def streams_for(self, expert: type[Expert]) -> list[Labelled]:
        """The streams that an expert can read and that have labels of what it can find."""
        kinds = kinds_of(expert)
        return [
            one
            for one in self.streams
            if one.stream.has(*expert.reads) and any(labels.kind in kinds for labels in one.labels)
        ]

    @property
    def work(self) -> int:
        """How many times a stream will be looked at, by experts that can be loaded here."""
        here = (expert_class(name) for name in self.experts if not missing(name))
        return sum(len(self.streams_for(expert)) for expert in here)


@cache
def missing(name: str) -> tuple[Problem, ...]:
    """What this machine lacks for an expert; that its code cannot be imported is such a lack."""
    try:
        return tuple(expert_class(name).lacks())
    except UsageError as error:
        return (error.problem,)
    except Exception as error:  # an expert that cannot tell must not take the others down
        remedy = "Report it with the version of the expert"
        return (Problem(input=f"expert {name}", cause=f"cannot tell what it lacks: {_cause(error)}", remedy=remedy),)


def plan(folders: Sequence[Path], experts: Sequence[str] = (), members: int = MEMBERS) -> Plan:
    """Finds the streams below some folders and their labels.

    Raises:
        UsageError: a folder is not there, or an expert's name is unknown.
    """
    for name in experts:
        expert_class(name)
    streams: list[Labelled] = []
    problems: list[Problem] = []
    left_out: dict[str, int] = defaultdict(int)
    for folder in folders:
        if not folder.is_dir():
            raise UsageError(str(folder), "there is no such folder", "Name a folder with labelled streams")
        taken: dict[str, int] = defaultdict(int)
        for item in discover(SourceSpec(uri=str(folder))):
            if isinstance(item, Problem):
                problems.append(item)
                continue
            data_set = item.uri.rpartition("#")[0] if item.selector else item.uri
            taken[data_set] += 1
            if taken[data_set] > members:
                left_out[data_set] += 1
                continue
            try:
                streams.append(_labelled(item))
            except DataClawError as error:
                problems.append(error.problem)
    return Plan(tuple(dict.fromkeys(experts)) or EXPERTS.names, tuple(streams), tuple(problems), dict(left_out))


def _labelled(item: Candidate) -> Labelled:
    stream = probe(item, hash_parts(item, {}), None, Sampling().max_pixels)
    return Labelled(stream, tuple(labels_of(stream)))


def run(plan: Plan, advance: Callable[[int], object] = lambda done: None) -> Results:
    """Runs every expert over its streams and scores what it finds. An expert that is not here, or fails, is an outcome
    with its reason; the others go on.

    Args:
        advance: told of each stream that an expert is through with.
    """
    outcomes = tuple(_outcome(name, plan, advance) for name in plan.experts)
    return Results(outcomes, len(plan.streams), plan.problems, plan.left_out, machine())


def _outcome(name: str, plan: Plan, advance: Callable[[int], object]) -> Outcome:
    lacks = missing(name)
    if lacks:
        return Outcome(name, _version(name), Standing.NOT_HERE, why="; ".join(str(problem) for problem in lacks))
    expert = expert_class(name)
    readable = sum(one.stream.has(*expert.reads) for one in plan.streams)
    chosen = plan.streams_for(expert)
    unlabelled = sorted(kinds_of(expert) - {labels.kind for one in chosen for labels in one.labels})
    if not chosen:
        why = (
            f"none of the {readable} streams that it reads has labels of what it finds"
            if readable
            else "no stream has a track that it reads"
        )
        return Outcome(name, expert.version, Standing.NO_LABELS, why=why, unlabelled=tuple(unlabelled))
    begun = time.perf_counter()
    try:
        loaded = expert()
    except Exception as error:  # one expert that cannot be loaded must not take the others down
        log.debug("expert %s", name, exc_info=True)
        advance(len(chosen))
        return Outcome(name, expert.version, Standing.FAILED, why=f"cannot be loaded: {_cause(error)}")
    load = time.perf_counter() - begun
    scores: list[StreamScore] = []
    measured: list[Measured] = []
    problems: list[Problem] = []
    seen: set[str] = set()
    for one in chosen:
        try:
            anchors, cost, problem = _measure(loaded, one.stream, plan.sampling)
            measured.append(cost)
            seen |= {anchor.kind for anchor in anchors}
            problems += [problem] if problem is not None else []
            scores += _scores(loaded, one, anchors)
        except InputError as error:
            problems.append(error.problem)
        except Exception as error:  # one broken stream must not take the others down
            log.debug("expert %s on %s", name, one.stream.uri, exc_info=True)
            problems.append(
                Problem(input=one.stream.uri, cause=_cause(error), remedy="Report it with the stream; the rest went on")
            )
        advance(1)
    state = Standing.SCORED if measured else Standing.FAILED
    return Outcome(
        name,
        expert.version,
        state,
        why="" if measured else f"failed on all of its {len(chosen)} streams",
        scores=tuple(scores),
        measured=tuple(measured),
        silent=tuple(sorted({one.kind for one in scores if one.tally.labels or one.tally.words} - seen)),
        load=load,
        unlabelled=tuple(unlabelled),
        problems=tuple(problems),
    )


def _version(name: str) -> str:
    try:
        return expert_class(name).version
    except UsageError:
        return "?"


def _measure(
    expert: Expert, stream: Stream, sampling: Sampling
) -> tuple[list[FactualAnchor], Measured, Problem | None]:
    """An expert's joined anchors of a stream, what they cost, and what broke the reading off."""
    watch = Stopwatch()
    ensemble = Ensemble([expert], sampling)
    anchors: list[FactualAnchor] = []
    problem: Problem | None = None
    frames = 0
    with open_recording(stream) as recording:
        for segment in cut_segments(stream, sampling.segment_seconds):
            found = ensemble(recording, segment, watch)
            anchors += found.anchors[expert.name]
            frames += found.frames
            problem = problem or found.problem
    costs = {cost.stage: cost for cost in watch.costs()}
    own, decode = costs[f"expert:{expert.name}"], costs.get("decode")
    cost = Measured(
        stream=stream.name,
        seconds=stream.duration,
        wall=own.wall,
        cpu=own.cpu,
        calls=own.calls,
        frames=frames,
        decode=decode.wall if decode else 0.0,
    )
    return join_stream(stream, anchors), cost, problem


def _scores(expert: Expert, one: Labelled, anchors: Sequence[FactualAnchor]) -> Iterator[StreamScore]:
    """A score for each labelled kind that the expert can find, or has found."""
    kinds = kinds_of(type(expert)) | {anchor.kind for anchor in anchors}
    for labels in one.labels:
        if labels.kind in kinds:
            tally = score(labels, [anchor for anchor in anchors if anchor.kind == labels.kind])
            yield StreamScore(
                one.stream.name,
                labels.kind,
                labels.source,
                labels.complete,
                labels.words_only,
                tolerance_of(labels),
                tally,
            )


def _cause(error: Exception) -> str:
    if isinstance(error, DataClawError):
        return error.problem.words
    return f"{type(error).__name__}: {error}"

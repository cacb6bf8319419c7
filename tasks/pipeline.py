"""The one visible chain: segments in, written triplets out. Every resource is named at its call."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial

import ray
import ray.data
from ray.data import ActorPoolStrategy, Dataset

from experts.extract import ExtractAnchors
from experts.gather import GatherGroups
from experts.roster import default_names
from schemas.recipe import ExpertSpec, Recipe
from schemas.rows import WORK_SCHEMA, Work
from storage.write import WriteTriplets
from synthesis.agents.roster import experts_of_units
from synthesis.backends.secret import Secrets
from synthesis.purse import NO_BOUND, Allowance
from synthesis.synthesise import SynthesiseGroups
from tasks.cluster import Cluster

_SIDE_CPU = 0.1
"""Logical CPUs of the stages that mostly wait. Extractors leave room for all of them on every node, so that each
actor can be placed and the chain cannot stall, on two cores as on two hundred."""
_QUEUED = 2
"""Batches that a worker has in hand for each that it works on, so that it need not wait for the next."""


def assemble(
    work: Sequence[Work],
    recipe: Recipe,
    run: str,
    at: Cluster,
    allowance: Allowance = NO_BOUND,
    secrets: Secrets | None = None,
    again: bool = False,
) -> Dataset:
    """The pipeline over all pending segments of a run, whose workers may together spend an allowance on models. Nothing
    runs before it is iterated. `again`: an earlier pass of the run lost groups with the worker that gathered them."""
    place = recipe.placement
    least, most = bounds(place.extract_workers or at.cpus())
    extractors = min(most, max(1, len(work)))
    writers = bounds(place.synthesis_workers)
    side = _SIDE_CPU * (2 + writers[1])
    extract_cpus = at.share(extractors, aside=side)
    # A model is asked about many groups at once; rules are one computation after the other.
    asks = recipe.synthesis.model is not None
    at_a_time = place.serving.concurrency if asks else 1
    # It holds few CPUs since it mostly waits; a model on the CPU that computes meanwhile needs them all.
    unbound = asks and "OMP_NUM_THREADS" not in os.environ
    # Few segments in a batch while there are few: all workers get some, and a killed worker repeats little.
    at_once = max(1, min(8, len(work) // (4 * extractors)))
    units_at_once = at_once * max((len(row.units) for row in work), default=0)
    # What a model was asked at once is kept together: if the build is killed, no more than that is asked again.
    rows_at_once = min(place.rows_per_shard, at_a_time) if asks else place.rows_per_shard
    return (
        ray.data.from_arrow([Work.to_table(work[i : i + at_once], WORK_SCHEMA) for i in range(0, len(work), at_once)])
        .map_batches(
            at.stage(ExtractAnchors),
            fn_constructor_args=(
                recipe.corpus,
                run,
                experts_of(recipe, work),
                recipe.sampling,
                partial(_suspects, _QUEUED * at_once),
            ),
            batch_format="pyarrow",
            batch_size=at_once,
            compute=ActorPoolStrategy(
                min_size=min(least, extractors), max_size=extractors, max_tasks_in_flight_per_actor=_QUEUED
            ),
            num_cpus=extract_cpus,
            num_gpus=place.extract_gpus or None,
        )
        .map_batches(
            at.stage(GatherGroups),
            fn_constructor_args=(recipe.corpus, run, partial(_suspects, len(work), always=again)),
            batch_format="pyarrow",
            batch_size=None,
            compute=ActorPoolStrategy(size=1),  # one worker: it remembers groups that wait for segments
            num_cpus=_SIDE_CPU,
        )
        .map_batches(
            at.stage(SynthesiseGroups, unbound),
            fn_constructor_args=(
                recipe,
                run,
                allowance.shared(writers[1]),
                secrets,
                partial(_suspects, _QUEUED * at_a_time * units_at_once),
            ),
            batch_format="pyarrow",
            batch_size=1,
            compute=ActorPoolStrategy(
                min_size=writers[0],
                max_size=writers[1],
                max_tasks_in_flight_per_actor=_QUEUED * at_a_time,
                max_concurrent_calls_per_actor=at_a_time,
            ),
            num_cpus=_SIDE_CPU,
            num_gpus=place.serving.gpus or None,
        )
        .map_batches(
            at.stage(WriteTriplets),
            fn_constructor_args=(recipe.corpus, recipe.split, run, partial(_suspects, _QUEUED * rows_at_once)),
            batch_format="pyarrow",
            batch_size=rows_at_once,
            compute=ActorPoolStrategy(size=1),
            num_cpus=_SIDE_CPU,
        )
    )


def _suspects(in_hand: int, always: bool = False) -> int:
    """In a worker: how many pieces of work another one may have had in hand that died and in whose place it is there;
    0 when it is the first."""
    return in_hand if always or ray.get_runtime_context().was_current_actor_reconstructed else 0


def bounds(workers: int | tuple[int, int]) -> tuple[int, int]:
    """The least and the most workers of a pool."""
    return workers if isinstance(workers, tuple) else (workers, workers)


def experts_of(recipe: Recipe, work: Sequence[Work]) -> tuple[ExpertSpec, ...]:
    """Every expert that some segment of this work may want."""
    if recipe.experts is not None:
        return recipe.experts
    names = dict.fromkeys(
        name for row in work for name in (*default_names(row.stream.domain), *experts_of_units(row.units))
    )
    return tuple(ExpertSpec(name=name) for name in names)

"""Checks before any work: names first, since they cost nothing, then what the machine must have."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Iterable

import av
from prefect import task
from prefect.cache_policies import NO_CACHE

from experts.roster import default_names, expert_class
from schemas.errors import DataClawError, Problem, UsageError
from schemas.recipe import ExpertSpec, Recipe
from schemas.stream import Domain
from sources.roster import reader
from storage.location import Location
from synthesis.agents.own_schema.soundness import sound
from synthesis.backends.model import ModelBackend
from synthesis.backends.roster import backend_class
from tasks.cluster import check_address
from tasks.secrets import secrets_of

_DECODERS = ("h264", "hevc", "vp8", "vp9", "libdav1d", "mpeg4", "gif", "mjpeg", "png")
"""What streams of the supported formats are coded with. PyAV brings its own; a system build may lack some."""
_FREE_BYTES = 500 << 20
"""Less room than this on the corpus's disk does not last through a build."""


@task(name="preflight", cache_policy=NO_CACHE)
def preflight(recipe: Recipe) -> None:
    """Looks at names, sources, codecs, weights, space and write access, and tells everything that is wrong at once.

    Raises:
        UsageError: at least one check failed; its message lists all that did.
    """
    problems = list(check_names(recipe)) or list(check_machine(recipe))
    if len(problems) == 1:
        raise UsageError(problems[0].input, problems[0].cause, problems[0].remedy)
    if problems:
        raise UsageError(
            recipe.name,
            f"{len(problems)} checks failed before the build: " + " | ".join(str(problem) for problem in problems),
            "Nothing was done yet; mend them and run again",
        )


def check_names(recipe: Recipe) -> Iterable[Problem]:
    """Every expert, reader and backend that the recipe names is known. Loads no model."""
    lookups: list[tuple[Callable[[str], object], str]] = [(expert_class, spec.name) for spec in recipe.experts or ()]
    lookups += [(reader, source.format) for source in recipe.sources if source.format]
    lookups += [(backend_class, recipe.synthesis.backend)]
    if recipe.output_schema is not None:
        try:
            sound(recipe.output_schema)
        except DataClawError as error:
            yield error.problem
    for look_up, name in lookups:
        try:
            look_up(name)
        except DataClawError as error:
            yield error.problem


def check_machine(recipe: Recipe) -> Iterable[Problem]:
    """Codecs, weights of the experts that need them, the cluster, and a corpus that can be written."""
    yield from check_codecs()
    domains = {source.domain for source in recipe.sources}
    names = {name for domain in Domain if None in domains or domain in domains for name in default_names(domain)}
    for spec in recipe.experts if recipe.experts is not None else [ExpertSpec(name=name) for name in sorted(names)]:
        yield from expert_class(spec.name).lacks(**spec.parameters)
    yield from check_backend(recipe)
    yield from check_address(recipe.placement.ray_address)
    yield from check_corpus(recipe.corpus)


def check_backend(recipe: Recipe) -> Iterable[Problem]:
    """The backend has its model, its packages and its key. No weights are loaded and no server is asked."""
    try:
        secrets_of(recipe).install()
        backend = backend_class(recipe.synthesis.backend)(recipe.synthesis, recipe.placement.serving)
    except DataClawError as error:
        yield error.problem
        return
    if isinstance(backend, ModelBackend):
        yield from backend.lacks()


def check_codecs() -> Iterable[Problem]:
    """The decoders that streams need are in this build of PyAV."""
    for name in _DECODERS:
        if name not in av.codecs_available:
            yield Problem(input=f"decoder {name}", cause="missing from PyAV", remedy="Install av from its wheel")


def check_corpus(uri: str) -> Iterable[Problem]:
    """The corpus folder can be made and written, and has room."""
    try:
        root = Location.of(uri)
        probe = f".write-test-{uuid.uuid4().hex}"
        root.create(probe, b"")
        root.remove(probe)
        if root.is_local and shutil.disk_usage(root.root).free < _FREE_BYTES:
            yield Problem(input=uri, cause=f"less than {_FREE_BYTES >> 20} MiB free", remedy="Free space on its disk")
    except (OSError, DataClawError) as error:
        yield Problem(input=uri, cause=f"the corpus cannot be written: {error}", remedy="Choose a folder you may write")

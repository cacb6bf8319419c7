"""What is measured: rules, a model behind one of the backends of builds, or a version of a registered model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from schemas.base import digest
from schemas.errors import UsageError
from schemas.recipe import ModelSpec, Placement, Recipe, Serving, SourceSpec, Synthesis
from storage.weights import describe
from synthesis.backends.base import Backend
from synthesis.backends.roster import backend_class

RULES, REGISTERED = "rules", "model:"


@dataclass(frozen=True)
class Candidate:
    """One of those that are compared. It is opened when its turn comes: only one holds memory at a time."""

    label: str
    synthesis: Synthesis
    serving: Serving

    def open(self) -> Backend:
        """The backend, as a build makes it.

        Raises:
            UsageError: there is no such backend, or this machine lacks something for it.
        """
        backend = backend_class(self.synthesis.backend)(self.synthesis, self.serving)
        if (lacks := getattr(backend, "lacks", None)) is not None and (problems := lacks()):
            raise UsageError(problems[0].input, problems[0].cause, problems[0].remedy)
        return backend

    @property
    def identity(self) -> str:
        """Digest of all that its answers depend on beside the questions: the files of a model in a folder, not their
        place. A server's model is known by its name there."""
        model = self.synthesis.model
        settings = None if model is None else model.model_dump(mode="json")
        if settings is not None:
            for key in ("name", "adapter"):
                settings[key] = _content(settings[key])
        own = version("dataclaw-factory") if self.synthesis.backend == RULES else None
        route = [] if self.synthesis.route is None else [self.synthesis.route]
        return digest([self.synthesis.backend, self.serving.base_url, settings, own, *route])


def candidate(
    name: str,
    backend: str | None,
    serving: Serving,
    settings: Mapping[str, Any],
    catalog: str | None = None,
    route: str | None = None,
) -> Candidate:
    """What a name on the command line stands for.

    Args:
        name: `rules`, `model:NAME` or `model:NAME@N`, or else a model of `backend`.
        backend: of models that are neither rules nor registered: `transformers`, `openai`, `vllm`, a plugin's.
        serving: where models run.
        settings: keys of :class:`ModelSpec`; a registered model brings its own.
        catalog: URL of the database that registered models are in.
        route: of sets of experts, as `synthesis.route` of a recipe.

    Raises:
        UsageError: there is no such model, or a setting is none.
    """
    if name == RULES:
        return Candidate(RULES, Synthesis(), Serving())
    if name.startswith(REGISTERED):
        return _registered(name, serving, catalog, route)
    if backend is None:
        remedy = "Say what runs it: --backend transformers, openai or vllm; rules and model:NAME need none"
        raise UsageError(name, "a model needs a backend", remedy)
    try:
        model = ModelSpec.model_validate({"name": _absolute(name), **settings})
        synthesis = Synthesis(backend=backend, model=model)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise UsageError(
            "--set", f"{place}: {first['msg']}", "docs/recipe.md has the keys of synthesis.model"
        ) from error
    return Candidate(name.rstrip("/"), synthesis, serving)


def _registered(name: str, serving: Serving, catalog: str | None, route: str | None) -> Candidate:
    from storage.registered import with_registered_model  # needs a database, which other models do not

    if catalog is None:
        raise UsageError(name, "no catalog is named, and models are registered in one", "Name it: --catalog URL")
    try:
        synthesis = Synthesis(backend=name, route=route)
    except ValidationError as error:
        raise UsageError(f"--route {route}", "there is no such route", "Give omni, expert:DOMAIN or wrong") from error
    recipe = with_registered_model(
        Recipe(
            name="benchmark",
            corpus="memory://benchmark",
            sources=(SourceSpec(uri="memory://benchmark", intents=("none",)),),
            synthesis=synthesis,
            placement=Placement(serving=serving, catalog=catalog),
        )
    )
    label = recipe.synthesis.backend.removeprefix(REGISTERED)
    forced = f" by {route}" if route not in (None, "router") else ""
    return Candidate(f"{label}{forced}", recipe.synthesis, recipe.placement.serving)


def _absolute(name: str) -> str:
    return str(Path(name).resolve()) if Path(name).is_dir() else name


def _content(name: str | None) -> object:
    """A model or adapter as what it is: the files of a folder, or a name."""
    if name is None or not Path(name).is_dir():
        return name
    return [file.model_dump(mode="json") for file in describe(Path(name))]

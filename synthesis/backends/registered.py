"""A registered model as a backend: a server that serves it, or an engine in the worker with its weights."""

from __future__ import annotations

from collections.abc import Mapping

from schemas.errors import Problem, UsageError
from schemas.model import ADAPTER
from schemas.recipe import REGISTERED, ModelSpec, Serving, Synthesis
from schemas.trail import Routed, Trail
from storage.location import Location
from storage.weights import fetch
from synthesis.backends.chat import Chat
from synthesis.backends.model import ModelBackend, OpenAIBackend, TransformersBackend, VLLMBackend
from synthesis.backends.routed import AdapterChat, Experts
from synthesis.base import Evidence

_DIGEST = "sha256:"


class RegisteredBackend(ModelBackend):
    """A version of a registered model, wherever it runs: where the recipe names a server, there, under its name
    (`tailor@3`); else in the worker, by vLLM where workers have GPUs and by transformers where not.

    Of a set of experts each task goes to one, on a server under the name of that one's version. They share one engine.
    Where it runs is no part of its name, so that results of one place count in the other.
    """

    name: str

    def __init__(self, settings: Synthesis, serving: Serving) -> None:
        self.name = settings.backend
        self._version = settings.backend.removeprefix(REGISTERED)
        self._route = settings.route
        self._experts: Experts | None = None
        super().__init__(settings, serving)

    def lacks(self) -> list[Problem]:
        return self._engine.lacks()

    def open_chat(self, model: ModelSpec, serving: Serving) -> Chat:
        if self._route is not None:
            self._experts = Experts.at(*self._stored(model, serving))
            self._experts.check(self._route)
        spec, engine, adapters = self._placed(model, serving)
        self._engine = engine(Synthesis(backend=engine.name, model=spec), serving, adapters)
        chat = self._engine.chat
        chat.model = f"{model.name}+{self._version}"
        return chat

    def chat_for(self, evidence: Evidence) -> tuple[Chat, Routed | None]:
        if self._experts is None or self._route is None:
            return self.chat, None
        route = self._experts.route(evidence, self._route)
        return self._expert(route), route

    def chat_of(self, trail: Trail) -> Chat:
        return self.chat if trail.route is None else self._expert(trail.route)

    def _expert(self, route: Routed) -> Chat:
        return AdapterChat(self.chat, self.settings.name, route.version)

    def _placed(self, model: ModelSpec, serving: Serving) -> tuple[ModelSpec, type[ModelBackend], Mapping[str, str]]:
        """The model as an engine finds it, the engine, and the adapters that requests name."""
        if serving.base_url is not None:
            adapter = self._version if self._experts is None else None
            return model.model_copy(update={"adapter": adapter}), OpenAIBackend, {}
        folder = fetch(*self._stored(model, serving))
        engine: type[ModelBackend] = VLLMBackend if serving.gpus else TransformersBackend
        if self._experts is not None:
            adapters = {version: str(folder / name) for name, version in self._experts.members.items()}
            return model.model_copy(update={"adapter": None}), engine, adapters
        if (folder / ADAPTER).exists():
            return model.model_copy(update={"adapter": str(folder)}), engine, {}
        return model.model_copy(update={"name": str(folder), "adapter": None}), engine, {}

    def _stored(self, model: ModelSpec, serving: Serving) -> tuple[Location, str]:
        """Where the files of the version lie, and their digest."""
        if serving.weights is None or "@" not in self._version:
            remedy = "Build it by `dataclaw build` or the flow, which look it up in the registry."
            raise UsageError(f"backend {self.name}", "its version was not looked up", remedy)
        return Location.of(serving.weights), (model.adapter or "").removeprefix(_DIGEST)

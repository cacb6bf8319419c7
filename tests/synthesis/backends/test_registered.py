"""A registered model as a backend: on a server under its name, or in this process with its weights."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from faulty_server import FaultyServer, ok

from schemas.errors import CorpusError, UsageError
from schemas.model import Weights
from schemas.recipe import ModelSpec, Serving, Synthesis
from storage.location import Location
from storage.weights import store
from synthesis.backends.chat import Reply, Request
from synthesis.backends.registered import RegisteredBackend
from synthesis.backends.roster import backend_class
from synthesis.backends.transformers import TransformersChat
from synthesis.backends.vllm import VLLMChat
from tests.storage.made_models import BASE, adapter_folder
from tests.synthesis.backends.answers import question


def settings(weights: Weights, backend: str = "model:tailor@3") -> Synthesis:
    """As a resolved recipe has them."""
    spec = ModelSpec(name=weights.base.name, adapter=f"sha256:{weights.digest}", brief=True, context=2048)
    return Synthesis(backend=backend, model=spec)


def ask(backend: RegisteredBackend, *requests: Request) -> list[str]:
    async def run() -> list[Reply]:
        try:
            return await asyncio.gather(*(backend.chat.complete(request) for request in requests))
        finally:
            await backend.close()

    return [reply.text for reply in asyncio.run(run())]


@pytest.fixture
def stored(tmp_path: Path) -> tuple[Weights, Location]:
    return store(adapter_folder(tmp_path / "trained"), BASE, Location.of(tmp_path / "models"), "tailor")


def test_a_server_is_asked_for_the_version_by_its_name(stored: tuple[Weights, Location]) -> None:
    weights, _ = stored
    with FaultyServer([], then=ok('"served"')) as server:
        backend = RegisteredBackend(settings(weights), Serving(base_url=server.base_url))
        assert ask(backend, question("Who?")) == ['"served"']
        assert server.requests[0].body["model"] == "tailor@3"
    assert (backend.name, backend.model) == ("model:tailor@3", "some/base+tailor@3")
    assert backend.settings.brief, "it is asked as it was tuned to be"


def test_every_registered_model_has_the_one_class() -> None:
    assert backend_class("model:tailor@3") is RegisteredBackend
    with pytest.raises(UsageError, match="unknown backend 'modle'"):
        backend_class("modle")


def test_without_a_server_its_files_are_needed_here(stored: tuple[Weights, Location]) -> None:
    weights, place = stored
    serving = Serving(weights=place.uri())
    here = RegisteredBackend(settings(weights), serving)
    assert isinstance(here.chat, TransformersChat)
    assert isinstance(RegisteredBackend(settings(weights), Serving(weights=place.uri(), gpus=1)).chat, VLLMChat)
    assert here.model == "some/base+tailor@3"
    with pytest.raises(UsageError, match="was not looked up"):
        RegisteredBackend(settings(weights), Serving())
    place.remove("adapter_model.safetensors")
    with pytest.raises(CorpusError, match=r"adapter_model\.safetensors.*missing"):
        RegisteredBackend(settings(weights), serving)


@pytest.mark.models
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("kind", ["adapter", "whole model"])
def test_its_weights_answer_in_this_process(kind: str, tiny_qwen3_vl: Path, tiny_adapter: Path, tmp_path: Path) -> None:
    """From a store that is no disk, so that they are fetched first."""
    folder = tiny_adapter if kind == "adapter" else tiny_qwen3_vl
    base = BASE.model_copy(update={"name": str(tiny_qwen3_vl) if kind == "adapter" else "some/base"})
    weights, place = store(folder, base, Location.of(f"memory://{tmp_path.name}/models"), "tailor")
    assert weights.is_adapter is (kind == "adapter")
    serving = Serving(dtype="float32", weights=place.uri())
    asked = question("Say anything.", max_tokens=30)
    backend = RegisteredBackend(settings(weights), serving)
    assert backend.lacks() == []
    own = TransformersChat(
        ModelSpec(name=str(tiny_qwen3_vl), adapter=str(tiny_adapter) if kind == "adapter" else None, context=2048),
        Serving(dtype="float32"),
    )
    assert ask(backend, asked) == [asyncio.run(own.complete(asked)).text]
    untuned = TransformersChat(ModelSpec(name=str(tiny_qwen3_vl), context=2048), Serving(dtype="float32"))
    same = asyncio.run(untuned.complete(asked)).text == asyncio.run(own.complete(asked)).text
    assert same is (kind == "whole model")

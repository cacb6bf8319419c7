"""`dataclaw serve`: a registered set at one endpoint, asked over real HTTP."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest
from typer.testing import CliRunner

from dataclaw.main import app
from deployments.serving import Service, vllm_command
from schemas.errors import DataClawError
from schemas.recipe import ModelSpec, Serving, Synthesis
from schemas.stream import Domain
from storage.catalog.registry import Registry
from storage.corpus import Corpus
from storage.weights import FOLDER
from synthesis.agents.roster import agent_of
from synthesis.backends.model import OpenAIBackend
from synthesis.backends.registered import RegisteredBackend
from synthesis.purse import Purse
from tests.models.tiny_adapter import make as make_adapter
from tests.synthesis.backends.answers import SCHEMAS, is_sound, picture, question
from tests.training.sets import DOMAINS, Registered, registered, without_weights
from tests.training.test_router import evidence, row
from training.registry import register

ROOT = Path(__file__).resolve().parents[2]
KEY = "the-key-of-the-endpoint"


# --- what vLLM is told ------------------------------------------------------------------------------------------------


@pytest.fixture
def small(tmp_path: Path) -> Registered:
    return without_weights(tmp_path, omni=False)


def test_vllm_is_told_of_every_adapter_by_the_name_of_its_version(small: Registered) -> None:
    command = vllm_command(Service.of(small.set), Serving(tensor_parallel=2), "127.0.0.1", 8123)
    modules = command[command.index("--lora-modules") + 1 :]
    assert modules == [f"tailor@{n}={small.set.place}/{kind}" for n, kind in enumerate(DOMAINS, 1)]
    base = small.set.weights.base.name
    for option, value in {
        "--model": base,
        "--served-model-name": base,
        "--max-loras": "3",
        "--max-lora-rank": "8",
        "--max-model-len": "512",
        "--tensor-parallel-size": "2",
        "--port": "8123",
    }.items():
        assert command[command.index(option) + 1] == value


def test_a_single_adapter_is_served_beside_its_base_and_a_whole_model_alone(small: Registered, tmp_path: Path) -> None:
    one = Service.of(small.members[0])
    assert (one.names, list(one.adapters), one.same) == (
        (small.members[0].weights.base.name,),
        ["tailor@1"],
        {"tailor": "tailor@1"},
    )
    with Registry.open(small.corpus.catalog_url()) as registry:
        spec = ModelSpec(name=str(tmp_path / "base"))
        root = small.corpus.location.join(FOLDER)
        whole = Service.of(register(registry, tmp_path / "base", root, "whole", spec, "a test"))
    assert (whole.names, whole.adapters) == (("whole@1", "whole"), {})
    assert "--enable-lora" not in vllm_command(whole, Serving(), "127.0.0.1", 8123)


# --- what a person types ----------------------------------------------------------------------------------------------


def test_help_has_an_example() -> None:
    done = CliRunner().invoke(app, ["serve", "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"})
    assert "Example: dataclaw serve tailor" in done.output


def test_a_key_that_is_not_set_and_a_model_that_is_not_there_are_told(small: Registered) -> None:
    for arguments, says in (
        (["experts@1", "--key", "NOT_SET_ANYWHERE"], "NOT_SET_ANYWHERE is not set"),
        (["expert@1"], "Did you mean 'experts'"),
    ):
        command = ["serve", *arguments, "--engine", "transformers", "--corpus", small.corpus.uri]
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 2
        assert says in done.output


# --- how it ends ------------------------------------------------------------------------------------------------------

ECHOING = """
from contextlib import suppress
from deployments.serving import Service, serve_by_transformers
from schemas.recipe import ModelSpec, Serving
from synthesis.backends import transformers
from tests.deployments.test_endpoint import Echo

transformers.TransformersChat = lambda *_: Echo()
service = Service(ModelSpec(name="base"), ("base",), {"tailor@1": "/nowhere"}, same={"tailor": "tailor@1"})
with suppress(KeyboardInterrupt):
    serve_by_transformers(service, Serving(), "127.0.0.1", 0, "", lambda line: print(line, flush=True))
"""
"""Without weights, so that it needs no engine: all else is as it is."""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_says_where_it_is_answers_there_and_ends_well(number: signal.Signals) -> None:
    server = subprocess.Popen([sys.executable, "-c", ECHOING], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        assert server.stdout is not None
        found = re.fullmatch(r"serving base, tailor@1, tailor at (\S+)\n", server.stdout.readline())
        assert found is not None
        body = {"model": "tailor", "messages": [{"role": "user", "content": "Who?"}]}
        answer = httpx2.post(f"{found[1]}/chat/completions", json=body).json()
        assert answer["model"] == "tailor@1"
        server.send_signal(number)
        assert server.wait(30) == 0
    finally:
        server.kill()
        server.communicate()


# --- served -----------------------------------------------------------------------------------------------------------


@contextmanager
def served(model: str, corpus: Corpus, *options: str) -> Iterator[str]:
    """`dataclaw serve` in a process of its own; gives its URL. It must end well on Ctrl-C."""
    command = [sys.executable, "-m", "dataclaw", "serve", model, "--corpus", corpus.uri, "--port", "0", *options]
    environment = os.environ | {"SERVED_KEY": KEY, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert server.stdout is not None
        said = ""
        for line in server.stdout:
            said += line
            if found := re.search(r"^serving .* at (\S+)$", line):
                break
        else:
            raise DataClawError(shlex.join(command), f"it ended: {said}", "See above")
        yield found[1]
    finally:
        server.send_signal(signal.SIGINT)
        assert server.wait(60) == 0
        assert server.stdout is not None
        server.stdout.close()


@pytest.fixture(scope="module")
def tuned(tiny_qwen3_vl: Path, tmp_path_factory: pytest.TempPathFactory) -> Registered:
    """The tiny base with three adapters that say different things."""
    folder = tmp_path_factory.mktemp("tuned")
    adapters = {kind: make_adapter(folder / kind, tiny_qwen3_vl, seed=seed) for seed, kind in enumerate(DOMAINS)}
    return registered(folder, tiny_qwen3_vl, adapters)


@pytest.fixture(scope="module")
def endpoint(tuned: Registered) -> Iterator[str]:
    options = ("--engine", "transformers", "--dtype", "float32", "--key", "SERVED_KEY")
    with served("experts@1", tuned.corpus, *options) as url:
        yield url


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVED_KEY", KEY)


def openai(url: str, model: str) -> OpenAIBackend:
    """As `--backend openai --base-url URL --model MODEL`."""
    spec = ModelSpec(name=model, context=2048, max_tokens=60)
    return OpenAIBackend(Synthesis(backend="openai", model=spec), Serving(base_url=url, key="SERVED_KEY", patience=0))


@pytest.mark.models
def test_the_endpoint_answers_with_the_adapter_that_was_named_and_holds_to_the_schema(
    endpoint: str, tuned: Registered
) -> None:
    in_process = RegisteredBackend(
        Synthesis(
            backend="model:experts@1",
            model=tuned.set.prompting.model_copy(update={"adapter": f"sha256:{tuned.set.weights.digest}"}),
            route="router",
        ),
        Serving(dtype="float32", weights=tuned.set.place),
    )
    free, held = question(picture(), "Say anything.", max_tokens=30), question(picture(), "?", schema=SCHEMAS["bounds"])
    base = tuned.set.weights.base.name

    async def over_http(name: str) -> list[str]:
        backend = openai(endpoint, name)
        replies = await asyncio.gather(backend.chat.complete(free), backend.chat.complete(held))
        await backend.close()
        assert is_sound(replies[1], SCHEMAS["bounds"])
        assert replies[0].usage.completion_tokens > 0
        return [reply.text for reply in replies]

    async def here(adapter: str | None) -> list[str]:
        asked = [replace(one, adapter=adapter) for one in (free, held)]
        return [(await in_process.chat.complete(one)).text for one in asked]

    async def run() -> list[str]:
        said = []
        for adapter in ("tailor@1", "tailor@2", "tailor@3", None):
            texts = await over_http(adapter or base)
            assert texts == await here(adapter)
            said.append(texts[0])
        await in_process.close()
        return said

    assert len(set(asyncio.run(run()))) == 4


@pytest.mark.models
def test_the_name_of_the_set_stands_for_the_expert_that_its_router_chooses(endpoint: str) -> None:
    asked = "Task: Plan the next step of the robot's gripper, 3 times"
    body = {"model": "experts", "messages": [{"role": "user", "content": asked}], "max_tokens": 5}
    with httpx2.Client(headers={"authorization": f"Bearer {KEY}"}, timeout=60) as client:
        answer = client.post(f"{endpoint}/chat/completions", json=body).json()
    assert (answer["model"], answer["route"]["expertise"]) == ("tailor@2", "embodied")
    assert httpx2.get(f"{endpoint}/models").status_code == 401


@pytest.mark.models
def test_a_build_asks_the_endpoint_for_the_expert_of_its_task(endpoint: str, tuned: Registered) -> None:
    spec = tuned.set.prompting.model_copy(update={"adapter": f"sha256:{tuned.set.weights.digest}"})
    serving = Serving(base_url=endpoint, key="SERVED_KEY", weights=tuned.set.place, patience=0)
    backend = RegisteredBackend(Synthesis(backend="model:experts@1", model=spec, route="router"), serving)
    asked = evidence(row(Domain.GUI, 11))
    writer = backend.start(agent_of(asked.spec), asked, Purse())

    async def run() -> str:
        text = await writer.write()
        await backend.close()
        return text

    assert asyncio.run(run())
    assert writer.trail is not None
    assert writer.trail.route is not None
    assert (writer.trail.route.version, writer.trail.model.partition("+")[2]) == ("tailor@3", "tailor@3")


@pytest.mark.models
def test_a_port_that_is_taken_is_told(tuned: Registered) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = ["serve", "experts@1", "--corpus", tuned.corpus.uri, "--engine", "transformers", "--port", port]
        done = CliRunner().invoke(app, command)
    assert done.exit_code == 2
    assert "Give another --port" in done.output


@pytest.mark.models
@pytest.mark.long
def test_vllm_serves_the_set_at_one_endpoint(tuned: Registered) -> None:
    with served("experts@1", tuned.corpus, "--engine", "vllm", "--dtype", "float32", "--key", "SERVED_KEY") as url:
        base = tuned.set.weights.base.name
        # Without pictures: the set was tuned without, so the server is told to take none.
        free, held = question("Say anything.", max_tokens=20), question("?", schema=SCHEMAS["bounds"])

        async def run() -> list[str]:
            said = []
            for name in ("tailor@1", "tailor@2", base):
                backend = openai(url, name)
                assert is_sound(await backend.chat.complete(held), SCHEMAS["bounds"])
                said.append((await backend.chat.complete(free)).text)
                await backend.close()
            return said

        assert len(set(asyncio.run(run()))) == 3
        assert httpx2.get(f"{url}/models").status_code == 401

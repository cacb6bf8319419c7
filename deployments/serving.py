"""A registered model behind one OpenAI-compatible endpoint, by vLLM's own server or by transformers in this process."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

from deployments.endpoint import Offer, endpoint
from schemas.errors import DataClawError, UsageError
from schemas.model import ModelVersion
from schemas.recipe import ModelSpec, Serving
from storage.location import Location
from storage.weights import fetch
from synthesis.backends.chat import Message, Request, Sampling
from synthesis.backends.checkpoint import TEMPLATE_SETTINGS, file_of
from synthesis.backends.routed import Experts
from synthesis.backends.vllm import CPU_ENVIRONMENT, CPU_SETTINGS

_HEALTHY = 1800.0
"""Seconds that vLLM may take to load a model and to answer for the first time."""
_STOPPING = 30.0
"""Seconds that it has to end when it is asked to."""

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Service:
    """What is served."""

    model: ModelSpec
    """The base, or a whole model by its folder, as an engine loads it."""
    names: tuple[str, ...]
    """Of the base; of a whole model, its own."""
    adapters: Mapping[str, str]
    """Folders of LoRA adapters, by the registered versions that they are."""
    routed: tuple[str, ...] = ()
    """Names of a set, for which the router chooses."""
    same: Mapping[str, str] = field(default_factory=dict)
    """Further names of adapters."""
    experts: Experts | None = None

    @classmethod
    def of(cls, model: ModelVersion) -> Service:
        """The service of a registered model; its files are on this machine after this.

        Raises:
            CorpusError: files are missing, or are not what was registered.
        """
        place = Location.of(model.place)
        folder = fetch(place, model.weights.digest)
        base = model.prompting.model_copy(update={"name": model.weights.base.name, "adapter": None})
        own = (model.reference, model.name)
        if model.weights.is_set:
            experts = Experts.at(place, model.weights.digest)
            adapters = {version: str(folder / name) for name, version in experts.members.items()}
            return cls(base, (base.name,), adapters, routed=own, experts=experts)
        if model.weights.is_adapter:
            return cls(base, (base.name,), {model.reference: str(folder)}, same={model.name: model.reference})
        return cls(base.model_copy(update={"name": str(folder)}), own, {})


def vllm_command(service: Service, serving: Serving, host: str, port: int) -> list[str]:
    """vLLM's server for a service, set as the engine in workers is (synthesis.backends.vllm)."""
    from synthesis.backends.vllm import greatest_rank

    spec = service.model
    command = [
        sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", spec.name, "--served-model-name",
        *service.names, "--host", host, "--port", str(port), "--dtype", serving.dtype, "--seed", str(spec.seed),
        "--max-model-len", str(min(spec.context, _context(spec.name) or spec.context)),
        "--max-num-seqs", str(serving.concurrency), "--tensor-parallel-size", str(serving.tensor_parallel),
        "--gpu-memory-utilization", str(serving.gpu_memory), "--enable-prefix-caching",
        "--limit-mm-per-prompt", json.dumps({"image": spec.frames + spec.thumbnails, "video": 0}),
        "--structured-outputs-config", json.dumps({"backend": "xgrammar", "disable_any_whitespace": True}),
        "--default-chat-template-kwargs", json.dumps({"enable_thinking": TEMPLATE_SETTINGS["enable_thinking"]}),
    ]  # fmt: skip
    if service.adapters:
        modules = [f"{name}={folder}" for name, folder in service.adapters.items()]
        rank = greatest_rank(service.adapters.values())
        loras = ["--max-loras", str(len(modules)), "--max-lora-rank", str(rank), "--lora-modules", *modules]
        command += ["--enable-lora", *loras]
    return command


def serve_by_vllm(service: Service, serving: Serving, host: str, port: int, key: str, tell: Tell) -> None:
    """Runs vLLM's server until it is told to stop; says what it runs, and when it is there.

    Raises:
        UsageError: the port is taken.
        DataClawError: it ends by itself, or is not there in time.
    """
    import torch  # which vLLM needs anyway

    with _listening(host, port) as free:  # else whoever has the port would be taken for the one that was started
        port = free.getsockname()[1]
    command = vllm_command(service, serving, host, port)
    environment = os.environ | {"VLLM_NO_USAGE_STATS": "1"} | ({"VLLM_API_KEY": key} if key else {})
    if not torch.cuda.is_available():
        command += [f"--{'' if on else 'no-'}{name.replace('_', '-')}" for name, on in CPU_SETTINGS.items()]
        environment = CPU_ENVIRONMENT | environment
    tell(f"$ {shlex.join(command)}")
    with _terminable():
        server = subprocess.Popen(command, env=environment)
        try:
            _await_health(server, f"http://{_reached(host)}:{port}/health")
            tell(_address(host, port, (*service.names, *service.adapters)))
            if (code := server.wait()) != 0:
                raise DataClawError("vLLM's server", f"it ended with code {code}", "The reason stands in its log above")
        finally:
            _stop(server)


def serve_by_transformers(service: Service, serving: Serving, host: str, port: int, key: str, tell: Tell) -> None:
    """Runs our own endpoint until it is told to stop; says when the model is loaded and it is there.

    Raises:
        UsageError: the port is taken, a package or the weights are missing.
    """
    import uvicorn

    from synthesis.backends.transformers import TransformersChat

    offer = Offer(
        adapters={
            **dict.fromkeys(service.names),
            **{name: name for name in service.adapters},
            **service.same,
        },
        routed=service.routed,
        route=None if service.experts is None else service.experts.route_words,
        max_tokens=service.model.max_tokens,
    )

    async def run(listening: socket.socket) -> None:
        chat = TransformersChat(service.model, serving, service.adapters)
        # Now, not at the first request: what cannot be loaded should not be announced.
        await chat.complete(Request((Message("user", ("Hello",)),), None, Sampling(max_tokens=1)))
        tell(_address(host, listening.getsockname()[1], (*offer.adapters, *offer.routed)))
        config = uvicorn.Config(endpoint(chat, offer, key), log_level="warning")
        await uvicorn.Server(config).serve(sockets=[listening])

    with _terminable(), _listening(host, port) as listening:
        asyncio.run(run(listening))


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    """A socket on a port, for 0 on any that is free.

    Raises:
        UsageError: nobody can listen there.
    """
    try:
        listening = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        cause = f"nothing can be served there: {error.strerror or error}"
        raise UsageError(f"{host}:{port}", cause, "Give another --port or --host") from error
    with listening:
        yield listening


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM is as Ctrl-C: what was started is stopped too."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _await_health(server: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + _HEALTHY
    while time.monotonic() < deadline:
        if server.poll() is not None:
            remedy = "The reason stands in its log above; without vLLM: --engine transformers"
            raise DataClawError("vLLM's server", f"it ended with code {server.returncode} before it answered", remedy)
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except OSError:
            time.sleep(0.5)  # there is nothing to wait on but its answer
        else:
            return
    raise DataClawError("vLLM's server", f"it does not answer within {_HEALTHY:.0f} s", "See its log above")


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(_STOPPING)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def _context(model: str) -> int | None:
    """Tokens that a model itself bears, where it says."""
    path = file_of(model, "config.json")
    config = {} if path is None else json.loads(path.read_text())
    return config.get("text_config", config).get("max_position_embeddings")  # type: ignore[no-any-return]


def _address(host: str, port: int, names: tuple[str, ...]) -> str:
    return f"serving {', '.join(names)} at http://{_reached(host)}:{port}/v1"


def _reached(host: str) -> str:
    """A host as a URL on this machine has it."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host  # a name
    if address.is_unspecified:  # it listens everywhere, and so on this machine too
        address = ipaddress.ip_address("127.0.0.1" if address.version == 4 else "::1")
    return f"[{address}]" if address.version == 6 else str(address)

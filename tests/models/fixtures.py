"""Fixtures with tiny models and with servers of them. A conftest imports those that its tests need.

Whatever number of conftests imports one, it is made once in a session: engines take a minute to start.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

from tests.ports import free_port

Made = TypeVar("Made")
_MADE = pytest.StashKey[dict[str, object]]()


@dataclass(frozen=True)
class Served:
    """A model behind vLLM's own OpenAI-compatible server on this machine."""

    base_url: str
    """Such as `http://127.0.0.1:PORT/v1`."""
    model: str
    """The name under which it is served."""
    folder: Path


def once(config: pytest.Config, name: str, make: Callable[[], Made]) -> Made:
    """What `make` gives, made at the first call of a session."""
    made = config.stash.setdefault(_MADE, {})
    if name not in made:
        made[name] = make()
    return made[name]  # type: ignore[return-value]


@pytest.fixture(scope="session")
def tiny_qwen3_vl(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a random Qwen3-VL."""
    from tests.models.tiny_qwen3_vl import make

    return once(request.config, "tiny_qwen3_vl", lambda: make(tmp_path_factory.mktemp("tiny_qwen3_vl")))


@pytest.fixture(scope="session")
def tiny_adapter(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tiny_qwen3_vl: Path) -> Path:
    """The folder of a random LoRA adapter for it."""
    from tests.models.tiny_adapter import make

    return once(request.config, "tiny_adapter", lambda: make(tmp_path_factory.mktemp("tiny_adapter"), tiny_qwen3_vl))


@pytest.fixture(scope="session")
def smollm2(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of SmolLM2-135M-Instruct: text only, and real."""
    from tests.models.tiny_smollm2 import make

    return once(request.config, "smollm2", lambda: make(tmp_path_factory.mktemp("smollm2")))


@pytest.fixture(scope="session")
def vllm_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tiny_qwen3_vl: Path
) -> Served:
    """The random Qwen3-VL behind vLLM's server."""
    name = "tiny-qwen3-vl"
    log = tmp_path_factory.mktemp("vllm_server") / "log"
    return once(request.config, f"server of {name}", lambda: _serve(request.config, tiny_qwen3_vl, name, log))


@pytest.fixture(scope="session")
def smollm2_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, smollm2: Path) -> Served:
    """SmolLM2-135M-Instruct behind vLLM's server."""
    name = "smollm2"
    log = tmp_path_factory.mktemp("smollm2_server") / "log"
    return once(request.config, f"server of {name}", lambda: _serve(request.config, smollm2, name, log))


def _serve(config: pytest.Config, folder: Path, name: str, log: Path, patience: float = 500.0) -> Served:
    port = free_port()
    command = [
        sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(folder), "--served-model-name", name,
        "--host", "127.0.0.1", "--port", str(port), "--max-model-len", "8192", "--max-num-seqs", "16",
        "--dtype", "float32", "--enforce-eager", "--no-enable-chunked-prefill", "--structured-outputs-config",
        '{"backend": "xgrammar", "disable_any_whitespace": true}',
    ]  # fmt: skip
    environment = os.environ | {
        "HF_HUB_OFFLINE": "1", "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1",
    }  # fmt: skip
    server = subprocess.Popen(command, stdout=log.open("wb"), stderr=subprocess.STDOUT, env=environment)
    config.add_cleanup(lambda: _stop(server))
    deadline = time.monotonic() + patience
    while True:
        if server.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"vLLM's server of {name} does not start:\n{log.read_text()[-4000:]}")
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
        except OSError:
            time.sleep(0.5)  # it has nothing to wait on but its answer
        else:
            return Served(f"http://127.0.0.1:{port}/v1", name, folder)


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(60)
    except subprocess.TimeoutExpired:
        server.kill()

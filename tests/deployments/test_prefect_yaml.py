"""prefect.yaml against a real server: it is accepted, and a worker carries a run of it out."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.flows.clips import write_clip

pytestmark = pytest.mark.long
REPOSITORY = Path(__file__).resolve().parents[2]
PREFECT = str(Path(sys.executable).parent / "prefect")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A Prefect server of its own, with its own database; the environment of its clients."""
    home = tmp_path_factory.mktemp("prefect")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    api = f"http://127.0.0.1:{port}/api"
    names = {"PREFECT_HOME": str(home), "PREFECT_API_URL": api, "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    clients = {**os.environ, **names, "PREFECT_CLI_PROMPT": "false"}
    with (home / "server.log").open("wb") as log:
        server = subprocess.Popen(
            [PREFECT, "server", "start", "--host", "127.0.0.1", "--port", str(port), "--no-ui"],
            env=clients,
            stdout=log,
            stderr=log,
        )
        try:
            _wait(api, server, home / "server.log")
            yield clients
        finally:
            server.terminate()
            server.wait(timeout=30)


def _wait(api: str, server: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end and server.poll() is None:
        try:
            if httpx.get(f"{api}/health").status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass  # not listening yet
        time.sleep(0.2)
    pytest.fail(f"the Prefect server did not start:\n{log.read_text()}")


def prefect(environment: dict[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [PREFECT, "--no-prompt", *arguments],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_build_deployment_is_accepted_and_runs(environment: dict[str, str], tmp_path: Path) -> None:
    prefect(environment, "work-pool", "create", "dataclaw-cpu", "--type", "process")
    prefect(environment, "deploy", "--all")
    write_clip(tmp_path / "raw" / "clip.mp4", 3)
    recipe = tmp_path / "nightly.yaml"
    recipe.write_text(
        "name: nightly\ncorpus: corpus\nintents: [Make temporal questions and answers.]\n"
        "sources: [{uri: raw, domain: daily_life}]\n"
    )
    prefect(environment, "deployment", "run", "build_corpus/build", "--param", f"recipe={recipe}")
    prefect(environment, "worker", "start", "--pool", "dataclaw-cpu", "--run-once")
    api = environment["PREFECT_API_URL"]
    (run,) = httpx.post(f"{api}/flow_runs/filter", json={}).json()
    assert run["state"]["type"] == "COMPLETED", run["state"]
    assert run["name"].startswith("nightly 20")
    artifacts = {a["key"]: a for a in httpx.post(f"{api}/artifacts/filter", json={}).json()}
    assert artifacts["build-result"]["type"] == "table"
    assert artifacts["build-rejects"]["type"] == "markdown"
    assert list((tmp_path / "corpus" / "snapshots").glob("*.json"))

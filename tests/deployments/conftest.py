"""A Prefect server of the tests' own, and somebody who is notified."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

T = TypeVar("T")
REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Server:
    """A running Prefect server, asked over its API and through the commands that users have."""

    api: str
    environment: dict[str, str]
    told: list[dict[str, str]] = field(default_factory=list)
    """Notifications, as subject and body."""

    def run(self, *command: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """A command of this installation, such as `prefect` or `dataclaw`."""
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=REPOSITORY,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=400,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def ask(self, what: str, **body: object) -> Any:
        return self.send("POST", what, body).json()

    def send(self, method: str, place: str, body: dict[str, Any]) -> httpx.Response:
        """A request, repeated while the server is busy: its SQLite file has one writer at a time, and others get 503
        and nothing done."""

        def answered() -> httpx.Response | None:
            answer = httpx.request(method, f"{self.api}/{place}", json=body, timeout=60)
            return None if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE else answer.raise_for_status()

        return self.until(answered, f"answer to {method} {place}")

    def deployment(self, name: str) -> dict[str, Any]:
        (found,) = self.ask("deployments/filter", deployments={"name": {"any_": [name]}})
        return found

    def events(self, name: str) -> list[dict[str, Any]]:
        return self.ask("events/filter", filter={"event": {"name": [name]}})["events"]

    def until(self, look: Callable[[], T | None], what: str, within: float = 90.0) -> T:
        """What `look` finds, as soon as it finds something."""
        end = time.monotonic() + within
        while time.monotonic() < end:
            if found := look():
                return found
            time.sleep(0.2)
        pytest.fail(f"no {what} within {within:.0f} s")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Prefect server with its own database, the environment of its clients, and its notifications."""
    home = tmp_path_factory.mktemp("prefect")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    api = f"http://127.0.0.1:{port}/api"
    names = {"PREFECT_HOME": str(home), "PREFECT_API_URL": api, "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    ours = Server(api, {**os.environ, **names, "PREFECT_CLI_PROMPT": "false"})
    with (home / "server.log").open("wb") as log, _receiver(ours.told) as receiver:
        process = subprocess.Popen(
            [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port), "--no-ui"],
            env=ours.environment,
            stdout=log,
            stderr=log,
        )
        try:
            _wait(api, process, home / "server.log")
            _make_block(ours, f"http://127.0.0.1:{receiver.server_address[1]}/")
            yield ours
        finally:
            process.terminate()
            process.wait(timeout=30)


@contextmanager
def _receiver(told: list[dict[str, str]]) -> Iterator[ThreadingHTTPServer]:
    """An HTTP server that keeps the notifications posted to it."""

    class Keep(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *words: object) -> None:
            """Silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Keep) as receiver:
        threading.Thread(target=receiver.serve_forever, daemon=True).start()
        yield receiver
        receiver.shutdown()


def _make_block(server: Server, url: str) -> None:
    """The notification block custom-webhook/operators."""
    code = (
        "from prefect.blocks.notifications import CustomWebhookNotificationBlock as Block\n"
        f"words = {{'subject': '{{{{subject}}}}', 'body': '{{{{body}}}}'}}\n"
        f"Block(name='operators', url={url!r}, json_data=words).save('operators')"
    )
    subprocess.run([sys.executable, "-c", code], env=server.environment, check=True, timeout=120)


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

"""A Prefect server of the tests' own, and somebody who is notified."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
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

from tests.models.fixtures import tiny_qwen3_vl
from tests.ports import free_port
from tests.storage import postgresql

__all__ = ["tiny_qwen3_vl"]

T = TypeVar("T")
PATIENCE = 480.0
"""Seconds after which something is taken never to come: many times what it takes, for machines that are busy."""
REPOSITORY = Path(__file__).resolve().parents[2]
LEASES = {"PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem"}
"""What a server needs to remember, over its end, which runs have their deployment's places."""
UNSCHEDULED = {"PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED": "false"}
"""Tests order their runs. The nightly ones would join them at one o'clock; `test_two_nights` is on schedules."""


@dataclass
class Server:
    """A running Prefect server, asked over its API and through the commands that users have."""

    home: Path
    """Its settings, its log, and its database where none is named."""
    port: int
    database: str | None = None
    """The URL of its database."""
    told: list[dict[str, str]] = field(default_factory=list)
    """Notifications, as subject and body."""
    process: subprocess.Popen[bytes] | None = None

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.port}/api"

    @property
    def environment(self) -> dict[str, str]:
        """That of the server and of its clients: of Prefect's settings only these."""
        names = {"PREFECT_HOME": str(self.home), "PREFECT_API_URL": self.api, "PREFECT_CLI_PROMPT": "false"}
        if self.database is not None:
            names["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = self.database
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        return inherited | names | LEASES | UNSCHEDULED | {"PREFECT_SERVER_ANALYTICS_ENABLED": "false"}

    def start(self) -> None:
        """Starts it, on the database that is there, and waits until it answers."""
        place = ["--host", "127.0.0.1", "--port", str(self.port)]
        with (self.home / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "prefect", "server", "start", *place],
                env=self.environment,
                stdout=log,
                stderr=log,
            )
        _wait(self.api, self.process, self.home / "server.log")

    def stop(self, sign: signal.Signals = signal.SIGTERM) -> None:
        """Ends it by a signal, and waits until it is gone."""
        if self.process is not None:
            end(self.process, sign)

    @contextmanager
    def worker(self, pool: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
        """A worker of a pool, in a process of its own that prints to worker.log."""
        with (self.home / "worker.log").open("ab") as log:
            worker = subprocess.Popen(
                [sys.executable, "-m", "prefect", "--no-prompt", "worker", "start", "--pool", pool],
                cwd=REPOSITORY,
                env=self.environment | {"PREFECT_WORKER_QUERY_SECONDS": "1"} | environment,
                stdout=log,
                stderr=log,
            )
        try:
            yield worker
        finally:
            end(worker)

    def work_once(self, pool: str) -> None:
        """Has a worker carry out what is due, and end. Its own end is Prefect's: now and then its clean-up fails (seen
        with 3.7). How the runs ended is what counts."""
        command = [sys.executable, "-m", "prefect", "--no-prompt", "worker", "start", "--pool", pool, "--run-once"]
        subprocess.run(command, cwd=REPOSITORY, env=self.environment, capture_output=True, timeout=PATIENCE)

    def run(self, *command: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """A command of this installation, such as `prefect` or `dataclaw`."""
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=REPOSITORY,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def ask(self, what: str, **body: object) -> Any:
        return self.send("POST", what, body).json()

    def send(self, method: str, place: str, body: dict[str, Any] | None = None) -> httpx.Response:
        """A request, repeated while the server is busy: its SQLite file has one writer at a time, and others get 503
        and nothing done."""

        def answered() -> httpx.Response | None:
            answer = httpx.request(method, f"{self.api}/{place}", json=body, timeout=60)
            return None if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE else answer.raise_for_status()

        return self.until(answered, f"answer to {method} {place}")

    def deployment(self, name: str) -> dict[str, Any]:
        (found,) = self.ask("deployments/filter", deployments={"name": {"any_": [name]}})
        return found

    def order(self, deployment: str, environment: dict[str, str] | None = None, **body: object) -> str:
        """The id of a new run of a deployment, whose worker lets it reach the folder of the tests."""
        variables = {"env": {"DATACLAW_ROOTS": tempfile.gettempdir()} | (environment or {})}
        place = f"deployments/{self.deployment(deployment)['id']}/create_flow_run"
        return self.ask(place, job_variables=variables, **body)["id"]

    def state(self, run: str) -> dict[str, Any]:
        """The state of a run."""
        return self.send("GET", f"flow_runs/{run}").json()["state"]

    def states(self, run: str) -> list[str]:
        """The names of the states that a run has had."""
        return [state["name"] for state in self.send("GET", f"flow_run_states/?flow_run_id={run}").json()]

    def ended(self, run: str, within: float = PATIENCE) -> dict[str, Any]:
        """The state of a run, as soon as it is over."""

        def final() -> dict[str, Any] | None:
            state = self.state(run)
            return state if state["type"] in {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"} else None

        return self.until(final, f"end of run {run}", within)

    def logged(self, run: str) -> str:
        """What the server has been sent of a run's log, a page after the other."""
        lines: list[str] = []
        of_run = {"flow_run_id": {"any_": [run]}}
        while page := self.ask("logs/filter", logs=of_run, offset=len(lines)):
            lines += [line["message"] for line in page]
        return "\n".join(lines)

    def events(self, name: str) -> list[dict[str, Any]]:
        return self.ask("events/filter", filter={"event": {"name": [name]}})["events"]

    def until(self, look: Callable[[], T | None], what: str, within: float = PATIENCE) -> T:
        """What `look` finds, as soon as it finds something."""
        end = time.monotonic() + within
        while time.monotonic() < end:
            if found := look():
                return found
            time.sleep(0.2)
        pytest.fail(f"no {what} within {within:.0f} s\n{self.printed}")

    @property
    def printed(self) -> str:
        """The ends of what server and workers have printed."""
        logs = [self.home / name for name in ("server.log", "worker.log")]
        return "\n".join(f"{log.name} ends:\n{log.read_text(errors='replace')[-3000:]}" for log in logs if log.exists())


def end(process: subprocess.Popen[bytes], sign: signal.Signals = signal.SIGTERM) -> None:
    """Ends a process of Prefect's by a signal. Now and then its workers hear of it and stay (seen with 3.7)."""
    process.send_signal(sign)
    try:
        process.wait(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Prefect server with its own database, the environment of its clients, and its notifications."""
    home = tmp_path_factory.mktemp("prefect")
    with _database() as database, _receiver(told := []) as receiver:
        ours = Server(home, free_port(), database, told)
        try:
            ours.start()
            _make_block(ours, f"http://127.0.0.1:{receiver.server_address[1]}/")
            yield ours
        finally:
            ours.stop()


@contextmanager
def _database() -> Iterator[str | None]:
    """PostgreSQL where it is installed. Prefect's server on SQLite may wait for a lock of its own, and stand still for
    a minute (PrefectHQ/prefect#23055)."""
    if postgresql.missing():
        yield None
        return
    with postgresql.Server() as server:
        yield server.url.replace("+psycopg", "+asyncpg")


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
    subprocess.run([sys.executable, "-c", code], env=server.environment, check=True, timeout=PATIENCE)


def _wait(api: str, server: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and server.poll() is None:
        try:
            if httpx.get(f"{api}/health").status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass  # not listening yet
        time.sleep(0.2)
    pytest.fail(f"the Prefect server did not start:\n{log.read_text()}")

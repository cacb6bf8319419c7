"""A Prefect server for the time of one command, where none is configured.

Prefect's own temporary server is a child in the terminal's process group: Ctrl-C stops it before the flow could tell it
how it ended (the client then retries for minutes), and it outlives a killed driver. This one has a session of its own,
and the kernel ends it with us.
"""

from __future__ import annotations

import ctypes
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO

from schemas.errors import DataClawError

_STARTS_WITHIN = 120.0
"""Seconds; the first start makes Prefect's database."""
_DELIVERS_WITHIN = 30.0
"""Seconds; on a busy machine the server is slow to take what is left, and what it did not take is tried for minutes."""
_PR_SET_PDEATHSIG = 1
_SERVE = """
import socket, sys
from uvicorn import Config, Server

config = Config("prefect.server.api.server:create_app", factory=True, log_level="error", lifespan="on")
Server(config).run(sockets=[socket.socket(fileno=int(sys.argv[1]))])
"""
"""As Prefect starts it, on a socket of ours: a port that is let go to be bound by the server seconds later can be any
connection's in between (Ray makes hundreds)."""
_ERROR = re.compile(r"[\w.]+(Error|Exception): ")
"""How the line of a traceback begins that names the cause; advice and uvicorn's own last words come after it."""


@contextmanager
def prefect_api(meanwhile: Callable[[], None] = lambda: None) -> Iterator[None]:
    """While it is open, flows have a Prefect API: the one that is configured, or a server of our own.

    Args:
        meanwhile: what can be done while the server starts (imports).

    Raises:
        DataClawError: the server does not start; the message holds what it printed last.
    """
    from prefect.settings import PREFECT_API_URL, temporary_settings

    if PREFECT_API_URL.value():
        meanwhile()
        yield
        return
    with tempfile.TemporaryFile() as said:
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            api = f"http://127.0.0.1:{bound.getsockname()[1]}/api"
            server = _start(bound, said)
        try:
            meanwhile()
            _wait(server, api, said)
            with temporary_settings({PREFECT_API_URL: api}):
                yield
        finally:
            _deliver()
            server.terminate()
            try:
                server.wait(timeout=10)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _deliver() -> None:
    """Sends what Prefect's client still holds back (logs, events); without a server it would complain at its exit."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    for worker in (APILogWorker, EventsWorker):
        worker.drain_all(timeout=_DELIVERS_WITHIN)


def _start(bound: socket.socket, said: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", _SERVE, str(bound.fileno())],
        env={**os.environ, "PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"},
        pass_fds=[bound.fileno()],
        stdin=subprocess.DEVNULL,
        stdout=said,
        stderr=said,
        start_new_session=True,
        preexec_fn=_end_with_parent if sys.platform == "linux" else None,
    )


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _wait(server: subprocess.Popen[bytes], api: str, said: IO[bytes]) -> None:
    """Until the server answers its health check; it announces itself in no other way."""
    import httpx

    end = time.monotonic() + _STARTS_WITHIN
    with httpx.Client() as client:
        while server.poll() is None and time.monotonic() < end:
            try:
                if client.get(f"{api}/health").status_code == httpx.codes.OK:
                    return
            except httpx.TransportError:
                pass  # not listening yet
            time.sleep(0.1)
    said.seek(0)
    lines = ["it printed nothing", *said.read().decode(errors="replace").strip().splitlines()]
    cause = next((line for line in reversed(lines) if _ERROR.match(line)), lines[-1])
    raise DataClawError(
        "Prefect", f"its temporary server did not start: {cause}", "Set PREFECT_API_URL to a running server"
    )

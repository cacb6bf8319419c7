"""An S3 endpoint for tests: moto in a process of its own, and in front of it a proxy that counts requests and injects
what real networks and stores do: SlowDown, connections reset in the middle of an upload, lost answers, delays."""

from __future__ import annotations

import http.client
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.ports import free_port

_SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
_SKEWED = (
    b"<Error><Code>RequestTimeTooSkewed</Code>"
    b"<Message>The difference between the request time and the current time is too large.</Message></Error>"
)
_STARTS_WITHIN = 300.0


@dataclass
class Fault:
    """What happens to the next `times` requests of a method whose target holds a text."""

    kind: str
    """`slow down`, `reset` (halfway through the request), `lose` (done, but the answer never comes), `delay`, or
    `skewed` (refused for the clock that signed it)."""
    method: str
    target: str = ""
    times: int = 1
    hit: int = 0


class Proxy(ThreadingHTTPServer):
    """Forwards to an S3 endpoint and keeps count."""

    daemon_threads = True

    def __init__(self, behind: tuple[str, int]) -> None:
        super().__init__(("127.0.0.1", 0), _Forward)
        self.behind = behind
        self.requests: list[tuple[str, str]] = []
        self.faults: list[Fault] = []
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def inject(self, kind: str, method: str, target: str = "", times: int = 1) -> Fault:
        fault = Fault(kind, method, target, times)
        self.faults.append(fault)
        return fault

    def take(self, method: str, target: str) -> str | None:
        with self.lock:
            self.requests.append((method, target))
            for fault in self.faults:
                if fault.method == method and fault.target in target and fault.hit < fault.times:
                    fault.hit += 1
                    return fault.kind
        return None

    def handle_error(self, *_: object) -> None:
        """Clients that went away are part of the play."""


class _Forward(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def _any(self) -> None:
        fault = self.server.take(self.command, self.path)
        length = int(self.headers.get("Content-Length") or 0)
        if fault == "reset":
            self.rfile.read(length // 2)
            self._reset()
            return
        body = self.rfile.read(length)
        if fault == "slow down":
            self._answer(503, [("Content-Type", "application/xml")], _SLOW_DOWN)
            return
        if fault == "skewed":
            self._answer(403, [("Content-Type", "application/xml")], _SKEWED)
            return
        if fault == "delay":
            time.sleep(1.0)
        connection = http.client.HTTPConnection(*self.server.behind, timeout=60)
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() != "expect"}
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            data = answer.read()
        finally:
            connection.close()
        if fault == "lose":
            self._reset()
            return
        dropped = {"transfer-encoding", "connection", "content-length", "date", "server"}
        kept = [(name, value) for name, value in answer.getheaders() if name.lower() not in dropped]
        size = answer.getheader("Content-Length") if self.command == "HEAD" else None
        self._answer(answer.status, kept, data, size)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _any  # noqa: N815 - names that http.server asks for

    def _answer(self, status: int, headers: list[tuple[str, str]], data: bytes, size: str | None = None) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", size or str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _reset(self) -> None:
        """Ends the connection as a network does that breaks: with RST, without a word."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True
        self.wfile = self.rfile = _Gone()  # type: ignore[assignment]

    def log_message(self, *_: Any) -> None:
        """Tests count requests themselves."""


class _Gone:
    """A connection that is no more."""

    closed = True

    def flush(self) -> None: ...

    def close(self) -> None: ...


@contextmanager
def served() -> Iterator[Proxy]:
    """A running S3 endpoint with its proxy."""
    port = free_port()
    moto = subprocess.Popen(
        [sys.executable, "-c", "from moto.server import main; main()", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    proxy = Proxy(("127.0.0.1", port))
    try:
        _wait(moto, port)
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        yield proxy
        proxy.shutdown()
    finally:
        proxy.server_close()
        moto.kill()
        moto.wait()


def _wait(moto: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + _STARTS_WITHIN
    while moto.poll() is None and time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"moto did not start on port {port} (exit code {moto.poll()})")

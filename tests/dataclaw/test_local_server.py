from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from typing import IO

import httpx
import psutil
import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from dataclaw import local_server
from dataclaw.local_server import prefect_api
from schemas.errors import DataClawError

pytestmark = pytest.mark.long


@pytest.fixture(autouse=True)
def nothing_configured() -> Iterator[None]:
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        yield


def servers() -> list[psutil.Process]:
    """Our children of that kind; other tests leave others."""
    return [child for child in psutil.Process().children() if local_server._SERVE in child.cmdline()]


def listening() -> set[tuple[str, int]]:
    (server,) = servers()
    return {found.laddr for found in server.net_connections("inet") if found.status == psutil.CONN_LISTEN}


def test_a_server_of_our_own_listens_on_this_machine_alone_and_ends_with_its_command() -> None:
    with prefect_api():
        url = httpx.URL(PREFECT_API_URL.value())
        assert httpx.get(f"{url}/health", timeout=60).json() is True
        assert listening() == {("127.0.0.1", url.port)}
    assert servers() == []


def test_nobody_is_given_the_port_of_a_server_that_still_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[tuple[str, int]] = []
    refused: list[tuple[str, int]] = []
    start = local_server._start

    def remember(bound: socket.socket, said: IO[bytes]) -> subprocess.Popen[bytes]:
        chosen.append(bound.getsockname())
        return start(bound, said)

    def take_it() -> None:
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(chosen[0])
        refused.extend(chosen)

    monkeypatch.setattr(local_server, "_start", remember)
    with prefect_api(take_it):
        assert listening() == set(chosen)
    assert refused == chosen


def test_a_server_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_DATABASE_CONNECTION_URL", "sqlite+aiosqlite:////nowhere/prefect.db")
    with pytest.raises(DataClawError, match=r"did not start: .*unable to open database file"), prefect_api():
        pass

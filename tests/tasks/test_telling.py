"""What a run shows on a Prefect server that is away."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from prefect.artifacts import create_progress_artifact
from prefect.client.orchestration import get_client
from prefect.logging import disable_run_logger
from prefect.settings import PREFECT_API_URL, temporary_settings

from tasks.telling import telling
from tests.ports import free_port


def nobody_listens() -> str:
    return f"http://127.0.0.1:{free_port()}/api"


@pytest.mark.filterwarnings("ignore:Artifact creation outside")
def test_what_cannot_be_shown_is_no_error() -> None:
    shown = []
    with temporary_settings({PREFECT_API_URL: nobody_listens()}), disable_run_logger():
        with telling("progress is not shown"):
            shown.append(create_progress_artifact(progress=0.0))
        assert shown == []


@pytest.mark.parametrize("retries", [0, 1])
def test_a_server_that_is_busy_is_asked_again_as_often_as_said(retries: int) -> None:
    asked = []

    class Busy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(503)
            self.send_header("Retry-After", "0")
            self.end_headers()

        def log_message(self, *words: object) -> None:
            """Silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Busy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/api"
        with temporary_settings({PREFECT_API_URL: url}), disable_run_logger(), telling("nothing", retries):
            get_client(sync_client=True).hello()
        server.shutdown()
    assert asked == ["/api/hello"] * (1 + retries)


def test_what_is_wrong_with_the_work_itself_is_an_error() -> None:
    with pytest.raises(ValueError, match="of the work"), telling("nothing"):
        raise ValueError("of the work")

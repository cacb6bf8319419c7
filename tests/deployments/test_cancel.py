"""Builds that are told to stop, by people in the Prefect UI or by the machine: a real server, a real worker."""

from __future__ import annotations

import re
import signal
import time
from dataclasses import dataclass

import psutil
import pytest

from tests.deployments.conftest import Server
from tests.deployments.night import Night, alive, flow_process, of_run

pytestmark = pytest.mark.long
CLIPS = 150
"""Committed at about ten in a second: enough for a signal to find the build in their middle on a busy machine too."""


@dataclass(frozen=True)
class Stopped:
    """A run that was told to stop in its middle."""

    run: str
    seconds: float
    """Until all of its processes were gone, and it was over."""
    left: list[psutil.Process]
    committed: set[str]
    printed: str


@pytest.fixture(scope="module")
def night(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Night:
    """A build that is stopped twice, and its third run."""
    server.run("dataclaw", "deploy")
    night = Night(server, tmp_path_factory.mktemp("night"))
    night.streams(range(CLIPS))
    return night


@pytest.fixture(scope="module")
def cancelled(server: Server, night: Night) -> Stopped:
    """Cancelled as the Prefect UI does it."""
    return stopped(server, night, None)


@pytest.fixture(scope="module")
def terminated(server: Server, night: Night, cancelled: Stopped) -> Stopped:
    """The next run, whose process was told to end."""
    return stopped(server, night, signal.SIGTERM)


def stopped(server: Server, night: Night, sign: signal.Signals | None) -> Stopped:
    before = night.committed()
    log = server.home / "worker.log"
    begin = len(log.read_text()) if log.exists() else 0
    with server.worker("dataclaw-cpu") as worker:
        run = night.order()
        night.more_committed_than(before)
        family = of_run(run)
        assert any("raylet" in process.name() for process in family)
        told = time.monotonic()
        if sign is None:
            server.ask(f"flow_runs/{run}/set_state", state={"type": "CANCELLING", "name": "Cancelling"})
        else:
            flow_process(worker).send_signal(sign)
        server.until(lambda: not alive(family) and not of_run(run), "end of its processes")
        server.ended(run)
        seconds = time.monotonic() - told
        return Stopped(run, seconds, of_run(run), night.committed(), log.read_text()[begin:])


def test_a_build_that_is_cancelled_is_gone_within_30_seconds(cancelled: Stopped) -> None:
    assert cancelled.left == []
    assert cancelled.seconds < 30


def test_a_cancelled_build_is_never_taken_for_a_crashed_one(server: Server, cancelled: Stopped) -> None:
    assert server.states(cancelled.run)[-3:] == ["Running", "Cancelling", "Cancelled"]


def test_a_terminated_build_is_gone_within_30_seconds_and_has_crashed(server: Server, terminated: Stopped) -> None:
    assert terminated.left == []
    assert terminated.seconds < 30
    assert server.states(terminated.run)[-2:] == ["Running", "Crashed"]
    # Worker and runner both report it, each in its own words; the first one counts.
    assert re.search("SIGTERM|-15", server.state(terminated.run)["message"])


def test_what_a_stopped_build_prints_is_no_dump(cancelled: Stopped, terminated: Stopped) -> None:
    for printed in (cancelled.printed, terminated.printed):
        assert "Crash detected! Execution was aborted by a termination signal." in printed
        assert "SIGTERM received at time" not in printed, "of Ray's failure handler"
        assert "Traceback" not in printed


def test_the_next_build_does_exactly_the_rest(
    server: Server, night: Night, cancelled: Stopped, terminated: Stopped
) -> None:
    assert 0 < len(cancelled.committed) < len(terminated.committed) < CLIPS
    assert cancelled.committed < terminated.committed
    with server.worker("dataclaw-cpu"):
        assert server.ended(night.order())["name"] == "Completed"
    *before, (state, report) = night.runs()
    assert [state for state, _ in before] == ["interrupted", "interrupted"]
    assert state == "completed"
    assert report["units_known"] == len(terminated.committed)
    assert report["units_done"] == CLIPS - len(terminated.committed)
    assert night.rows() == sorted(f"{seed:02d}.mp4" for seed in range(CLIPS))
    night.verify()

"""Prefect's server, its worker and a flow's process, killed during a build: what is left, and who hears of it."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import httpx
import pytest

from schemas.events import CorpusPublished
from tests.deployments.conftest import LEASES, REPOSITORY, Server
from tests.deployments.night import Night, alive, flow_process, of_run

pytestmark = pytest.mark.long
FIRST, ALL = range(12), range(100)


@pytest.fixture(scope="module")
def night(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Night:
    """A corpus that is built by several runs of a deployment."""
    server.run("dataclaw", "deploy", "--notify", "custom-webhook/operators")
    return Night(server, tmp_path_factory.mktemp("night"))


@pytest.fixture
def impatient(server: Server, night: Night) -> Iterator[None]:
    """Five minutes without a sign of life are cut to the least that Prefect takes, for a while."""
    (died,) = [item for item in server.ask("automations/filter") if item["name"] == "dataclaw run died"]

    def let_be_silent(seconds: float) -> None:
        changed = {key: value for key, value in died.items() if key not in {"id", "created", "updated"}}
        server.send("PUT", f"automations/{died['id']}", changed | {"trigger": died["trigger"] | {"within": seconds}})

    let_be_silent(45)  # a living run is heard every thirty
    yield
    let_be_silent(died["trigger"]["within"])


def test_a_server_that_comes_back_knows_which_run_has_its_deployment_s_only_place(server: Server, night: Night) -> None:
    run = server.order("build")
    server.ask(f"flow_runs/{run}/set_state", state={"type": "PENDING"})
    lease = server.state(run)["state_details"]["deployment_concurrency_lease_id"]
    server.stop(signal.SIGKILL)
    server.start()
    renewed = server.send("POST", f"v2/concurrency_limits/leases/{lease}/renew", {"lease_duration": 300})
    assert renewed.status_code == httpx.codes.NO_CONTENT, "runs that cannot renew their place are ended by Prefect"
    server.ask(f"flow_runs/{run}/set_state", state={"type": "CANCELLED"})


@pytest.mark.parametrize(
    "file",
    ["docker/compose.yaml", "deployments/kubernetes/prefect-server.yaml", "deployments/systemd/server.env.example"],
)
def test_every_way_to_run_a_server_keeps_places_on_disk(file: str) -> None:
    (name, value), *_ = LEASES.items()
    (line,) = [line for line in (REPOSITORY / file).read_text().splitlines() if name in line]
    assert value in line


def test_a_build_outlives_its_server(server: Server, night: Night) -> None:
    night.streams(FIRST)
    with server.worker("dataclaw-cpu"):
        run = night.order()
        night.more_committed_than(set())
        server.stop(signal.SIGKILL)
        server.until(lambda: list((night.corpus / "snapshots").glob("*.json")), "snapshot without a server")
        server.start()
        state = server.ended(run)
    assert (state["name"], state["message"]) == (
        "Completed",
        f"{len(FIRST)} inputs: {len(FIRST)} done, 0 filtered, 0 failed; snapshot 1 with {len(FIRST)} rows.",
    )
    assert [state for state, _ in night.runs()] == ["completed"]
    assert night.rows() == [f"{seed:02d}.mp4" for seed in FIRST]
    night.verify()


def test_what_a_build_had_to_show_is_shown_when_its_server_is_back(server: Server, night: Night) -> None:
    assert {"build-result", "build-rejects", "corpus-growth"} <= {
        item["key"] for item in server.ask("artifacts/filter")
    }
    (published,) = server.until(lambda: server.events(CorpusPublished.name), "event of publishing")
    assert CorpusPublished.model_validate(published["payload"]).size.rows == len(FIRST)


def test_a_worker_tells_of_a_build_whose_process_was_killed(server: Server, night: Night) -> None:
    night.streams(ALL)
    before = night.committed()
    with server.worker("dataclaw-cpu") as worker:
        run = night.order()
        night.more_committed_than(before)
        family = of_run(run)
        flow_process(worker).kill()
        assert server.ended(run)["type"] == "CRASHED"
    server.until(lambda: not alive(family), "end of Ray, whose driver is gone")
    heard_of(server, run)


@pytest.mark.usefixtures("impatient")
def test_a_build_that_died_with_its_worker_is_found_out(server: Server, night: Night) -> None:
    with server.worker("dataclaw-cpu") as worker:
        run = night.order()
        server.until(
            lambda: [one for one in server.events("prefect.flow-run.heartbeat") if run in str(one)], "heartbeat"
        )
        flow = flow_process(worker)
        worker.kill()
        flow.kill()
    assert server.state(run)["type"] == "RUNNING", "nobody knows yet"
    state = server.ended(run)
    assert state["type"] == "CRASHED"
    assert "no sign of life" in state["message"]
    heard_of(server, run)


def test_dead_builds_have_given_up_their_place_and_the_next_one_makes_up_for_them(server: Server, night: Night) -> None:
    with server.worker("dataclaw-cpu"):
        assert server.ended(night.order())["name"] == "Completed", "and not Cancelled, for want of a place"
    assert night.rows() == [f"{seed:02d}.mp4" for seed in ALL]
    night.verify()


def heard_of(server: Server, run: str) -> None:
    """People were told that a run crashed."""
    name = server.send("GET", f"flow_runs/{run}").json()["name"]
    subject = f"DataClaw: {name} Crashed"
    server.until(lambda: [said for said in server.told if said["subject"] == subject], "notification")

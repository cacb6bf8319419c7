"""prefect.yaml against a real server: registered there, carried out by workers, heard of by triggers and people."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from schemas.events import CorpusGrew, CorpusPublished, QuarantineExceeded
from tests.deployments.conftest import REPOSITORY, Server
from tests.flows.clips import write_clip

pytestmark = pytest.mark.long
BLOCK = "custom-webhook/operators"
NAMED = {entry["name"]: entry for entry in yaml.safe_load((REPOSITORY / "prefect.yaml").read_text())["deployments"]}


@pytest.fixture(scope="module")
def deployed(server: Server) -> dict[str, Any]:
    """What `dataclaw deploy` registered, when it was run twice."""
    server.run("dataclaw", "deploy", "--notify", BLOCK)
    return json.loads(server.run("dataclaw", "deploy", "--notify", BLOCK, "--json").stdout)


def test_deploying_again_doubles_nothing(server: Server, deployed: dict[str, Any]) -> None:
    assert {name.partition("/")[2] for name in deployed["deployments"]} == set(NAMED)
    names = [item["name"] for item in server.ask("automations/filter")]
    assert dict.fromkeys(deployed["automations"], 1).items() <= Counter(names).items()
    assert len(deployed["automations"]) == 6
    limits = {pool["name"]: pool["concurrency_limit"] for pool in server.ask("work_pools/filter")}
    assert limits["dataclaw-cpu"] == 4
    assert limits["dataclaw-gpu"] == 1


def test_the_nightly_build_is_scheduled_alone_and_explained(server: Server, deployed: dict[str, Any]) -> None:
    build = server.deployment("build")
    (schedule,) = build["schedules"]
    assert schedule["active"]
    assert schedule["schedule"]["timezone"] == "Etc/UTC"
    assert build["concurrency_limit"] == 1 or build["global_concurrency_limit"]["limit"] == 1
    assert build["concurrency_options"]["collision_strategy"] == "CANCEL_NEW"
    assert {"dataclaw", "nightly"} <= set(build["tags"])
    form = build["parameter_openapi_schema"]
    assert "recipe" in form["properties"]["recipe"]["description"]
    assert form["definitions"]["Growth"]["properties"]["rows"]["description"] == "So many more rows."
    assert server.deployment("build-gpu")["work_pool_name"] == "dataclaw-gpu"


def test_runs_work_in_the_folder_of_the_recipes(server: Server, deployed: dict[str, Any]) -> None:
    (step,) = server.deployment("build")["pull_steps"]
    assert step["prefect.deployments.steps.set_working_directory"]["directory"] == str(REPOSITORY)


def test_a_file_that_prefect_refuses_is_one_line_and_exit_code_1(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "prefect.yaml"
    file.write_text(
        "name: wrong\npull: []\ndeployments:\n"
        "- {name: wrong, entrypoint: flows.build_corpus.nothing, work_pool: {name: dataclaw-cpu}}\n"
    )
    said = server.run("dataclaw", "deploy", "--file", str(file), code=1).stderr
    assert "'nothing' not found" in said
    assert "Traceback" not in said
    unknown = server.run("dataclaw", "deploy", "--notify", "custom-webhook/nobody", code=2).stderr
    assert "no such notification block" in unknown


@pytest.fixture(scope="module")
def missed(server: Server, deployed: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus whose build was due on three nights while no worker was there, and then a worker came."""
    folder = tmp_path_factory.mktemp("missed")
    # Its trigger is to start a run that nobody orders, in the folder of the tests.
    variables = {"env": {"DATACLAW_ROOTS": tempfile.gettempdir()}}
    server.send("PATCH", f"deployments/{server.deployment('verify')['id']}", {"job_variables": variables})
    write_clip(folder / "raw" / "clip.mp4", 3)
    (folder / "raw" / "broken.mp4").write_bytes(b"no film at all" * 50)
    recipe = folder / "nightly.yaml"
    recipe.write_text(
        "name: nightly\ncorpus: corpus\nintents: [Make temporal questions and answers.]\n"
        "sources: [{uri: raw, domain: daily_life}]\nplacement: {gallery: 'http://localhost/gallery'}\n"
    )
    for nights in (3, 2, 1):
        due = (datetime.now(UTC) - timedelta(days=nights)).isoformat()
        state = {"type": "SCHEDULED", "state_details": {"scheduled_time": due}}
        server.order("build", state=state, parameters={"recipe": str(recipe)})
    server.work_once("dataclaw-cpu")
    return folder / "corpus"


def runs(server: Server, deployment: str) -> list[dict[str, Any]]:
    return server.ask("flow_runs/filter", deployments={"name": {"any_": [deployment]}}, sort="EXPECTED_START_TIME_ASC")


def past_runs(server: Server) -> list[dict[str, Any]]:
    return [run for run in runs(server, "build") if run["expected_start_time"] < datetime.now(UTC).isoformat()]


def test_missed_nights_are_made_up_once(server: Server, missed: Path) -> None:
    states = Counter(run["state"]["name"] for run in past_runs(server))
    assert states == {"Completed with rejects": 1, "Cancelled": 2}
    assert [path.name for path in (missed / "snapshots").iterdir()] == ["000001.json"]


def test_the_end_of_a_build_has_a_name_and_says_what_came_of_it(server: Server, missed: Path) -> None:
    (run,) = [run for run in past_runs(server) if run["state"]["type"] == "COMPLETED"]
    assert run["name"].startswith("nightly 20")
    assert run["state"]["message"] == "2 inputs: 1 done, 0 filtered, 1 failed; snapshot 1 with 1 row."


def test_a_build_shows_its_result_to_operators(server: Server, missed: Path) -> None:
    artifacts = {item["key"]: item for item in server.ask("artifacts/filter")}
    assert artifacts["build-result"]["type"] == "table"
    assert artifacts["build-rejects"]["type"] == "markdown"
    (aside,) = json.loads(artifacts["build-quarantine"]["data"])
    assert aside["input"].endswith("broken.mp4")
    assert "| 1 | 2" in artifacts["corpus-growth"]["data"]
    assert "data:image/svg+xml" in artifacts["corpus-growth"]["data"]
    assert "http://localhost/gallery" in artifacts["gallery"]["data"]
    assert "model-usage" not in artifacts, "no model was asked"


def test_events_arrive_with_their_typed_payloads(server: Server, missed: Path) -> None:
    (published,) = server.until(lambda: server.events(CorpusPublished.name), "event of publishing")
    assert CorpusPublished.model_validate(published["payload"]).size.rows == 1
    (grew,) = server.until(lambda: server.events(CorpusGrew.name), "event of growth")
    payload = CorpusGrew.model_validate(grew["payload"])
    assert (payload.snapshot, payload.since, payload.rows) == (1, None, 1)
    assert (payload.task_types, payload.domains) == (("temporal_qa",), ("daily_life",))
    assert payload.corpus == str(missed)
    assert grew["resource"]["prefect.resource.id"] == f"dataclaw.corpus.{payload.corpus_id}"
    (broken,) = server.until(lambda: server.events(QuarantineExceeded.name), "event of the quarantine")
    assert QuarantineExceeded.model_validate(broken["payload"]).share == 0.5


def test_growth_starts_the_verification_of_what_grew(server: Server, missed: Path) -> None:
    """Both ways: a worker carries out what the trigger made, with parameters of their types."""
    (run,) = server.until(lambda: runs_on(server, missed), "run of verify")
    assert run["parameters"] == {"corpus": str(missed), "snapshot": 1, "rows": 100}
    assert "dataclaw" in run["tags"]
    assert [path.name for path in (missed / "growth").iterdir()] == ["000001.json"], "it is not told again"
    server.work_once("dataclaw-cpu")
    (run,) = runs_on(server, missed)
    assert run["state"]["type"] == "COMPLETED", run["state"]


def runs_on(server: Server, corpus: Path) -> list[dict[str, Any]]:
    """Runs of verify on a corpus."""
    return [run for run in runs(server, "verify") if run["parameters"].get("corpus") == str(corpus)]


def test_people_hear_of_a_quarantine_over_its_limit(server: Server, missed: Path) -> None:
    (notice,) = server.until(lambda: [said for said in server.told if "inputs" in said["subject"]], "notification")
    assert notice["subject"] == "DataClaw: 1 of 2 inputs could not be read"
    assert str(missed) in notice["body"]


def test_a_build_that_fails_says_why_in_its_first_line_and_people_hear_of_it(
    server: Server, deployed: dict[str, Any], tmp_path: Path
) -> None:
    recipe = tmp_path / "wrong.yaml"
    recipe.write_text("name: wrong\ncorpus: c\nsource: []\n")
    server.order("build", parameters={"recipe": str(recipe)})
    server.work_once("dataclaw-cpu")
    (run,) = [run for run in past_runs(server) if run["state"]["type"] == "FAILED"]
    first = run["state"]["message"].splitlines()[0]
    assert str(recipe) in first
    assert "unknown key source, did you mean 'sources'?" in first
    told = server.until(lambda: [said for said in server.told if "wrong" in said["subject"]], "notification")
    assert all("unknown key source" in notice["body"] for notice in told)


@pytest.fixture
def impatient(server: Server, deployed: dict[str, Any]) -> None:
    """Hours of patience are cut to the least that Prefect takes."""
    for automation in server.ask("automations/filter"):
        if automation["trigger"].get("posture") == "Proactive":
            automation["trigger"]["within"] = 10
            changed = {key: value for key, value in automation.items() if key not in {"id", "created", "updated"}}
            server.send("PUT", f"automations/{automation['id']}", changed)


@pytest.mark.usefixtures("impatient")
def test_people_hear_of_a_run_that_does_not_end_and_not_of_one_that_does(server: Server) -> None:
    for name in ("ends", "hangs"):
        # Forced: it is the server's view of a run that counts here, no worker takes part.
        place = f"flow_runs/{server.order('build-gpu', name=name)}/set_state"
        server.ask(place, state={"type": "RUNNING"}, force=True)
        if name == "ends":
            server.ask(place, state={"type": "COMPLETED", "name": "Completed with rejects"}, force=True)
    stuck = server.until(lambda: [said for said in server.told if "stuck" in said["subject"]], "notification")
    assert [notice["subject"] for notice in stuck] == ["DataClaw: hangs is stuck"]


@pytest.mark.usefixtures("impatient")
def test_people_hear_of_a_run_that_no_worker_takes(server: Server) -> None:
    due = (datetime.now(UTC) - timedelta(minutes=5)).isoformat()
    late = {"type": "SCHEDULED", "state_details": {"scheduled_time": due}}
    server.order("build-gpu", name="left alone", state=late)
    (notice,) = server.until(lambda: [said for said in server.told if "left alone" in said["subject"]], "notification")
    assert notice["subject"] == "DataClaw: left alone waits for a worker"
    assert "prefect worker start --pool dataclaw-gpu" in notice["body"]

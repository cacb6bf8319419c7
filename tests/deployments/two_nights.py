"""Two nights in fast motion, everything real and nobody at the keys: `make nights`.

A Prefect server on PostgreSQL, an S3 server, a Ray cluster of two nodes and a worker start on this machine; `dataclaw
deploy` registers prefect.yaml, whose nightly build is due every few minutes here instead of at one o'clock. Between the
nights new streams come, one of them broken. Everything else happens by schedule, event and trigger. Writes what
happened to `nights.json` and `nights.md`, with the logs of all servers beside them.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import httpx
import yaml
from botocore.session import get_session
from sqlalchemy import create_engine, text

from tests.ports import free_port
from tests.storage import postgresql, s3_proxy

T = TypeVar("T")
REPOSITORY = Path(__file__).resolve().parents[2]
BUCKET = "nights"
CORPUS = f"s3://{BUCKET}/corpora/home"
DOMAINS = {
    "daily_life": ["Make questions about when things happen and are said", "At most 8 multiple-choice questions"],
    "embodied": ["Help me construct embodied decision data from these robot recordings"],
}
_OVER = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
_NIGHT_WITHIN = 900.0


@dataclass(frozen=True)
class Site:
    """The servers of the play, as their clients reach them."""

    api: str
    environment: dict[str, str]
    out: Path

    def ask(self, what: str, **body: object) -> Any:
        answer = httpx.post(f"{self.api}/{what}/filter", json=body, timeout=60)
        return answer.raise_for_status().json()

    def runs(self, deployment: str) -> list[dict[str, Any]]:
        """Runs that have begun, in the order in which they were due."""
        found = self.ask(
            "flow_runs", deployments={"name": {"any_": [deployment]}}, sort="EXPECTED_START_TIME_ASC", limit=200
        )
        return [run for run in found if run["start_time"]]

    def run(self, *command: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", *command], cwd=REPOSITORY, env=self.environment, capture_output=True, text=True
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout


def two_nights(out: Path, minutes: float = 2.0) -> dict[str, Any]:
    """Plays them, a build being due every so many minutes. Returns what happened, as in `nights.json`.

    Raises:
        RuntimeError: a server did not start, or something did not come by itself within 15 minutes.
    """
    with servers(out) as site:
        night(site, seed=0)
        site.run("dataclaw", "deploy", "--file", str(_deployments(out, minutes)))
        _say("deployed; from here on nobody does anything but bring streams")
        told = [_watch(site, 1)]
        night(site, seed=1, broken=True)
        told.append(_watch(site, 2))
        verified = site.run("dataclaw", "verify", CORPUS, "--json")
    report = {"corpus": CORPUS, "minutes between nights": minutes, "nights": told, "verify": json.loads(verified)}
    (out / "nights.json").write_text(json.dumps(report, indent=1) + "\n")
    (out / "nights.md").write_text(_page(report))
    return report


def night(site: Site, seed: int, broken: bool = False) -> None:
    """Brings the streams of a night to where the recipe looks for them."""
    with tempfile.TemporaryDirectory() as folder:
        site.run("dataclaw", "samples", folder, "--seed", str(seed))
        if broken:
            (Path(folder) / "daily_life" / "cut_off.mp4").write_bytes(b"no film at all" * 50)
        files = [path for domain in DOMAINS for path in (Path(folder) / domain).rglob("*") if path.is_file()]
        store = _s3(site.environment)
        for path in files:
            if not path.name.endswith("truth.json"):
                domain, *rest = path.relative_to(folder).parts
                key = "/".join(("raw", domain, f"night-{seed + 1}", *rest))
                store.put_object(Bucket=BUCKET, Key=key, Body=path.read_bytes())
    _say(f"night {seed + 1}: {len(files)} files brought to s3://{BUCKET}/raw")


@contextmanager
def servers(out: Path) -> Iterator[Site]:
    """PostgreSQL, S3, Prefect, two Ray nodes and a worker; they end in the opposite order."""
    (out / "logs").mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        database = stack.enter_context(postgresql.Server()).url
        _make_databases(database, "prefect", "catalog")
        store = stack.enter_context(s3_proxy.served())
        prefect_port, ray_port = free_port(), free_port()
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nights-")))
        api = f"http://127.0.0.1:{prefect_port}/api"
        environment = os.environ | {
            "AWS_ENDPOINT_URL": store.url,
            "AWS_ACCESS_KEY_ID": "nights",
            "AWS_SECRET_ACCESS_KEY": "nights",
            "AWS_DEFAULT_REGION": "us-east-1",
            "DATACLAW_HOSTS": f"127.0.0.1:{ray_port}, {_netloc(database)}",
            "PREFECT_API_URL": api,
            "PREFECT_CLI_PROMPT": "false",
            "PREFECT_HOME": str(home / "prefect"),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_SERVER_DATABASE_CONNECTION_URL": _database(database, "prefect").replace("psycopg", "asyncpg"),
            "PYTHONPATH": str(REPOSITORY),
            # Whoever reaches a Ray cluster may run code on it: nodes and drivers show this token.
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_USAGE_STATS_ENABLED": "0",
        }
        site = Site(api, environment, out)
        _s3(environment).create_bucket(Bucket=BUCKET)
        _put_recipe(out, database, ray_port)

        def start(name: str, *command: str) -> subprocess.Popen[bytes]:
            return stack.enter_context(_process(site, name, *command))

        server = start(
            "prefect-server", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(prefect_port)
        )
        ray = ("ray.scripts.scripts", "start", "--block", "--num-cpus=1", "--object-store-memory=500000000")
        temporary = f"--temp-dir={home}/ray"
        head = start("ray-head", *ray, "--head", f"--port={ray_port}", "--include-dashboard=false", temporary)
        address = f"127.0.0.1:{ray_port}"
        _until(lambda: _nodes(site, address), "Ray head", 480, head)
        node = start("ray-node", *ray, f"--address={address}")
        _until(lambda: _healthy(api), "Prefect server", 480, server)
        _until(lambda: _nodes(site, address) == 2 or None, "second Ray node", 480, node)
        site.run("prefect", "work-pool", "create", "--type", "process", "dataclaw-cpu")
        start("worker", "prefect", "worker", "start", "--pool", "dataclaw-cpu")
        _say(f"Prefect on PostgreSQL at {api}, S3 at {store.url}, two Ray nodes at {address}")
        yield site


def _put_recipe(out: Path, database: str, ray_port: int) -> None:
    recipe = {
        "name": "home",
        "corpus": CORPUS,
        "sources": [
            {"uri": f"s3://{BUCKET}/raw/{domain}", "domain": domain, "intents": intents}
            for domain, intents in DOMAINS.items()
        ],
        "growth": {"rows": 5},
        "placement": {"ray_address": f"127.0.0.1:{ray_port}", "catalog": _database(database, "catalog")},
    }
    (out / "nightly.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))


def _deployments(out: Path, minutes: float) -> Path:
    """The repository's prefect.yaml, with nights of so many minutes and this play's places."""
    config = yaml.safe_load((REPOSITORY / "prefect.yaml").read_text())
    config["deployments"] = [item for item in config["deployments"] if item["name"] in {"build", "verify"}]
    for item in config["deployments"]:
        item["work_pool"]["job_variables"]["env"]["DATACLAW_ROOTS"] = f"{out}, s3://{BUCKET}"
        if item["name"] == "build":
            item["parameters"] = {"recipe": str(out / "nightly.yaml")}
            due = datetime.now(UTC) + timedelta(seconds=20)
            item["schedules"] = [{"interval": 60 * minutes, "anchor_date": due.isoformat(), "timezone": "Etc/UTC"}]
        else:
            item["schedules"] = []  # here only growth starts it
    file = out / "prefect.yaml"
    file.write_text(yaml.safe_dump(config, sort_keys=False))
    return file


def _watch(site: Site, snapshot: int) -> dict[str, Any]:
    """Waits until a snapshot is published, and growth has had it verified."""

    def verified() -> dict[str, Any] | None:
        found = [run for run in site.runs("verify") if run["parameters"]["snapshot"] == snapshot]
        return found[0] if found and found[0]["state_type"] in _OVER else None

    def published() -> dict[str, Any] | None:
        for event in site.ask("events", filter={"event": {"name": ["dataclaw.corpus.published"]}})["events"]:
            if event["payload"]["snapshot"] == snapshot:
                return event
        failed = [run for run in site.runs("build") if run["state_type"] in {"FAILED", "CRASHED"}]
        if failed:
            raise RuntimeError(f"a build failed: {failed[0]['state']['message']}")
        return None

    event = _until(published, f"snapshot {snapshot}", _NIGHT_WITHIN)
    run_id = next(item for item in event["related"] if item["prefect.resource.role"] == "flow-run")
    flow_run = run_id["prefect.resource.id"].rpartition(".")[2]
    check = _until(verified, f"verification of snapshot {snapshot}", _NIGHT_WITHIN)
    build = _until(
        lambda: next((r for r in site.runs("build") if r["id"] == flow_run and r["state_type"] in _OVER), None),
        f"end of the build of snapshot {snapshot}",
        _NIGHT_WITHIN,
    )
    grew = next(
        event
        for event in site.ask("events", filter={"event": {"name": ["dataclaw.corpus.grew"]}})["events"]
        if event["payload"]["snapshot"] == snapshot
    )
    told = {"build": _told(site, build), "grew": grew["payload"], "verify": _told(site, check)}
    for name in ("build", "verify"):
        _say(f"night {snapshot}: {told[name]['name']}: {told[name]['state']}: {told[name]['message']}")
    return told


def _told(site: Site, run: dict[str, Any]) -> dict[str, Any]:
    artifacts = site.ask("artifacts", artifacts={"flow_run_id": {"any_": [run["id"]]}})
    return {
        "id": run["id"],
        "name": run["name"],
        "started by": (run["created_by"] or {}).get("display_value") or (run["created_by"] or {}).get("type"),
        "due": run["expected_start_time"],
        "started": run["start_time"],
        "ended": run["end_time"],
        "state": run["state"]["name"],
        "message": run["state"]["message"],
        "artifacts": sorted({item["key"] or item["type"] for item in artifacts}),
        "snapshot": run["parameters"].get("snapshot"),
    }


def _page(report: dict[str, Any]) -> str:
    lines = ["| night | run | started by | due | started | ended | state | message | artifacts |", "|" + "---|" * 9]
    for number, told in enumerate(report["nights"], 1):
        for name in ("build", "verify"):
            run = told[name]
            times = [run[key][11:19] for key in ("due", "started", "ended")]
            cells = [run["name"], run["started by"], *times, run["state"], run["message"], ", ".join(run["artifacts"])]
            lines.append(f"| {number} | " + " | ".join(str(cell) for cell in cells) + " |")
    return "\n".join(lines) + "\n"


@contextmanager
def _process(site: Site, name: str, *module: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a group of its own, ended with all its children."""
    with open(site.out / "logs" / f"{name}.log", "wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *module],
            cwd=REPOSITORY,
            env=site.environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            for sign in (signal.SIGTERM, signal.SIGKILL):
                try:
                    os.killpg(process.pid, sign)
                    process.wait(timeout=20)
                except (ProcessLookupError, subprocess.TimeoutExpired):
                    continue


def _until(look: Callable[[], T | None], what: str, within: float, process: subprocess.Popen[bytes] | None = None) -> T:
    end = time.monotonic() + within
    while time.monotonic() < end and (process is None or process.poll() is None):
        if found := look():
            return found
        time.sleep(0.5)
    raise RuntimeError(f"no {what} within {within:.0f} s; see the logs")


def _nodes(site: Site, address: str) -> int:
    code = f"import ray; ray.init({address!r}, logging_level='ERROR', log_to_driver=False); print(len(ray.nodes()))"
    done = subprocess.run([sys.executable, "-c", code], env=site.environment, capture_output=True, text=True)
    return int(done.stdout.split()[-1]) if done.returncode == 0 else 0


def _healthy(api: str) -> bool:
    try:
        return httpx.get(f"{api}/health").is_success
    except httpx.TransportError:
        return False


def _make_databases(server: str, *names: str) -> None:
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for name in names:
            connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()


def _database(server: str, name: str) -> str:
    return f"{server.rpartition('/')[0]}/{name}"


def _netloc(url: str) -> str:
    return url.partition("@")[2].partition("/")[0]


def _s3(environment: dict[str, str]) -> Any:
    return get_session().create_client(
        "s3",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        region_name=environment["AWS_DEFAULT_REGION"],
    )


def _say(words: str) -> None:
    print(f"{datetime.now(UTC):%H:%M:%S}  {words}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("nights"), help="folder for the report and the logs")
    parser.add_argument("--minutes", type=float, default=2.0, help="how far apart the nights are")
    chosen = parser.parse_args()
    shutil.rmtree(chosen.out, ignore_errors=True)
    two_nights(chosen.out.resolve(), chosen.minutes)
    print((chosen.out / "nights.md").read_text())

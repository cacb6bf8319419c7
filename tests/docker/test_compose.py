"""compose.yaml: what it names is there and is read, nothing is secret in it, nothing is open that need not be."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import botocore.session
import pytest
import yaml
from prefect.settings import Settings
from prefect.settings.legacy import _get_settings_fields

from storage.recipes import load_recipe
from tests.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
TEXT = (DOCKER / "compose.yaml").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
LINES = [line for line in (DOCKER / "env.example").read_text().splitlines() if line and not line.startswith("#")]
EXAMPLE = dict(line.split("=", 1) for line in LINES)
SECRETS = re.compile(r"PASSWORD|TOKEN|_KEY\b|_KEY_ID|SECRET")

OF_PREFECT = set(_get_settings_fields(Settings))
OF_OTHERS = {
    # libpq, the images of PostgreSQL and vLLM, the hub's client: not installed here, so that names stand as documented.
    "PGPASSWORD", "POSTGRES_USER", "POSTGRES_PASSWORD", "POSTGRES_DB", "VLLM_API_KEY", "VLLM_NO_USAGE_STATS", "HF_HOME",
}  # fmt: skip


def given() -> set[str]:
    """Every variable that a container is given."""
    return {name for service in SERVICES.values() for name in service.get("environment", {})}


def words(service: dict[str, Any]) -> list[str]:
    """All that a container starts."""
    return [str(word) for key in ("entrypoint", "command") for word in service.get(key) or ()]


def test_prefect_reads_every_variable_of_its_own() -> None:
    assert {name for name in given() if name.startswith("PREFECT_")} <= OF_PREFECT


def test_ray_reads_every_variable_of_its_own() -> None:
    spec = importlib.util.find_spec("ray")
    assert spec is not None
    assert spec.origin is not None
    source = "".join(
        path.read_text("utf-8")
        for folder in ("_private", "_common")
        for path in (Path(spec.origin).parent / folder).rglob("*.py")
    )
    ray = {name for name in given() if name.startswith("RAY_")} - {"RAY_HEAD"}
    assert {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN"} <= ray
    for name in ray:
        assert re.search(rf"\b{name}\b", source), f"Ray does not know {name}"
    assert "$RAY_HEAD" in (DOCKER / "with-ray.sh").read_text()


def test_s3_is_reached_by_the_variables_that_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {
        "AWS_ENDPOINT_URL": "http://s3:5000",
        "AWS_DEFAULT_REGION": "eu-north-1",
        "AWS_ACCESS_KEY_ID": "one",
        "AWS_SECRET_ACCESS_KEY": "two",
    }
    assert {name for name in given() if name.startswith("AWS_")} == values.keys()
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    client = botocore.session.get_session().create_client("s3")
    assert client.meta.endpoint_url == "http://s3:5000"
    assert client.meta.region_name == "eu-north-1"
    # What is left empty in .env counts as not set: the machine's own role, and Amazon's own address.
    for name in values.keys() - {"AWS_DEFAULT_REGION"}:
        monkeypatch.setenv(name, "")
    assert ".amazonaws.com" in botocore.session.get_session().create_client("s3").meta.endpoint_url


def test_no_variable_is_given_that_nobody_reads() -> None:
    known = {name for name in given() if name.startswith(("PREFECT_", "RAY_", "AWS_"))} | OF_OTHERS
    assert given() - known == {"TAILOR_KEY"}, "which recipes name in placement.serving.key"
    assert "placement.serving.key: TAILOR_KEY" in (DOCKER / "env.example").read_text()


def test_no_secret_stands_in_a_file() -> None:
    for name, value in EXAMPLE.items():
        assert not SECRETS.search(name) or value == "", f"env.example holds {name}"
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if SECRETS.search(name) and name != "RAY_AUTH_MODE":
                assert re.fullmatch(r"\$\{[A-Z_]+(-|:\?.+)\}", value), name
    assert re.search(r"dataclaw:\$\{POSTGRES_PASSWORD:\?[^}]+\}@postgres", TEXT)
    assert (DOCKER / ".gitignore").read_text().splitlines()[-1] == ".env"
    done = subprocess.run(["git", "ls-files", "docker/.env"], cwd=ROOT, capture_output=True, text=True)
    assert not done.stdout


def test_every_value_asked_of_the_user_is_in_the_example() -> None:
    assert set(re.findall(r"\$\{([A-Z_]+)", TEXT)) == EXAMPLE.keys()
    for name, value in re.findall(r"\$\{([A-Z_]+):-([^}]*)\}", TEXT):
        assert EXAMPLE[name] == value, f"the default of {name} in compose.yaml is another than in env.example"


def port_of_check(name: str) -> int:
    """The port that a health check asks, from inside of the container."""
    (port,) = re.findall(r"127\.0\.0\.1:(\d+)", SERVICES[name]["healthcheck"]["test"][-1])
    return int(port)


def test_nothing_is_bound_beyond_loopback_unless_told() -> None:
    for name, service in SERVICES.items():
        for port in service.get("ports", ()):
            assert port.startswith("${BIND:-127.0.0.1}:"), f"{name}: {port}"
    assert EXAMPLE["BIND"] == "127.0.0.1"
    assert "ports" not in SERVICES["postgres"]
    assert not any("network_mode" in service or "privileged" in service for service in SERVICES.values())


def test_ports_are_those_on_which_something_listens() -> None:
    assert "--dashboard-port=8265" in words(SERVICES["ray-head"])
    assert "--port=6379" in words(SERVICES["ray-head"])
    assert Settings().worker.webserver.port == 8080 == port_of_check("flow-worker")
    assert port_of_check("flow-worker-gpu") == 8080
    served = {
        "prefect-server": SERVICES["prefect-server"]["environment"]["PREFECT_SERVER_API_PORT"],
        "ray-head": "8265",
        "vllm": words(SERVICES["vllm"])[words(SERVICES["vllm"]).index("--port") + 1],
        "s3": re.findall(r'"--port", "(\d+)"\]\n', (DOCKER / "Dockerfile").read_text())[0],
    }
    published = {name: port.rpartition(":")[2] for name, s in SERVICES.items() for port in s.get("ports", ())}
    assert published == served
    assert {name: str(port_of_check(name)) for name in ("prefect-server", "vllm", "s3")}.items() <= served.items()


def test_addresses_name_services_and_the_ports_they_listen_on() -> None:
    listening = {"prefect-server": "4200", "postgres": "5432", "ray-head": "6379"}
    named = re.findall(r"[@/=\s\"](prefect-server|postgres|ray-head):(\d+)(?![\d.])", TEXT)
    assert {name for name, _ in named} == listening.keys()
    for name, port in named:
        assert listening[name] == port, f"{name}:{port}"


def test_images_are_pinned_and_ours_are_of_this_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    targets = re.findall(r"^FROM \S+ AS (\S+)$", (DOCKER / "Dockerfile").read_text(), re.MULTILINE)
    for name, service in SERVICES.items():
        if name in OURS:
            target = service["build"]["target"]
            assert target in targets
            assert service["image"] == f"dataclaw-{target}:{version}"
        else:
            assert re.fullmatch(r"[a-z/-]+:[\w.-]*\d[\w.-]*@sha256:[0-9a-f]{64}", service["image"]), name


def test_what_runs_on_is_watched_and_comes_back() -> None:
    for name, service in SERVICES.items():
        if "restart" not in service:
            assert name in {"deploy", "bucket"}, f"{name} ends by itself or must be started again"
            continue
        assert service["restart"] == "unless-stopped"
        assert service["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}, name
    for service in SERVICES.values():
        for other, when in service.get("depends_on", {}).items():
            wanted = "service_completed_successfully" if other == "deploy" else "service_healthy"
            assert when["condition"] == wanted


def test_nodes_of_a_cluster_share_token_files_and_memory() -> None:
    nodes = [service for service in SERVICES.values() if "RAY_HEAD" in service.get("environment", {})]
    assert len(nodes) == 5
    for node in nodes:
        assert node["environment"]["RAY_AUTH_MODE"] == "token"
        assert {"data:/data", "${RECIPES:-./recipes}:/recipes:ro", "${STREAMS:-./streams}:/streams:ro"} <= set(
            node["volumes"]
        )
        assert node["shm_size"]


def test_what_is_kept_lies_in_volumes() -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            if re.fullmatch(r"[a-z]+", source):
                assert source in COMPOSE["volumes"]
    assert "postgres:/var/lib/postgresql/data" in SERVICES["postgres"]["volumes"]
    for file in ("databases.sql", "with-ray.sh", "../prefect.yaml"):
        assert (DOCKER / file).exists()


@pytest.mark.parametrize("recipe", sorted((DOCKER / "recipes").glob("*.yaml")), ids=lambda path: path.name)
def test_recipes_for_the_cluster_use_it(recipe: Path) -> None:
    placement = load_recipe(recipe).placement
    assert placement.ray_address == "auto", "the node that with-ray.sh made"
    assert placement.catalog == "postgresql+psycopg://dataclaw@postgres/catalog"
    assert "CREATE DATABASE catalog;" in (DOCKER / "databases.sql").read_text()


def test_pools_of_workers_are_registered() -> None:
    pools = {pool["name"] for pool in yaml.safe_load((ROOT / "deployments/work_pools.yaml").read_text())}
    image = re.findall(r'"--pool", "([a-z-]+)"', (DOCKER / "Dockerfile").read_text())
    command = words(SERVICES["flow-worker-gpu"])
    assert {*image, command[command.index("--pool") + 1]} == pools


def checks() -> dict[str, str]:
    """The health checks that are a line of Python, by service."""
    return {
        name: service["healthcheck"]["test"][3]
        for name, service in SERVICES.items()
        if "-c" in service.get("healthcheck", {}).get("test", ())
    }


@pytest.mark.parametrize(("name", "code"), checks().items())
def test_a_health_check_fails_where_nothing_answers(name: str, code: str) -> None:
    (port,) = re.findall(r"127\.0\.0\.1:(\d+)", code)
    code = code.replace(f":{port}/", f":{free_port()}/")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True)
    assert done.returncode != 0, name


def test_compose_itself_accepts_the_file(tmp_path: Path) -> None:
    """Where Compose is installed; it needs no engine for this."""
    command = ["docker-compose"] if shutil.which("docker-compose") else ["docker", "compose"]
    if not shutil.which(command[0]) or subprocess.run([*command, "version"], capture_output=True).returncode:
        pytest.skip("Docker Compose is not installed")
    filled = tmp_path / "env"
    filled.write_text("".join(f"{key}={value or 'word'}\n" for key, value in EXAMPLE.items()))
    shown = [*command, "--file", str(DOCKER / "compose.yaml"), "--env-file", str(filled), "--profile", "*"]
    environment = {key: value for key, value in os.environ.items() if key not in EXAMPLE}
    done = subprocess.run([*shown, "config", "--services"], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == SERVICES.keys()
    filled.write_text("")
    done = subprocess.run([*shown, "config", "--quiet"], env=environment, capture_output=True, text=True)
    assert "set it in docker/.env" in done.stderr

"""The images, as far as can be said without building them: what they are made from, what goes in, what runs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
RECIPE = (DOCKER / "Dockerfile").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PINS = {"constraints-cluster.txt": (), "constraints-vllm.txt": ("vllm", "experts"), "constraints-train.txt": ("train",)}
STAGES = re.split(r"^FROM ", RECIPE, flags=re.MULTILINE)[1:]
TARGETS = {stage.split()[2]: stage for stage in STAGES}


def pins(name: str) -> dict[str, str]:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9._+!-]+", line) for line in lines), name
    return {canonical(line.partition("==")[0]): line.partition("==")[2] for line in lines}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def lineage(target: str) -> str:
    """The instructions of a target and of the stages it stands on, the oldest first."""
    stage = TARGETS[target]
    base = stage.split()[0]
    return (lineage(base) if base in TARGETS else "") + stage


def test_every_image_stands_on_one_pinned_base() -> None:
    foreign = {stage.split()[0] for stage in STAGES} - TARGETS.keys() - {"scratch"}
    assert foreign == {"${PYTHON}"}
    (base,) = re.findall(r"^ARG PYTHON=(.+)$", RECIPE, re.MULTILINE)
    assert re.fullmatch(r"python:3\.11\.\d+-slim-[a-z]+@sha256:[0-9a-f]{64}", base)
    assert ":latest" not in RECIPE


@pytest.mark.parametrize("target", ["worker", "flow", "gpu", "train", "s3", "command"])
def test_an_image_runs_as_a_numbered_user_that_is_not_root(target: str) -> None:
    users = re.findall(r"^USER (.+)$", lineage(target), re.MULTILINE)
    assert users, target
    assert users[-1].isdigit(), "Kubernetes cannot tell whether a name is root"
    assert users[-1] != "0"
    assert f"useradd --create-home --uid {users[-1]} " in lineage(target)
    after = lineage(target).rpartition(f"USER {users[-1]}")[2]
    assert not re.search(r"^RUN ", after, re.MULTILINE)


@pytest.mark.parametrize("target", ["worker", "flow", "gpu", "train", "command"])
def test_an_image_takes_the_code_once_and_finds_it_first(target: str) -> None:
    made = lineage(target)
    assert made.count("COPY --from=code /app /app") == 1
    assert re.search(r"^ENV PYTHONPATH=/app$", made, re.MULTILINE)
    assert made.index("--requirement requirements.txt") < made.index("COPY --from=code"), (
        "a change of code costs no install"
    )


def test_the_last_target_is_the_command() -> None:
    assert STAGES[-1].split()[2] == "command"
    assert re.search(r'^ENTRYPOINT \["dataclaw"\]$', STAGES[-1], re.MULTILINE)


def test_only_what_an_image_needs_is_sent_to_the_builder() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*", "what is not named stays out: .git, .venv, corpora, docker/.env"
    named = {line[1:] for line in lines if line.startswith("!")}
    assert not {name for name in named if re.match(r"\.|tests|docs|docker$|demo|artifacts|corpora", name)}
    assert "**/.env" in lines
    for copied in re.findall(r"^COPY (?!--from)(.+) \S+$", RECIPE, re.MULTILINE):
        for name in copied.split():
            assert (ROOT / name).exists(), name
            assert name in named or name.split("/")[0] in named, f".dockerignore keeps {name} out"
    assert all((ROOT / name).exists() for name in named)


@pytest.mark.parametrize(("file", "extras"), PINS.items())
def test_an_image_installs_what_pyproject_says_each_thing_pinned(file: str, extras: tuple[str, ...]) -> None:
    command = [sys.executable, "docker/requirements.py", *extras]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    wanted = done.stdout.splitlines()
    for need in PROJECT["dependencies"]:
        assert need in wanted
    for extra in extras:
        assert set(PROJECT["optional-dependencies"][extra]) <= set(wanted)
    known = pins(f"docker/{file}") | (pins("constraints.txt") if not extras else {})
    missing = {canonical(re.split(r"[\[<>=~!; ]", need)[0]) for need in wanted} - known.keys()
    assert not missing, "run docker/pin.sh"
    assert " ".join(["docker/requirements.py", *extras, ">"]) in RECIPE


def test_a_cluster_is_of_one_python_one_ray_and_one_prefect() -> None:
    """Ray refuses nodes of another Python or Ray; Prefect's server and workers are to be of one version."""
    base = pins("constraints.txt")
    for file in ("constraints-vllm.txt", "constraints-train.txt"):
        own = pins(f"docker/{file}")
        for package in ("ray", "prefect", "pyarrow", "cloudpickle", "sqlalchemy", "pydantic"):
            assert own[package] == base[package], f"{file}: {package}; run docker/pin.sh"
    assert not pins("docker/constraints-cluster.txt").keys() & base.keys(), (
        "run docker/pin.sh: one place says each version"
    )
    assert not {"torch", "vllm", "transformers"} & pins("docker/constraints-cluster.txt").keys()


@pytest.mark.parametrize(
    "command",
    [
        ["-m", "dataclaw.main", "--help"],
        ["-m", "dataclaw", "deploy", "--help"],
        ["-m", "prefect", "worker", "start", "--help"],
        ["-m", "prefect", "server", "start", "--help"],
        ["-m", "ray.scripts.scripts", "start", "--help"],
    ],
    ids=" ".join,
)
def test_what_an_image_starts_starts_with_its_path_from_any_folder(command: list[str], tmp_path: Path) -> None:
    home = {"PYTHONPATH": str(ROOT), "HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "COLUMNS": "200"}
    done = subprocess.run([sys.executable, *command], cwd=tmp_path, env=home, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout


def test_commands_of_images_take_the_options_they_are_given(tmp_path: Path) -> None:
    modules = {"prefect": "prefect", "dataclaw": "dataclaw", "ray": "ray.scripts.scripts"}
    for found in re.findall(r"^CMD (\[.+\])$", RECIPE, re.MULTILINE):
        program, *words = json.loads(found)
        if program not in modules:
            continue
        names = [word for word in words if not word.startswith("-")][:2]
        shown = [sys.executable, "-m", modules[program], *names, "--help"]
        text = subprocess.run(shown, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
        assert all(word in text for word in words if word.startswith("--")), found

"""The house stands as DESIGN says: layers in their order, nothing in the way of the packages Prefect and Ray need."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LAYERS = [
    "dataclaw", "deployments", "flows", "tasks", "benchmark", "training",
    "synthesis", "experts", "sources", "storage", "schemas",
]  # fmt: skip


def committed() -> list[Path]:
    """Files under version control; every file of the house where there is none (an unpacked archive)."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode == 0:
        return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]
    return [path for layer in [*LAYERS, "tests", "docs"] for path in (ROOT / layer).rglob("*") if path.is_file()]


def test_no_layer_imports_from_above() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_layer_is_checked_and_packaged() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["tool"]["importlinter"]["contracts"][0]["layers"] == LAYERS
    packaged = {name.rstrip("*") for name in project["tool"]["setuptools"]["packages"]["find"]["include"]}
    assert packaged == set(LAYERS)


@pytest.mark.parametrize("layer", LAYERS)
def test_every_folder_of_code_is_a_package(layer: str) -> None:
    for file in (ROOT / layer).rglob("*.py"):
        folder = file.parent
        assert (folder / "__init__.py").exists(), f"{folder.relative_to(ROOT)} has code and no __init__.py"


def test_docker_folder_does_not_hide_the_package_docker() -> None:
    assert not (ROOT / "docker" / "__init__.py").exists()
    found = importlib.util.find_spec("docker")
    assert found is not None
    assert found.origin is not None
    assert "site-packages" in found.origin


def test_flows_hold_no_classes_and_no_data_code() -> None:
    for file in (ROOT / "flows").glob("*.py"):
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"^\s*class ", text, re.MULTILINE), file.name
        assert not re.search(r"^\s*(import|from) (ray|pyarrow|numpy|av|cv2)\b", text, re.MULTILINE), file.name


def test_the_base_install_has_no_torch() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    names = {re.split(r"[\[<>=~! ]", item)[0].lower() for item in project["project"]["dependencies"]}
    heavy = {"torch", "torchvision", "transformers", "vllm", "easyocr"}
    assert not names & heavy
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").lower().splitlines()
    assert not {pin.partition("==")[0] for pin in pins} & heavy


def test_every_needed_package_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {_canonical(line.partition("==")[0]) for line in lines}
    needed = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    assert {_canonical(re.split(r"[\[<>=~!; ]", item)[0]) for item in needed} <= pinned
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9._+!-]+", line) for line in lines)


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_nothing_committed_names_a_machine() -> None:
    words = re.compile(rb"/" + rb"work/|/" + rb"tmp/[a-z]|/" + rb"root/|/" + rb"home/[a-z]")
    for file in committed():
        if file.suffix in {".png", ".jpg", ".parquet", ".mp4"} or file == Path(__file__):
            continue
        hit = words.search(file.read_bytes())
        assert hit is None, f"{file.relative_to(ROOT)} names {hit and hit[0]!r}"


def test_the_image_takes_every_layer() -> None:
    recipe = (ROOT / "docker" / "Dockerfile").read_text(encoding="utf-8")
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    for layer in LAYERS:
        assert f"COPY {layer} {layer}\n" in recipe
        assert f"!{layer}" in ignored
    for copied in re.findall(r"^COPY (.+) \./$", recipe, re.MULTILINE):
        assert all((ROOT / name).exists() for name in copied.split())
    assert "PYTHONPATH=/app" in recipe
    assert re.search(r"^USER (?!root)", recipe, re.MULTILINE)
    assert "--constraint constraints.txt" in recipe

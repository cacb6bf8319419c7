"""A third party's package, installed as its users would, plans, builds and verifies: nothing here knows of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.dataset as ds
import pytest

pytestmark = pytest.mark.long
PACKAGE = Path(__file__).parents[1] / "plugins" / "weather"
INTENT = "Write weather reports."


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the installed package and a log."""
    home = tmp_path_factory.mktemp("plugins")
    # pip builds inside the folder it is given: the repository stays as it is.
    package = shutil.copytree(PACKAGE, home / "package", ignore=shutil.ignore_patterns("build", "*.egg-info"))
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(home / "installed")]
    subprocess.run([*install, str(package)], check=True, timeout=300)
    (home / "logs").mkdir()
    (home / "logs" / "june.weather").write_text("0.0 sunny, 21 degrees\n2.5 rain\n7.0 storm\n")
    (home / "logs" / "broken.weather").write_text("when it rained\n")
    return home


def dataclaw(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(home / "installed"), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.run(
        [sys.executable, "-m", "dataclaw.main", *words],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": path},
        cwd=Path(__file__).parents[2],
    )


def test_it_plans_builds_and_verifies(home: Path) -> None:
    logs, corpus = str(home / "logs"), str(home / "corpus")
    planned = dataclaw(home, "plan", logs, "--intent", INTENT, "--json")
    assert planned.returncode == 0, planned.stderr
    assert json.loads(planned.stdout)[0]["task_type"] == "weather_report"

    built = dataclaw(home, "build", logs, "--intent", INTENT, "--out", corpus, "--backend", "careful", "--json")
    assert built.returncode == 0, built.stderr
    report = json.loads(built.stdout)
    assert {item["outcome"] for item in report["inputs"]} == {"done", "failed"}

    (row,) = ds.dataset(f"{corpus}/data").to_table().to_pylist()
    assert row["task_type"] == "weather_report"
    assert [reading["words"] for reading in json.loads(row["output"])["readings"]] == [
        "sunny, 21 degrees",
        "rain",
        "storm",
    ]
    assert row["provenance"]["backend"] == "careful"
    assert {anchor["kind"] for anchor in row["anchors"]} >= {"weather.reading"}

    verified = dataclaw(home, "verify", corpus)
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_without_the_package_its_names_are_unknown(tmp_path: Path, home: Path) -> None:
    words = ["build", str(home / "logs"), "--intent", INTENT, "--out", str(tmp_path / "c"), "--backend", "careful"]
    done = subprocess.run([sys.executable, "-m", "dataclaw.main", *words], capture_output=True, text=True, timeout=300)
    assert done.returncode == 2
    assert "unknown backend 'careful'" in done.stderr

"""Builds on a Ray cluster of several nodes, with and without faults: the real `ray start`, kills that are kills."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pyarrow.dataset as ds
import pytest
import yaml

from schemas.manifest import Manifest
from tasks.workers import PACKAGES
from tests.catalog import committed
from tests.flows.clips import write_clip
from tests.flows.ray_cluster import ROOT, RayCluster

pytestmark = pytest.mark.long

PLUGIN = ROOT / "tests" / "plugins" / "talking"
CLIPS = 8
FREE = 4
"""Clips that are not held, where some are."""
WITH_SERVER = """
import json, sys
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import LogFilter
from dataclaw.local_server import prefect_api
from dataclaw.progress import set_up_environment

set_up_environment()
with prefect_api():
    from flows.build_corpus import build_corpus
    from prefect.logging.handlers import APILogWorker

    run = build_corpus(recipe=sys.argv[1], return_state=True).state_details.flow_run_id
    APILogWorker.drain_all(timeout=120)
    with get_client(sync_client=True) as client:
        logs = client.read_logs(LogFilter(flow_run_id={"any_": [run]}), limit=200)
    with open(sys.argv[2], "w") as file:
        json.dump([[log.level, log.message] for log in logs], file)
"""
"""A build with a Prefect server of its own; writes the log of its run, as the server has it, to a file."""


CONNECT = """
import os, sys
from prefect.logging import disable_run_logger
from schemas.errors import DataClawError
from schemas.recipe import Recipe
from storage.corpus import Corpus
from tasks.cluster import cluster

corpus = Corpus.open(sys.argv[2], create=True).uri
placement = {"ray_address": sys.argv[1]}
recipe = Recipe.model_validate(
    {"name": "r", "corpus": corpus, "sources": [{"uri": "x"}], "intents": ["x"], "placement": placement}
)
with disable_run_logger():
    try:
        with cluster(recipe) as at:
            print("connected to", at.cpus(), "CPUs")
    except DataClawError as error:
        print(type(error).__name__, error)
"""
"""Connects to a cluster and says how that went."""


class Home:
    """A folder with a plugin, clips, and what the plugin's expert leaves there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.marks = folder / "marks"
        self.said = folder / "said"
        """What a build with a server prints meanwhile."""
        self.marks.mkdir()
        shutil.copytree(PLUGIN, folder / "installed", ignore=shutil.ignore_patterns("__pycache__"))
        path = os.pathsep.join([str(folder / "installed"), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        self.environment = {"PYTHONPATH": path, "TALKING": str(self.marks)}
        for seed in range(CLIPS):
            write_clip(folder / "raw" / f"{seed:02d}.mp4", seed, seconds=2.0)

    def recipe(self, name: str, address: str | None) -> Path:
        file = self.folder / f"{name}.yaml"
        recipe = {
            "name": name,
            "corpus": str(self.folder / name),
            "sources": [{"uri": str(self.folder / "raw"), "domain": "daily_life"}],
            "intents": ["Make temporal questions and answers about when things are said."],
            "placement": {"ray_address": address, "rows_per_shard": 1, "extract_workers": 2},
        }
        file.write_text(yaml.safe_dump(recipe))
        return file

    def start(self, recipe: Path, cluster: RayCluster | None = None) -> subprocess.Popen[str]:
        return self._run("-m", "dataclaw.main", "build", str(recipe), "--json", cluster=cluster)

    def start_with_server(self, recipe: Path, cluster: RayCluster) -> subprocess.Popen[str]:
        with self.said.open("w") as said:
            return self._run(
                "-c", WITH_SERVER, str(recipe), str(self.folder / "log.json"), cluster=cluster, stderr=said
            )

    def _run(self, *command: str, cluster: RayCluster | None, **streams: Any) -> subprocess.Popen[str]:
        environment = os.environ | self.environment if cluster is None else cluster.environment
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | streams
        return subprocess.Popen([sys.executable, *command], env=environment, cwd=ROOT, text=True, **streams)

    def hold(self, since: int = 0) -> None:
        (self.marks / "hold").write_text(str(since))

    def let_go(self) -> None:
        (self.marks / "hold").unlink()

    def looked_at(self, since: int = 0) -> list[tuple[str, int]]:
        """(node, process) of all looks at clips of this number and up."""
        marks = [mark.name.split(".") for mark in self.marks.glob("*.*.*")]
        return [(node, int(process)) for node, process, clip in marks if int(clip) >= since]

    def rows(self, name: str) -> list[dict[str, Any]]:
        manifest = Manifest.model_validate_json(max((self.folder / name / "snapshots").glob("*.json")).read_text())
        return ds.dataset([str(self.folder / name / shard.path) for shard in manifest.shards]).to_table().to_pylist()

    def is_whole(self, name: str) -> None:
        """Every clip became one row, once, and all that is published is true."""
        rows = self.rows(name)
        assert Counter(row["streams"][0]["name"] for row in rows) == Counter(f"{seed:02d}" for seed in range(CLIPS))
        assert len({row["id"] for row in rows}) == CLIPS
        verified = subprocess.run(
            [sys.executable, "-m", "dataclaw.main", "verify", str(self.folder / name)],
            env=os.environ | self.environment, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        assert verified.returncode == 0, verified.stdout + verified.stderr


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.fixture
def two_nodes(home: Home) -> Iterator[RayCluster]:
    with RayCluster(home.environment) as cluster:
        cluster.join()
        yield cluster


def until(condition: Callable[[], Any], driver: subprocess.Popen[str]) -> None:
    """Waits for what other processes do; there is no event to wait for across their borders."""
    end = time.monotonic() + 480
    while not condition():
        assert driver.poll() is None, driver.communicate()
        assert time.monotonic() < end, "it never came"
        time.sleep(0.05)


def ended_well(driver: subprocess.Popen[str]) -> tuple[Any, str]:
    """What a build printed: its answer, and its progress."""
    output, errors = driver.communicate(timeout=600)
    assert driver.returncode == 0, errors
    return json.loads(output), errors


def ended_in_a_line(driver: subprocess.Popen[str]) -> str:
    """What a failed build says at its end, and that it says it soon."""
    _, errors = driver.communicate(timeout=300)
    assert driver.returncode == 1, errors
    assert "Traceback" not in errors
    (line,) = [line for line in errors.splitlines() if line.startswith("dataclaw: ")]
    return line


def test_a_build_uses_both_nodes_and_the_log_of_its_run_says_what_workers_say(
    home: Home, two_nodes: RayCluster
) -> None:
    home.hold()
    driver = home.start_with_server(home.recipe("corpus", two_nodes.address), two_nodes)
    until(lambda: {node for node, _ in home.looked_at()} == {"first", "second"}, driver)
    (victim,) = {process for node, process in home.looked_at() if node == "second"}
    until(lambda: f"ExtractAnchors {victim} on second: talking.expert: heard clip" in home.said.read_text(), driver)
    psutil.Process(victim).kill()
    until(lambda: len(set(home.looked_at())) == 3, driver)
    home.let_go()
    driver.communicate(timeout=600)
    assert driver.returncode == 0, home.said.read_text()
    home.is_whole("corpus")
    logs = json.loads((home.folder / "log.json").read_text())
    warnings = [words for level, words in logs if level == logging.WARNING]
    for node, process in set(home.looked_at()):
        assert any(
            re.match(rf"ExtractAnchors {process} on {node}: talking.expert: heard clip \d", said) for said in warnings
        )
    (death,) = [words for words in warnings if "died" in words]
    assert death.startswith(f"worker ExtractAnchors {victim} on second died; ExtractAnchors ")

    ended_well(home.start(home.recipe("local", None)))
    assert {row["id"] for row in home.rows("corpus")} == {row["id"] for row in home.rows("local")}


def test_a_build_goes_on_when_a_node_is_killed(home: Home, two_nodes: RayCluster) -> None:
    home.hold(FREE)
    driver = home.start(home.recipe("corpus", two_nodes.address), two_nodes)
    until(lambda: {node for node, _ in home.looked_at(FREE)} == {"first", "second"}, driver)
    two_nodes.kill("second")
    home.let_go()
    report, said = ended_well(driver)
    assert report["units_done"] == CLIPS
    assert f"the Ray cluster {two_nodes.address} has lost second" in said
    home.is_whole("corpus")


def test_a_build_whose_head_is_killed_says_so_and_the_next_one_finishes(home: Home, two_nodes: RayCluster) -> None:
    home.hold(FREE)
    driver = home.start(home.recipe("corpus", two_nodes.address), two_nodes)
    until(lambda: len(home.looked_at(FREE)) == 2 and committed(home.folder / "corpus") > 0, driver)
    two_nodes.kill_head()
    line = ended_in_a_line(driver)
    assert f"the Ray cluster {two_nodes.address}" in line
    assert "its head" in line
    assert "Run the build again" in line
    kept = committed(home.folder / "corpus")
    assert 0 < kept < CLIPS
    home.let_go()
    with RayCluster(home.environment) as fresh:
        report, _ = ended_well(home.start(home.recipe("corpus", fresh.address), fresh))
    assert report["units_known"] == kept
    assert report["units_done"] == CLIPS - kept
    home.is_whole("corpus")


def test_a_local_build_whose_ray_is_killed_says_so_and_the_next_one_finishes(home: Home) -> None:
    home.hold(FREE)
    driver = home.start(home.recipe("corpus", None))
    until(lambda: len(home.looked_at(FREE)) == 2 and committed(home.folder / "corpus") > 0, driver)
    (raylet,) = [child for child in psutil.Process(driver.pid).children() if child.name() == "raylet"]
    raylet.kill()
    line = ended_in_a_line(driver)
    assert "the Ray of this machine" in line
    assert "raylet ended with SIGKILL" in line
    assert "Run the build again" in line
    kept = committed(home.folder / "corpus")
    home.let_go()
    report, _ = ended_well(home.start(home.recipe("corpus", None)))
    assert report["units_known"] == kept > 0
    home.is_whole("corpus")


def connect(address: str, corpus: Path, environment: dict[str, str]) -> str:
    """What became of a try. The driver is in no folder with code, since Ray hands that on to workers."""
    done = subprocess.run(
        [sys.executable, "-c", CONNECT, address, str(corpus)],
        env=environment, cwd=corpus.parent, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]


def test_a_cluster_that_cannot_be_used_is_refused_with_the_reason(tmp_path: Path) -> None:
    with RayCluster({"PYTHONPATH": str(ROOT)}, cpus=0) as cluster:
        said = connect(cluster.address, tmp_path / "corpus", cluster.environment | {"DATACLAW_RAY_PATIENCE": "1"})
        assert "none of its 0 CPUs became free in 1 s" in said
        assert "DATACLAW_RAY_PATIENCE" in said
        said = connect(cluster.address, tmp_path / "corpus", cluster.environment | {"RAY_AUTH_TOKEN": "0" * 64})
        assert said.startswith(f"ClusterError 'placement.ray_address {cluster.address}'")
        assert "does not take our token" in said
        assert "RAY_AUTH_TOKEN" in said
        address = cluster.address
    said = connect(address, tmp_path / "corpus", cluster.environment)
    assert "nobody answers there (Connection refused)" in said


def test_a_cluster_of_another_version_is_refused_with_both(tmp_path: Path) -> None:
    with RayCluster({"PYTHONPATH": str(ROOT)}, cpus=0) as cluster:
        cluster.pretend("2.49.0")
        said = connect(cluster.address, tmp_path / "corpus", cluster.environment)
    assert "it runs other versions (Ray: 2.49.0, Python: 3." in said
    assert "Use the same image on all nodes" in said


def test_a_node_that_runs_other_code_is_refused(tmp_path: Path) -> None:
    for package in (*PACKAGES, "tasks"):
        shutil.copytree(ROOT / package, tmp_path / "image" / package)
    with (tmp_path / "image" / "experts" / "base.py").open("a") as file:
        file.write("# another release\n")
    with RayCluster({"PYTHONPATH": str(tmp_path / "image")}) as cluster:
        said = connect(cluster.address, tmp_path / "corpus", cluster.environment | {"PYTHONPATH": str(ROOT)})
    assert f"node first of the Ray cluster {cluster.address}" in said
    assert "runs another version of DataClaw" in said


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may hide a folder from a process")
def test_a_node_that_does_not_reach_the_corpus_is_refused(tmp_path: Path) -> None:
    with RayCluster({"PYTHONPATH": str(ROOT)}, hidden=tmp_path) as cluster:
        said = connect(cluster.address, tmp_path / "corpus", cluster.environment)
    assert f"node first of the Ray cluster {cluster.address}" in said
    assert "there is no corpus here" in said
    assert f"must reach {tmp_path / 'corpus'}" in said

"""`dataclaw train`: what a person types to tune a model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from dataclaw.main import app
from schemas.manifest import Manifest, Statistics
from schemas.model import SnapshotRef
from schemas.triplet import TRIPLET_SCHEMA, Triplet
from storage import snapshots
from storage.catalog.registry import Registry
from storage.corpus import DATA, Corpus
from storage.shards import write_shard
from tests.models.fixtures import once
from tests.training.rows import row

ROOT = Path(__file__).resolve().parents[2]
runner = CliRunner()


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    """Eight rows, published."""
    corpus = Corpus.open(tmp_path / "corpus", create=True)
    rows = [row(number) for number in range(8)]
    shard = write_shard(corpus.location, DATA, Triplet.to_table(rows, TRIPLET_SCHEMA))
    statistics = Statistics(rows=len(rows), by_domain={}, by_task_type={}, reward_mean=1.0, reward_min=1.0)
    manifest = Manifest(
        corpus=corpus.id,
        number=1,
        parent=None,
        run="run",
        created=rows[0].provenance.created,
        shards=(shard,),
        arrow_schema=str(TRIPLET_SCHEMA),
        statistics=statistics,
        dataclaw_version="0",
    )
    snapshots.publish(corpus, manifest)
    return corpus


@pytest.fixture
def training(tmp_path: Path, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.models.tiny_qwen3 import make

    base = once(request.config, "tiny_qwen3", lambda: make(tmp_path_factory.mktemp("tiny_qwen3")))
    quick = {"gradient_checkpointing": False, "save_every": 2, "learning_rate": 0.001}
    settings = {
        "name": "tiny",
        "model": {"name": os.path.relpath(base, tmp_path), "brief": True, "frames": 0, "anchor_tokens": 64},
        "sft": {"steps": 4, "batch": 2, "accumulate": 1, **quick},
        "grpo": {"steps": 2, "batch": 4, "generations": 2, "max_answer": 16, **quick} | {"domains": ["daily_life"]},
    }
    path = tmp_path / "training.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


def run(*arguments: object, launcher: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *launcher, "-m", "dataclaw", "train", *map(str, arguments)]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("stage", ["sft", "grpo"])
def test_every_stage_has_help_with_an_example_and_json(stage: str) -> None:
    done = runner.invoke(app, ["train", stage, "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"})
    assert done.exit_code == 0
    assert f"Example: dataclaw train {stage}" in done.output
    assert "--json" in done.output


def test_what_is_wrong_in_the_settings_is_bad_usage(tmp_path: Path) -> None:
    path = tmp_path / "training.yaml"
    path.write_text("{name: a, model: {name: b}, sft: {epoch: 1}}")
    done = runner.invoke(app, ["train", "sft", str(path), "corpus", "--out", str(tmp_path / "out")])
    assert done.exit_code == 2
    assert "unknown key sft.epoch, did you mean 'epochs'?" in done.output


@pytest.mark.skipif(find_spec("trl") is not None, reason="this environment has the packages")
def test_missing_packages_are_named_with_what_installs_them(tmp_path: Path) -> None:
    path = tmp_path / "training.yaml"
    path.write_text("{name: a, model: {name: b}}")
    done = runner.invoke(app, ["train", "sft", str(path), "corpus", "--out", str(tmp_path / "out")])
    assert done.exit_code == 2
    assert "trl" in done.output
    assert "pip install 'dataclaw-factory[train]'" in done.output


@pytest.mark.models
@pytest.mark.long
def test_sft_then_grpo_by_the_command(corpus: Corpus, training: Path, tmp_path: Path) -> None:
    sft = run("sft", training, corpus.uri, "--out", tmp_path / "sft")
    assert sft.returncode == 0, sft.stderr
    assert sft.stdout.startswith("sft: 4 steps on 8 examples\n")
    assert f"model\t{tmp_path / 'sft' / 'model'}\n" in sft.stdout
    assert f"--from {tmp_path / 'sft' / 'model'}" in sft.stdout
    assert "step 1 of 4: loss " in sft.stderr
    assert "step 4 of 4: loss " in sft.stderr
    assert "Traceback" not in sft.stderr
    assert (tmp_path / "sft" / "curves" / "loss.svg").exists()

    begin = ("--from", tmp_path / "sft" / "model")
    grpo = run("grpo", training, corpus.uri, *begin, "--out", tmp_path / "grpo", "--register", "--json")
    assert grpo.returncode == 0, grpo.stderr
    found = json.loads(grpo.stdout)
    assert found["registered"] == "tiny@1"
    with Registry.open(corpus.catalog_url()) as registry:
        model = registry.get("tiny@1")
    assert (model.kind, model.state, model.snapshot) == ("omni", "candidate", SnapshotRef(corpus=corpus.id, number=1))
    assert model.prompting.adapter is None
    assert model.metrics.keys() >= {"loss", "rewards/R/mean"}
    assert found["examples"] == 8
    assert found["steps"] == 2
    assert {"rewards/R/mean", "kl", "reward_share"} <= found["metrics"].keys()
    assert [Path(path).name for path in found["curves"]] == ["loss.svg", "reward.svg", "divergence.svg", "length.svg"]

    training.write_text(training.read_text().replace("daily_life", "gui"))
    other = run("grpo", training, corpus.uri, *begin, "--out", tmp_path / "other")
    assert other.returncode != 0
    assert "the training side has no row of its domains. Change grpo.domains" in other.stderr


@pytest.mark.models
@pytest.mark.long
def test_two_processes_train_together_and_one_of_them_writes(corpus: Corpus, training: Path, tmp_path: Path) -> None:
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
    done = run("sft", training, corpus.uri, "--out", tmp_path / "sft", launcher=launcher)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("sft: 4 steps on 8 examples") == 1
    assert done.stderr.count("step 4 of 4") == 1
    steps = [json.loads(line)["step"] for line in (tmp_path / "sft" / "log.jsonl").read_text().splitlines()]
    assert steps == [1, 2, 3, 4, 4]
    assert {"rng_state_0.pth", "rng_state_1.pth"} <= json.loads(
        (tmp_path / "sft" / "checkpoint-4" / "sealed.json").read_text()
    ).keys()

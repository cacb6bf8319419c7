"""A corpus grows, and its model learns, is measured and promoted, and builds: by events, with nobody at the keys.

Everything is real but small: Prefect's server with its triggers, workers, Ray, TRL, transformers, and a random Qwen3-VL
of less than a million parameters. What it writes means nothing; that it comes to write is what is shown.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from schemas.events import ModelBenchmarked, ModelPromoted, ModelRegistered
from storage.catalog.registry import Registry
from storage.corpus import Corpus
from tests.deployments.conftest import Server
from tests.flows.clips import write_clip
from tests.models.fixtures import tiny_qwen3_vl

__all__ = ["tiny_qwen3_vl"]
pytestmark = [pytest.mark.long, pytest.mark.models, pytest.mark.timeout(1200)]
ACCESS = {"DATACLAW_ROOTS": tempfile.gettempdir(), "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}


def recipe(folder: Path, **more: object) -> Path:
    """A build of the clips in `raw`, half of whose streams are kept apart for validation."""
    content = {
        "name": "night",
        "corpus": "corpus",
        "intents": ["Make temporal questions and answers."],
        "sources": [{"uri": "raw", "domain": "daily_life"}],
        "split": {"validation_share": 0.5},
        "growth": {"rows": 4, "task_types": 9, "domains": 9},
        **more,
    }
    file = folder / "night.yaml"
    file.write_text(yaml.safe_dump(content))
    return file


def training(folder: Path, base: Path) -> Path:
    """Two steps of SFT and one of GRPO, a set of four examples, and a rule that any first model meets."""
    steps = {"learning_rate": 1e-3, "gradient_checkpointing": False, "save_every": 1}
    content = {
        "name": "tailor",
        "model": {
            "name": str(base),
            "frames": 1,
            "image_side": 64,
            "brief": True,
            "anchor_tokens": 200,
            "max_tokens": 200,
            "context": 8192,
        },
        "lora": {"rank": 4, "alpha": 8},
        "sft": {**steps, "steps": 2, "batch": 1, "accumulate": 1},
        "grpo": {**steps, "steps": 1, "generations": 2, "batch": 2, "max_answer": 32},
        "benchmark": {"val": "val", "draw": 4},
        "promotion": {"valid": 0.0},
    }
    file = folder / "training.yaml"
    file.write_text(yaml.safe_dump(content))
    return file


def deployments(folder: Path, settings: Path) -> Path:
    """The repository's prefect.yaml with this chain's places, on the CPU, and without nights."""
    config = yaml.safe_load((Path(__file__).parents[2] / "prefect.yaml").read_text())
    config["deployments"] = [item for item in config["deployments"] if item["name"] in CHAIN]
    for item in config["deployments"]:
        item["schedules"] = []
        item["work_pool"] = {"name": "dataclaw-cpu", "job_variables": {"env": ACCESS}}
        for trigger in item.get("triggers", ()):
            trigger["enabled"] = True
        if item["name"] == "retrain":
            item["parameters"] = {"training": str(settings)}
    file = folder / "prefect.yaml"
    file.write_text(yaml.safe_dump(config, sort_keys=False))
    return file


CHAIN = ("build", "retrain", "benchmark", "promote")
LINE = {
    "type": "object",
    "properties": {
        "start": {"type": "number", "enum": [0.2]},
        "end": {"type": "number", "enum": [1.8]},
        "text": {"type": "string", "enum": ["This is clip number 3."]},
    },
    "required": ["start", "end", "text"],
    "additionalProperties": False,
}
"""A form in which a model of random weights, held to it, can say but what is true of clip 3."""


def runs(server: Server, deployment: str) -> list[dict[str, Any]]:
    return server.ask("flow_runs/filter", deployments={"name": {"any_": [deployment]}}, sort="EXPECTED_START_TIME_ASC")


def only(server: Server, deployment: str) -> dict[str, Any]:
    """The end of the one run of a deployment, which something else has started."""
    (run,) = server.until(lambda: runs(server, deployment), f"run of {deployment}")
    state = server.ended(run["id"], within=400)
    assert state["type"] == "COMPLETED", (deployment, state)
    (run,) = runs(server, deployment)
    return run


def artifacts(server: Server, run: dict[str, Any]) -> dict[str, Any]:
    found = server.ask("artifacts/filter", artifacts={"flow_run_id": {"any_": [run["id"]]}})
    return {item["key"]: item["data"] for item in found}


@pytest.fixture(scope="module")
def chain(server: Server, tiny_qwen3_vl: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What happened once a first build had been ordered, by deployment."""
    folder = tmp_path_factory.mktemp("chain")
    for seed in range(12):
        write_clip(folder / "raw" / f"{seed:02d}.mp4", seed)
    server.run("dataclaw", "deploy", "--file", str(deployments(folder, training(folder, tiny_qwen3_vl))))
    with server.worker("dataclaw-cpu"):
        server.order("build", parameters={"recipe": str(recipe(folder))})
        told = {name: only(server, name) for name in CHAIN}
        file = recipe(
            folder,
            sources=[{"uri": "raw/03.mp4", "domain": "daily_life"}],
            intents=["The first line."],
            output_schema=LINE,
            synthesis={"backend": "model:tailor"},
            placement={"serving": {"concurrency": 2}},
        )
        told["next build"] = {"id": server.order("build", parameters={"recipe": str(file)})}
        told["next build"]["state"] = server.ended(told["next build"]["id"], within=400)
    return told | {"corpus": Corpus.open(folder / "corpus")}


def test_growth_ends_in_a_candidate_that_has_its_curves(server: Server, chain: dict[str, Any]) -> None:
    run = chain["retrain"]
    assert run["parameters"]["snapshot"] == 1
    assert run["state"]["message"].startswith("tailor@1 from snapshot 1 of ")
    shown = artifacts(server, run)
    assert {"sft-result", "sft-left-out", "grpo-result", "grpo-left-out", "candidate"} <= set(shown)
    for key, pictures in {"sft-curves": ("loss",), "grpo-curves": ("loss", "reward", "length")}.items():
        for picture in pictures:
            assert f"![{picture}](data:image/svg+xml;base64," in shown[key]
    (event,) = server.events(ModelRegistered.name)
    assert ModelRegistered.model_validate(event["payload"]).model == "tailor@1"


def test_a_candidate_is_measured_beside_rules(server: Server, chain: dict[str, Any]) -> None:
    assert chain["benchmark"]["parameters"] == {"model": "tailor@1", "corpus": chain["corpus"].uri, "catalog": None}
    table = artifacts(server, chain["benchmark"])["benchmark"]
    assert "| rules | overall |" in table
    assert "| tailor@1 | overall |" in table
    (event,) = server.events(ModelBenchmarked.name)
    assert ModelBenchmarked.model_validate(event["payload"]).over is None


def test_what_passes_its_rule_is_promoted_and_says_why(server: Server, chain: dict[str, Any]) -> None:
    assert chain["promote"]["state"]["name"] == "Completed"
    assert "valid JSON in" in artifacts(server, chain["promote"])["promotion"]
    (event,) = server.events(ModelPromoted.name)
    assert ModelPromoted.model_validate(event["payload"]).model == "tailor@1"
    with Registry.open(chain["corpus"].catalog_url()) as registry:
        model = registry.get("tailor")
    assert model.reference == "tailor@1"
    assert {"sft/loss", "grpo/rewards/R/mean", "val/overall/json"} <= set(model.metrics)


def test_the_next_build_asks_the_promoted_model(server: Server, chain: dict[str, Any]) -> None:
    state = chain["next build"]["state"]
    assert state["type"] == "COMPLETED", state
    usage = json.loads(artifacts(server, chain["next build"])["model-usage"])
    assert next(int(row["of this run"]) for row in usage if row["what"] == "requests") > 0

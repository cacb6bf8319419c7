"""Corpora built by real engines on a CPU: whatever a random model writes satisfies the schema, and is judged."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pytest
import yaml

from synthesis.verification.format import validator_of
from tests.flows.clips import write_clip
from tests.models.fixtures import Served

pytestmark = [pytest.mark.models, pytest.mark.long, pytest.mark.timeout(900)]

SCENE = {
    "type": "object",
    "properties": {
        "mood": {"enum": ["calm", "tense"]},
        "lines": {"type": "array", "minItems": 1, "maxItems": 2, "items": {
            "type": "object",
            "properties": {"text": {"type": "string", "pattern": "^(This is clip number [0-2]|Nobody said it)[.]$"},
                           "loud": {"type": "boolean"}},
            "required": ["text", "loud"], "additionalProperties": False}},
    },
    "required": ["mood", "lines"], "additionalProperties": False,
}  # fmt: skip
"""Every string is one of four: what a random model writes ends, and now and then holds."""


def build(folder: Path, backend: str, model: dict[str, Any], serving: dict[str, Any] | None = None) -> dict[str, Any]:
    for seed in range(3):
        write_clip(folder / "raw" / f"clip {seed}.mp4", seed)
    (folder / "scene.json").write_text(json.dumps(SCENE))
    recipe = {
        "name": "scenes",
        "corpus": str(folder / "corpus"),
        "sources": [{"uri": str(folder / "raw"), "domain": "daily_life"}],
        "intents": ["What is said, and in which mood."],
        "output_schema": "scene.json",
        "synthesis": {"backend": backend, "model": {"temperature": 1.0, "max_tokens": 200, "context": 6000, "frames": 2,
                                                    "image_side": 128, "thumbnails": 0} | model},
        "placement": {"serving": {"concurrency": 4} | (serving or {})},
    }  # fmt: skip
    file = folder / "recipe.yaml"
    file.write_text(yaml.safe_dump(recipe))
    command = [sys.executable, "-m", "dataclaw.main", "build", str(file), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=800)
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


def check(folder: Path, report: dict[str, Any]) -> None:
    """Every unit ended as done or as a reject with its report; every answer satisfies the schema."""
    assert report["units_done"] + report["units_filtered"] == 3, report
    assert report["usage"]["requests"] >= 3
    assert report["usage"]["completion_tokens"] > 0
    shown = subprocess.run(
        [sys.executable, "-m", "dataclaw.main", "rejects", str(folder / "corpus"), "--json"],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    rejects = [item["outcome"] for item in json.loads(shown.stdout)]
    trails = [json.loads(item["trail"]) for item in rejects]
    for item in rejects:
        assert item["score"]["format_errors"] == []
        assert any(not support["supported"] for support in item["score"]["supports"])
        assert "not supported" in item["problem"]["cause"]
    if report["units_done"]:
        manifest = json.loads(max((folder / "corpus" / "snapshots").glob("*.json")).read_text())
        rows = ds.dataset([str(folder / "corpus" / s["path"]) for s in manifest["shards"]]).to_table().to_pylist()
        trails += [json.loads(row["provenance"]["trail"]) for row in rows]
        verified = subprocess.run(
            [sys.executable, "-m", "dataclaw.main", "verify", str(folder / "corpus")], timeout=200
        )
        assert verified.returncode == 0
    answers = [exchange["answer"] for trail in trails for exchange in trail["exchanges"]]
    assert len(answers) == report["usage"]["requests"]
    assert all(validator_of(SCENE).is_valid(json.loads(answer)) for answer in answers)


def test_an_engine_in_the_workers(tmp_path: Path, tiny_qwen3_vl: Path) -> None:
    check(tmp_path, build(tmp_path, "vllm", {"name": str(tiny_qwen3_vl)}))


def test_an_engine_behind_its_server(tmp_path: Path, vllm_server: Served) -> None:
    check(tmp_path, build(tmp_path, "openai", {"name": vllm_server.model}, {"base_url": vllm_server.base_url}))


def test_transformers_in_the_workers(tmp_path: Path, tiny_qwen3_vl: Path) -> None:
    check(tmp_path, build(tmp_path, "transformers", {"name": str(tiny_qwen3_vl)}))


def test_a_small_real_model_behind_a_server_reads_text_only(tmp_path: Path, smollm2_server: Served) -> None:
    model = {"name": smollm2_server.model, "frames": 0}
    check(tmp_path, build(tmp_path, "openai", model, {"base_url": smollm2_server.base_url}))

"""Streams that take their worker down each time: they are set aside with their reason, and harm no other."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pytest
import yaml

from storage import snapshots
from storage.corpus import Corpus
from storage.deaths import MAX_DEATHS
from tests.flows.clips import write_clip

pytestmark = pytest.mark.long

PACKAGE = Path(__file__).parents[1] / "plugins" / "poison"
SOUND = 13
"""With the two that kill in extraction and one worker, these go three to a batch: each of the two has neighbours."""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with the package as an installer would leave it, streams, and a recipe."""
    shutil.copytree(PACKAGE, tmp_path / "installed", ignore=shutil.ignore_patterns("__pycache__"))
    raw = tmp_path / "raw"
    for seed in range(SOUND - 1):
        write_clip(raw / "alone" / f"{seed:02d}.mp4", seed, seconds=2.0)
    write_clip(raw / "together" / "sound.mp4", 20, seconds=2.0)
    deadly = [
        write_clip(raw / "alone" / "04 kills extraction.mp4", 30, 2.0),
        write_clip(raw / "together" / "kills.mp4", 31, 2.0),
    ]
    for clip in deadly:
        words = clip.with_suffix(".srt").read_text().replace("This is", f"It kills extraction, {clip.stem}:")
        clip.with_suffix(".srt").write_text(words)
    write_clip(raw / "alone" / "05 kills synthesis.mp4", 32, seconds=2.0)
    recipe = {
        "name": "poison",
        "corpus": str(tmp_path / "corpus"),
        "sources": [
            {
                "uri": str(raw / "together"),
                "domain": "daily_life",
                "group_by": "folder",
                "intents": ["Write a tutorial"],
            },
            {"uri": str(raw / "alone"), "domain": "daily_life"},
        ],
        "intents": ["Make temporal questions and answers about when things are said."],
        "synthesis": {"backend": "fragile"},
        "placement": {"extract_workers": 1},
    }
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    return tmp_path


def build(home: Path) -> dict[str, Any]:
    path = os.pathsep.join([str(home / "installed"), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-m", "dataclaw.main", "build", str(home / "recipe.yaml"), "--json"],
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "PYTHONPATH": path, "POISON_DEATHS": str(home / "deaths")},
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def deaths(home: Path) -> Counter[str]:
    return Counter((home / "deaths").read_text().splitlines())


def test_streams_that_kill_their_workers_are_set_aside_and_harm_no_other(home: Path) -> None:
    report = build(home)
    ends = {Path(item["uri"]).stem: item for item in report["inputs"]}
    deadly = {"04 kills extraction", "kills", "05 kills synthesis"}
    assert {name for name, item in ends.items() if item["outcome"] == "failed"} == deadly
    assert all(item["outcome"] == "done" for name, item in ends.items() if name not in deadly)
    for name in deadly:
        assert f"took its worker down {MAX_DEATHS} times" in ends[name]["reasons"][0]
    assert report["state"] == "completed with rejects"
    killed = deaths(home)
    assert len(killed) == len(deadly)
    assert max(killed.values()) <= MAX_DEATHS + 1, "one more each at most: the first death shows only that one kills"

    corpus = Corpus.open(home / "corpus")
    manifest = snapshots.latest(corpus)
    assert manifest is not None
    assert snapshots.verify_files(corpus, manifest) == []
    rows = ds.dataset([corpus.location.path(shard.path) for shard in manifest.shards]).to_table().to_pylist()
    (together,) = [row for row in rows if row["task_type"] == "tutorial"]
    assert [stream["name"] for stream in together["streams"]] == ["sound"], "it is made without the one that kills"
    assert len(rows) == SOUND

    quarantine = [sys.executable, "-m", "dataclaw.main", "quarantine", str(home / "corpus"), "--json"]
    listed = subprocess.run(quarantine, capture_output=True, text=True, check=True).stdout
    assert {Path(item["uri"]).stem for item in json.loads(listed)} == deadly

    again = build(home)
    assert deaths(home) == killed, "the next night loses no worker to them"
    assert {Path(item["uri"]).stem for item in again["inputs"] if item["outcome"] == "failed"} == deadly
    assert again["units_known"] == len(rows)

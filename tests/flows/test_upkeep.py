"""The flows that keep a corpus: on what a real build made, with a real Prefect server."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from storage import snapshots
from storage.corpus import Corpus
from tests.flows.clips import write_clip

pytestmark = pytest.mark.long

INTENT = "Make temporal questions and answers about when things are said."
FLOWS = """
import dataclasses, json, sys
from dataclaw.local_server import prefect_api
from flows.maintain_corpus import maintain_corpus
from flows.verify_corpus import verify_corpus

with prefect_api():
    done = maintain_corpus(sys.argv[1], keep=1, days=0.0, grace_hours=0.0)
    verdict = verify_corpus(sys.argv[1], rows=5)
print(json.dumps([dataclasses.asdict(done), dataclasses.asdict(verdict)], default=str))
"""


def run(*command: object) -> str:
    done = subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout


def build(raw: Path, corpus: Path, *intents: str) -> dict:
    asked = [word for intent in intents for word in ("--intent", intent)]
    command = ["build", raw, "--domain", "daily_life", *asked, "--out", corpus, "--json"]
    return json.loads(run("-m", "dataclaw.main", *command))


def test_a_bad_night_is_rolled_back_and_the_next_build_leaves_it_so(tmp_path: Path) -> None:
    raw, corpus = tmp_path / "raw", tmp_path / "corpus"
    raw.mkdir()
    write_clip(raw / "clip.mp4", 0)
    build(raw, corpus, INTENT)
    good = snapshots.load(Corpus.open(corpus), 1)
    bad = build(raw, corpus, INTENT, "Write a tutorial")
    assert (bad["snapshot"], bad["rows"]) == (2, 2)
    run("-m", "dataclaw.main", "corpora", "rollback", corpus, "--to", 1)
    night = build(raw, corpus, INTENT, "Write a tutorial")
    assert night["snapshot"] is None
    assert night["state"] == "completed with rejects"
    assert "rolled back to snapshot 1" in json.dumps(night)
    newest = snapshots.latest(Corpus.open(corpus))
    assert newest is not None
    assert (newest.number, newest.shards) == (3, good.shards)

    done, verdict = json.loads(run("-c", FLOWS, corpus).splitlines()[-1])
    assert done["expired"] == [1, 2]
    assert (verdict["snapshot"], verdict["rows"], verdict["failures"]) == (3, 1, [])
    assert verdict["claims"] > 0

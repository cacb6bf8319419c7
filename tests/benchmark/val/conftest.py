"""A real corpus of generated streams of all five domains, built by the flow's own body, and a set drawn from it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark.val.draw import make
from benchmark.val.store import Val, open_val
from sources.samples import make_samples
from storage import snapshots
from storage.corpus import Corpus
from storage.location import Location
from tests.models.fixtures import tiny_qwen3_vl

__all__ = ["tiny_qwen3_vl"]

ROOT = Path(__file__).resolve().parents[3]
EXPERTS = ("shots", "subtitles", "screen", "input_events", "proprioception", "strokes", "edit_region", "given_text")
"""All but those that read screens, which take most of the time."""
ASKED = {
    "daily_life/tyre.webm": ("Make questions about when things happen and are said", "Cut it into clips"),
    "education": ("Make a tutorial", "An outline of the lesson"),
    "gui/notes_episode": ("Reconstruct the trajectory of this session",),
    "embodied": ("Name the fault of this manipulation", "World-model transitions"),
    "aigc/drawings.npz": ("Drawing sequences that show each picture stroke by stroke",),
    "aigc/edit_pairs": ("Turn these edits into image editing instructions",),
}


def build(folder: Path, streams: Path, asked: dict[str, tuple[str, ...]]) -> Corpus:
    """A corpus of these streams, all of it for validation. In a process of its own: the flow is taken apart there."""
    recipe = {
        "name": "val",
        "corpus": str(folder),
        "split": {"validation_share": 1.0},
        "experts": [{"name": name} for name in (*EXPERTS, "motion")],
        "sources": [
            {"uri": str(streams / place), "domain": place.partition("/")[0], "intents": intents}
            for place, intents in asked.items()
        ],
    }
    subprocess.run(
        [sys.executable, "-m", "tests.flows.nights", json.dumps(recipe)], cwd=ROOT, stdin=subprocess.DEVNULL, check=True
    )
    return Corpus.open(folder)


@pytest.fixture(scope="session")
def sample_streams(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("streams")
    make_samples(folder)
    return folder


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory, sample_streams: Path) -> Corpus:
    return build(tmp_path_factory.mktemp("corpora") / "samples", sample_streams, ASKED)


@pytest.fixture(scope="session")
def val(tmp_path_factory: pytest.TempPathFactory, corpus: Corpus) -> Val:
    """12 clear examples and 8 fuzzy requests."""
    folder = tmp_path_factory.mktemp("vals") / "val"
    manifest = snapshots.latest(corpus)
    assert manifest is not None
    make(corpus, manifest, Location.of(folder), size=12, fuzzy=8, seed=1, version="1")
    return open_val(str(folder))

"""Nights in which builds die at any step, are refused the disk, meet each other, and find other inputs each time: what
was committed is published once and whole, nothing is lost, and in the end the corpus is that of undisturbed nights.

DATACLAW_CRASHES=1000 tries so many series of nights, drawn anew each time.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from schemas.triplet import Triplet
from storage import snapshots
from storage.catalog.catalog import Catalog
from storage.catalog.models import AnchorsRow, SlotRow, UnitRow
from storage.corpus import Corpus
from storage.shards import read_shard
from tests.flows.clips import write_clip

pytestmark = pytest.mark.long

SERIES = int(os.environ.get("DATACLAW_CRASHES", "15"))
QUESTIONS = "Make temporal questions and answers about when things are said."
TUTORIAL = "Write a tutorial"
FORMS = {QUESTIONS: "temporal_qa", TUTORIAL: "tutorial"}
NAMES, VERSIONS = "abcd", 3
STEPS = 70
"""A night has 30 to 110, by what it has to do; where it has fewer than its fate needs, none befalls it."""


@dataclass(frozen=True)
class Night:
    """What is changed before it, what is asked, and what befalls it."""

    changes: tuple[tuple[str, int | None], ...]
    """(name, content): a version, -1 for what is no film, None to remove it."""
    intents: tuple[str, ...]
    fate: str
    step: int
    """From which the storage refuses, or at which the build is killed."""
    twins: bool
    """A second build of the same corpus is started at the same moment."""


NIGHTS = st.builds(
    Night,
    changes=st.lists(
        st.tuples(st.sampled_from(NAMES), st.sampled_from([*range(VERSIONS), -1, None])), min_size=1, max_size=3
    ).map(tuple),
    intents=st.sampled_from([(QUESTIONS,), (TUTORIAL,), (QUESTIONS, TUTORIAL)]),
    fate=st.sampled_from(["none", "killed", "killed", "killed", "refused"]),
    step=st.integers(1, STEPS),
    twins=st.sampled_from([False, False, True]),
)


@dataclass
class Builder:
    """The process that carries nights out, and what it did so far."""

    home: Path
    process: subprocess.Popen[str]
    did: Counter[str] = field(default_factory=Counter)

    def night(self, *orders: dict[str, Any]) -> list[dict[str, Any]]:
        """Starts builds at once, and tells how each ended."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(orders) + "\n")
        self.process.stdin.flush()
        ends: list[dict[str, Any]] = json.loads(self.process.stdout.readline())
        self.did["builds"] += len(ends)
        for end in ends:
            kind = "killed" if end["status"] == 9 else "refused" if "error" in end else "completed"
            self.did[kind] += 1
            assert kind == "killed" or end["status"] == 0, "a build ends with a report, a clear error, or not at all"
        return ends


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builder]:
    home = tmp_path_factory.mktemp("crashes")
    for number, name in enumerate(NAMES):
        for version in range(VERSIONS):
            write_clip(home / "pool" / f"{name}{version}.mp4", 10 * number + version, seconds=1.0)
    first = recipe(home / "warm", home / "pool", (QUESTIONS, TUTORIAL))
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.flows.nights", json.dumps(first)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    with process:
        made = Builder(home, process)
        yield made
        process.stdin.close()  # type: ignore[union-attr]
    print(f"\n{json.dumps(made.did)}")


def recipe(corpus: Path, raw: Path, intents: Sequence[str]) -> dict[str, Any]:
    return {
        "name": "nights",
        "corpus": str(corpus),
        "sources": [{"uri": str(raw), "domain": "daily_life"}],
        "intents": list(intents),
        "experts": [{"name": "subtitles"}],
    }


def change(raw: Path, pool: Path, name: str, content: int | None) -> None:
    film, cues = raw / f"{name}.mp4", raw / f"{name}.srt"
    for file in (film, cues):
        file.unlink(missing_ok=True)
    if content == -1:
        film.write_text(f"{name} is no film")
    elif content is not None:
        for file in (film, cues):
            shutil.copy(pool / f"{name}{content}{file.suffix}", file)


@settings(
    max_examples=SERIES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[phase for phase in Phase if phase is not Phase.explain],
)
@given(nights=st.lists(NIGHTS, min_size=2, max_size=5))
def test_whatever_befalls_a_night_the_corpus_is_whole_and_in_the_end_complete(
    builder: Builder, nights: list[Night]
) -> None:
    builder.did["series"] += 1
    home = builder.home / str(builder.did["series"])
    raw, corpus = home / "raw", home / "corpus"
    raw.mkdir(parents=True)
    there: dict[str, int] = {}
    for night in nights:
        for name, content in night.changes:
            change(raw, builder.home / "pool", name, content)
            there.pop(name, None)
            if content is not None:
                there[name] = content
        if not there:
            continue  # no input at all is bad usage
        sound = {"recipe": recipe(corpus, raw, night.intents), "step": 0, "refuse": False}
        fated = sound if night.fate == "none" else {**sound, "step": night.step, "refuse": night.fate == "refused"}
        ends = builder.night(fated, *([sound] if night.twins else []))
        if (corpus / "catalog.db").exists():
            audit(corpus, complete=all("report" in end for end in ends))
    if not there:
        return
    asked = nights[-1].intents
    (last,) = builder.night({"recipe": recipe(corpus, raw, asked), "step": 0, "refuse": False})
    audit(corpus, complete=True)
    failed = {Path(item["uri"]).stem for item in last["report"]["inputs"] if item["outcome"] != "done"}
    assert failed == {name for name, content in there.items() if content == -1}

    undisturbed = home / "undisturbed"
    builder.night({"recipe": recipe(undisturbed, raw, asked), "step": 0, "refuse": False})
    wanted = {
        (name, FORMS[intent]): f"clip number {10 * NAMES.index(name) + content}."
        for name, content in there.items()
        for intent in asked
        if content != -1
    }
    of_last = {key: row for key, row in rows(corpus).items() if key in wanted}
    assert of_last.keys() == wanted.keys()
    assert all(wanted[key] in row.output for key, row in of_last.items())
    assert {row.id for row in of_last.values()} == {row.id for row in rows(undisturbed).values()}
    shutil.rmtree(home)


def rows(corpus: Path) -> dict[tuple[str, str], Triplet]:
    """The rows of the newest snapshot by their stream's name and their form; each of them once."""
    opened = Corpus.open(corpus)
    manifest = snapshots.latest(opened)
    if manifest is None:
        return {}
    found = [row for batch in snapshots.iter_triplets(opened, manifest, 64) for row in Triplet.from_table(batch)]
    by_place = {(Path(row.streams[0].uri).stem, row.task_type): row for row in found}
    assert len(by_place) == len(found)
    return by_place


def audit(uri: Path, complete: bool) -> None:
    """What must hold of a corpus after every night, whatever befell it, by its files and its catalog. `complete`: all
    builds of the night came to their end, so what they committed is published."""
    corpus = Corpus.open(uri)
    for number in snapshots.numbers(corpus):
        manifest = snapshots.load(corpus, number)
        assert snapshots.verify_files(corpus, manifest) == []
        held = [read_shard(corpus.location, shard.path, ["id", "unit"]) for shard in manifest.shards]
        assert sum(table.num_rows for table in held) == manifest.statistics.rows
        for column in ("id", "unit"):
            values = [value for table in held for value in table[column].to_pylist()]
            assert len(values) == len(set(values)), "no row is published twice"
    with Catalog.open(corpus.catalog_url(), corpus) as catalog:
        db = catalog._db
        committed = db.read(lambda s: s.execute(select(UnitRow.unit, UnitRow.triplet, UnitRow.shard)).all())
        for unit, triplet, path in committed:
            if path is not None:
                shard = read_shard(corpus.location, path, ["id", "unit"]).to_pylist()
                assert shard.count({"id": triplet, "unit": unit}) == 1, "what was committed lies where it was said"
        for path in db.read(lambda s: s.scalars(select(AnchorsRow.shard).distinct()).all()):
            assert corpus.location.exists(path)
        slots = db.read(lambda s: set(s.scalars(select(SlotRow.unit))))
        assert slots <= {unit for unit, _, _ in committed}
        assert db.read(catalog._claims.live) == set(), "no claim is left that keeps the next run from its work"
        if complete:
            live = {unit for unit, _, path in committed if path is not None and unit in slots}
            assert {row.unit for row in rows(uri).values()} == live

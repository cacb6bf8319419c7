"""A snapshot appears whole or not at all, and needs nothing of DataClaw to be read."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from schemas.errors import CorpusError
from schemas.manifest import Manifest, Shard, Statistics
from schemas.rows import Written
from schemas.triplet import TRIPLET_SCHEMA, Triplet
from storage import snapshots
from storage.catalog.catalog import Catalog
from storage.corpus import Corpus
from storage.publish import publish_corpus
from storage.shards import write_shard


def manifest_of(corpus: Corpus, number: int, *shards: Shard) -> Manifest:
    return Manifest(
        corpus=corpus.id,
        number=number,
        parent=number - 1 or None,
        run="run-1",
        created=datetime(2026, 1, 1, tzinfo=UTC),
        shards=shards,
        arrow_schema="text",
        statistics=Statistics(rows=0, by_domain={}, by_task_type={}, reward_mean=None, reward_min=None),
        dataclaw_version="0",
    )


def test_snapshots_are_numbered_and_the_latest_is_found(corpus: Corpus) -> None:
    assert snapshots.latest(corpus) is None
    assert snapshots.numbers(corpus) == []
    for number in (1, 2, 10, 1_000_000):
        snapshots.publish(corpus, manifest_of(corpus, number))
    assert snapshots.numbers(corpus) == [1, 2, 10, 1_000_000]
    assert snapshots.latest(corpus) == manifest_of(corpus, 1_000_000)
    assert snapshots.load(corpus, 2) == manifest_of(corpus, 2)


def test_a_number_is_given_once(corpus: Corpus) -> None:
    snapshots.publish(corpus, manifest_of(corpus, 1))
    with pytest.raises(CorpusError, match="published this snapshot first"):
        snapshots.publish(corpus, manifest_of(corpus, 1).model_copy(update={"run": "run-2"}))
    assert snapshots.load(corpus, 1).run == "run-1"


def test_a_snapshot_that_is_not_there_is_named_with_those_that_are(corpus: Corpus) -> None:
    snapshots.publish(corpus, manifest_of(corpus, 1))
    with pytest.raises(CorpusError, match="Snapshots of this corpus: 1"):
        snapshots.load(corpus, 7)


@pytest.mark.parametrize("path", ["../outside.parquet", "/etc/passwd", "data/../../x", "s3://bucket/x.parquet"])
def test_a_manifest_that_points_outside_its_corpus_is_refused(corpus: Corpus, path: str) -> None:
    content = json.loads(manifest_of(corpus, 1).model_dump_json())
    content["shards"] = [{"path": path, "sha256": "ab" * 32, "rows": 1, "size": 1}]
    corpus.location.create("snapshots/000001.json", json.dumps(content).encode())
    with pytest.raises(CorpusError, match="outside its folder") as caught:
        snapshots.latest(corpus)
    assert caught.value.problem.input.endswith("snapshots/000001.json")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"{}", b"[1]"])
def test_a_malformed_manifest_is_named(corpus: Corpus, content: bytes) -> None:
    corpus.location.create("snapshots/000003.json", content)
    with pytest.raises(CorpusError, match="malformed") as caught:
        snapshots.load(corpus, 3)
    assert caught.value.problem.input.endswith("snapshots/000003.json")


def test_a_manifest_under_anothers_number_is_refused(corpus: Corpus) -> None:
    corpus.location.create("snapshots/000002.json", manifest_of(corpus, 1).model_dump_json().encode())
    with pytest.raises(CorpusError, match="says that it is snapshot 1"):
        snapshots.load(corpus, 2)


def test_rows_are_read_as_a_dataset_and_a_few_at_a_time(corpus: Corpus, make: Any) -> None:
    triplets = [make.triplet(str(number)) for number in range(5)]
    shards = [
        write_shard(corpus.location, "data", Triplet.to_table(part, TRIPLET_SCHEMA))
        for part in (triplets[:3], triplets[3:])
    ]
    manifest = manifest_of(corpus, 1, *shards)
    assert snapshots.dataset(corpus, manifest).to_table(columns=["id"])["id"].to_pylist() == [t.id for t in triplets]
    assert snapshots.dataset(corpus, manifest).count_rows() == 5
    batches = list(snapshots.iter_triplets(corpus, manifest, 2))
    assert [batch.num_rows for batch in batches] == [2, 1, 2]
    assert [t for batch in batches for t in Triplet.from_table(batch)] == triplets
    (first, *_) = snapshots.iter_triplets(corpus, manifest, 100, ["output", "id"])
    assert first.column_names == ["output", "id"]
    assert snapshots.dataset(corpus, manifest_of(corpus, 2)).count_rows() == 0


def test_files_that_are_not_those_published_are_listed(corpus: Corpus, make: Any) -> None:
    shards = [
        write_shard(corpus.location, "data", Triplet.to_table([make.triplet(name)], TRIPLET_SCHEMA)) for name in "abc"
    ]
    manifest = manifest_of(corpus, 1, *shards)
    assert snapshots.verify_files(corpus, manifest) == []
    corpus.location.replace(shards[0].path, corpus.location.read_bytes(shards[0].path) + b" ")
    corpus.location.remove(shards[2].path)
    problems = snapshots.verify_files(corpus, manifest)
    assert [problem.input for problem in problems] == [corpus.location.uri(shards[i].path) for i in (0, 2)]


STRANGER = """
import json, pathlib, sys
folder = pathlib.Path(sys.argv[1])
manifest = json.loads(max((folder / "snapshots").glob("*.json")).read_text())
files = [str(folder / shard["path"]) for shard in manifest["shards"]]

import pyarrow.dataset
table = pyarrow.dataset.dataset(files, format="parquet").to_table(columns=["id", "task_type", "output"])
assert table.num_rows == manifest["statistics"]["rows"] == 3, table

import datasets
rows = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=sys.argv[2])
assert len(rows) == 3
(frame,) = rows[0]["evidence"]
assert frame["image"].size == (8, 6) and frame["image"].getpixel((0, 0)) == (200, 30, 40), frame
# To its end: pyarrow's threads that read ahead for a stream that is left abort a process that ends.
streamed, *_ = datasets.load_dataset("parquet", data_files=files, split="train", streaming=True)
assert streamed["evidence"][0]["image"].size == (8, 6)
assert not [name for name in sys.modules if name.split(".")[0] in ("schemas", "storage", "dataclaw")]
"""


def test_strangers_read_a_snapshot_from_its_manifest_alone_and_see_the_pictures(
    tmp_path: Path, write: Callable[..., list[Written]], corpus: Corpus, catalog: Catalog, make: Any
) -> None:
    if not corpus.location.is_local:
        pytest.skip("another process cannot see this one's memory")
    catalog.commit("run-1", write(make.done("a"), make.done("b")))
    catalog.commit("run-1", write(make.done("c")))
    assert publish_corpus(corpus, catalog, "run-1", "0") is not None
    # The libraries read patterns in file names; a folder with a plain name keeps this test about the format.
    plain = tmp_path / "plain"
    Path(corpus.uri).rename(plain)
    environment = {"HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1", "PATH": "", "HF_DATASETS_OFFLINE": "1"}
    ran = subprocess.run(
        [sys.executable, "-c", STRANGER, str(plain), str(tmp_path / "cache")],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr

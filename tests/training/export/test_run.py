"""A snapshot goes out a shard at a time, each split apart, with everything that is left out on a list."""

from __future__ import annotations

import hashlib
import io
import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from schemas.errors import CorpusError, UsageError
from schemas.manifest import Manifest
from schemas.stream import Domain
from schemas.triplet import EncodedImage, Split, Triplet
from storage import snapshots
from storage.corpus import Corpus
from storage.location import Location
from tests.dataclaw.conftest import write_corpus
from tests.training.rows import row
from training.export.contracts import Export, LeftOut, Options, Reason
from training.export.formats.roster import FORMATS
from training.export.run import export_corpus


def lines(folder: Path) -> Iterator[Any]:
    for path in sorted(folder.glob("*.jsonl")):
        yield from map(json.loads, path.read_text().splitlines())


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out # ü"


@pytest.mark.parametrize("name", FORMATS.names)
def test_every_row_is_exported_once_on_its_side_or_listed_with_the_reason(
    corpus: Corpus, manifest: Manifest, rows: list[Triplet], out: Path, name: str
) -> None:
    done = export_corpus(corpus, manifest, Location.of(out), Options(format=name))
    assert {split: part.rows for split, part in done.splits.items()} == {Split.TRAIN: 4, Split.VALIDATION: 1}
    assert (done.rows, done.left_out) == (5, {Reason.UNKNOWN_TASK: 1})
    (listed,) = (LeftOut.model_validate(line) for line in lines(out / "left_out"))
    assert (listed.id, listed.reason) == (rows[-1].id, Reason.UNKNOWN_TASK)
    assert "plugin_task" in listed.cause


@pytest.mark.parametrize("name", FORMATS.names)
def test_what_export_json_says_is_what_lies_there(corpus: Corpus, manifest: Manifest, out: Path, name: str) -> None:
    done = export_corpus(corpus, manifest, Location.of(out), Options(format=name))
    assert Export.model_validate_json((out / "export.json").read_text()) == done
    assert (done.corpus, done.snapshot) == (corpus.id, manifest.number)
    said = {shard.path: shard.sha256 for part in done.splits.values() for shard in part.shards} | done.files
    said |= {str(path.relative_to(out)): path.stem for path in out.glob("images/*/*")}
    there = {str(path.relative_to(out)): path for path in out.rglob("*") if path.is_file()}
    assert {path: hashlib.sha256(file.read_bytes()).hexdigest() for path, file in there.items() if path in said} == said
    assert there.keys() - said.keys() == {"export.json"}


@pytest.mark.parametrize("name", FORMATS.names)
def test_the_same_snapshot_gives_the_same_bytes(corpus: Corpus, manifest: Manifest, tmp_path: Path, name: str) -> None:
    first, second = (
        export_corpus(corpus, manifest, Location.of(tmp_path / place), Options(format=name)) for place in ("a", "b")
    )
    assert first.splits == second.splits
    assert first.files == second.files


def test_no_recording_is_in_both_splits(corpus: Corpus, manifest: Manifest, out: Path) -> None:
    export_corpus(corpus, manifest, Location.of(out), Options(format="jsonl"))
    train, validation = ({sha for row in lines(out / side) for sha in row["streams"]} for side in Split)
    assert train
    assert validation
    assert not train & validation
    assert {row["split"] for row in lines(out / "train")} == {"train"}
    assert {row["split"] for row in lines(out / "validation")} == {"validation"}


def test_one_split_may_be_asked_for(corpus: Corpus, manifest: Manifest, out: Path) -> None:
    done = export_corpus(corpus, manifest, Location.of(out), Options(format="trl", split=Split.VALIDATION))
    assert list(done.splits) == [Split.VALIDATION]
    assert done.left_out == {}, "the unknown form is one of training"


def test_rows_that_are_too_long_are_listed_and_not_cut_off(
    corpus: Corpus, manifest: Manifest, letters: Path, out: Path
) -> None:
    every = Options(format="jsonl", tokenizer=str(letters))
    export_corpus(corpus, manifest, Location.of(out), every)
    tokens = {row["id"]: row["prompt_tokens"] + row["completion_tokens"] for row in lines(out / "train")}
    most = sorted(tokens.values())[1]
    short = Options(format="jsonl", tokenizer=str(letters), split=Split.TRAIN, max_tokens=most)
    done = export_corpus(corpus, manifest, Location.of(out), short)
    assert {row["id"] for row in lines(out / "train")} == {id for id, count in tokens.items() if count <= most}
    assert done.left_out == {Reason.TOO_LONG: 2, Reason.UNKNOWN_TASK: 1}
    assert done.splits[Split.TRAIN].prompt_tokens == sum(row["prompt_tokens"] for row in lines(out / "train"))
    long = [line for line in lines(out / "left_out") if line["reason"] == "too long"]
    assert {line["id"]: line["cause"].split()[0] for line in long} == {
        id: str(count) for id, count in tokens.items() if count > most
    }


def test_rows_whose_questions_do_not_tell_all_are_listed(tmp_path: Path) -> None:
    many, one = row(0, anchors=20), row(1)
    corpus = write_corpus(tmp_path / "corpus", [many, one])
    options = Options(format="jsonl", frames=0, anchor_tokens=200)
    done = export_corpus(corpus, snapshots.load(corpus, 1), Location.of(tmp_path / "out"), options)
    assert (done.rows, done.left_out) == (1, {Reason.UNTOLD: 1})
    (listed,) = lines(tmp_path / "out" / "left_out")
    assert (listed["id"], listed["reason"]) == (many.id, "not told")


def test_a_broken_row_does_not_keep_the_others(rows: list[Triplet], tmp_path: Path) -> None:
    first = rows[0].evidence[0]
    no_picture = first.model_copy(update={"image": EncodedImage(bytes=b"\x89PNG no picture", path="a.png")})
    broken = [
        rows[0].model_copy(update={"id": "1" * 64, "evidence": (no_picture,)}),
        rows[0].model_copy(update={"id": "2" * 64, "output": "no JSON"}),
    ]
    corpus = write_corpus(tmp_path / "corpus", [*broken, rows[0]])
    done = export_corpus(corpus, snapshots.load(corpus, 1), Location.of(tmp_path / "out"), Options(format="hf"))
    assert (done.rows, done.left_out) == (1, {Reason.BROKEN: 2})
    assert [line["id"][0] for line in lines(tmp_path / "out" / "left_out")] == ["1", "2"]


def test_nothing_is_written_when_no_row_is_left(corpus: Corpus, manifest: Manifest, letters: Path, out: Path) -> None:
    options = Options(format="trl", tokenizer=str(letters), max_tokens=1)
    with pytest.raises(CorpusError, match=r"no row of snapshot 1 could be exported .*5 too long"):
        export_corpus(corpus, manifest, Location.of(out), options)
    assert not out.exists()


def test_weights_make_domains_count_and_leave_the_mean_at_one(corpus: Corpus, manifest: Manifest, out: Path) -> None:
    weights = {Domain.GUI: 3.0, Domain.EMBODIED: 0.5}
    done = export_corpus(corpus, manifest, Location.of(out), Options(format="jsonl", weights=weights))
    weighed = done.splits[Split.TRAIN].weights
    assert weighed["gui"] / weighed["embodied"] == pytest.approx(6.0)
    assert weighed["gui"] / weighed["education"] == pytest.approx(3.0)
    for line in lines(out / "train"):
        assert line["weight"] == weighed[line["domain"]]
    domains = snapshots.dataset(corpus, manifest).to_table(["domain", "split"]).to_pylist()
    every = [weighed[row["domain"]] for row in domains if row["split"] == "train"]
    assert sum(every) / len(every) == pytest.approx(1.0)


def test_without_frames_messages_are_plain_text(corpus: Corpus, manifest: Manifest, out: Path) -> None:
    export_corpus(corpus, manifest, Location.of(out), Options(format="trl", frames=0))
    table = pq.read_table(out / "data" / "train-00000.parquet")
    assert "images" not in table.column_names
    assert all(isinstance(message["content"], str) for row in table["prompt"].to_pylist() for message in row)


def test_a_spelled_special_token_is_none_for_the_model_that_is_named(
    rows: list[Triplet], letters: Path, tmp_path: Path
) -> None:
    spec = rows[0].spec.model_copy(update={"instruction": "Say <|end|> and <image>."})
    corpus = write_corpus(tmp_path / "corpus", [rows[0].model_copy(update={"spec": spec})])
    manifest = snapshots.load(corpus, 1)
    options = Options(format="swift", tokenizer=str(letters), frames=1)
    export_corpus(corpus, manifest, Location.of(tmp_path / "out"), options)
    (row,) = lines(tmp_path / "out" / "train")
    said = "\n".join(message["content"] for message in row["messages"])
    assert "Say < |end|> and < image>." in said
    assert said.count("<image>") == len(row["images"]) == 1


def test_tokens_cannot_be_bounded_without_counting_them() -> None:
    with pytest.raises(UsageError, match="--tokenizer"):
        Options(format="trl", max_tokens=100)


@pytest.mark.long
def test_memory_holds_a_shard_and_never_the_snapshot(rows: list[Triplet], tmp_path: Path) -> None:
    """Three times as many rows take no more of it."""
    noise = np.random.default_rng(0)

    def of(number: int) -> Triplet:
        sink = io.BytesIO()
        Image.fromarray(noise.integers(0, 256, (200, 200, 3), np.uint8)).save(sink, "PNG", compress_level=0)
        frame = rows[0].evidence[0].model_copy(update={"image": EncodedImage(bytes=sink.getvalue(), path="noise.png")})
        return rows[0].model_copy(update={"id": f"{number:064x}", "evidence": (frame,)})

    def peak(count: int) -> int:
        corpus = write_corpus(tmp_path / f"corpus of {count}", [of(number) for number in range(count)])
        place, options = Location.of(tmp_path / f"out {count}"), Options(format="trl", anchor_tokens=64, brief=True)
        arrow: list[int] = []
        before = pa.total_allocated_bytes()
        tracemalloc.start()
        try:
            done = export_corpus(
                corpus,
                snapshots.load(corpus, 1),
                place,
                options,
                advance=lambda _: arrow.append(pa.total_allocated_bytes() - before),
                shard=1_000_000,
            )
            _, python = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert len(done.splits[Split.TRAIN].shards) == -(-count // 9)
        return python + max(arrow)

    peak(9)  # what is loaded once
    assert peak(135) < 1.25 * peak(45)

"""Each format loaded back by the library that it is made for. What needs a trainer is in test_trainers.py."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import datasets
import pytest
import webdataset
from PIL import Image

from schemas.manifest import Manifest
from schemas.triplet import Split, Triplet
from storage.corpus import Corpus
from storage.location import Location
from training.examples import Example, example_of
from training.export.contracts import Options
from training.export.run import export_corpus

FACTS = {"id", "domain", "task_type", "streams", "split", "weight", "prompt_tokens", "completion_tokens"}

Exported = Callable[..., Path]


@pytest.fixture
def exported(corpus: Corpus, manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Exported:
    """Exports to a folder, and keeps what `datasets` caches apart."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")

    def export(name: str, **options: Any) -> Path:
        export_corpus(corpus, manifest, Location.of(tmp_path / name), Options(format=name, **options))
        return tmp_path / name

    return export


def expected(rows: Sequence[Triplet], split: Split, options: Options) -> list[Example]:
    """The rows of a split that can be exported."""
    return [example_of(row, options.model) for row in rows if row.split is split and row.task_type != "plugin_task"]


def plain(messages: Sequence[dict[str, Any]]) -> list[tuple[str, list[tuple[str, str | None]]]]:
    return [(each["role"], [(part["type"], part["text"]) for part in each["content"]]) for each in messages]


def parts(example: Example) -> list[tuple[str, list[tuple[str, str | None]]]]:
    return [
        (each.role, [("text", part) if isinstance(part, str) else ("image", None) for part in each.parts])
        for each in example.messages
    ]


def same_pictures(loaded: Sequence[Image.Image], example: Example) -> None:
    assert len(loaded) == len(example.pictures)
    for picture, own in zip(loaded, example.pictures, strict=True):
        with Image.open(io.BytesIO(own.data)) as image:
            assert picture.convert("RGB").tobytes() == image.convert("RGB").tobytes()


@pytest.mark.parametrize("split", Split)
def test_datasets_loads_prompts_completions_and_pictures(
    exported: Exported, rows: Sequence[Triplet], split: Split
) -> None:
    files = {str(side): str(exported("trl") / "data" / f"{side}-*") for side in Split}
    loaded = datasets.load_dataset("parquet", data_files=files)[split]
    for row, example in zip(loaded, expected(rows, split, Options(format="trl")), strict=True):
        assert plain(row["prompt"]) == parts(example)
        assert plain(row["completion"]) == [("assistant", [("text", example.completion)])]
        same_pictures(row["images"], example)
        assert row.keys() - FACTS == {"prompt", "completion", "images"}
        assert (row["id"], row["split"], row["weight"]) == (example.triplet.id, split, 1.0)


@pytest.mark.parametrize("name", ["trl", "hf"])
@pytest.mark.parametrize("frames", [0, 16])
def test_a_folder_is_a_dataset_with_its_splits_as_its_card_says(exported: Exported, name: str, frames: int) -> None:
    folder = exported(name, frames=frames)
    loaded = datasets.load_dataset(str(folder))
    assert {split: len(rows) for split, rows in loaded.items()} == {"train": 4, "validation": 1}
    declared = datasets.load_dataset_builder(str(folder)).info.features
    assert declared == loaded["train"].features == loaded["validation"].features
    card = (folder / "README.md").read_text()
    for column in loaded["train"].features:
        assert f"| `{column}` |" in card


def test_whole_conversations_are_there_with_plain_words(exported: Exported, rows: Sequence[Triplet]) -> None:
    loaded = datasets.load_dataset(str(exported("hf")))["train"]
    for row, example in zip(loaded, expected(rows, Split.TRAIN, Options(format="hf")), strict=True):
        assert plain(row["messages"]) == [*parts(example), ("assistant", [("text", example.completion)])]
        assert row["intent"] == example.triplet.intent.text
        assert row["instruction"] == example.triplet.spec.instruction
        assert json.loads(row["output"]) == json.loads(example.triplet.output)
        same_pictures(row["images"], example)


def test_webdataset_reads_samples_with_their_pictures(exported: Exported, rows: Sequence[Triplet]) -> None:
    tars = sorted(map(str, (exported("webdataset") / "train").glob("*.tar")))
    loaded = webdataset.WebDataset(tars, shardshuffle=False).decode("pil")
    for sample, example in zip(loaded, expected(rows, Split.TRAIN, Options(format="webdataset")), strict=True):
        told = sample["json"]
        assert sample["__key__"] == told["id"] == example.triplet.id
        named = [part["image"] for each in told["messages"] for part in each["content"] if part["type"] == "image"]
        same_pictures([sample[name] for name in named], example)
        texts = [[part["text"] for part in each["content"] if part["type"] == "text"] for each in told["messages"]]
        assert texts == [*([each.text] for each in example.messages), [example.completion]]


@pytest.mark.parametrize("split", Split)
def test_json_lines_name_the_files_of_their_pictures(exported: Exported, rows: Sequence[Triplet], split: Split) -> None:
    folder = exported("jsonl")
    loaded = datasets.load_dataset("json", data_files=str(folder / split / "*.jsonl"))["train"]
    assert set(loaded.column_names) == {"messages", "images"} | FACTS
    for row, example in zip(loaded, expected(rows, split, Options(format="jsonl")), strict=True):
        named = [part["image"] for each in row["messages"] for part in each["content"] if part["type"] == "image"]
        assert named == row["images"]
        same_pictures([Image.open(folder / name) for name in named], example)


def test_a_frame_of_several_rows_is_one_file(exported: Exported) -> None:
    folder = exported("sharegpt")
    named = [
        name
        for path in folder.glob("*/*.jsonl")
        if path.parent.name in set(Split)
        for line in path.read_text().splitlines()
        for name in json.loads(line)["images"]
    ]
    assert {str(path.relative_to(folder)) for path in folder.glob("images/*/*")} == set(named)

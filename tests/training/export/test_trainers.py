"""Each format as its trainer takes it, with the trainer's own code and a tiny model."""

from __future__ import annotations

import importlib.machinery
import sys
import types
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from schemas.manifest import Manifest
from schemas.triplet import Split, Triplet
from storage.corpus import Corpus
from storage.location import Location
from training.examples import example_of
from training.export.contracts import Options
from training.export.run import export_corpus

pytestmark = [pytest.mark.models, pytest.mark.long]


def test_sft_trainer_takes_it_as_it_is_and_counts_as_many_tokens(
    corpus: Corpus, manifest: Manifest, tiny_qwen3_vl: Path, tmp_path: Path
) -> None:
    import datasets
    from trl import SFTConfig, SFTTrainer

    out = tmp_path / "out"
    options = Options(format="trl", tokenizer=str(tiny_qwen3_vl), image_side=96, frames=2, anchor_tokens=64)
    export_corpus(corpus, manifest, Location.of(out), options)
    loaded = datasets.load_dataset(str(out), cache_dir=str(tmp_path / "cache"))
    trainer = SFTTrainer(
        model=str(tiny_qwen3_vl),
        train_dataset=loaded["train"],
        eval_dataset=loaded["validation"],
        args=SFTConfig(
            output_dir=str(tmp_path / "run"),
            max_steps=1,
            per_device_train_batch_size=2,
            max_length=None,
            report_to="none",
            use_cpu=True,
            bf16=False,
        ),
    )
    for row in loaded["train"]:
        batch = trainer.data_collator([dict(row)])
        labels = batch["labels"][0]
        learned = labels[labels != -100]
        assert batch["input_ids"].shape[1] == row["prompt_tokens"] + row["completion_tokens"]
        assert len(learned) == row["completion_tokens"]
        said = trainer.processing_class.tokenizer.decode(learned)
        assert said.removesuffix("\n").removesuffix("<|im_end|>") == row["completion"][0]["content"][0]["text"]
    assert trainer.train().training_loss > 0
    assert trainer.evaluate()["eval_loss"] > 0


def test_a_text_model_learns_and_counts_it_without_pictures(
    corpus: Corpus, manifest: Manifest, smollm2: Path, tmp_path: Path
) -> None:
    import datasets
    from transformers import AutoTokenizer
    from trl.data_utils import apply_chat_template

    out = tmp_path / "out"
    options = Options(format="trl", tokenizer=str(smollm2), frames=0, brief=True)
    export_corpus(corpus, manifest, Location.of(out), options)
    tokenizer = AutoTokenizer.from_pretrained(smollm2)
    rows = datasets.load_dataset(str(out), cache_dir=str(tmp_path / "cache"))["train"]
    for row in rows:
        said = apply_chat_template({"prompt": row["prompt"], "completion": row["completion"]}, tokenizer)
        counts = [
            len(tokenizer(said[part], add_special_tokens=False)["input_ids"]) for part in ("prompt", "completion")
        ]
        assert counts == [row["prompt_tokens"], row["completion_tokens"]]
    assert len(rows) == 4


def test_llama_factory_aligns_it(
    corpus: Corpus, manifest: Manifest, rows: Sequence[Triplet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISABLE_VERSION_CHECK", "1")
    # It imports torchaudio for sound, of which there is none here.
    sound = types.ModuleType("torchaudio")
    sound.__spec__ = importlib.machinery.ModuleSpec("torchaudio", None)
    monkeypatch.setitem(sys.modules, "torchaudio", sound)
    from llamafactory.data.loader import _load_single_dataset
    from llamafactory.data.mm_plugin import get_mm_plugin
    from llamafactory.data.parser import get_dataset_list

    out = tmp_path / "out"
    export_corpus(corpus, manifest, Location.of(out), Options(format="sharegpt"))
    data = SimpleNamespace(
        dataset_dir=str(out),
        media_dir=str(out),
        max_samples=None,
        overwrite_cache=True,
        preprocessing_num_workers=None,
        streaming=False,
    )
    model = SimpleNamespace(cache_dir=str(tmp_path / "cache"), hf_hub_token=None)
    training = SimpleNamespace(dataloader_num_workers=0, local_process_index=0)
    plugin = get_mm_plugin("qwen2_vl", image_token="<|image_pad|>")
    for split, attributes in zip(
        Split, get_dataset_list([f"dataclaw_{split}" for split in Split], str(out)), strict=True
    ):
        loaded = _load_single_dataset(attributes, model, data, training)
        wanted = [example_of(row, Options(format="sharegpt").model) for row in of_split(rows, split)]
        for row, example in zip(loaded, wanted, strict=True):
            system, user = example.messages
            assert row["_system"] == system.text
            assert row["_response"] == [{"role": "assistant", "content": example.completion}]
            (asked,) = row["_prompt"]
            assert asked["content"] == user.text + "<image>" * len(example.pictures)
            assert [Path(path).read_bytes() for path in row["_images"]] == [each.data for each in example.pictures]
            plugin._validate_messages(row["_prompt"] + row["_response"], row["_images"], [], [])


def test_ms_swift_preprocesses_it(
    corpus: Corpus, manifest: Manifest, rows: Sequence[Triplet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELSCOPE_CACHE", str(tmp_path / "cache"))
    out = tmp_path / "out"
    export_corpus(corpus, manifest, Location.of(out), Options(format="swift"))
    monkeypatch.setenv("ROOT_IMAGE_DIR", str(out))
    from swift.dataset import load_dataset
    from swift.template.vision_utils import load_image

    loaded, _ = load_dataset([str(out / "train" / "00000.jsonl")], strict=True, load_from_cache_file=False)
    wanted = [example_of(row, Options(format="swift").model) for row in of_split(rows, Split.TRAIN)]
    for row, example in zip(loaded, wanted, strict=True):
        said: list[dict[str, Any]] = [{"role": each.role, "content": each.text} for each in example.messages]
        said[-1]["content"] += "<image>" * len(example.pictures)
        assert row["messages"] == [*said, {"role": "assistant", "content": example.completion}]
        assert row["channel"] == example.domain
        sizes = [load_image(each["path"]).size for each in row["images"]]
        assert sizes == [(each.width, each.height) for each in example.pictures]


def of_split(rows: Sequence[Triplet], split: Split) -> list[Triplet]:
    return [row for row in rows if row.split is split and row.task_type != "plugin_task"]

"""A corpus of both splits to learn from, and a model's tokenizer with its chat template, both small.

A conftest imports those that its tests need.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from schemas.manifest import Manifest
from schemas.triplet import Split, Triplet
from storage import snapshots
from storage.corpus import Corpus
from tests.dataclaw.conftest import every_kind, write_corpus

TEMPLATE = (
    "{%- for message in messages %}<|{{ message.role }}|>{{ message.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SPECIAL = ("<|system|>", "<|user|>", "<|assistant|>", "<|end|>")


@pytest.fixture(scope="session")
def rows() -> list[Triplet]:
    """One row of five forms, the last for validation, and one of a form that is not known here."""
    *known, editing, unknown = every_kind()
    return [*known, editing.model_copy(update={"split": Split.VALIDATION}), unknown]


@pytest.fixture(scope="session")
def corpus(rows: list[Triplet], tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """They as snapshot 1."""
    return write_corpus(tmp_path_factory.mktemp("corpora") / "by_hand", rows)


@pytest.fixture(scope="session")
def manifest(corpus: Corpus) -> Manifest:
    """Of snapshot 1."""
    return snapshots.load(corpus, 1)


@pytest.fixture(scope="session")
def letters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model whose tokens are bytes, with a chat template: its lengths can be counted by hand."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: number for number, letter in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL])
    folder = tmp_path_factory.mktemp("letters")
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": TEMPLATE, "eos_token": "<|end|>"}))
    return folder

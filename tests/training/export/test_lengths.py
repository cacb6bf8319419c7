"""Lengths are those of the model's own tokenizer and chat template, counted without the model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from schemas.errors import UsageError
from synthesis.backends.chat import Message, Picture
from training.export.lengths import Lengths

ASKED = (Message("system", ("be",)), Message("user", ("ask",)))


def test_tokens_are_counted_with_what_the_template_puts_around(letters: Path) -> None:
    # <|system|> be <|end|>  <|user|> ask <|end|>  <|assistant|>    and the answer's own bytes and <|end|>
    assert Lengths(str(letters)).of(ASKED, '{"a":1}') == (1 + 2 + 1 + 1 + 3 + 1 + 1, 7 + 1)


def test_a_picture_counts_as_the_tokens_that_it_is_cut_into(letters: Path) -> None:
    picture = Picture(b"", "image/png", 56, 84, ())
    seen = (*ASKED, Message("user", ("ask", picture, picture)))
    blind = (*ASKED, Message("user", ("ask",)))
    lengths = Lengths(str(letters))
    assert lengths.of(seen, "{}")[0] - lengths.of(blind, "{}")[0] == 2 * (2 * 3 + 2)


@pytest.mark.parametrize("place", ["chat_template.jinja", "chat_template.json", "list"])
def test_a_template_is_found_wherever_models_keep_it(letters: Path, tmp_path: Path, place: str) -> None:
    template = json.loads((letters / "tokenizer_config.json").read_text())["chat_template"]
    (tmp_path / "tokenizer.json").write_bytes((letters / "tokenizer.json").read_bytes())
    if place == "list":
        several = [{"name": "tools", "template": "?"}, {"name": "default", "template": template}]
        (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": several}))
    else:
        text = template if place.endswith("jinja") else json.dumps({"chat_template": template})
        (tmp_path / place).write_text(text)
    assert Lengths(str(tmp_path)).of(ASKED, "{}") == Lengths(str(letters)).of(ASKED, "{}")


def test_templates_may_do_what_those_of_the_hub_do(letters: Path, tmp_path: Path) -> None:
    template = (
        "{{- bos_token }}{% for message in messages %}{% if loop.first %}{% continue %}{% endif %}"
        "{{ message | tojson }}{%- generation -%}x{%- endgeneration -%}{% endfor %}"
    )
    (tmp_path / "tokenizer.json").write_bytes((letters / "tokenizer.json").read_bytes())
    settings = {"chat_template": template, "bos_token": {"content": "<|user|>"}}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    said = json.dumps({"role": "user", "content": "ask"})
    assert Lengths(str(tmp_path)).of(ASKED, "{}")[0] == 1 + len(said) + 1


@pytest.mark.parametrize("lacks", ["tokenizer.json", "chat template"])
def test_a_model_that_cannot_count_is_refused_with_what_it_lacks(letters: Path, tmp_path: Path, lacks: str) -> None:
    name = "tokenizer_config.json" if lacks == "tokenizer.json" else "tokenizer.json"
    (tmp_path / name).write_bytes((letters / name).read_bytes())
    with pytest.raises(UsageError, match=f"has no {lacks}"):
        Lengths(str(tmp_path))

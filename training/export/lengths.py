"""How many tokens a conversation takes: exactly, by a model's own tokenizer and chat template, without the model."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2.sandbox import ImmutableSandboxedEnvironment

from schemas.errors import UsageError
from synthesis.backends.chat import Message
from synthesis.backends.checkpoint import TEMPLATE_SETTINGS, Checkpoint, file_of

_REMEDY = "Name the folder or hub id of a model that was tuned to follow instructions"
_GENERATION = re.compile(r"\{%-?\s*(?:end)?generation\s*-?%\}")
"""Marks what an assistant wrote, for masks; says nothing about the text."""


class Lengths:
    """Counts tokens as the model does that is named.

    Raises:
        UsageError: it has no tokenizer.json or no chat template.
    """

    def __init__(self, model: str) -> None:
        source = _template_of(model)
        counts = file_of(model, "tokenizer.json") is not None
        if not counts or source is None:
            lacks = "chat template" if counts else "tokenizer.json"
            where = "" if Path(model).is_dir() else "there is no such folder, and under this id "
            raise UsageError(model, f"{where}it has no {lacks}", _REMEDY)
        self.checkpoint = Checkpoint(model)
        # As transformers sets its environment up, for which chat templates are written.
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.filters["tojson"] = _to_json
        environment.globals |= {"raise_exception": _refuse, "strftime_now": datetime.now().strftime}
        self._template = environment.from_string(_GENERATION.sub("", source))
        self._names = _names_of(model)

    def of(self, messages: Sequence[Message], completion: str) -> tuple[int, int]:
        """Tokens of the question, pictures and what opens an answer included, and of the answer with its end."""
        said = [{"role": message.role, "content": message.text} for message in messages]
        asked = self._count(said, **TEMPLATE_SETTINGS)
        whole = self._count(
            [*said, {"role": "assistant", "content": completion}],
            **TEMPLATE_SETTINGS | {"add_generation_prompt": False},
        )
        shown = sum(
            self.checkpoint.picture_tokens(picture.width, picture.height)
            for message in messages
            for picture in message.pictures
        )
        return asked + shown, whole - asked

    def _count(self, messages: list[dict[str, str]], **settings: bool) -> int:
        return self.checkpoint.tokens(self._template.render(messages=messages, **self._names, **settings))


def _template_of(model: str) -> str | None:
    """Models keep their chat template in one of three places."""
    if (path := file_of(model, "chat_template.jinja")) is not None:
        return path.read_text(encoding="utf-8")
    for name in ("chat_template.json", "tokenizer_config.json"):
        found = _read(model, name).get("chat_template")
        if isinstance(found, list):
            found = {item["name"]: item["template"] for item in found}.get("default")
        if isinstance(found, str):
            return found
    return None


def _names_of(model: str) -> dict[str, str]:
    """The special tokens that templates know by name, such as `bos_token`."""
    settings = _read(model, "tokenizer_config.json")
    tokens = {name: value for name, value in settings.items() if name.endswith("_token")}
    return {
        name: str(value["content"] if isinstance(value, dict) else value) for name, value in tokens.items() if value
    }


def _read(model: str, name: str) -> dict[str, Any]:
    path = file_of(model, name)
    return {} if path is None else json.loads(path.read_text(encoding="utf-8"))


def _to_json(value: Any, indent: int | None = None) -> str:
    """Without the escapes for HTML that Jinja's own filter makes."""
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _refuse(message: str) -> None:
    raise ValueError(f"the chat template refuses: {message}")

"""Plain JSON lines with pictures as files, for programs of your own."""

from __future__ import annotations

from typing import Any

from synthesis.backends.chat import Message, Picture
from training.export.formats.base import JsonLines, conversation, picture_path
from training.export.rows import Row


class PlainJsonLines(JsonLines):
    """`messages` is the conversation with its answer; a picture in it names its file."""

    name = "jsonl"

    def record(self, row: Row) -> dict[str, Any]:
        messages = [{"role": message.role, "content": self._content(message)} for message in conversation(row)]
        return {"messages": messages} | self.paths(row) | row.facts()

    def _content(self, message: Message) -> str | list[dict[str, str]]:
        if not self.sees:
            return message.text
        return [
            {"type": "image", "image": picture_path(part)}
            if isinstance(part, Picture)
            else {"type": "text", "text": part}
            for part in message.parts
        ]

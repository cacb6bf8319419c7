"""ms-swift's standard format: messages with `<image>` where a picture stands, and the paths of the pictures."""

from __future__ import annotations

from typing import Any

from training.export.formats.base import JsonLines, conversation, with_placeholders
from training.export.rows import Row


class Swift(JsonLines):
    """`channel` is the domain: ms-swift can tell the loss of each apart."""

    name = "swift"

    def record(self, row: Row) -> dict[str, Any]:
        messages = [{"role": message.role, "content": with_placeholders(message)} for message in conversation(row)]
        return {"messages": messages} | self.paths(row) | {"channel": str(row.domain)} | row.facts()

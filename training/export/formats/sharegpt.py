"""ShareGPT as LLaMA-Factory reads it: `dataset_dir` is the folder of the export, which holds `dataset_info.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from synthesis.backends.chat import Message
from training.export.contracts import Export
from training.export.formats.base import JsonLines, with_placeholders
from training.export.rows import Row


class ShareGPT(JsonLines):
    """`conversations` of `human` and `gpt`, the system's message apart, `<image>` where a picture stands."""

    name = "sharegpt"

    def record(self, row: Row) -> dict[str, Any]:
        system = [message.text for message in row.messages if message.role == "system"]
        asked = [with_placeholders(message) for message in row.messages if message.role == "user"]
        answered = with_placeholders(Message("assistant", (row.completion,)))
        said = [{"from": "human", "value": "\n\n".join(asked)}, {"from": "gpt", "value": answered}]
        return {"system": "\n\n".join(system), "conversations": said} | self.paths(row) | row.facts()

    def about(self, export: Export) -> Mapping[str, str]:
        columns = {"messages": "conversations", "system": "system"} | ({"images": "images"} if self.sees else {})
        described = {
            f"dataclaw_{split}": {"file_name": str(split), "formatting": "sharegpt", "columns": columns}
            for split in export.splits
        }
        return {"dataset_info.json": json.dumps(described, indent=2) + "\n"}

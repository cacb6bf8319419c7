"""A Hugging Face dataset for people and any trainer: whole conversations, and what was asked in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from training.export.formats.base import conversation
from training.export.formats.parquet import Parquet
from training.export.rows import Row


class HuggingFace(Parquet):
    """`messages` is the conversation with its answer, `output` the answer alone."""

    name = "hf"

    def columns(self) -> Mapping[str, pa.DataType]:
        text = pa.string()
        return {"messages": self.messages_type(), "intent": text, "instruction": text, "output": text}

    def record(self, row: Row) -> dict[str, Any]:
        return {
            "messages": self.messages(conversation(row)),
            "intent": row.intent,
            "instruction": row.instruction,
            "output": row.completion,
        }

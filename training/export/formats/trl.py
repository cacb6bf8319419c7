"""TRL's conversational prompt-completion data, with pictures: what SFTTrainer takes as it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from synthesis.backends.chat import Message
from training.export.formats.parquet import Parquet
from training.export.rows import Row


class TRL(Parquet):
    """`prompt` and `completion` are lists of messages, `images` the pictures of the prompt."""

    name = "trl"

    def columns(self) -> Mapping[str, pa.DataType]:
        return {"prompt": self.messages_type(), "completion": self.messages_type()}

    def record(self, row: Row) -> dict[str, Any]:
        return {
            "prompt": self.messages(row.messages),
            "completion": self.messages([Message("assistant", (row.completion,))]),
        }

"""Parquet shards with a dataset card, as `datasets` loads them from a folder or from the hub."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.triplet import Split
from synthesis.backends.chat import Message, Picture
from training.export.contracts import Export
from training.export.formats.base import Format, suffix_of
from training.export.formats.card import card
from training.export.rows import Row

_ROW_GROUP = 16
"""Rows that a reader must hold at once: they carry their pictures."""
_FACTS = {
    "id": pa.string(),
    "domain": pa.string(),
    "task_type": pa.string(),
    "streams": pa.list_(pa.string()),
    "split": pa.string(),
    "weight": pa.float64(),
    "prompt_tokens": pa.int64(),
    "completion_tokens": pa.int64(),
}
_IMAGES = pa.list_(pa.struct({"bytes": pa.binary(), "path": pa.string()}))
_FEATURES = {"images": {"_type": "List", "feature": {"_type": "Image"}}}
"""Declared in the files, so that pictures are decoded by whoever loads them."""


class Parquet(Format):
    """Rows in Parquet, under one schema."""

    suffix = ".parquet"

    @abstractmethod
    def columns(self) -> Mapping[str, pa.DataType]:
        """The columns that only this format has."""

    @abstractmethod
    def record(self, row: Row) -> dict[str, Any]:
        """Their values."""

    def path(self, split: Split, number: int) -> str:
        return f"data/{split}-{number:05d}{self.suffix}"

    @property
    def schema(self) -> pa.Schema:
        pictures = {"images": _IMAGES} if self.sees else {}
        declared = {b"huggingface": json.dumps({"info": {"features": _FEATURES}}).encode()} if self.sees else None
        return pa.schema(dict(self.columns()) | pictures | _FACTS, metadata=declared)

    def encode(self, rows: Sequence[Row]) -> bytes:
        table = pa.Table.from_pylist([self.record(row) | self._images(row) | row.facts() for row in rows], self.schema)
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd", row_group_size=_ROW_GROUP)
        data: bytes = sink.getvalue().to_pybytes()
        return data

    def about(self, export: Export) -> Mapping[str, str]:
        return {"README.md": card(export, self.schema)}

    def messages_type(self) -> pa.DataType:
        """Of a conversation."""
        text = pa.string()
        content = pa.list_(pa.struct({"type": text, "text": text})) if self.sees else text
        return pa.list_(pa.struct({"role": text, "content": content}))

    def messages(self, messages: Sequence[Message]) -> list[dict[str, Any]]:
        """A conversation as chat templates take it; its pictures stand in `images`, in their order."""
        return [{"role": message.role, "content": self._content(message)} for message in messages]

    def _content(self, message: Message) -> str | list[dict[str, str | None]]:
        if not self.sees:
            return message.text
        return [
            {"type": "image", "text": None} if isinstance(part, Picture) else {"type": "text", "text": part}
            for part in message.parts
        ]

    def _images(self, row: Row) -> dict[str, Any]:
        if not self.sees:
            return {}
        return {
            "images": [
                {"bytes": picture.data, "path": f"{place}{suffix_of(picture)}"}
                for place, picture in enumerate(row.pictures)
            ]
        }

"""What every contract shares: immutability, canonical JSON, content hashes and the way to Arrow and back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any, Self

import pyarrow as pa
from pydantic import BaseModel, ConfigDict


class Contract(BaseModel):
    """An immutable record. Unknown fields are refused, so that a typing error in a recipe is never silent."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def to_table(cls, records: Iterable[Self], schema: pa.Schema) -> pa.Table:
        """Writes records under their declared Arrow schema.

        Raises:
            pyarrow.ArrowInvalid: a value does not fit the declared type.
        """
        return pa.Table.from_pylist([record.model_dump() for record in records], schema=schema)

    @classmethod
    def from_table(cls, table: pa.Table) -> list[Self]:
        """Reads records back from a table written by :meth:`to_table`."""
        return [cls.model_validate(row) for row in table.to_pylist()]


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no free white space: equal values give equal text (RFC 8785 in spirit)."""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def schema_json(schema: Any) -> str:
    """A JSON Schema as text, its properties in the order in which they were declared: a model writes them in this
    order, and a question has to come before its answer."""
    return json.dumps(schema, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(value: Any) -> str:
    """SHA-256 (64 hex digits) of a value's canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()

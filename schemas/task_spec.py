"""The user's intent I, and the task specs it resolves to."""

from __future__ import annotations

from typing import Annotated

import pyarrow as pa
from pydantic import Field

from schemas.base import Contract, digest
from schemas.constraints import CONSTRAINTS, Constraints
from schemas.stream import Domain

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


class Intent(Contract):
    """What the user asks for, in natural language, possibly vague."""

    text: Annotated[str, Field(min_length=1, pattern=r"\S")]
    domain: Domain | None = None

    @property
    def sentence(self) -> str:
        """The text in one line, with a full stop where it ends without any mark."""
        line = " ".join(self.text.split())
        return line if line[-1:] in ".!?。！？…" else f"{line}."


class TaskSpec(Contract):
    """An intent resolved: the typed, rewritten instruction for one synthesis agent.

    Several specs of one intent are its plausible readings; `confidence` ranks them and `because` says what in the
    sentence and in the input led there. `output_schema` is Phi, a JSON Schema (2020-12) as text.
    """

    task_type: Name
    instruction: Annotated[str, Field(min_length=1)]
    intent: Intent
    output_schema: str
    confidence: Annotated[float, Field(ge=0.0, le=1.0)]
    because: tuple[str, ...] = ()
    constraints: Constraints = Constraints()
    joins_streams: bool = False
    """The task is about all streams of the group together, not about each of them."""

    @property
    def key(self) -> str:
        """Identity of what is asked: type, instruction, schema and constraints."""
        return digest([self.task_type, self.instruction, self.output_schema, self.constraints.model_dump(mode="json")])


INTENT = pa.struct([pa.field("text", pa.string(), False), pa.field("domain", pa.string())])
TASK_SPEC_SCHEMA = pa.schema(
    [
        pa.field("task_type", pa.string(), False),
        pa.field("instruction", pa.string(), False),
        pa.field("intent", INTENT, False),
        pa.field("output_schema", pa.string(), False),
        pa.field("confidence", pa.float64(), False),
        pa.field("because", pa.list_(pa.string()), False),
        pa.field("constraints", CONSTRAINTS, False),
        pa.field("joins_streams", pa.bool_(), False),
    ]
)

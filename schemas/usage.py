"""What a model was asked and what it answered, in tokens: the currency of budgets."""

from __future__ import annotations

from typing import Annotated

import pyarrow as pa
from pydantic import Field

from schemas.base import Contract

Count = Annotated[int, Field(ge=0)]


class Usage(Contract):
    """Tokens as the engine counts them. `prompt_tokens` hold the pictures' `image_tokens` and the `cached_tokens`
    that a prefix cache served."""

    requests: Count = 0
    prompt_tokens: Count = 0
    cached_tokens: Count = 0
    image_tokens: Count = 0
    completion_tokens: Count = 0
    images: Count = 0

    @property
    def tokens(self) -> int:
        """Prompt and completion together: what budgets bound."""
        return self.prompt_tokens + self.completion_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(**{name: getattr(self, name) + getattr(other, name) for name in Usage.model_fields})


USAGE = pa.struct([pa.field(name, pa.int64(), False) for name in Usage.model_fields])

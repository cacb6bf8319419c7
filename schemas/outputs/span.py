"""Pieces that several outputs share."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from schemas.base import Contract
from schemas.outputs.grounded import Role, asserting, asserts
from schemas.stream import Seconds

Text = Annotated[str, Field(min_length=1)]


class Span(Contract):
    """A stretch of the stream, in seconds from its start."""

    t0: Seconds
    t1: Seconds

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.t0 > self.t1:
            raise ValueError("a span needs t0 <= t1")
        return self


class Line(Span):
    """A line said or shown, verbatim, over its whole span."""

    model_config = Contract.model_config | asserting(Role.SPAN, "text.*")

    text: Annotated[Text, asserts(Role.CONTENT)]


class Quote(Span):
    """Words said or shown, verbatim, and when."""

    text: Text

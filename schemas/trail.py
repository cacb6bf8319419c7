"""What passed between DataClaw and a model while an output was made: enough to replay it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from schemas.base import Contract
from schemas.stream import Domain, Seconds, Sha256
from schemas.usage import Usage


class Step(StrEnum):
    """What a model was asked for."""

    CHOOSE = "choose"
    """Where to look."""
    WRITE = "write"
    REPAIR = "repair"


class Shown(Contract):
    """A picture that a model saw: what it showed, from which it can be made again, and a digest to compare it by."""

    moments: tuple[tuple[Sha256, Seconds], ...]
    """One: a frame. Several: a contact sheet."""
    width: int
    height: int
    sha256: Sha256


class Said(Contract):
    """One message."""

    role: Literal["system", "user", "assistant"]
    parts: tuple[str | Shown, ...]


class Exchange(Contract):
    """One question and its answer. `messages` are those that were added to the first `kept` ones of the exchange
    before."""

    step: Step
    kept: Annotated[int, Field(ge=0)]
    messages: tuple[Said, ...]
    answer_schema: str | None
    temperature: float
    top_p: float
    seed: int
    max_tokens: int
    answer: str
    finish: str
    usage: Usage


class Routed(Contract):
    """Which model of a set a task went to, and why."""

    by: str
    """The recipe's `synthesis.route`: the router, or what stood in its place."""
    expertise: Literal["omni"] | Domain
    version: str
    """The registered version, `NAME@NUMBER`."""
    confidence: Annotated[float, Field(ge=0.0, le=1.0)] | None = None
    """The router's in the likeliest expert, whether or not it was taken; None where it was not asked."""


class Trail(Contract):
    """All exchanges of one output, in their order."""

    model: str
    prompt_version: str
    route: Routed | None = None
    """None where there was one model only."""
    exchanges: tuple[Exchange, ...] = ()

    def conversation(self, place: int) -> tuple[Said, ...]:
        """Every message of an exchange, those of the exchanges it continues included."""
        exchange = self.exchanges[place]
        before = self.conversation(place - 1)[: exchange.kept] if exchange.kept else ()
        return (*before, *exchange.messages)

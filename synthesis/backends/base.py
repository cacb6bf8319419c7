"""What a generation backend is: it starts a writer for each task, which writes an output and mends it."""

from __future__ import annotations

from typing import Protocol

from pydantic import BaseModel

from schemas.base import canonical_json
from schemas.recipe import Serving, Synthesis
from schemas.score import Score
from schemas.trail import Trail
from schemas.usage import Usage
from synthesis.base import Agent, Evidence
from synthesis.purse import Purse


class Writer(Protocol):
    """Makes one output."""

    usage: Usage
    """What was asked of a model so far."""
    trail: Trail | None
    """What passed between it and a model so far; None without a model."""

    async def write(self) -> str:
        """An output, as JSON text; it need not be valid, the verifier sees to that.

        Raises:
            schemas.errors.UnsuitedError: nothing of this type can honestly be made; says why.
            synthesis.purse.SpentError: the budget of the run is met.
        """
        ...

    async def mend(self, output: str, score: Score) -> str | None:
        """A better output after the verdict on this one; None when nothing worth having is left."""
        ...


class Backend(Protocol):
    """Made once per worker; loads what it needs at the first output. `model` and `prompt_version` go into the
    provenance of every row it writes. Many of its writers may be at work at once, in one event loop."""

    name: str
    model: str | None
    prompt_version: str | None

    def __init__(self, settings: Synthesis, serving: Serving) -> None: ...

    def start(self, agent: Agent, evidence: Evidence, purse: Purse) -> Writer:
        """A writer for one task on one group of streams, which pays from this purse."""
        ...

    async def close(self) -> None:
        """Lets connections and engines go."""
        ...


def to_json(output: BaseModel) -> str:
    """An output as rows hold it: canonical JSON, absent fields left out."""
    return canonical_json(output.model_dump(mode="json", exclude_none=True))

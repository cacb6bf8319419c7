"""What a generation backend is: it writes an output for an agent's evidence, and mends one that did not verify."""

from __future__ import annotations

from typing import Protocol

from pydantic import BaseModel

from schemas.base import canonical_json
from schemas.score import Score
from synthesis.base import Agent, Evidence


class Backend(Protocol):
    """Loaded once per worker. `model` and `prompt_version` go into the provenance of every row it writes."""

    name: str
    model: str | None
    prompt_version: str | None

    def write(self, agent: Agent, evidence: Evidence) -> str:
        """An output for this evidence, as JSON text; it need not be valid, the verifier sees to that.

        Raises:
            schemas.errors.UnsuitedError: nothing of this type can honestly be made; says why.
        """
        ...

    def mend(self, agent: Agent, output: str, score: Score, evidence: Evidence) -> str | None:
        """A better output after the verdict on this one; None when nothing worth having is left."""
        ...


def to_json(output: BaseModel) -> str:
    """An output as rows hold it: canonical JSON, absent fields left out."""
    return canonical_json(output.model_dump(mode="json", exclude_none=True))

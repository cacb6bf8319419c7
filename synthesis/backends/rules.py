"""The rules backend: the agents' own `compose`. It reorganises anchors and invents nothing; needs no model."""

from __future__ import annotations

from pydantic import ValidationError

from schemas.score import Score
from synthesis.backends.base import to_json
from synthesis.base import Agent, Evidence


class RulesBackend:
    """The embedded default and the honest baseline."""

    name = "rules"
    model: str | None = None
    prompt_version: str | None = None

    def write(self, agent: Agent, evidence: Evidence) -> str:
        return to_json(agent.compose(evidence))

    def mend(self, agent: Agent, output: str, score: Score, evidence: Evidence) -> str | None:
        """Takes out what is unsupported; an output that does not parse cannot be mended by rules."""
        try:
            parsed = agent.output.model_validate_json(output)
        except ValidationError:
            return None
        mended = agent.repair(parsed, score.unsupported, evidence)
        return None if mended is None else to_json(mended)

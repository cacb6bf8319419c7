"""The rules backend: the agents' own `compose`. It reorganises anchors and invents nothing; needs no model."""

from __future__ import annotations

from pydantic import BaseModel, ValidationError

from schemas.constraints import Constraints, Count
from schemas.errors import UnsuitedError
from schemas.recipe import Serving, Synthesis
from schemas.score import Score
from schemas.trail import Trail
from schemas.usage import Usage
from synthesis.backends.base import to_json
from synthesis.base import Agent, Evidence
from synthesis.purse import Purse
from synthesis.selection import thinned

LANGUAGE = "en"
"""What the agents write in, whatever language they quote."""


class RulesBackend:
    """The embedded default and the honest baseline."""

    name = "rules"
    model: str | None = None
    prompt_version: str | None = None

    def __init__(self, settings: Synthesis | None = None, serving: Serving | None = None) -> None:
        """Takes no settings: rules have none."""

    def start(self, agent: Agent, evidence: Evidence, purse: Purse) -> RulesWriter:
        return RulesWriter(self, agent, evidence)

    async def close(self) -> None:
        """There is nothing to let go."""

    def write(self, agent: Agent, evidence: Evidence) -> str:
        constraints, uri = evidence.spec.constraints, evidence.streams[0].uri
        if (refused := refusal(agent, constraints)) is not None:
            raise UnsuitedError(uri, *refused)
        return to_json(_bounded(agent.compose(evidence), agent, constraints, uri))

    def mend(self, agent: Agent, output: str, score: Score, evidence: Evidence) -> str | None:
        """Takes out what is unsupported; an output that does not parse cannot be mended by rules."""
        try:
            parsed = agent.output.model_validate_json(output)
        except ValidationError:
            return None
        mended = agent.repair(parsed, score.unsupported, evidence)
        return None if mended is None else to_json(mended)


class RulesWriter:
    """One output by rules."""

    usage = Usage()
    trail: Trail | None = None

    def __init__(self, backend: RulesBackend, agent: Agent, evidence: Evidence) -> None:
        self._backend, self._agent, self._evidence = backend, agent, evidence

    async def write(self) -> str:
        return self._backend.write(self._agent, self._evidence)

    async def mend(self, output: str, score: Score) -> str | None:
        return self._backend.mend(self._agent, output, score, self._evidence)


def refusal(agent: Agent, constraints: Constraints) -> tuple[str, str] | None:
    """Why rules cannot keep these constraints whatever the stream holds, and what to do; None when they can."""
    if constraints.language not in (None, LANGUAGE):
        cause = f"an output in {constraints.language} is asked, and the rules backend writes {LANGUAGE} only"
        return cause, "Choose a backend with a language model, or leave the language out."
    if constraints.answers is not None and constraints.answers not in agent.answers:
        cause = f"{constraints.answers.replace('_', ' ')} answers are asked, and {agent.task_type} has none"
        return cause, "Ask for video_qa, whose questions have options, or leave the form of the answers out."
    return None


def _bounded(output: BaseModel, agent: Agent, constraints: Constraints, uri: str) -> BaseModel:
    """The output with the parts that are asked for, spread over what there is."""
    if not (constraints.counts or constraints.difficulty):
        return output
    value = output.model_dump()
    for name in dict.fromkeys(agent.parts.values()):
        there = list(value.get(name) or ())
        items = there
        counts = [count for count in constraints.counts if agent.parts.get(count.noun) == name]
        if constraints.difficulty is not None:
            wanted = constraints.difficulty
            items = [item for item in there if item.get("difficulty", wanted) == wanted]
        most = min((count.most for count in counts if count.most is not None), default=None)
        if most is not None and len(items) > most:
            if not agent.divisible:
                raise _too_many(Count(noun=name, most=most), len(items), uri)
            items = thinned(items, most)
        value[name] = items
        for count in counts:
            if len(items) < (count.least or 0):
                raise _too_few(count, len(items), constraints, uri)
        if there and not items:
            raise _too_few(Count(noun=name, least=1), 0, constraints, uri)
    return type(output).model_validate(value)


def _too_many(count: Count, there: int, uri: str) -> UnsuitedError:
    remedy = "Ask for more, give a shorter recording, or choose a backend with a language model."
    return UnsuitedError(uri, f"{count} asked, and it takes {there}, none of which can be left out", remedy)


def _too_few(count: Count, there: int, constraints: Constraints, uri: str) -> UnsuitedError:
    kind = f" ({constraints.difficulty} ones)" if constraints.difficulty else ""
    return UnsuitedError(
        uri,
        f"{count}{kind} asked, and what was measured gives {there}",
        "Ask for fewer, give a longer recording, or choose a backend with a language model.",
    )

"""The forms of data that can be asked for: what the roster's agents say of how they are recognised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from schemas.stream import Domain, Stream
from synthesis.agents.roster import TASKS, agent_class
from synthesis.base import Recognition


@dataclass(frozen=True, eq=False)
class Form:
    """One task type, as far as intents need it. There is one of each: compared by identity."""

    task_type: str
    rule: Recognition
    domains: frozenset[Domain]
    parts: Mapping[str, str]
    schema: str

    def prior(self, domain: Domain | None) -> float:
        """How much a domain suggests it; with no domain known, the most that any does."""
        if domain is None:
            return max(self.rule.prior.values(), default=0.0)
        return self.rule.prior.get(domain, 0.0)

    def misfit(self, domain: Domain | None, streams: Sequence[Stream]) -> str | None:
        """Why it cannot be made of these streams; None when it can be tried."""
        if domain is not None and domain not in self.domains:
            return f"that is not made of {domain} streams"
        if streams and self.rule.needs and not any(stream.has(*self.rule.needs) for stream in streams):
            return f"the input has no track of {' or '.join(sorted(self.rule.needs))}"
        return None


@cache
def forms() -> tuple[Form, ...]:
    """All of them, in the order of the roster; agents are loaded on the first call.

    A form without names and examples (a user's own schema) is chosen in another way than by a sentence.
    """
    found = (_form(name) for name in TASKS.names)
    return tuple(form for form in found if form.rule.names or form.rule.examples)


def _form(task_type: str) -> Form:
    agent = agent_class(task_type)
    return Form(task_type, agent.recognition, agent.domains, agent.parts, agent.output_schema())

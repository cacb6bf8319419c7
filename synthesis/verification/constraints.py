"""Whether an output keeps the bounds that its intent sets. A breach is an error of form: R_format is 0."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import py3langid

from schemas.constraints import Constraints
from schemas.score import Claim, ClaimKind
from synthesis.base import Agent
from synthesis.verification.check import TOLERANCE
from synthesis.verification.grounding import prose_of
from synthesis.verification.mentions import without_quotes
from synthesis.verification.rewards import count_words, strings

LEAST_LETTERS = 60
"""A language is told from so many letters of prose; shorter texts are taken at their word."""


def breaches(
    value: Any, schema: Mapping[str, Any], constraints: Constraints, agent: Agent, claims: Sequence[Claim]
) -> tuple[str, ...]:
    """What an output breaks of its constraints, as `JSON pointer: message`.

    Args:
        value: parsed, schema-valid JSON.
        schema: Phi.
        constraints: those of its task spec.
        agent: knows which list holds what can be counted.
        claims: those of the output, which say what times it speaks of.
    """
    if constraints == Constraints():
        return ()
    return (
        *_counts(value, constraints, agent),
        *_window(constraints, claims),
        *_difficulty(value, constraints, agent),
        *_language(value, schema, constraints),
        *_words(value, constraints),
        *_answers(constraints, agent),
        *agent.breaches(value, constraints),
    )


def _counts(value: Any, constraints: Constraints, agent: Agent) -> Iterator[str]:
    for count in constraints.counts:
        name = agent.parts.get(count.noun)
        if name is None:
            continue
        there = len(value.get(name) or ())
        if there < (count.least or 0) or (count.most is not None and there > count.most):
            yield f"/{name}: {count} asked, the output has {there}"


def _window(constraints: Constraints, claims: Sequence[Claim]) -> Iterator[str]:
    window = constraints.window
    if window is None:
        return
    end = float("inf") if window.t1 is None else window.t1
    for claim in claims:
        times = () if claim.kind is ClaimKind.COUNT else (claim.t0, claim.t1)
        for time in times:
            if time is not None and not window.t0 - TOLERANCE <= time <= end + TOLERANCE:
                yield f"{claim.path}: {time:g} s lies outside of what is asked, {window}"


def _difficulty(value: Any, constraints: Constraints, agent: Agent) -> Iterator[str]:
    wanted = constraints.difficulty
    for name in dict.fromkeys(agent.parts.values()) if wanted else ():
        for place, item in enumerate(value.get(name) or ()):
            if isinstance(item, dict) and item.get("difficulty", wanted) != wanted:
                yield f"/{name}/{place}/difficulty: {item['difficulty']}, where {wanted} is asked"


def _language(value: Any, schema: Mapping[str, Any], constraints: Constraints) -> Iterator[str]:
    if constraints.language is None:
        return
    prose = " ".join(without_quotes(text) for text in prose_of(value, schema))
    if sum(letter.isalpha() for letter in prose) < LEAST_LETTERS:
        return
    language, _ = py3langid.classify(prose)
    if language != constraints.language:
        yield f": it is written in {language}, where {constraints.language} is asked"


def _answers(constraints: Constraints, agent: Agent) -> Iterator[str]:
    if constraints.answers is not None and constraints.answers not in agent.answers:
        yield f": {constraints.answers.replace('_', ' ')} answers asked, and {agent.task_type} has none"


def _words(value: Any, constraints: Constraints) -> Iterator[str]:
    most = constraints.most_words
    there = sum(count_words(text) for text in strings(value))
    if most is not None and there > most:
        yield f": {there} words, where at most {most} are asked"

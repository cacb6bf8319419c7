"""Rules that turn an intent and what is known of the input into task specs: the embedded resolver.

Words that name a form of data decide; where none does, the domain of the input suggests, and confidence stays low, so
that the ambiguity is kept and seen.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from schemas.errors import UnsuitedError
from schemas.stream import Domain, Stream
from schemas.task_spec import Intent, TaskSpec
from synthesis.agents.roster import TASKS, agent_class
from synthesis.base import Recognition

BUILD_FROM = 0.5
"""Readings of at least this confidence are all built."""

_NEGATED = re.compile(
    r"\b(?:no|not|without|never|don't|do not|except(?: for)?|instead of|rather than)\b(?:(?!\bbut\b)[^,.;:!?])*"
)
_NAMED, _NAMED_STEP, _NAMED_MOST = 0.8, 0.05, 0.95
_HINT_STEP, _VAGUE_MOST = 0.04, 0.49


def resolve(intent: Intent, streams: Sequence[Stream]) -> list[TaskSpec]:
    """The plausible readings of an intent for these streams, most confident first, each with its reasons.

    A named form has a confidence of 0.8 or more, one that only the domain suggests stays below 0.5.

    Raises:
        UnsuitedError: what the intent names cannot be made of this input; says what could be.
    """
    domain = streams[0].domain if streams else intent.domain
    sentence = intent.text.lower().replace("’", "'")
    asked, refused = _NEGATED.sub(" ", sentence), " ".join(_NEGATED.findall(sentence))
    readings: list[TaskSpec] = []
    misfits: list[str] = []
    for task_type in TASKS.names:
        rule = _rule(task_type)
        named = _found(rule.names, asked)
        prior = rule.prior.get(domain, 0.0) if domain is not None else max(rule.prior.values(), default=0.0)
        if _found(rule.names, refused) or (not named and not prior):
            continue
        misfit = _misfit(task_type, rule, domain, streams)
        if misfit is None:
            readings.append(_spec(intent, task_type, rule, named, _found(rule.hints, asked), prior, domain, asked))
        elif named:
            misfits.append(f"{_quoted(named)} asks for {task_type}, but {misfit}")
    readings.sort(key=lambda spec: -spec.confidence)
    if not any(spec.confidence >= BUILD_FROM for spec in readings) and (misfits or not readings):
        raise UnsuitedError(
            streams[0].uri if streams else intent.text,
            "; ".join(misfits) or f"nothing that {intent.text!r} asks for can be made of it",
            _offer(domain, streams),
        )
    return readings


def choose(readings: Sequence[TaskSpec]) -> list[TaskSpec]:
    """Which readings are built: all that the intent names, otherwise the best one. The others stay on record."""
    return [spec for spec in readings if spec.confidence >= BUILD_FROM] or list(readings[:1])


def _rule(task_type: str) -> Recognition:
    return agent_class(task_type).recognition


def _misfit(task_type: str, rule: Recognition, domain: Domain | None, streams: Sequence[Stream]) -> str | None:
    """Why a task type cannot be made of these streams; None when it can be tried."""
    if domain is not None and domain not in agent_class(task_type).domains:
        return f"that is not made of {domain} streams"
    if streams and rule.needs and not any(stream.has(*rule.needs) for stream in streams):
        kinds = " or ".join(sorted(rule.needs))
        return f"the input has no track of {kinds}"
    return None


def _spec(
    intent: Intent,
    task_type: str,
    rule: Recognition,
    named: Sequence[str],
    hints: Sequence[str],
    prior: float,
    domain: Domain | None,
    asked: str,
) -> TaskSpec:
    because = []
    if named:
        because.append(f"{_quoted(named)} names it")
        confidence = min(_NAMED_MOST, _NAMED + _NAMED_STEP * (len(named) - 1) + _HINT_STEP * len(hints) / 4)
    else:
        confidence = min(_VAGUE_MOST, prior + _HINT_STEP * len(hints))
    if hints:
        because.append(f"{_quoted(hints)} goes with it")
    if domain is not None and prior:
        because.append(f"the input is {domain}")
    joining = _found(rule.joins, asked)
    if joining:
        because.append(f"{_quoted(joining)} asks for one sample from all streams together")
    return TaskSpec(
        task_type=task_type,
        instruction=f"{rule.instruction} The user asked: {' '.join(intent.text.split())}",
        intent=intent,
        output_schema=agent_class(task_type).output_schema(),
        confidence=round(confidence, 4),
        because=tuple(because),
        joins_streams=bool(joining),
    )


def _found(patterns: Sequence[str], sentence: str) -> list[str]:
    """What stands in the sentence of these patterns, each once, in the order of the sentence."""
    matches = [match for pattern in patterns for match in re.finditer(rf"(?<![\w-])(?:{pattern})(?!\w)", sentence)]
    return list(dict.fromkeys(match.group().strip() for match in sorted(matches, key=lambda match: match.start())))


def _quoted(words: Sequence[str]) -> str:
    return ", ".join(f'"{word}"' for word in words)


def _offer(domain: Domain | None, streams: Sequence[Stream]) -> str:
    """What can be asked of an input."""
    names = [name for name in TASKS.names if _misfit(name, _rule(name), domain, streams) is None]
    return f"Possible here: {', '.join(names)}." if names else "No task type works on such input."

"""Which forms a sentence names, where several have a word in common too."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from synthesis.intent.forms import Form

_TOPIC = re.compile(r"\b(?:about|regarding|concerning)\b[^.,;:!?+]*")


@dataclass(frozen=True)
class Mention:
    """Words that name one form, or several alike (`questions`)."""

    words: str
    start: int
    end: int
    task_types: tuple[str, ...]


def mentions(part: str, forms: Iterable[Form]) -> list[Mention]:
    """What is named in a part of a sentence, in its order.

    Of words inside of one another the longest counts: `temporal questions` is not also `questions`. A topic names
    nothing where something was named before it: `questions about the mistakes` are questions.
    """
    spans: dict[tuple[int, int], list[str]] = {}
    for form in forms:
        for match in _matches(form.rule.names, part):
            spans.setdefault(match.span(), []).append(form.task_type)
    longest = [span for span in spans if not any(_inside(span, other) for other in spans)]
    found = [Mention(part[a:b].strip(), a, b, tuple(dict.fromkeys(spans[a, b]))) for a, b in sorted(longest)]
    return _without_topics(found, part)


def words_found(patterns: Sequence[str], part: str) -> list[str]:
    """What stands in a part of these patterns, each once, in its order."""
    matches = sorted(_matches(patterns, part), key=lambda match: match.start())
    return list(dict.fromkeys(match.group().strip() for match in matches))


def quoted(words: Iterable[str]) -> str:
    return ", ".join(f'"{word}"' for word in words)


def _without_topics(found: list[Mention], part: str) -> list[Mention]:
    topics = [match.span() for match in _TOPIC.finditer(part)]
    return [
        mention
        for mention in found
        if not any(start <= mention.start < end and found[0].start < start for start, end in topics)
    ]


def _inside(span: tuple[int, int], other: tuple[int, int]) -> bool:
    return span != other and other[0] <= span[0] and span[1] <= other[1]


def _matches(patterns: Sequence[str], part: str) -> list[re.Match[str]]:
    return [match for pattern in patterns for match in _compiled(pattern).finditer(part) if match.group().strip()]


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w-])(?:{pattern})(?!\w)")

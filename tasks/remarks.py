"""What people are told about inputs: the worst first, and alike ones together, since a data set that lacks 98 files has
one thing to say and not 98."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from schemas.outcome import InputOutcome, Outcome, RunReport

T = TypeVar("T")

_NUMBER = re.compile(r"\d+")
_WORST_FIRST = (Outcome.FAILED, Outcome.FILTERED, Outcome.POSTPONED, Outcome.DONE)
_NAMED = 3
"""Members of a data set that are named; of more only the number is told."""


def remarks(report: RunReport) -> list[list[InputOutcome]]:
    """The inputs of a run that are not simply done, in groups of alike ones, failed ones first."""
    notable = [item for item in report.inputs if item.outcome is not Outcome.DONE or item.reasons]
    notable.sort(key=lambda item: _WORST_FIRST.index(item.outcome))
    return alike(notable, lambda item: item.uri, lambda item: f"{item.outcome}: {why(item)}")


def alike(items: Iterable[T], uri: Callable[[T], str], words: Callable[[T], str]) -> list[list[T]]:
    """Groups of items that are members (`data set#member`) of one data set and of which the same is said, but for
    numbers; a group in the order of its numbers, the groups in that of their first items."""
    groups: dict[tuple[str, str], list[T]] = {}
    for item in items:
        data_set = uri(item).partition("#")[0]
        groups.setdefault((data_set, _NUMBER.sub("0", words(item))), []).append(item)
    return [sorted(group, key=lambda item: _by_numbers(uri(item))) for group in groups.values()]


def named(uris: Sequence[str]) -> str:
    """The names of a group: `robots#7`; `robots: #0, #1, #2 and 95 more`."""
    names = list(dict.fromkeys(uris))
    if len(names) == 1:
        return names[0]
    data_set = names[0].partition("#")[0]
    shown = ", ".join(name.removeprefix(data_set) for name in names[:_NAMED])
    return f"{data_set}: {shown}" + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")


def said(words: Sequence[str]) -> str:
    """What is said of a group: the same of all, or that of the first as an example."""
    return words[0] if len(set(words)) == 1 else f"for example: {words[0]}"


def why(item: InputOutcome) -> str:
    """The reasons of an input, without its name, which stands beside them."""
    return "; ".join(reason.removeprefix(f"{item.uri!r}: ").rstrip(".") for reason in item.reasons)


def _by_numbers(text: str) -> list[tuple[int, str]]:
    """A sort key by which `#2` comes before `#10`."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", text)]

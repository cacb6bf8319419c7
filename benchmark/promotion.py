"""Whether a candidate is to take the place of the version that is current: the rule of its training, on what both
answered to the same samples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from benchmark.metrics.aggregate import overall, paired
from benchmark.val.results import Result
from schemas.sample_score import Level, PairedDifference, SampleScore
from schemas.training import Promotion


@dataclass(frozen=True)
class Condition:
    """A part of the rule, with the figures that it was held to."""

    words: str
    met: bool


@dataclass(frozen=True)
class Judgement:
    """What the rule says of a candidate, and the differences to the current version by level, their mean first."""

    conditions: tuple[Condition, ...]
    differences: tuple[PairedDifference, ...]

    @property
    def passed(self) -> bool:
        return all(condition.met for condition in self.conditions)


def judge(rule: Promotion, candidate: Result, current: Result | None) -> Judgement:
    """Holds a candidate to a rule.

    Args:
        current: of the version that is current; None where none is.

    Raises:
        UsageError: the two were not asked the same samples.
    """
    ours = _scores(candidate)
    theirs = None if current is None else _scores(current)
    levels = () if theirs is None else (None, *Level)
    differences = tuple(found for level in levels if (found := paired(ours, theirs or [], level)) is not None)
    return Judgement(tuple(_conditions(rule, ours, theirs, differences)), differences)


def _conditions(
    rule: Promotion,
    ours: list[SampleScore],
    theirs: list[SampleScore] | None,
    differences: tuple[PairedDifference, ...],
) -> Iterator[Condition]:
    valid = overall(ours).json_valid.mean
    yield Condition(f"valid JSON in {valid:.1%} of outputs, at least {rule.valid:.1%} wanted", valid >= rule.valid)
    if theirs is None:
        return
    before = overall(theirs).json_valid.mean
    yield Condition(f"valid JSON in {valid:.1%}, {before:.1%} before", valid >= before)
    mean = next(difference for difference in differences if difference.level is None)
    yield Condition(f"mean difference {mean.difference:+.3f}, above 0 wanted", mean.difference > 0)
    if mean.low is None:
        yield Condition("no interval: all samples are of one family of streams", False)
    else:
        words = f"lower end of its interval {mean.low:+.3f}, at least {-rule.margin:+.3f} wanted"
        yield Condition(words, mean.low >= -rule.margin)


def _scores(result: Result) -> list[SampleScore]:
    return [record.score for record in result.records]

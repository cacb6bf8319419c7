"""The rule by which a candidate takes the place of the current version."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from benchmark.promotion import judge
from benchmark.val.results import Result
from schemas.errors import UsageError
from schemas.sample_score import Level, SampleScore
from schemas.stream import Domain
from schemas.training import Promotion
from schemas.val import Answer, AnswerState, Subset, ValRecord, ValRun

RULE = Promotion(margin=0.02, valid=0.9)


def record(number: int, semantic: float, valid: float = 1.0, stream: int | None = None) -> ValRecord:
    score = SampleScore(
        sample=f"s{number}",
        domain=Domain.GUI,
        task_type="tutorial",
        streams=(f"{number if stream is None else stream:064x}",),
        json_valid=valid,
        field=valid,
        semantic=semantic * valid,
        sequence=None,
    )
    answer = Answer(sample=score.sample, state=AnswerState.ANSWERED)
    return ValRecord(subset=Subset.CLEAR, answer=answer, score=score, acceptable=None, verified=None)


def result(*records: ValRecord) -> Result:
    run = ValRun(
        label="tailor@1",
        identity="0" * 64,
        backend="model:tailor@1",
        model=None,
        settings=None,
        prompt_version=None,
        val="dataclaw-val 1",
        val_digest="0" * 64,
        ended=datetime.now(UTC),
        dataclaw_version="0",
        asked=0,
    )
    return Result(run, records)


def of(*semantic: float) -> Result:
    return result(*(record(number, value) for number, value in enumerate(semantic)))


def test_a_candidate_that_is_better_on_every_stream_passes() -> None:
    judgement = judge(RULE, of(0.6, 0.7, 0.8, 0.7), of(0.4, 0.5, 0.6, 0.4))
    assert judgement.passed
    assert judgement.differences[0].difference == pytest.approx(0.225 / 3)
    assert [difference.level for difference in judgement.differences] == [None, Level.JSON, Level.FIELD, Level.SEMANTIC]


def test_one_that_is_worse_or_equal_does_not() -> None:
    before = of(0.4, 0.5, 0.6)
    assert not judge(RULE, before, before).passed
    assert not judge(RULE, of(0.3, 0.5, 0.6), before).passed


def test_the_margin_says_how_uncertain_a_difference_may_be() -> None:
    candidate, current = of(0.9, 0.2, 0.6, 0.5), of(0.3, 0.5, 0.5, 0.4)
    (unmet,) = [condition for condition in judge(RULE, candidate, current).conditions if not condition.met]
    assert unmet.words.startswith("lower end of its interval -0.")
    assert judge(RULE.model_copy(update={"margin": 0.5}), candidate, current).passed


def test_what_rests_on_one_family_of_streams_is_not_enough() -> None:
    candidate, current = (result(*(record(n, value, stream=1) for n in range(5))) for value in (0.9, 0.1))
    (unmet,) = [condition for condition in judge(RULE, candidate, current).conditions if not condition.met]
    assert "one family of streams" in unmet.words


def test_valid_json_may_not_become_rarer_whatever_else_is_gained() -> None:
    before = [record(number, 0.1) for number in range(20)]
    after = [record(0, 1.0, valid=0.0), *(record(number, 1.0) for number in range(1, 20))]
    (unmet,) = [condition for condition in judge(RULE, result(*after), result(*before)).conditions if not condition.met]
    assert unmet.words == "valid JSON in 95.0%, 100.0% before"


def test_without_a_current_version_valid_json_decides() -> None:
    good, bad = of(0.1, 0.1), result(record(0, 0.9, valid=0.0), record(1, 0.9))
    assert judge(RULE, good, None).passed
    assert not judge(RULE, bad, None).passed
    assert judge(RULE, good, None).differences == ()


def test_models_that_were_asked_other_samples_are_not_compared() -> None:
    with pytest.raises(UsageError, match="score of one model only"):
        judge(RULE, of(0.5, 0.5), of(0.5))

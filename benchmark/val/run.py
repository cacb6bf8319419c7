"""Runs models over a set: what was answered is kept, what was not is asked, then all is scored."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version

from benchmark.metrics.aggregate import by_domain, overall
from benchmark.metrics.score import Scorer, Truth
from benchmark.val.ask import Examiner
from benchmark.val.candidates import Candidate
from benchmark.val.results import Answers, Result, write_result
from benchmark.val.store import FuzzyRequest, Val, row_digest
from schemas.base import digest
from schemas.errors import CorpusError
from schemas.sample_score import Estimate, Level, LevelScores
from schemas.score import Score
from schemas.triplet import Triplet
from schemas.val import Answer, AnswerState, Subset, ValRecord, ValRun
from storage.location import Location
from synthesis.agents.roster import agent_of
from synthesis.backends.base import Backend
from synthesis.purse import Purse, SpentError
from synthesis.verification.verify import score_output

FUZZY, OVERALL = "fuzzy", "overall"


@dataclass(frozen=True)
class Bounds:
    """What a run may use."""

    concurrency: int = 16
    """Questions under way at once."""
    tokens: int | None = None
    """Read and written; None: no bound."""
    images: int | None = None


@dataclass(frozen=True)
class _Question:
    """A sample, the key under which its answer is kept, how it is asked, and what its form and length go by."""

    key: str
    ask: Callable[[Examiner], Coroutine[None, None, Answer]]
    likeness: tuple[str, int]


def run(
    val: Val,
    candidate: Candidate,
    results: Location,
    scorer: Scorer,
    bounds: Bounds = Bounds(),
    advance: Callable[[int], object] = lambda done: None,
) -> tuple[Result, str]:
    """One model over a set; gives what came of it and the path of its table.

    Interrupted, it goes on where it was: answers are kept as they come. A sample that is declined or failed counts as a
    wrong one; what failed is asked again by the next run.

    Args:
        scorer: one for all models, since it remembers true texts.
        advance: called with the number of samples that ended since.

    Raises:
        UsageError: the model cannot be asked.
        CorpusError: the budget is met before the set is through, or results cannot be written.
    """
    backend = candidate.open()
    questions = _questions(val, backend)
    answers, asked = asyncio.run(_answers(questions, backend, Answers(results, candidate.identity), bounds, advance))
    records = _records(val, answers, scorer)
    model = candidate.synthesis.model
    ended = ValRun(
        label=candidate.label,
        identity=candidate.identity,
        backend=candidate.synthesis.backend,
        model=None if model is None else model.name,
        settings=model,
        prompt_version=backend.prompt_version,
        val=val.manifest.title,
        val_digest=val.manifest.digest,
        ended=datetime.now(UTC),
        dataclaw_version=version("dataclaw-factory"),
        asked=asked,
    )
    return Result(ended, tuple(records)), write_result(results, ended, records)


def columns(result: Result) -> dict[str, LevelScores]:
    """The levels of a run by what tables have as columns: domains of clear examples, fuzzy requests, and all samples,
    each of which weighs the same."""
    clear = [record.score for record in result.records if record.subset is Subset.CLEAR]
    fuzzy = [record.score for record in result.records if record.subset is Subset.FUZZY]
    found = {str(domain): levels for domain, levels in by_domain(clear).items()}
    if fuzzy:
        found[FUZZY] = overall(fuzzy)
    return found | {OVERALL: overall([*clear, *fuzzy])}


def metrics(result: Result) -> dict[str, float]:
    """The means of a run under names such as `val/gui/semantic`, for the registry of models."""
    found = {}
    for column, levels in columns(result).items():
        for level in Level:
            estimate = at(levels, level)
            if estimate is not None:
                found[f"val/{column}/{level}"] = estimate.mean
    if (share := acceptable(result)) is not None:
        found["val/fuzzy/acceptable"] = share
    return found | {f"val/{part}": mean for part, mean in rewards(result).items()}


def acceptable(result: Result) -> float | None:
    """The share of fuzzy requests whose first reading is an acceptable one; None without such requests."""
    hits = [record.acceptable for record in result.records if record.acceptable is not None]
    return sum(hits) / len(hits) if hits else None


def untold(result: Result) -> int:
    """Questions that did not tell all that their true output states: nobody can answer them right."""
    return sum(record.answer.told is False for record in result.records)


def rewards(result: Result) -> dict[str, float]:
    """The means of the verifier's reward and its parts over clear examples, each over those it applies to: what GRPO
    raises."""
    scores = [record.verified for record in result.records if record.verified is not None]
    parts = {
        "R": [score.reward for score in scores],
        "R_format": [score.format for score in scores],
        "R_anchor": [score.anchor for score in scores if score.anchor is not None],
        "R_eff": [score.efficiency for score in scores if score.efficiency is not None],
    }
    return {name: sum(values) / len(values) for name, values in parts.items() if values}


def _questions(val: Val, backend: Backend) -> list[_Question]:
    """All samples, clear ones first. A key holds what an answer depends on beside the model."""
    return [
        *(_clear(row, backend) for row in val.clear),
        *(_fuzzy(request, backend) for request in val.fuzzy),
    ]


def _clear(row: Triplet, backend: Backend) -> _Question:
    key = digest([backend.prompt_version, agent_of(row.spec).version, row_digest(row)])
    return _Question(key, lambda examiner: examiner.clear(row), (row.task_type, len(row.anchors)))


def _fuzzy(request: FuzzyRequest, backend: Backend) -> _Question:
    versions = [agent_of(reading.spec).version for reading in request.readings]
    key = digest([backend.prompt_version, versions, request.id, [row_digest(row) for row in request.readings]])
    likeness = (FUZZY, len(request.readings[0].anchors))
    return _Question(key, lambda examiner: examiner.fuzzy(request), likeness)


async def _answers(
    questions: Sequence[_Question],
    backend: Backend,
    kept: Answers,
    bounds: Bounds,
    advance: Callable[[int], object],
) -> tuple[list[Answer], int]:
    """An answer to each question, in their order, and how many were asked now. What is alike is asked at one time:
    backends that answer batches pad little, and those that keep prefixes find them."""
    examiner = Examiner(backend, Purse(bounds.tokens, bounds.images))
    free = asyncio.Semaphore(bounds.concurrency)
    asked = 0
    spent: SpentError | None = None

    async def answered(question: _Question) -> Answer | None:
        nonlocal asked, spent
        found = kept.get(question.key)
        if found is None or found.state is AnswerState.FAILED:
            async with free:
                if spent is not None:
                    return None
                try:
                    found = await question.ask(examiner)
                except SpentError as error:
                    spent = error
                    return None
            asked += 1
            kept.put(question.key, found)
        advance(1)
        return found

    alike = sorted(range(len(questions)), key=lambda place: questions[place].likeness, reverse=True)
    try:
        async with asyncio.TaskGroup() as group:
            tasks = {place: group.create_task(answered(questions[place])) for place in alike}
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None  # the others were cancelled for it
    finally:
        await backend.close()
    found = [tasks[place].result() for place in range(len(questions))]
    answers = [answer for answer in found if answer is not None]
    if spent is not None:
        cause = f"the budget is met after {len(answers)} of {len(questions)} samples ({spent.problem.cause})"
        raise CorpusError("--tokens", cause, "Run again: what was answered is kept, and the rest is asked")
    return answers, asked


def _records(val: Val, answers: Sequence[Answer], scorer: Scorer) -> list[ValRecord]:
    clear, fuzzy = answers[: len(val.clear)], answers[len(val.clear) :]
    truths = [Truth.of(row) for row in val.clear]
    scores = scorer.score(truths, [answer.output for answer in clear])
    records = [
        ValRecord(subset=Subset.CLEAR, answer=answer, score=score, acceptable=None, verified=_verified(row, answer))
        for row, answer, score in zip(val.clear, clear, scores, strict=True)
    ]
    for request, answer in zip(val.fuzzy, fuzzy, strict=True):
        best = scorer.best([Truth.of(reading) for reading in request.readings], answer.output)
        records.append(
            ValRecord(
                subset=Subset.FUZZY,
                answer=answer,
                score=best.model_copy(update={"sample": request.id}),
                acceptable=bool(answer.readings) and answer.readings[0] in request.task_types,
                verified=None,
            )
        )
    return records


def _verified(row: Triplet, answer: Answer) -> Score:
    """The verifier's word on an answer, as a build would have it; of its claims, those that it does not accept."""
    score = score_output(answer.output, row.spec, row.streams, row.anchors)
    return score.model_copy(update={"supports": score.unsupported})


def at(levels: LevelScores, level: Level) -> Estimate | None:
    """The estimate at a level."""
    return {
        Level.JSON: levels.json_valid,
        Level.FIELD: levels.field,
        Level.SEMANTIC: levels.semantic,
        Level.SEQUENCE: levels.sequence,
    }[level]

"""What a build tells of its corpus, measured from what was last acted upon."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from schemas.errors import CorpusError, Problem
from schemas.events import CorpusSize, past
from schemas.manifest import Manifest, Statistics
from schemas.outcome import InputOutcome, Outcome, RunReport, RunState
from schemas.recipe import Growth, Recipe
from storage.corpus import Corpus
from tasks.events import acted_upon, growth, note_acted_upon, quarantine_exceeded, verification_failed
from tasks.run import Run
from tasks.verify_sample import Verdict

NOW = datetime(2026, 11, 21, tzinfo=UTC)
SAID = {"corpus": "c", "corpus_id": "i", "recipe": "nightly", "run": "r"}


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return Corpus.open(tmp_path / "corpus", create=True)


def run_into(corpus: Corpus, **threshold: int) -> Run:
    recipe = Recipe(
        name="nightly", corpus=corpus.uri, sources=({"uri": "raw"},), intents=("Any.",), growth=Growth(**threshold)
    )
    return Run(id="r", recipe=recipe, catalog_url="", started=NOW)


def snapshot(corpus: Corpus, number: int, rows: int, *task_types: str, domain: str = "gui") -> Manifest:
    statistics = Statistics(
        rows=rows,
        by_domain={domain: rows},
        by_task_type=dict.fromkeys(task_types, 1),
        reward_mean=None,
        reward_min=None,
    )
    return Manifest(
        corpus=corpus.id,
        number=number,
        parent=None,
        run="r",
        created=NOW,
        shards=(),
        arrow_schema="",
        statistics=statistics,
        dataclaw_version="0",
    )


def test_growth_is_measured_from_what_was_last_acted_upon(corpus: Corpus) -> None:
    run = run_into(corpus, rows=100)
    first = snapshot(corpus, 1, 3, "tutorial")
    told = growth(run, corpus, first, SAID)
    assert told is not None
    assert (told.since, told.rows, told.task_types) == (None, 3, ("tutorial",))
    assert growth(run, corpus, first, SAID) == told, "what nobody acted upon is told again"

    note_acted_upon(corpus, first)
    assert growth(run, corpus, snapshot(corpus, 2, 102, "tutorial"), SAID) is None
    later = growth(run, corpus, snapshot(corpus, 3, 103, "tutorial"), SAID)
    assert later is not None, "small steps add up"
    assert (later.since, later.rows, later.task_types) == (1, 100, ())


def test_a_new_task_type_or_domain_is_growth_of_its_own(corpus: Corpus) -> None:
    run = run_into(corpus, rows=100)
    note_acted_upon(corpus, snapshot(corpus, 9, 50, "tutorial"))
    note_acted_upon(corpus, snapshot(corpus, 10, 50, "tutorial"))
    kind = growth(run, corpus, snapshot(corpus, 11, 40, "tutorial", "video_qa"), SAID)
    assert kind is not None
    assert (kind.since, kind.rows, kind.task_types) == (10, -10, ("video_qa",))
    world = growth(run, corpus, snapshot(corpus, 12, 50, "tutorial", domain="aigc"), SAID)
    assert world is not None
    assert world.domains == ("aigc",)


def test_several_kinds_may_be_asked_for() -> None:
    before, after = CorpusSize(), CorpusSize(rows=5, task_types=("a", "b"), domains=("gui",))
    assert past(Growth(rows=6, task_types=2, domains=2), after, before)
    assert not past(Growth(rows=6, task_types=3, domains=2), after, before)


def test_the_threshold_is_no_part_of_a_recipes_identity(corpus: Corpus) -> None:
    assert run_into(corpus, rows=1).recipe.hash == run_into(corpus, rows=2).recipe.hash


def test_a_damaged_note_says_what_to_do(corpus: Corpus) -> None:
    corpus.location.replace("growth/000001.json", b"{}")
    with pytest.raises(CorpusError, match=r"000001\.json.*Remove it"):
        acted_upon(corpus)


@pytest.mark.parametrize(("failed", "exceeded"), [(0, False), (1, False), (2, True)])
def test_a_quarantine_at_its_limit_is_no_alarm(failed: int, exceeded: bool) -> None:
    ends = [Outcome.FAILED] * failed + [Outcome.DONE] * (10 - failed)
    inputs = tuple(InputOutcome(uri=str(i), sha256=None, outcome=end) for i, end in enumerate(ends))
    report = RunReport(
        run="r",
        name="n",
        corpus="c",
        recipe_hash="h",
        state=RunState.COMPLETED_WITH_REJECTS,
        started=NOW,
        inputs=inputs,
    )
    assert (quarantine_exceeded(report, 0.1, SAID) is not None) is exceeded


def test_a_run_without_inputs_raises_no_alarm() -> None:
    report = RunReport(run="r", name="n", corpus="c", recipe_hash="h", state=RunState.COMPLETED, started=NOW, inputs=())
    assert quarantine_exceeded(report, 0.0, SAID) is None


def test_a_verdict_is_told_with_what_draws_the_same_rows_again(corpus: Corpus) -> None:
    problem = Problem(
        input="row 12 of snapshot 3", cause="its text is not in the frame", remedy="See `dataclaw verify`"
    )
    told = verification_failed(corpus, Verdict(corpus.uri, 3, 99, 10, 40, (problem, problem)))
    assert told is not None
    assert (told.snapshot, told.seed, told.rows, told.failures) == (3, 99, 10, 2)
    assert "its text is not in the frame" in told.first
    assert verification_failed(corpus, Verdict(corpus.uri, 3, 99, 10, 40, ())) is None

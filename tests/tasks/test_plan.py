"""The plan of a night: what is known costs nothing, what another run has is left to it, what is new is laid out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, update

from experts.roster import signature, specs_for
from schemas.base import digest
from schemas.errors import Problem
from schemas.outcome import Outcome, RunState, UnitOutcome
from schemas.recipe import Recipe, SourceSpec
from schemas.rows import UnitPlan, Written
from schemas.stream import Domain, Stream, Track, TrackKind
from storage.catalog.catalog import Catalog
from storage.catalog.models import UnitRow
from storage.corpus import Corpus
from synthesis.agents.roster import agent_class
from tasks.asking import Asking
from tasks.discover import Discovery
from tasks.plan import Ended, Plan, make_plan
from tasks.report import input_outcomes
from tasks.run import Run
from tasks.tailor import Tailored

SCREEN = (TrackKind.VIDEO, TrackKind.EVENTS)


def stream(name: str, *kinds: TrackKind, domain: Domain = Domain.GUI, duration: float = 10.0) -> Stream:
    return Stream(
        sha256=sha256(name.encode()).hexdigest(),
        uri=f"/raw/{name}",
        name=name,
        domain=domain,
        format="video",
        parts=(),
        tracks=tuple(Track(kind=kind, name=kind) for kind in kinds or SCREEN),
        duration=duration,
    )


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return Corpus.open(tmp_path / "corpus", create=True)


@pytest.fixture
def catalog(corpus: Corpus) -> Iterator[Catalog]:
    with Catalog.open(corpus.catalog_url(None), corpus) as opened:
        for run in ("run-1", "run-2"):
            opened.begin_run(run, "r", "h", "{}")
        yield opened


@pytest.fixture
def recipe(corpus: Corpus) -> Callable[..., Recipe]:
    def of(*intents: str, **fields: Any) -> Recipe:
        source = SourceSpec(uri="/raw", group_by=fields.pop("group_by", None))
        return Recipe(
            name="r", corpus=corpus.uri, sources=(source,), intents=intents or ("Make a tutorial.",), **fields
        )

    return of


def found(recipe: Recipe, streams: Sequence[Stream]) -> Discovery:
    return Discovery(sources=[(recipe.sources[0], list(streams))])


def ended(unit: UnitPlan, outcome: Outcome = Outcome.DONE) -> Written:
    """The unit as the writer reports it."""
    problem = None if outcome is Outcome.DONE else Problem(input="x", cause=f"it {outcome}", remedy="none")
    return Written(
        outcome=UnitOutcome(
            unit=unit.unit,
            slot=unit.slot,
            group="g",
            task_type=unit.spec.task_type,
            outcome=outcome,
            streams=(),
            problem=problem,
        ),
        domain=None,
        reward=None,
        split=None,
        signature=None,
        shard=None,
        shard_sha256=None,
        shard_rows=0,
        shard_size=0,
        failed_streams=(),
        problems=(),
        costs=(),
    )


def units_of(plan: Plan) -> dict[str, UnitPlan]:
    """By the name of their stream."""
    return {work.stream.name: unit for work in plan.work for unit in work.units}


# Keys


@pytest.mark.parametrize("name", ["plain", 'quo"ted \\ back', "zwei\nZeilen\t日本語 🎬", "\x7f\u2028"])
def test_keys_are_digests_of_all_that_the_result_depends_on_whatever_it_is_called(
    recipe: Callable[..., Recipe], name: str
) -> None:
    asked, one = recipe(), stream(name)
    (group,) = Asking(asked, asked.sources[0]).groups([one])
    (unit,) = group.units

    def made_by(spec: Any) -> list[Any]:
        agent = agent_class(spec.task_type)
        experts = specs_for(one, None, agent.experts)
        return [spec.key, agent.version, sorted({signature(expert, asked.sampling) for expert in experts})]

    identity = asked.identity
    assert unit.unit == digest(
        [
            [[one.sha256, one.name, one.domain]],
            [made_by(spec) for spec in (unit.spec, *unit.instead)],
            identity["sampling"],
            [identity["synthesis"], None],
            identity["reward"],
        ]
    )
    assert unit.slot == digest([one.uri, asked.intents[0], unit.spec.task_type])


def test_streams_that_look_alike_are_asked_alike_and_others_are_not(
    recipe: Callable[..., Recipe], catalog: Catalog
) -> None:
    asked = recipe("Make a tutorial.", "Make planning decisions of the robot.")
    arm = stream("arm", TrackKind.VIDEO, TrackKind.SIGNALS, domain=Domain.EMBODIED)
    mixed = [stream("a"), arm, stream("b"), stream("text", TrackKind.TEXT), stream("more text", TrackKind.TEXT)]
    together = make_plan(asked, found(asked, mixed), catalog)
    apart = [make_plan(asked, found(asked, [one]), catalog) for one in mixed]
    assert together.pending == {unit for plan in apart for unit in plan.pending}
    assert together.unsuited == [item for plan in apart for item in plan.unsuited]
    assert len(together.unsuited) == 2
    for item in together.unsuited:
        assert item.reasons
        assert all(item.uri in reason for reason in item.reasons), "each is told about itself"


def test_what_an_intent_asks_of_a_part_in_time_is_asked_of_each_stream_by_its_length(
    recipe: Callable[..., Recipe], catalog: Catalog
) -> None:
    asked = recipe("Make a tutorial of the second half.")
    plan = make_plan(asked, found(asked, [stream("short", duration=10.0), stream("long", duration=100.0)]), catalog)
    windows = {name: unit.spec.constraints.window for name, unit in units_of(plan).items()}
    assert windows["short"] is not None
    assert windows["long"] is not None
    assert (windows["short"].t0, windows["long"].t0) == (5.0, 50.0)


# What is known


def test_what_has_ended_is_not_done_again_and_stands_in_the_plan_as_it_ended(
    recipe: Callable[..., Recipe], catalog: Catalog
) -> None:
    asked = recipe()
    streams = [stream(name) for name in ("done", "filtered", "failed", "new")]
    units = units_of(make_plan(asked, found(asked, streams), catalog))
    catalog.commit(
        "run-1",
        [
            ended(units["done"]),
            ended(units["filtered"], Outcome.FILTERED),
            ended(units["failed"], Outcome.FAILED),
        ],
    )
    plan = make_plan(asked, found(asked, streams), catalog)
    assert plan.pending == {units["failed"].unit, units["new"].unit}
    assert plan.ended[units["done"].unit] == Ended(Outcome.DONE, "")
    assert plan.ended[units["filtered"].unit].outcome is Outcome.FILTERED
    assert "it filtered" in plan.ended[units["filtered"].unit].reason
    assert set(plan.streams_of) == {unit.unit for unit in units.values()}
    assert plan.known_slots == [], "their slots hold them already"


def test_what_lies_elsewhere_now_takes_its_slot_there(recipe: Callable[..., Recipe], catalog: Catalog) -> None:
    asked, one = recipe(), stream("a")
    (unit,) = units_of(make_plan(asked, found(asked, [one]), catalog)).values()
    catalog.commit("run-1", [ended(unit)])
    moved = one.model_copy(update={"uri": "/elsewhere/a"})
    plan = make_plan(asked, found(asked, [moved]), catalog)
    assert not plan.pending
    ((slot, held),) = plan.known_slots
    assert (held, slot) == (unit.unit, digest(["/elsewhere/a", asked.intents[0], "tutorial"]))
    catalog.assign("run-2", plan.known_slots)
    assert make_plan(asked, found(asked, [moved]), catalog).known_slots == []


def test_the_questions_to_the_catalog_do_not_grow_with_the_streams(
    recipe: Callable[..., Recipe], catalog: Catalog
) -> None:
    asked = recipe()
    questions: list[str] = []
    event.listen(catalog._engine, "before_cursor_execute", lambda *a: questions.append(a[2]))

    def ask(count: int) -> int:
        questions.clear()
        make_plan(asked, found(asked, [stream(f"{count}-{number}") for number in range(count)]), catalog, run="run-1")
        return len([question for question in questions if question.startswith("SELECT")])

    few, many = ask(2), ask(400)
    assert many <= few + 2


# Two runs at once


def test_two_runs_that_plan_at_once_share_the_work(recipe: Callable[..., Recipe], catalog: Catalog) -> None:
    asked = recipe()
    streams = [stream(name) for name in "abc"]
    first = make_plan(asked, found(asked, streams[:2]), catalog, run="run-1")
    second = make_plan(asked, found(asked, streams), catalog, run="run-2")
    assert {work.stream.name for work in first.work} == {"a", "b"}
    assert {work.stream.name for work in second.work} == {"c"}
    assert second.held == dict.fromkeys(first.pending, "run-1")
    assert make_plan(asked, found(asked, streams[:2]), catalog, run="run-1").pending == first.pending, (
        "it may ask again"
    )
    catalog.end_run("run-1", RunState.INTERRUPTED)
    assert make_plan(asked, found(asked, streams), catalog, run="run-2").pending == first.pending | second.pending


def test_inputs_whose_units_another_run_has_are_reported_as_left_to_it(
    recipe: Callable[..., Recipe], catalog: Catalog
) -> None:
    asked = recipe()
    here = found(asked, [stream("a")])
    make_plan(asked, here, catalog, run="run-1")
    plan = make_plan(asked, here, catalog, run="run-2")
    (item,) = input_outcomes(here, plan, Tailored())
    assert (item.outcome, item.reasons) == (Outcome.POSTPONED, ("run run-1 is making it",))


def test_what_another_run_ends_between_the_question_and_the_claim_is_known(
    recipe: Callable[..., Recipe], catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = recipe()
    here = found(asked, [stream("a")])
    (unit,) = units_of(make_plan(asked, here, catalog)).values()
    claim = catalog.claim

    def late(run: str, units: Any) -> Any:
        catalog.commit("run-1", [ended(unit)])
        return claim(run, units)

    monkeypatch.setattr(catalog, "claim", late)
    plan = make_plan(asked, here, catalog, run="run-2")
    assert not plan.pending
    assert plan.ended == {unit.unit: Ended(Outcome.DONE, "")}


def test_the_stage_claims_for_its_run(
    recipe: Callable[..., Recipe], catalog: Catalog, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    import logging

    from tasks import plan as module

    monkeypatch.setattr(module, "get_run_logger", logging.getLogger)
    asked = recipe()
    here = found(asked, [stream("a")])
    plans = [
        module.plan_work.fn(Run(run, asked, corpus.catalog_url(None), datetime.now(UTC)), here)
        for run in ("run-1", "run-2")
    ]
    assert [len(plan.pending) for plan in plans] == [1, 0]
    assert plans[1].held == dict.fromkeys(plans[0].pending, "run-1")


def test_a_unit_that_is_withdrawn_is_no_longer_done(recipe: Callable[..., Recipe], catalog: Catalog) -> None:
    """What planning looks up is what the units say now, whichever way they came to say it."""
    asked, one = recipe(), stream("a")
    (unit,) = units_of(make_plan(asked, found(asked, [one]), catalog)).values()
    catalog.commit("run-1", [ended(unit)])
    with catalog._engine.begin() as connection:
        connection.execute(update(UnitRow).values(outcome=Outcome.FAILED.value))
    assert make_plan(asked, found(asked, [one]), catalog).pending == {unit.unit}

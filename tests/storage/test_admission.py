"""What the corpus takes: nothing twice, and no stream on both sides of the split."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from schemas.errors import Problem
from schemas.outcome import Outcome, UnitOutcome
from schemas.recipe import Deduplication, Splitting
from schemas.rows import Written
from schemas.signature import FrameHash, Signature
from schemas.stream import Domain
from schemas.triplet import Split
from storage.catalog.catalog import Catalog
from storage.catalog.records import Judged
from storage.corpus import Corpus
from storage.signature import words_of

RULES = Deduplication()
HALF = Splitting(validation_share=0.5)


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return Corpus.open(tmp_path / "corpus", create=True)


@pytest.fixture
def catalog(url: str, corpus: Corpus) -> Iterator[Catalog]:
    with Catalog.open(url, corpus) as opened:
        yield opened


@pytest.fixture
def row(make: Any) -> Any:
    """Rows as the writer reports them: what they say, what they show (a film, by its number), of which streams."""

    def written(
        unit: str,
        streams: Sequence[str] | None = None,
        text: str | None = None,
        film: int | None = None,
        slot: str | None = None,
    ) -> Written:
        text = text if text is not None else f"this is what {unit} says and nobody else"
        pictures = random.Random(unit if film is None else film)
        return Written(
            outcome=UnitOutcome(
                unit=make.sha(unit),
                slot=slot or f"slot of {unit}",
                group="g",
                task_type="tutorial",
                outcome=Outcome.DONE,
                streams=tuple(make.sha(stream) for stream in (streams if streams is not None else [f"of {unit}"])),
                triplet=make.sha(f"triplet of {unit}"),
            ),
            domain=Domain.GUI,
            reward=1.0,
            split=Split.TRAIN,
            signature=Signature(
                form=make.sha("tutorial"),
                exact=make.sha(f"{unit} {text} {film}"),
                words=words_of(text),
                frames=tuple(FrameHash(time=t, phash=f"{pictures.getrandbits(64):016x}") for t in range(6)),
            ),
            shard=f"data/{unit}.parquet",
            shard_sha256=make.sha(f"shard of {unit}"),
            shard_rows=1,
            shard_size=1,
            failed_streams=(),
            problems=(),
            costs=(),
        )

    return written


def admit(catalog: Catalog, rules: Deduplication = RULES, split: Splitting = HALF) -> list[Judged]:
    return catalog.admit(rules, split)


def live(catalog: Catalog) -> set[str]:
    """The units in the corpus, by the name of their shard."""
    return {shard.shard.path.removeprefix("data/").removesuffix(".parquet") for shard in catalog.live_shards()}


def splits(catalog: Catalog) -> dict[str, Split]:
    """The side of every row: of those that must be written again it stands in `keep`, all others were written so."""
    return {
        shard.shard.path.removeprefix("data/").removesuffix(".parquet"): next(iter(shard.keep.values()))
        if shard.keep
        else Split.TRAIN
        for shard in catalog.live_shards()
    }


# Duplicates


def test_the_row_that_was_committed_first_stays_and_the_copy_is_filtered_with_its_name(
    catalog: Catalog, row: Any, make: Any
) -> None:
    catalog.record_streams([make.stream("copied")], "run-1")
    catalog.commit("run-1", [row("z", film=1, text="open the door and go in")])
    assert admit(catalog) == []
    catalog.commit("run-2", [row("a", ["copied"], film=1, text="open the door and go in"), row("b", film=2)])
    (judged,) = admit(catalog)
    assert judged.unit == make.sha("a")
    assert judged.problem is not None
    assert judged.problem.cause == f"duplicates triplet {make.sha('triplet of z')}"
    assert judged.problem.input == make.stream("copied").uri
    assert live(catalog) == {"z", "b"}
    assert catalog.ended_units([make.sha("a")]) == {make.sha("a"): (Outcome.FILTERED, judged.problem)}
    (reject,) = catalog.rejects()
    assert (reject.outcome.problem, reject.outcome.slot) == (judged.problem, "slot of a")
    assert reject.outcome.triplet == make.sha("triplet of a")
    assert catalog.status().units == {Outcome.DONE: 2, Outcome.FILTERED: 1, Outcome.FAILED: 0}
    assert admit(catalog) == []


@pytest.mark.parametrize(
    "other",
    [
        {"film": 2, "text": "open the door and go in"},
        {"film": 1, "text": "close the window before you leave the house"},
    ],
    ids=["the same words of another film", "other words of the same film"],
)
def test_rows_that_are_alike_in_one_way_only_both_stay(catalog: Catalog, row: Any, other: dict[str, Any]) -> None:
    catalog.commit("run-1", [row("a", film=1, text="open the door and go in"), row("b", **other)])
    assert admit(catalog) == []
    assert live(catalog) == {"a", "b"}


def test_whatever_order_the_rows_of_a_run_arrive_in_the_same_ones_stay(url: str, corpus: Corpus, row: Any) -> None:
    rows = [row(str(number), film=number % 3, text=f"all films of kind {number % 3} say so") for number in range(9)]
    outcomes = set()
    for seed in range(4):
        random.Random(seed).shuffle(rows)
        with Catalog.open(url, Corpus(str(uuid.uuid4()), "c", corpus.location)) as catalog:
            for place in range(0, 9, 2):
                catalog.commit("run-1", rows[place : place + 2])
            admit(catalog)
            outcomes.add((frozenset(live(catalog)), frozenset(splits(catalog).items())))
    assert len(outcomes) == 1
    assert len(next(iter(outcomes))[0]) == 3


def test_when_the_original_leaves_the_oldest_copy_takes_its_place(catalog: Catalog, row: Any, make: Any) -> None:
    same = {"film": 1, "text": "open the door and go in"}
    catalog.commit("run-1", [row("a", slot="slot of a", **same)])
    catalog.commit("run-2", [row("b", **same)])
    catalog.commit("run-3", [row("c", **same)])
    assert {item.unit for item in admit(catalog)} == {make.sha("b"), make.sha("c")}
    catalog.commit("run-4", [row("a2", slot="slot of a", film=9)])
    changed = {item.unit: item.outcome for item in admit(catalog)}
    assert changed[make.sha("b")] is Outcome.DONE
    assert live(catalog) == {"a2", "b"}
    assert [reject.outcome.unit for reject in catalog.rejects()] == [make.sha("c")]
    assert catalog.rejects()[0].outcome.problem == Problem(
        input=make.sha("of c"),
        cause=f"duplicates triplet {make.sha('triplet of b')}",
        remedy="Nothing is to be done; `deduplicate.enabled: false` in the recipe keeps both",
    )
    catalog.assign("run-5", [("slot of a", make.sha("a"))])
    admit(catalog)
    assert live(catalog) == {"b"}, "the row that is there stays, though the other was there before"


def test_other_rules_judge_all_rows_anew(catalog: Catalog, row: Any) -> None:
    text = "one two three four five six seven eight nine ten eleven twelve"
    catalog.commit("run-1", [row("a", film=1, text=text), row("b", film=1, text=text.replace("twelve", "thirteen"))])
    assert admit(catalog) == []
    assert len(admit(catalog, Deduplication(similarity=0.5))) == 1
    assert len(live(catalog)) == 1
    assert len(admit(catalog, Deduplication(similarity=0.5, enabled=False))) == 1
    assert live(catalog) == {"a", "b"}


def test_a_batch_asks_as_many_questions_in_a_large_corpus_as_in_a_small_one(catalog: Catalog, row: Any) -> None:
    asked: list[str] = []
    event.listen(catalog._engine, "before_cursor_execute", lambda *a: asked.append(a[2]))

    def statements(start: int, count: int) -> tuple[int, int]:
        rows = [row(str(number), film=number % 7, text=f"film {number}") for number in range(start, start + count)]
        asked.clear()
        catalog.commit("run-1", rows)
        commit = len(asked)
        asked.clear()
        admit(catalog)
        return commit, len(asked)

    statements(0, 64)
    small = statements(64, 64)
    statements(128, 640)
    large = statements(768, 64)
    assert sum(small) < 60
    assert sum(large) <= sum(small) + 5, "batches differ in what they change, not with the corpus"


def test_what_many_rows_share_does_not_make_the_index_grow_without_bound(catalog: Catalog, row: Any) -> None:
    rows = [row(str(number), film=1, text=f"{number} is another thing {number}") for number in range(200)]
    catalog.commit("run-1", rows)
    admit(catalog)
    assert len(live(catalog)) == 200
    with catalog._engine.connect() as connection:
        crowd = connection.exec_driver_sql(
            "SELECT max(n) FROM (SELECT count(*) AS n FROM likeness_keys GROUP BY key) AS c"
        ).scalar()
    assert crowd == 16


# Splits


def test_streams_that_share_a_row_or_look_alike_are_on_one_side(catalog: Catalog, row: Any) -> None:
    catalog.commit("run-1", [row(f"joint {n}", ["hub", f"s{n}"]) for n in range(12)])
    catalog.commit("run-1", [row(f"alike {n}", film=5, text=f"take {n} of it says {n}") for n in range(12)])
    catalog.commit("run-1", [row(f"alone {n}") for n in range(60)])
    admit(catalog)
    found = splits(catalog)
    assert len(found) == 84
    assert len({found[f"joint {n}"] for n in range(12)}) == 1
    assert len({found[f"alike {n}"] for n in range(12)}) == 1
    assert 10 < sum(found[f"alone {n}"] is Split.VALIDATION for n in range(60)) < 50


def test_a_row_that_would_join_both_sides_stays_out(catalog: Catalog, row: Any, make: Any) -> None:
    catalog.commit("run-1", [row(f"u{n}", [f"s{n}"], film=n) for n in range(20)])
    admit(catalog)
    found = splits(catalog)
    one = next(unit for unit, side in found.items() if side is Split.TRAIN)
    other = next(unit for unit, side in found.items() if side is Split.VALIDATION)
    joining = row("joining", [f"s{one[1:]}", f"s{other[1:]}"])
    leaking = row("leaking", [f"s{one[1:]}"], film=int(other[1:]), text="it says something else")
    catalog.commit("run-2", [joining, leaking])
    causes = {item.unit: item.problem and item.problem.cause for item in admit(catalog)}
    assert causes == {
        make.sha("joining"): "joins streams of training and validation",
        make.sha("leaking"): f"looks like triplet {make.sha('triplet of ' + other)} on the other side of the split",
    }
    assert splits(catalog) == found


def test_another_share_moves_no_stream_that_has_a_side(catalog: Catalog, row: Any) -> None:
    catalog.commit("run-1", [row(f"u{n}", [f"s{n}"]) for n in range(20)])
    admit(catalog, split=Splitting(validation_share=0.0))
    assert set(splits(catalog).values()) == {Split.TRAIN}
    catalog.commit("run-2", [row("again", ["s1"]), row("new")])
    admit(catalog, split=Splitting(validation_share=1.0))
    found = splits(catalog)
    assert (found["again"], found["new"]) == (Split.TRAIN, Split.VALIDATION)
    assert sum(side is Split.VALIDATION for side in found.values()) == 1


Commit = list[tuple[int, list[int], int]]
"""Rows of one run: slot, streams, film."""
ROW = st.tuples(st.integers(0, 15), st.lists(st.integers(0, 7), min_size=1, max_size=3), st.integers(0, 9))


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_no_stream_is_ever_on_both_sides_and_none_changes_sides(
    url: str, corpus: Corpus, row: Any, make: Any, share: float
) -> None:
    """Under any sequence of runs; films that look alike are on one side too, and no row stands twice."""

    @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.lists(ROW, max_size=6), min_size=1, max_size=5))
    def holds(runs: list[Commit]) -> None:
        side_of: dict[tuple[str, int], Split] = {}
        made: dict[str, tuple[list[int], int]] = {}
        with Catalog.open(url, Corpus(str(uuid.uuid4()), "c", corpus.location)) as catalog:
            for number, rows in enumerate(runs):
                written = []
                for place, (slot, streams, film) in enumerate(rows):
                    unit = f"{number}-{place}"
                    made[unit] = (streams, film)
                    written.append(row(unit, [f"s{s}" for s in streams], f"film {film}", film, f"slot {slot}"))
                catalog.commit(f"run-{number}", written)
                admit(catalog, split=Splitting(validation_share=share))
                now = splits(catalog)
                for unit, side in now.items():
                    streams, film = made[unit]
                    for what in [("stream", s) for s in streams] + [("film", film)]:
                        assert side_of.setdefault(what, side) is side, (unit, what)
                assert len({made[unit][1] for unit in now}) == len(now), "a film was taken twice"

    holds()

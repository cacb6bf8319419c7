"""The catalog remembers what is done, in transactions that may be repeated."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, event, text

from schemas.errors import CorpusError, Problem, UsageError
from schemas.manifest import Shard
from schemas.outcome import InputOutcome, Outcome, RunReport, RunState
from schemas.recipe import Deduplication, Splitting
from schemas.rows import Written
from storage.anchors import Settled
from storage.catalog import engine as engines
from storage.catalog.catalog import Catalog
from storage.catalog.models import Base
from storage.catalog.records import Committed, Judged
from storage.corpus import Corpus

MIGRATIONS = Path(engines.__file__).parents[1] / "migrations"


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return Corpus.open(tmp_path / "corpus", create=True)


@pytest.fixture
def catalog(url: str, corpus: Corpus, make: Any) -> Iterator[Catalog]:
    with Catalog.open(url, corpus) as opened:
        opened.begin_run("run-1", "recipe", make.sha("recipe"), "{}")
        yield opened


Write = Callable[..., list[Written]]
PROBLEM = Problem(input="/raw/broken\n.mp4", cause="is no video: \x00", remedy="Remove it")


def report(run: str, *inputs: InputOutcome, state: RunState = RunState.COMPLETED) -> RunReport:
    return RunReport(
        run=run,
        name="recipe",
        corpus="c",
        recipe_hash="h",
        state=state,
        started=datetime(2026, 1, 1, tzinfo=UTC),
        inputs=inputs,
        message="line\nline \x00",
    )


def admit(catalog: Catalog) -> list[Judged]:
    return catalog.admit(Deduplication(), Splitting())


def rows_of(catalog: Catalog) -> int:
    """How many rows are live."""
    admit(catalog)
    return catalog.statistics().rows


def live_units(catalog: Catalog, written: list[Written]) -> set[str]:
    """Units whose rows are live, of those written."""
    admit(catalog)
    live: set[str] = set()
    for shard in catalog.live_shards():
        here = {row.outcome.unit for row in written if row.shard == shard.shard.path}
        live |= here if shard.keep is None else set(shard.keep)
    return live


# Runs


def test_a_run_is_under_way_until_it_says_how_it_ended(catalog: Catalog, make: Any) -> None:
    catalog.begin_run("run-2", "recipe", make.sha("recipe"), "{}")
    catalog.begin_run("run-2", "recipe", make.sha("recipe"), "{}")
    assert catalog.killed_runs() == [], "their process, this one, is alive"
    assert catalog.unended_runs() == ["run-1", "run-2"]
    assert catalog.last_report() is None
    done = report("run-1")
    catalog.end_run("run-1", RunState.COMPLETED, done)
    catalog.end_run("run-2", RunState.INTERRUPTED)
    assert catalog.unended_runs() == []
    assert catalog.last_report() == done
    assert [(run.id, run.state, run.report) for run in catalog.runs()] == [
        ("run-2", RunState.INTERRUPTED, None),
        ("run-1", RunState.COMPLETED, done),
    ]
    assert len(catalog.runs(limit=1)) == 1
    assert catalog.runs()[0].started.tzinfo is not None


# Files and streams


def test_a_file_is_known_by_its_uri_until_it_is_overwritten(catalog: Catalog, make: Any) -> None:
    long = "/raw/" + "ü" * 4000
    catalog.record_files([("/a\nb", "10-1", make.sha("a"), 10), (long, "5-1", make.sha("b"), 5_000_000_000)])
    assert catalog.known_files(["/a\nb", long, "/c"]) == {
        "/a\nb": ("10-1", make.sha("a"), 10),
        long: ("5-1", make.sha("b"), 5_000_000_000),
    }
    catalog.record_files([("/a\nb", "11-2", make.sha("c"), 11)])
    assert catalog.known_files(["/a\nb"]) == {"/a\nb": ("11-2", make.sha("c"), 11)}
    assert catalog.known_files([]) == {}


def test_streams_come_back_as_last_seen_and_every_name_is_remembered(catalog: Catalog, make: Any) -> None:
    first = make.stream("a")
    again = first.model_copy(update={"uri": "/elsewhere/a.mp4"})
    changed = make.stream("changed").model_copy(update={"uri": first.uri})
    catalog.record_streams([first, make.stream("b")], "run-1")
    catalog.record_streams([again, changed], "run-2")
    assert catalog.known_streams([first.sha256, make.sha("b"), make.sha("none")]) == {
        first.sha256: again,
        make.sha("b"): make.stream("b"),
    }
    assert catalog.locations([first.uri, again.uri]) == {
        first.uri: {first.sha256, changed.sha256},
        again.uri: {first.sha256},
    }


def test_a_batch_is_a_bounded_number_of_questions(catalog: Catalog, make: Any) -> None:
    streams = [make.stream(str(number)) for number in range(1200)]
    catalog.record_streams(streams, "run-1")
    asked: list[str] = []
    event.listen(catalog._engine, "before_cursor_execute", lambda *a: asked.append(a[2]))
    assert len(catalog.known_streams(stream.sha256 for stream in streams)) == 1200
    assert len([statement for statement in asked if statement.startswith("SELECT")]) == 3
    asked.clear()
    catalog.record_streams(streams, "run-2")
    assert len(asked) < 20


# Anchors


def test_settled_segments_stay_with_the_shard_they_have(catalog: Catalog) -> None:
    def shard(name: str, *settled: Settled) -> tuple[Shard, list[Settled]]:
        return Shard(path=f"anchors/run-1/{name}.parquet", sha256="ab" * 32, rows=0, size=1), list(settled)

    assert catalog.record_anchors("run-1", [shard("a", ("s", "ocr", "x"), ("s", "shots", "y"))]) == 2
    assert catalog.record_anchors("run-1", [shard("b", ("s", "ocr", "x"), ("s", "ocr", "x2"))]) == 1
    assert catalog.anchored(["s", "t"]) == {
        ("s", "ocr", "x"): "anchors/run-1/a.parquet",
        ("s", "shots", "y"): "anchors/run-1/a.parquet",
        ("s", "ocr", "x2"): "anchors/run-1/b.parquet",
    }


# Units


def test_done_and_filtered_units_have_ended_and_failed_ones_are_tried_again(
    catalog: Catalog, write: Write, make: Any
) -> None:
    written = write(make.done("a"), make.filtered("b"), make.failed("c"))
    counts = catalog.commit("run-1", written)
    assert (counts.done, counts.filtered, counts.failed, counts.known) == (1, 1, 1, 0)
    assert catalog.ended_units([make.sha(name) for name in "abcd"]) == {
        make.sha("a"): (Outcome.DONE, None),
        make.sha("b"): (Outcome.FILTERED, make.filtered("b").outcome.problem),
    }
    again = catalog.commit("run-2", write(make.done("c")))
    assert (again.done, again.failed) == (1, 0)
    assert make.sha("c") in catalog.ended_units([make.sha("c")])


def test_a_commit_may_be_repeated(catalog: Catalog, write: Write, make: Any) -> None:
    written = write(make.done("a"), make.filtered("b"))
    catalog.commit("run-1", written)
    admit(catalog)
    before = (catalog.live_shards(), catalog.statistics(), catalog.rejects())
    assert catalog.commit("run-1", written).known == 2
    assert (catalog.live_shards(), catalog.statistics(), catalog.rejects()) == before


def test_work_done_twice_is_live_once(catalog: Catalog, write: Write, make: Any) -> None:
    first = write(make.done("a"))
    repeated = write(make.done("a"), make.done("b"))
    catalog.commit("run-1", first)
    counts = catalog.commit("run-1", repeated)
    assert (counts.done, counts.known) == (1, 1)
    admit(catalog)
    alone, together = sorted(catalog.live_shards(), key=lambda live: live.shard.rows)
    assert (alone.shard.path, alone.keep) == (first[0].shard, None)
    assert (together.shard.path, set(together.keep or ())) == (repeated[0].shard, {make.sha("b")})
    assert rows_of(catalog) == 2


def test_one_unit_twice_in_one_batch_counts_once(catalog: Catalog, write: Write, make: Any) -> None:
    counts = catalog.commit("run-1", write(make.done("a"), make.done("a")))
    assert (counts.done, counts.known) == (1, 1)
    assert rows_of(catalog) == 1


def test_a_newer_unit_in_a_slot_takes_the_place_of_the_older_one(catalog: Catalog, write: Write, make: Any) -> None:
    written = write(make.done("old", "slot"), make.done("other", "other slot"))
    catalog.commit("run-1", written)
    newer = write(make.done("new", "slot", output='{"new": 1}'))
    catalog.commit("run-2", newer)
    assert live_units(catalog, written + newer) == {make.sha("new"), make.sha("other")}


def test_a_newer_unit_that_is_filtered_removes_the_row_and_one_that_failed_does_not(
    catalog: Catalog, write: Write, make: Any
) -> None:
    written = write(make.done("a", "slot"))
    catalog.commit("run-1", written)
    catalog.commit("run-2", write(make.failed("b", "slot")))
    assert live_units(catalog, written) == {make.sha("a")}
    catalog.commit("run-3", write(make.filtered("c", "slot")))
    admit(catalog)
    assert catalog.live_shards() == []
    assert rows_of(catalog) == 0


def test_going_back_to_an_earlier_unit_makes_its_row_live_again(catalog: Catalog, write: Write, make: Any) -> None:
    written = write(make.done("a", "slot"))
    catalog.commit("run-1", written)
    catalog.commit("run-2", newer := write(make.done("b", "slot")))
    catalog.assign("run-3", [("slot", make.sha("a"))])
    assert live_units(catalog, written + newer) == {make.sha("a")}


def test_content_under_two_names_is_live_while_one_of_them_holds_it(catalog: Catalog, write: Write, make: Any) -> None:
    written = write(make.done("a", "slot of x"))
    catalog.commit("run-1", written)
    catalog.assign("run-1", [("slot of y", make.sha("a"))])
    assert rows_of(catalog) == 1
    catalog.commit("run-2", newer := write(make.done("b", "slot of x")))
    assert live_units(catalog, written + newer) == {make.sha("a"), make.sha("b")}


def test_of_two_units_that_made_the_same_triplet_the_newer_is_live(catalog: Catalog, write: Write, make: Any) -> None:
    stream = make.stream("same")
    first, second = (write(make.done(unit, unit, stream=stream)) for unit in ("agent v1", "agent v2"))
    assert first[0].outcome.triplet == second[0].outcome.triplet
    catalog.commit("run-1", first)
    catalog.commit("run-2", second)
    assert live_units(catalog, first + second) == {make.sha("agent v2")}
    assert rows_of(catalog) == 1


def test_statistics_count_live_rows(catalog: Catalog, write: Write, make: Any) -> None:
    assert catalog.statistics().reward_mean is None
    catalog.commit(
        "run-1",
        write(
            make.done("a", reward=0.75),
            make.done("b", reward=0.25, task_type="temporal_qa"),
            make.done("gone", "slot", reward=0.1),
        ),
    )
    catalog.commit("run-2", write(make.filtered("filtered", "slot")))
    admit(catalog)
    statistics = catalog.statistics()
    assert statistics.rows == 2
    assert statistics.by_domain == {"gui": 2}
    assert sum(statistics.by_task_type.values()) == 2
    assert (statistics.reward_mean, statistics.reward_min) == (0.5, 0.25)


def test_rejects_stand_with_reason_and_report_until_their_slot_moves_on(
    catalog: Catalog, write: Write, make: Any
) -> None:
    catalog.commit("run-1", write(*(make.filtered(str(number)) for number in range(3))))
    assert len(catalog.rejects()) == 3
    assert len(catalog.rejects(limit=2)) == 2
    assert len(catalog.rejects(limit=2, offset=2)) == 1
    reject = next(r for r in catalog.rejects() if r.outcome.unit == make.sha("0"))
    assert (reject.outcome, reject.run) == (make.filtered("0").outcome, "run-1")
    catalog.commit("run-2", write(make.done("better", make.filtered("0").outcome.slot)))
    assert len(catalog.rejects()) == 2
    assert len(catalog.rejects(run="run-1")) == 3
    assert catalog.rejects(run="run-2") == []


def test_moved_rows_are_live_in_their_new_shard(catalog: Catalog, write: Write, make: Any) -> None:
    catalog.commit("run-1", write(make.done("a", "slot a"), make.done("b", "slot b")))
    catalog.commit("run-2", write(make.filtered("c", "slot b")))
    admit(catalog)
    (live,) = catalog.live_shards()
    assert live.keep is not None
    assert set(live.keep) == {make.sha("a")}
    new = Shard(path="data/new.parquet", sha256=make.sha("new"), rows=1, size=5)
    for _ in range(2):
        catalog.replace_shard(live.shard, new, live.keep)
        (moved,) = catalog.live_shards()
        assert (moved.shard, moved.keep) == (new, None)


# Quarantine


def test_an_input_stays_in_quarantine_until_a_run_reads_it(catalog: Catalog, make: Any) -> None:
    uri = PROBLEM.input
    catalog.quarantine("run-1", [(uri, None, PROBLEM), ("/raw/other", make.sha("o"), PROBLEM)])
    catalog.quarantine("run-2", [(uri, make.sha("x"), PROBLEM)])
    assert len(catalog.quarantined(limit=1)) == 1
    item = next(item for item in catalog.quarantined() if item.uri == uri)
    assert (item.problem, item.sha256, item.first_run, item.last_run) == (PROBLEM, make.sha("x"), "run-1", "run-2")

    failed = InputOutcome(uri=uri, sha256=None, outcome=Outcome.FAILED)
    catalog.end_run("run-1", RunState.COMPLETED, report("run-1", failed))
    assert len(catalog.quarantined()) == 2
    read = failed.model_copy(update={"outcome": Outcome.FILTERED})
    catalog.end_run("run-1", RunState.COMPLETED, report("run-1", read))
    assert [item.uri for item in catalog.quarantined()] == ["/raw/other"]
    catalog.quarantine("run-3", [(uri, None, PROBLEM)])
    assert len(catalog.quarantined()) == 2
    renamed = InputOutcome(uri="/raw/renamed", sha256=make.sha("o"), outcome=Outcome.DONE)
    catalog.end_run("run-1", RunState.COMPLETED, report("run-1", renamed))
    assert [item.uri for item in catalog.quarantined()] == [uri]


# Status


def test_status_counts_what_stands(catalog: Catalog, write: Write, make: Any) -> None:
    catalog.record_streams([make.stream("a"), make.stream("b")], "run-1")
    catalog.commit("run-1", write(make.done("a"), make.filtered("b"), make.failed("c"), make.failed("d", "slot of d")))
    catalog.quarantine("run-1", [("/x", None, PROBLEM)])
    admit(catalog)
    status = catalog.status()
    assert (status.streams, status.stream_seconds, status.rows, status.quarantined) == (2, 25.0, 1, 1)
    assert status.units == {Outcome.DONE: 1, Outcome.FILTERED: 1, Outcome.FAILED: 2}
    assert status.last_run is not None
    assert (status.last_run.id, status.snapshot) == ("run-1", None)
    catalog.commit("run-2", write(make.done("d, mended", "slot of d")))
    assert catalog.status().units == {Outcome.DONE: 2, Outcome.FILTERED: 1, Outcome.FAILED: 1}


# Opening


def test_corpora_share_a_database_without_seeing_each_other(
    url: str, catalog: Catalog, write: Write, make: Any, tmp_path: Path
) -> None:
    catalog.commit("run-1", write(make.done("a")))
    with Catalog.open(url, Corpus.open(tmp_path / "other", create=True)) as other:
        assert other.runs() == []
        assert other.ended_units([make.sha("a")]) == {}
        assert other.live_shards() == []
        other.begin_run("run-1", "recipe", "h", "{}")
        other.commit("run-1", write(make.done("a")))
        assert rows_of(other) == 1
    assert rows_of(catalog) == 1


def test_migrations_make_the_tables_that_the_models_say(url: str, catalog: Catalog) -> None:
    with create_engine(url).connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_the_newest_migration_is_the_one_that_opening_expects() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_heads() == [engines.HEAD]


OPEN = """
import sys
from storage.catalog.catalog import Catalog
from storage.corpus import Corpus
corpus = Corpus.open(sys.argv[2])
with Catalog.open(sys.argv[1], corpus) as catalog:
    for number in range(20):
        catalog.begin_run(f"{sys.argv[3]}-{number}", "r", "h", "{}")
        catalog.record_files([(f"/{number}", "f", "ab" * 32, number)])
"""


def test_processes_may_open_a_new_catalog_and_write_to_it_at_once(url: str, corpus: Corpus) -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", OPEN, url, corpus.uri, name], stderr=subprocess.PIPE, text=True)
        for name in "abcd"
    ]
    errors = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, errors
    with Catalog.open(url, corpus) as catalog:
        assert len(catalog.runs(limit=100)) == 80


def test_processes_that_did_the_same_work_commit_it_once(url: str, corpus: Corpus, write: Write, make: Any) -> None:
    units = [str(number) for number in range(30)]
    batches = [write(*map(make.done, order)) for order in (units, units[::-1], sorted(units))]

    def commit(number: int) -> Committed:
        with Catalog.open(url, corpus) as catalog:
            return catalog.commit(f"run-{number}", batches[number])

    with ThreadPoolExecutor(3) as pool:
        counts = list(pool.map(commit, range(3)))
    assert sum(count.done for count in counts) == 30
    assert sum(count.known for count in counts) == 60
    with Catalog.open(url, corpus) as catalog:
        assert rows_of(catalog) == 30


def test_a_catalog_of_a_newer_version_is_not_touched(url: str, catalog: Catalog, corpus: Corpus) -> None:
    with create_engine(url).begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(CorpusError, match="newer") as caught:
        Catalog.open(url, corpus)
    assert caught.value.problem.remedy == "Upgrade DataClaw"


def test_a_catalog_that_is_no_database_or_cannot_be_opened_is_named(tmp_path: Path, corpus: Corpus) -> None:
    (tmp_path / "bad.db").write_bytes(b"this is no database" * 100)
    with pytest.raises(CorpusError, match="not a database"):
        Catalog.open(f"sqlite:///{tmp_path}/bad.db", corpus)
    with pytest.raises(CorpusError, match="unable to open"):
        Catalog.open(f"sqlite:///{tmp_path}/no/such/folder.db", corpus)


@pytest.mark.parametrize(
    "bad", ["nonsense", "nosuchdatabase://x", "postgresql+nosuchdriver://x/y", "mysql+pymysql://x"]
)
def test_a_catalog_url_that_leads_nowhere_is_bad_usage(bad: str, corpus: Corpus) -> None:
    with pytest.raises(UsageError):
        Catalog.open(bad, corpus)


def test_a_password_is_not_shown(corpus: Corpus) -> None:
    with pytest.raises((CorpusError, UsageError)) as caught:
        Catalog.open("postgresql+nosuchdriver://user:secret@host/db", corpus)
    assert "secret" not in str(caught.value)


def test_a_run_whose_process_is_gone_is_known_as_killed(catalog: Catalog, corpus: Corpus) -> None:
    code = (
        "import sys; from storage.corpus import Corpus; from storage.catalog.catalog import Catalog\n"
        "corpus = Corpus.open(sys.argv[1])\n"
        "with Catalog.open(sys.argv[2], corpus) as catalog: catalog.begin_run('run-gone', 'r', 'h', '{}')\n"
    )
    url = catalog._engine.url.render_as_string(hide_password=False)
    subprocess.run([sys.executable, "-c", code, corpus.uri, url], check=True)
    assert catalog.killed_runs() == ["run-gone"]
    catalog.end_run("run-gone", RunState.INTERRUPTED)
    assert catalog.killed_runs() == []

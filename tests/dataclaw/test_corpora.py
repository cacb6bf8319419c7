"""`dataclaw corpora`: what a person types to keep a corpus in order."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner
from typer.testing import Result as Done

from dataclaw.main import app
from schemas.outcome import RunState
from schemas.rows import RESULT_SCHEMA, Result, Written
from storage import snapshots
from storage.catalog.catalog import Catalog
from storage.corpus import Corpus
from storage.publish import publish_corpus
from storage.write import WriteTriplets
from tests.storage.conftest import Make

runner = CliRunner()


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    """Three nights, a row each."""
    corpus = Corpus.open(tmp_path / "corpus", create=True)
    with Catalog.open(corpus.catalog_url(), corpus) as catalog:
        for night in range(3):
            run = f"run-{night}"
            catalog.begin_run(run, "recipe", Make.sha("recipe"), "{}")
            rows = Result.to_table([Make.done(f"night {night}")], RESULT_SCHEMA)
            catalog.commit(run, Written.from_table(WriteTriplets(corpus.uri)(rows)))
            publish_corpus(corpus, catalog, run, "0")
            catalog.end_run(run, RunState.COMPLETED)
    return corpus


def corpora(*arguments: object) -> Done:
    return runner.invoke(app, ["corpora", *map(str, arguments)])


@pytest.mark.parametrize("command", ["snapshots", "maintain", "rollback"])
def test_every_command_has_help_with_an_example_and_json(command: str) -> None:
    done = runner.invoke(app, ["corpora", command, "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"})
    assert done.exit_code == 0
    assert f"Example: dataclaw corpora {command}" in done.output
    assert "--json" in done.output


def test_snapshots_are_listed_newest_first(corpus: Corpus) -> None:
    lines = corpora("snapshots", corpus.uri).output.splitlines()
    assert [line.split("\t")[0] for line in lines] == ["snapshot", "3", "2", "1"]
    assert [found["number"] for found in json.loads(corpora("snapshots", corpus.uri, "--json").output)] == [3, 2, 1]


def test_maintenance_says_what_it_would_do_and_does_it(corpus: Corpus) -> None:
    options = ("--keep", 1, "--days", 0, "--json")
    planned = json.loads(corpora("maintain", corpus.uri, *options, "--dry-run").output)
    assert (planned["expired"], planned["dry_run"]) == ([1, 2], True)
    assert snapshots.numbers(corpus) == [1, 2, 3]
    done = json.loads(corpora("maintain", corpus.uri, *options).output)
    assert done["expired"] == [1, 2]
    assert done["orphans"] == 0, "what was written within the grace period stays"
    assert snapshots.numbers(corpus) == [3]
    assert corpora("maintain", corpus.uri).output.startswith("shards\tnone that are small")


def test_a_rollback_goes_back_and_says_so(corpus: Corpus) -> None:
    would = corpora("rollback", corpus.uri, "--to", 1, "--dry-run")
    assert would.output == "0 rows would be brought back, 2 would be withdrawn\n"
    done = corpora("rollback", corpus.uri, "--to", 1)
    assert done.output.startswith("snapshot 4 has the rows of snapshot 1: 1 row\n")
    newest = snapshots.latest(corpus)
    assert newest is not None
    assert newest.shards == snapshots.load(corpus, 1).shards
    again = json.loads(corpora("rollback", corpus.uri, "--to", 1, "--json").output)
    assert (again["published"], again["withdrawn"]) == (None, 0)


def test_a_snapshot_that_is_not_there_and_a_missing_option_are_told(corpus: Corpus) -> None:
    done = corpora("rollback", corpus.uri, "--to", 9)
    assert done.exit_code == 1
    assert "there is no snapshot 9" in done.output
    assert "Snapshots of this corpus: 1, 2, 3" in done.output
    assert corpora("rollback", corpus.uri).exit_code == 2
    assert corpora("maintain", corpus.uri, "--keep", 0).exit_code == 2

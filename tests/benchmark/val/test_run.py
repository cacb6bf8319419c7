"""Models over a set: the question of a build, every end counted, nothing asked twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest

from benchmark.metrics.score import Scorer
from benchmark.val.candidates import Candidate, candidate
from benchmark.val.results import Result, beside, read_results
from benchmark.val.run import FUZZY, OVERALL, Bounds, columns, metrics, rewards, run, untold
from benchmark.val.store import Val
from schemas.errors import CorpusError, UsageError
from schemas.recipe import Serving
from schemas.val import AnswerState, Subset
from storage.location import Location
from tests.models.faulty_server import Asked, Behaviour, FaultyServer, ok, refusal, status
from training.examples import example_of

pytestmark = pytest.mark.long
ROOT = Path(__file__).resolve().parents[3]
SETTINGS = {"frames": 1, "max_tokens": 64}


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return Scorer()


def served(server: FaultyServer, **settings: Any) -> Candidate:
    return candidate("served", "openai", Serving(base_url=server.base_url, patience=0.0), {**SETTINGS, **settings})


def results_in(folder: Path) -> Location:
    return Location.of(folder / "results")


def states(result: Result) -> Counter[AnswerState]:
    return Counter(record.answer.state for record in result.records)


def test_rules_meet_the_truth_that_rules_wrote_and_are_asked_once(val: Val, scorer: Scorer, tmp_path: Path) -> None:
    rules = candidate("rules", None, Serving(), {})
    result, path = run(val, rules, results_in(tmp_path), scorer)
    assert [record.score.mean for record in result.records if record.subset is Subset.CLEAR] == [1.0] * 12
    assert result.run.asked == 20
    assert rewards(result) == {"R": pytest.approx(1.0, abs=0.2), "R_format": 1.0, "R_anchor": 1.0, "R_eff": ANY}
    levels = columns(result)
    assert set(levels) == {"gui", "embodied", "aigc", "daily_life", "education", FUZZY, OVERALL}
    assert levels[OVERALL].json_valid.samples == 20
    for record in result.records:
        if record.subset is Subset.FUZZY and record.answer.state is AnswerState.ANSWERED and record.acceptable:
            assert record.score.json_valid == 1.0
    assert 0.0 < metrics(result)["val/fuzzy/acceptable"] <= 1.0
    (kept,) = read_results(results_in(tmp_path), val.manifest)
    assert kept == result
    again, same = run(val, rules, results_in(tmp_path), scorer)
    assert (again.run.asked, same, again.records) == (0, path, result.records)


def test_a_model_is_asked_as_in_a_build_and_never_told_the_answer(val: Val, scorer: Scorer, tmp_path: Path) -> None:
    with FaultyServer(then=ok("{}")) as server:
        asking = served(server)
        run(val, asking, results_in(tmp_path), scorer)
        asked = server.requests
    model = asking.synthesis.model
    assert model is not None
    questions = {request.text for request in asked}
    for row in val.clear:
        told = "\n\n".join(message.text for message in example_of(row, model).messages)
        assert told in questions
        assert row.output not in told
    assert {len(request.pictures) for request in asked} == {0, 1}


def test_questions_that_nobody_can_answer_right_are_counted(val: Val, scorer: Scorer, tmp_path: Path) -> None:
    with FaultyServer(then=ok("{}")) as server:
        few, many = (
            run(replace(val, fuzzy=()), served(server, frames=0, anchor_tokens=tokens), results_in(tmp_path), scorer)[0]
            for tokens in (64, 100_000)
        )
    assert untold(few) > 6
    assert untold(many) == 0


def test_a_model_behind_a_server_reads_requests_itself(val: Val, scorer: Scorer, tmp_path: Path) -> None:
    by_text = {request.readings[0].intent.text: request.readings[0].task_type for request in val.fuzzy}

    def answer(body: dict[str, Any]) -> str:
        said = json.dumps(body["messages"])
        if "Choose the forms of data that are asked for" not in said:
            return "{}"
        intent = next(text for text in by_text if json.dumps(text)[1:-1].replace('"', '\\"') in said)
        return json.dumps({"readings": [{"task_type": by_text[intent], "confidence": 0.9}]})

    with FaultyServer(then=ok(answer)) as server:
        result, _ = run(val, served(server), results_in(tmp_path), scorer)
    fuzzy = [record for record in result.records if record.subset is Subset.FUZZY]
    assert [len(record.answer.readings) for record in fuzzy] == [1] * 8
    assert sum(bool(record.acceptable) for record in fuzzy) >= 6  # one wording may stand for several requests


def test_a_model_that_is_not_held_to_the_schema_writes_by_itself(val: Val, scorer: Scorer, tmp_path: Path) -> None:
    with FaultyServer(then=ok("no JSON")) as server:
        for held in (True, False):
            run(replace(val, fuzzy=()), served(server, constrained=held), results_in(tmp_path), scorer)
        asked = ["response_format" in request.body for request in server.requests]
    assert asked == [True] * 12 + [False] * 12


def test_no_answer_and_an_error_count_as_wrong_and_only_errors_are_asked_again(
    val: Val, scorer: Scorer, tmp_path: Path
) -> None:
    broken = True

    def script() -> Iterator[Behaviour]:
        yield refusal()
        while True:
            yield status(503) if broken else ok("{}")

    with FaultyServer(script()) as server:
        result, _ = run(val, served(server), results_in(tmp_path), scorer, Bounds(concurrency=1))
        assert states(result) == {AnswerState.DECLINED: 1, AnswerState.FAILED: 19}
        assert {record.score.mean for record in result.records} == {0.0}
        assert all(record.answer.why for record in result.records)
        broken = False
        again, _ = run(val, served(server), results_in(tmp_path), scorer)
    assert again.run.asked == 19
    assert not [record.answer.why for record in again.records if record.answer.state is AnswerState.FAILED]
    assert states(again)[AnswerState.ANSWERED] >= 12


def test_a_budget_ends_a_run_and_the_next_one_goes_on(val: Val, scorer: Scorer, tmp_path: Path) -> None:
    dear = {"prompt_tokens": 20_000, "completion_tokens": 10, "total_tokens": 20_010}
    with FaultyServer(then=ok("{}", usage=dear)) as server:
        with pytest.raises(CorpusError, match="the budget is met after 2 of 20 samples"):
            run(val, served(server), results_in(tmp_path), scorer, Bounds(concurrency=1, tokens=41_000))
        assert len(server.requests) == 2
        result, _ = run(val, served(server), results_in(tmp_path), scorer)
    assert result.run.asked == 18


def test_a_run_that_is_killed_goes_on_without_asking_anything_twice(val: Val, tmp_path: Path) -> None:
    holding = threading.Event()
    arrived = threading.Event()

    def held(body: dict[str, Any]) -> str:
        arrived.set()
        holding.wait(60)
        return "{}"

    with FaultyServer([*[ok("{}")] * 5, ok(held)], then=ok("{}")) as server:
        words = ["bench", "run", val.location.root, "served", "--backend", "openai", "--base-url", server.base_url]
        words += ["--concurrency", "1", "--set", "frames=0", "--results", str(tmp_path / "results"), "--json"]
        command = [sys.executable, "-m", "dataclaw", *words]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
        assert arrived.wait(120)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        holding.set()
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        twice = [said for said, times in Counter(map(_question, server.requests)).items() if times > 1]
    assert json.loads(done.stdout)[0]["run"]["asked"] == 15
    assert len(twice) == 1  # the one that was under way


def _question(asked: Asked) -> str:
    return asked.text


def test_another_model_under_the_same_name_is_asked_anew(val: Val, scorer: Scorer, tmp_path: Path) -> None:
    with FaultyServer(then=ok("{}")) as server:
        first, _ = run(val, served(server), results_in(tmp_path), scorer)
        second, _ = run(val, served(server, seed=1), results_in(tmp_path), scorer)
    assert first.run.asked == second.run.asked == 20
    assert len(list(read_results(results_in(tmp_path), val.manifest))) == 2


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("some/model", {}, "a model needs a backend"),
        ("model:tailor", {}, "no catalog is named"),
    ],
)
def test_what_names_no_model_is_said(name: str, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        candidate(name, None, Serving(), settings)


def test_a_setting_that_is_none_is_said() -> None:
    with pytest.raises(UsageError, match="framez"):
        candidate("some/model", "transformers", Serving(), {"framez": 1})


def test_results_lie_beside_the_set(val: Val) -> None:
    assert beside(val.location).root == f"{val.location.root}-results"


@pytest.mark.models
def test_a_model_in_this_process_is_asked_with_the_pictures_of_rows(
    val: Val, scorer: Scorer, tmp_path: Path, tiny_qwen3_vl: Path
) -> None:
    few = replace(val, clear=val.clear[:3], fuzzy=val.fuzzy[:1])
    settings = {"frames": 1, "max_tokens": 16, "context": 16384}
    tiny = candidate(str(tiny_qwen3_vl), "transformers", Serving(), settings)
    result, _ = run(few, tiny, results_in(tmp_path), scorer)
    assert states(result)[AnswerState.ANSWERED] >= 3
    assert max(record.answer.usage.images for record in result.records) == 2  # cut off, and asked once more
    again, _ = run(few, tiny, results_in(tmp_path), scorer)
    assert again.run.asked == 0

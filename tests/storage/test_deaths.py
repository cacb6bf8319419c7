"""What takes its worker down is found out and set aside; what only was there when a worker died is not."""

from __future__ import annotations

import os
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from schemas.errors import InputError
from schemas.outcome import Outcome
from schemas.rows import RESULT_SCHEMA, Result, Written
from storage import deaths
from storage.deaths import MAX_DEATHS, REST, WARY_FOR, Deaths, forget
from storage.location import Location
from storage.write import WriteTriplets


@pytest.fixture
def root(tmp_path: Path) -> Location:
    return Location.of(tmp_path)


def dies_of(root: Location, *piece: str, run: str = "run") -> None:
    """A worker in the place of a dead one takes up a piece, and is gone."""
    worker = os.fork()
    if worker == 0:
        with Deaths(root, run, suspects=9).holding(piece, piece[-1]):
            os._exit(0)
    os.waitpid(worker, 0)


def test_as_long_as_no_worker_dies_nothing_is_noted(root: Location) -> None:
    first = Deaths(root, "run")
    assert not first.wary
    with first.holding(["a"], "a"), first.holding(["b"], "b"):
        assert root.files("") == []


def test_a_piece_that_kills_each_time_is_set_aside_and_named(root: Location) -> None:
    for _ in range(MAX_DEATHS):
        dies_of(root, "a.mp4")
    worker = Deaths(root, "run", suspects=9)
    with pytest.raises(InputError, match="took its worker down 3 times") as caught, worker.holding(["a.mp4"], "a.mp4"):
        raise AssertionError("it must not be begun")
    assert caught.value.problem.input == "a.mp4"
    with worker.holding(["b.mp4"], "b.mp4"):
        pass  # the others go on


def test_each_of_two_pieces_that_kill_is_found(root: Location) -> None:
    for piece in ("a", "b", "a", "b", "b", "a"):
        dies_of(root, piece)
    worker = Deaths(root, "run", suspects=9)
    for piece in ("a", "b"):
        with pytest.raises(InputError), worker.holding([piece], piece):
            pass


def test_pieces_that_ended_are_no_suspects_however_often_workers_die(root: Location) -> None:
    for _ in range(2 * MAX_DEATHS):
        worker = Deaths(root, "run", suspects=9)
        with worker.holding(["innocent"], "innocent"):
            pass
        with pytest.raises(ValueError, match="broken"), worker.holding(["broken"], "broken"):
            raise ValueError("broken, and alive")


def test_a_worker_is_wary_until_all_that_the_dead_one_had_in_hand_is_done(root: Location) -> None:
    """All of it may have come, and has had the time to come after pieces that nobody had in hand."""
    now = 0.0
    worker = Deaths(root, "run", suspects=2, clock=lambda: now)
    for piece in ("a", "b", "c"):
        assert worker.wary
        with worker.holding([piece], piece):
            pass
    now = WARY_FOR
    assert not worker.wary

    slow = Deaths(root, "run", suspects=2, clock=lambda: now)
    for piece in ("a", "b"):
        assert slow.wary
        with slow.holding([piece], piece):
            now += 2 * WARY_FOR
    assert not slow.wary


def test_a_run_that_was_stopped_with_all_its_workers_blames_nothing_in_the_next(root: Location) -> None:
    for number in range(2 * MAX_DEATHS):
        dies_of(root, "a", run=f"run {number}")
    with Deaths(root, "next", suspects=9).holding(["a"], "a"):
        pass


def test_later_runs_leave_it_alone_for_a_while_and_then_try_again(
    root: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(MAX_DEATHS):
        dies_of(root, "a")
    with pytest.raises(InputError), Deaths(root, "run", suspects=9).holding(["a"], "a"):
        pass
    forget(root, "run")
    today = datetime.now(UTC).date()
    for days, tried in ((0, False), (REST.days - 1, False), (REST.days, True)):
        monkeypatch.setattr(deaths, "_today", lambda days=days: today + timedelta(days=days))
        begun = False
        with ExitStack() as stack:
            if not tried:
                stack.enter_context(pytest.raises(InputError))
            stack.enter_context(Deaths(root, "later").holding(["a"], "a"))
            begun = True
        assert begun is tried
    assert root.files("") == [], "it was mended: nothing is left of it"


def test_a_row_that_kills_its_writer_fails_alone(tmp_path: Path, make: Any) -> None:
    root = Location.of(tmp_path / "corpus")
    unit = make.done("b").outcome.unit
    for _ in range(MAX_DEATHS):
        dies_of(root, "write", unit)
    writer = WriteTriplets(str(tmp_path / "corpus"), run="run", suspects=lambda: 9)
    rows = Written.from_table(writer(Result.to_table([make.done("a"), make.done("b"), make.done("c")], RESULT_SCHEMA)))
    assert [row.outcome.outcome for row in rows] == [Outcome.DONE, Outcome.FAILED, Outcome.DONE]
    assert [row.shard is None for row in rows] == [False, True, False]
    assert rows[1].outcome.triplet is None
    assert "took its worker down" in str(rows[1].outcome.problem)

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthesis.backends.pacing import Bucket, Gate, GaveUpError, Pace, TryAgain, retry_after, retrying


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


def failing(times: int, *after: float | None) -> Callable[[], Coroutine[Any, Any, int]]:
    """Fails so often, asking for these waits, then answers with the number of the attempt."""
    attempts = 0

    async def attempt() -> int:
        nonlocal attempts
        attempts += 1
        if attempts <= times:
            raise TryAgain(f"failure {attempts}", after[attempts - 1] if attempts <= len(after) else None)
        return attempts

    return attempt


def retried(time: Time, attempt: Callable[[], Coroutine[Any, Any, int]], patience: float, chance: float) -> int:
    return asyncio.run(retrying(attempt, patience, "it", clock=time.clock, sleep=time.sleep, chance=lambda: chance))


# --- retrying -----------------------------------------------------------------------------------------------------


def test_what_answers_is_not_asked_again() -> None:
    time = Time()
    assert retried(time, failing(0), 100, 0.5) == 1
    assert time.slept == []


def test_waits_double_up_to_a_bound() -> None:
    time = Time()
    assert retried(time, failing(8), 1000, 1.0) == 9
    assert time.slept == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 20.0, 20.0]


def test_jitter_is_full_so_that_workers_do_not_come_back_together() -> None:
    time = Time()
    assert retried(time, failing(4), 1000, 0.25) == 5
    assert time.slept == [0.125, 0.25, 0.5, 1.0]


def test_no_wait_is_shorter_than_the_server_asks() -> None:
    time = Time()
    assert retried(time, failing(2, 7.0, 30.0), 1000, 0.0) == 3
    assert time.slept == [7.0, 30.0]


def test_the_last_attempt_is_made_when_patience_ends() -> None:
    time = Time()
    with pytest.raises(GaveUpError) as gave_up:
        retried(time, failing(10**6), 10, 1.0)
    assert sum(time.slept) == pytest.approx(10)
    assert gave_up.value.last.cause == f"failure {gave_up.value.attempts}"
    assert gave_up.value.seconds == pytest.approx(10)
    back_just_in_time = Time()
    assert retried(back_just_in_time, failing(gave_up.value.attempts - 1), 10, 1.0) == gave_up.value.attempts


def test_without_patience_there_is_one_attempt() -> None:
    with pytest.raises(GaveUpError) as gave_up:
        retried(Time(), failing(1), 0, 1.0)
    assert gave_up.value.attempts == 1


def test_a_wait_beyond_patience_is_not_begun() -> None:
    time = Time()
    with pytest.raises(GaveUpError):
        retried(time, failing(1, 3600.0), 300, 0.5)
    assert time.slept == []


def test_patience_runs_from_the_first_failure_not_from_the_question() -> None:
    time = Time()
    attempt = failing(1)

    async def slow() -> int:
        time.now += 500
        return await attempt()

    assert retried(time, slow, 300, 0.5) == 2


def test_other_errors_pass_through_at_once() -> None:
    async def wrong() -> int:
        raise ValueError("wrong")

    time = Time()
    with pytest.raises(ValueError, match="wrong"):
        retried(time, wrong, 300, 0.5)
    assert time.slept == []


# --- Retry-After --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "1e300"}, None),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after": "Fri, 21 Nov 2025 10:00:30 GMT"}, 10.0),
        ({"retry-after": "Fri, 21 Nov 2025 09:00:00 GMT"}, 0.0),
        ({"retry-after": "Fri, 21 Nov 2025 08:00:30 GMT", "date": "Fri, 21 Nov 2025 08:00:00 GMT"}, 30.0),
        ({"retry-after": "Fri, 41 Nov 2025 10:00:30 GMT"}, None),
    ],
)
def test_retry_after_is_understood_in_every_form(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, now=lambda: 1763719220.0) == seconds  # 2025-11-21 10:00:20 UTC


# --- buckets ------------------------------------------------------------------------------------------------------


@given(
    st.floats(0.5, 10_000),
    st.lists(st.tuples(st.floats(0.0, 1.0), st.floats(0.0, 200.0)), min_size=1, max_size=60),
)
def test_no_minute_holds_more_than_is_allowed(per_minute: float, asked: list[tuple[float, float]]) -> None:
    """For requests that are no larger than the bucket, whenever they come."""
    time = Time()
    bucket = Bucket(per_minute, time.clock)
    granted: list[tuple[float, float]] = []
    for share, pause in asked:
        amount = share * per_minute / 10
        time.now += bucket.take(amount)
        granted.append((time.now, amount))
        time.now += pause / 100
    for start, _ in granted:
        assert sum(amount for at, amount in granted if start <= at <= start + 60) <= per_minute * 1.000001


@pytest.mark.parametrize("per_minute", [1, 2, 5, 30, 600])
def test_requests_of_one_minute_are_no_more_than_allowed(per_minute: int) -> None:
    time = Time()
    bucket = Bucket(per_minute, time.clock)
    at = []
    for _ in range(3 * per_minute):
        time.now += bucket.take(1.0)
        at.append(time.now)
    assert max(sum(start <= other < start + 60 for other in at) for start in at) <= per_minute
    assert (len(at) - 1) / (at[-1] - at[0]) * 60 >= 0.85 * per_minute  # and it is not much slower than allowed


def test_what_is_larger_than_the_bucket_goes_alone_and_is_paid_off() -> None:
    time = Time()
    bucket = Bucket(600, time.clock)  # holds 60, refills by 9 a second
    assert bucket.take(1000) == 0.0
    assert bucket.take(60) == pytest.approx(1000 / 9)


def test_what_was_not_used_is_given_back_and_never_more_than_the_bucket_holds() -> None:
    time = Time()
    bucket = Bucket(600, time.clock)
    bucket.take(60)
    assert Bucket(600, time.clock).take(60) == 0.0
    bucket.give(60)
    assert bucket.take(60) == 0.0
    bucket.give(10**6)
    assert bucket.take(60) == 0.0
    assert bucket.take(9) == pytest.approx(1.0)


# --- gate ---------------------------------------------------------------------------------------------------------


async def many(gate: Gate, number: int, order: list[int] | None = None) -> int:
    """The most that were inside at once while so many went through."""
    most = inside = 0

    async def one(index: int) -> None:
        nonlocal most, inside
        await gate.enter()
        inside += 1
        most = max(most, inside)
        if order is not None:
            order.append(index)
        await asyncio.sleep(0)
        inside -= 1
        gate.leave()

    await asyncio.gather(*(one(index) for index in range(number)))
    return most


def test_no_more_are_let_through_than_the_gate_is_wide_and_in_their_order() -> None:
    order: list[int] = []
    assert asyncio.run(many(Gate(3), 20, order)) == 3
    assert order == list(range(20))


def test_the_gate_halves_once_for_all_that_were_under_way_and_grows_by_one_a_round() -> None:
    gate = Gate(16)
    for _ in range(16):
        gate.narrow(0)  # all sixteen were told that it is too much
    assert gate.limit == 8
    gate.narrow(1)
    assert gate.limit == 4
    for _ in range(10):
        gate.narrow(gate.era)
    assert gate.limit == 1
    gate.widen()
    assert gate.limit == 2
    gate.widen()
    gate.widen()
    assert 2.9 <= gate.limit < 3.1
    for _ in range(1000):
        gate.widen()
    assert gate.limit == 16
    assert asyncio.run(many(gate, 40)) == 16


def test_a_gate_that_widens_lets_those_in_who_wait() -> None:
    async def scenario() -> int:
        gate = Gate(4)
        gate.narrow(0)
        gate.narrow(1)
        await gate.enter()
        waiting = asyncio.create_task(gate.enter())
        await asyncio.sleep(0)
        assert not waiting.done()
        gate.widen()
        await waiting
        return gate.inside

    assert asyncio.run(scenario()) == 2


@pytest.mark.parametrize("granted", [False, True])
def test_who_is_cancelled_while_waiting_takes_no_place(granted: bool) -> None:
    """Also in the moment in which its turn has come."""

    async def scenario() -> None:
        gate = Gate(1)
        await gate.enter()
        waiting = asyncio.create_task(gate.enter())
        await asyncio.sleep(0)
        if granted:
            gate.leave()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        if not granted:
            gate.leave()
        assert gate.inside == 0
        async with asyncio.timeout(5):
            await gate.enter()

    asyncio.run(scenario())


def test_a_gate_serves_one_event_loop_after_another() -> None:
    gate = Gate(2)
    assert [asyncio.run(many(gate, 6)) for _ in range(3)] == [2, 2, 2]


# --- all together -------------------------------------------------------------------------------------------------


def test_a_pause_holds_for_every_request_and_ends() -> None:
    time = Time()
    pace = Pace(4, clock=time.clock, sleep=time.sleep)

    async def scenario() -> None:
        pace.pause(12)
        pace.pause(3)
        async with pace.turn(10):
            pass

    asyncio.run(scenario())
    assert time.slept == [12]


def test_tokens_a_minute_hold_by_what_requests_truly_cost() -> None:
    time = Time()
    pace = Pace(1, tokens_per_minute=6000, clock=time.clock, sleep=time.sleep)  # holds 600, refills by 90 a second

    async def scenario() -> None:
        async with pace.turn(600) as turn:
            pace.cost(turn, 60)  # it cost a tenth of what was feared
        async with pace.turn(540):
            pass
        assert time.slept == []
        async with pace.turn(90):
            pass

    asyncio.run(scenario())
    assert time.slept == [pytest.approx(1.0)]


def test_patience_with_a_server_that_is_gone_is_spent_once_until_it_answers() -> None:
    time = Time()
    pace = Pace(4, clock=time.clock, sleep=time.sleep, chance=lambda: 1.0)

    async def run() -> None:
        for waits in (True, False, False):
            before = time.now
            with pytest.raises(GaveUpError):
                await pace.retrying(failing(99), 30.0, "it")
            assert (time.now > before) is waits
        pace.answered()
        assert await pace.retrying(failing(3), 30.0, "it") == 4

    asyncio.run(run())

"""How a server is asked: not too many requests at once, not too many a minute, and again when it fails.

Nothing here knows HTTP but :func:`retry_after`. Clock, sleep and chance are given, so that tests need not wait.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TypeVar

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")
Clock = Callable[[], float]
"""Seconds on a clock that never goes back."""
Sleep = Callable[[float], Awaitable[object]]
Chance = Callable[[], float]
"""A number in [0, 1)."""

_MINUTE = 60.0
_BURST = 0.1
"""Share of a minute's allowance that may be used at once."""
_FIRST_WAIT = 0.5
"""Seconds: the most that is waited after the first failure. It doubles with each further one..."""
_LONGEST_WAIT = 20.0
"""...up to this, so that a server that comes back is soon asked."""


class Bucket:
    """A token bucket: of what it grants, no more than `per_minute` falls into any minute.

    It holds a tenth of a minute's allowance and refills at nine tenths of the rate, which is what makes that hold from
    the first minute on. What is larger than the bucket goes alone: it is granted when the bucket is full, and paid off
    before the next is. Grants are in order of asking.

    Written here because aiolimiter, the library there is, refuses amounts larger than its bucket, cannot take back what
    was asked too much, and has no clock to set.
    """

    def __init__(self, per_minute: float, clock: Clock = time.monotonic) -> None:
        self._size = per_minute * _BURST
        self._rate = per_minute * (1.0 - _BURST) / _MINUTE
        self._clock = clock
        self._level = self._size
        self._at = clock()

    def take(self, amount: float) -> float:
        """Takes an amount, and says how many seconds to wait before using it."""
        self._refill()
        missing = min(amount, self._size) - self._level
        self._level -= amount
        return max(0.0, missing / self._rate)

    def give(self, amount: float) -> None:
        """Gives back what was not used; less than nothing when more was used than taken."""
        self._refill()
        self._level = min(self._size, self._level + amount)

    def _refill(self) -> None:
        now = self._clock()
        self._level = min(self._size, self._level + (now - self._at) * self._rate)
        self._at = now


class Gate:
    """Lets a bounded number through at once: half as many after the server said that it is too much, one more after
    each round of successes, up to `most`. Enters in order of asking.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.limit = float(most)
        self.inside = 0
        self.era = 0
        """Counts the halvings. Requests that were under way together and are all told "too much" halve once."""
        self._queue: deque[asyncio.Future[None]] = deque()

    async def enter(self) -> None:
        if not self._queue and self.inside < int(self.limit):
            self.inside += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave()  # its turn had come in the same moment: the next has it
            elif turn in self._queue:
                self._queue.remove(turn)
            raise

    def leave(self) -> None:
        self.inside -= 1
        self._admit()

    def narrow(self, era: int) -> None:
        """After a "too much" to a request that entered in this era."""
        if era == self.era:
            self.era += 1
            self.limit = max(1.0, self.limit / 2)

    def widen(self) -> None:
        """After a success: as many of them as are let through at once add one."""
        self.limit = min(float(self.most), self.limit + 1.0 / self.limit)
        self._admit()

    def _admit(self) -> None:
        while self._queue and self.inside < int(self.limit):
            turn = self._queue.popleft()
            if not turn.done():
                self.inside += 1
                turn.set_result(None)


class TryAgain(Exception):  # noqa: N818 - no error unless it lasts
    """An attempt failed in a way that may pass."""

    def __init__(self, cause: str, after: float | None = None) -> None:
        super().__init__(cause)
        self.cause = cause
        self.after = after
        """Seconds that the server asks to wait at least."""


class GaveUpError(Exception):
    """Patience is over. The last cause is that of `last`."""

    def __init__(self, last: TryAgain, attempts: int, seconds: float) -> None:
        super().__init__(last.cause)
        self.last = last
        self.attempts = attempts
        self.seconds = seconds
        """From the first failure to the last."""


async def retrying(
    attempt: Callable[[], Awaitable[Answer]],
    patience: float,
    name: str,
    *,
    clock: Clock = time.monotonic,
    sleep: Sleep = asyncio.sleep,
    chance: Chance = random.random,
) -> Answer:
    """The answer of the first attempt that does not raise :class:`TryAgain`.

    Waits grow exponentially with full jitter ("Exponential Backoff And Jitter", AWS Architecture Blog, 2015), on top
    of what the server asks for. The last attempt is made when patience ends, so that a server which is back by then
    has been asked.

    Args:
        attempt: made again and again.
        patience: seconds from the first failure on. 0: there is one attempt.
        name: of what is asked, for the log.
        clock, sleep, chance: replaced in tests.

    Raises:
        GaveUpError: patience is over, or the server asks to wait for longer than it lasts.
    """
    began: float | None = None
    attempts = 0
    while True:
        try:
            return await attempt()
        except TryAgain as error:
            failure = error
        attempts += 1
        now = clock()
        began = now if began is None else began
        left = began + patience - now
        asked = failure.after or 0.0
        if left <= 0 or asked > left:
            break
        most = min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** min(attempts - 1, 16))
        wait = min(left, asked + chance() * most)
        log.info("%s: %s; asked again in %.1f s", name, failure.cause, wait)
        await sleep(wait)
    raise GaveUpError(failure, attempts, clock() - began)


@dataclass
class Turn:
    """One request's time with the server, and what came of it."""

    era: int
    tokens: float
    """Taken from the minute's allowance: what the request may cost at most, then what it did cost."""


class Pace:
    """All the limits of one server together: at once, requests a minute, tokens a minute, and waiting when told to."""

    def __init__(
        self,
        concurrency: int,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        *,
        clock: Clock = time.monotonic,
        sleep: Sleep = asyncio.sleep,
        chance: Chance = random.random,
    ) -> None:
        self.gate = Gate(concurrency)
        self._requests = None if requests_per_minute is None else Bucket(requests_per_minute, clock)
        self._tokens = None if tokens_per_minute is None else Bucket(tokens_per_minute, clock)
        self._resume = clock()
        self._lost = False
        """A request ran out of patience, and none was answered since."""
        self._clock, self._sleep, self._chance = clock, sleep, chance

    @asynccontextmanager
    async def turn(self, tokens: float) -> AsyncIterator[Turn]:
        """Waits until a request of so many tokens may be made, and holds its place while it is."""
        await self.gate.enter()
        try:
            turn = Turn(self.gate.era, tokens)
            ready = self._clock() + max(
                0.0 if self._requests is None else self._requests.take(1.0),
                0.0 if self._tokens is None else self._tokens.take(tokens),
            )
            while (wait := max(ready, self._resume) - self._clock()) > 0:
                await self._sleep(wait)
            yield turn
        finally:
            self.gate.leave()

    def cost(self, turn: Turn, tokens: float) -> None:
        """A request took so many tokens, in truth."""
        if self._tokens is not None:
            self._tokens.give(turn.tokens - tokens)
        turn.tokens = tokens

    def answered(self) -> None:
        """A request was answered: a little more may be asked at once."""
        self._lost = False
        self.gate.widen()

    def too_much(self, turn: Turn) -> None:
        """The server said 429: it is asked half as much at once."""
        self.gate.narrow(turn.era)

    def pause(self, seconds: float) -> None:
        """The server asks to be left alone, by every request."""
        self._resume = max(self._resume, self._clock() + seconds)

    async def retrying(self, attempt: Callable[[], Awaitable[Answer]], patience: float, name: str) -> Answer:
        """:func:`retrying` by this clock. Patience is spent once: while nothing was answered since it ran out, each
        further request is tried a single time, so that a run over a server that is gone ends soon."""
        patience = 0.0 if self._lost else patience
        try:
            return await retrying(attempt, patience, name, clock=self._clock, sleep=self._sleep, chance=self._chance)
        except GaveUpError:
            self._lost = True
            raise


def retry_after(headers: Mapping[str, str], now: Clock = time.time) -> float | None:
    """Seconds that a server asks to wait: `Retry-After` in seconds or as a date (RFC 9110, 10.2.3), or the
    `retry-after-ms` of OpenAI and Azure. None when it asks nothing that can be understood.

    A date is taken relative to the server's own `Date` where it gives one: its clock may be wrong.

    Args:
        headers: with names in lower case, or a mapping that does not mind case.
        now: seconds since 1970.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return max(0.0, milliseconds / 1000)
    said = headers.get("retry-after")
    seconds = _number(said)
    if seconds is not None:
        return max(0.0, seconds)
    until = _date(said)
    if until is None:
        return None
    since = _date(headers.get("date"))
    return max(0.0, until - (now() if since is None else since))


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if 0.0 <= number < 1e9 else None


def _date(text: str | None) -> float | None:
    try:
        date = parsedate_to_datetime(text or "")
    except (ValueError, IndexError):
        return None
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()

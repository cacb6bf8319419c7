"""What takes its worker down: a piece of work is known for it, and set aside.

Ray starts a killed worker again, perhaps on another machine, and hands it the same rows; for a piece that kills each
time that would never end. No worker can say what killed it, so the one in its place looks: it takes all that may have
been in hand one piece at a time, and notes each before it begins. What was noted and never ended has killed. As long as
no worker dies nothing is noted.

deaths/<run>/<worker>.json    the piece that a worker has begun
deaths/aside/<piece>-<date>   the input whose piece is left alone until that day
"""

from __future__ import annotations

import json
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from functools import cached_property

from schemas.base import digest
from schemas.errors import InputError
from storage.location import Location

MAX_DEATHS = 3
"""A piece that took so many workers down is set aside. One may be chance: machines are taken away, memory is short."""
REST = timedelta(days=7)
"""How long no run tries it again: what killed may have been mended meanwhile, but no night is lost on it."""
WARY_FOR = 30.0
"""Seconds that a worker in the place of a dead one is wary at least. New work may come before what Ray hands out again,
so that counting pieces alone does not tell when all of that has come."""
FOLDER = "deaths"
_ASIDE = f"{FOLDER}/aside"
_NOTHING = b"null"


class Deaths:
    """One worker's view of the deaths of a run.

    Args:
        root: the corpus.
        run: the run that the worker works for.
        suspects: how many pieces the worker in whose place this one is there may have had in hand. 0: it is the first.
        clock: seconds that pass.
    """

    def __init__(
        self, root: Location, run: str, suspects: int = 0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._root = root
        self._note = f"{FOLDER}/{run}/{uuid.uuid4().hex}.json"
        self._run = run
        self._suspects = suspects
        self._suspected = suspects > 0
        self._clock = clock

    @cached_property
    def _deaths(self) -> Counter[str]:
        """How often each piece took a worker of this run down that had nothing else in hand."""
        return Counter(_begun(self._root, self._run) if self._suspected else ())

    @cached_property
    def _aside(self) -> dict[str, date]:
        """The pieces that are left alone, and until when."""
        names = (name.partition("-") for name in self._root.names(_ASIDE))
        return {key: date.fromisoformat(until) for key, _, until in names}

    @cached_property
    def _wary_until(self) -> float:
        """When it has been wary for long enough: it begins with its first piece, which may wait for a model to load."""
        return self._clock() + WARY_FOR

    @property
    def wary(self) -> bool:
        """Whether pieces are to be taken one at a time, so that a death tells which it was."""
        return self._suspected and (self._clock() < self._wary_until or self._suspects > 0)

    @contextmanager
    def holding(self, piece: Sequence[str], uri: str) -> Iterator[None]:
        """Surrounds the work on a piece; `uri` names it for people.

        Raises:
            InputError: it is set aside.
            CorpusError: the storage refuses.
        """
        key = digest(list(piece))
        if self._deaths[key] >= MAX_DEATHS:
            self._set_aside(key, uri)
        until = self._aside.get(key)
        if until is not None and until > _today():
            cause = f"it took its worker down {MAX_DEATHS} times"
            remedy = (
                f"Look at it: it is left alone until {until}, or until {self._root.uri(_aside(key, until))} is removed"
            )
            raise InputError(uri, cause, remedy)
        if not self.wary:
            yield
        else:
            self._suspects -= 1
            self._root.replace(self._note, json.dumps(key).encode())
            try:
                yield
            finally:
                self._root.replace(self._note, _NOTHING)  # not removed: another worker may be reading it
        if until is not None:
            self._root.remove(_aside(key, until))

    def _set_aside(self, key: str, uri: str) -> None:
        until = _today() + REST
        self._root.replace(_aside(key, until), uri.encode())
        self._aside[key] = until
        del self._deaths[key]


def forget(root: Location, run: str) -> None:
    """Removes the notes of a run that has ended; what was set aside stays so.

    Raises:
        CorpusError: the storage refuses.
    """
    for name in root.names(f"{FOLDER}/{run}"):
        root.remove(f"{FOLDER}/{run}/{name}")


def _begun(root: Location, run: str) -> Iterator[str]:
    """The pieces that workers of a run have begun and not ended. Those of living workers are among them: nobody else
    has these in hand."""
    folder = f"{FOLDER}/{run}"
    notes = (json.loads(root.read_bytes(f"{folder}/{name}")) for name in root.names(folder))
    return (key for key in notes if key is not None)


def _aside(key: str, until: date) -> str:
    return f"{_ASIDE}/{key}-{until}"


def _today() -> date:
    return datetime.now(UTC).date()

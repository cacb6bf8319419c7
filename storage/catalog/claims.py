"""Claims: which run works on which unit, so that two builds of one corpus at once do no unit twice.

A claim is worth what its run is: it counts while the run has not said how it ended, its process is not known to be
gone, and its lease lasts. Leases belong to runs, not to claims: a sign of life is one row, however many units a run
has. A claim that is lost to another run costs work, never truth: a unit ends once, whoever commits it.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from threading import Event, Thread

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from schemas.errors import CorpusError
from schemas.outcome import Outcome, RunState
from storage.catalog.models import ClaimRow, LeaseRow, RunRow, UnitRow
from storage.catalog.records import Claimed
from storage.catalog.tables import Tables

LEASE = timedelta(minutes=10)
"""How long a run that gives no sign of life is believed to live, where its process cannot be looked for."""
BEAT = LEASE.total_seconds() / 5
"""Seconds between two signs of life: four may be lost."""
_STAY = (Outcome.DONE.value, Outcome.FILTERED.value)


class Claims:
    """The claims of one corpus. Its methods work within a transaction that is given."""

    def __init__(self, db: Tables) -> None:
        self._db = db

    def take(self, session: Session, run: str, units: Sequence[str]) -> Claimed:
        """Gives a run the units that nobody alive has, less those that are done or filtered.

        Transactions on one corpus follow one another (:meth:`Tables.transact`), so what is free here stays free until
        it is taken.
        """
        wanted = dict.fromkeys(units)
        stay = self._db.rows(session, [UnitRow.unit], UnitRow.unit, wanted, UnitRow.outcome.in_(_STAY))
        ended = {unit for (unit,) in stay}
        live = self.live(session, but=run)
        claims = self._db.rows(session, [ClaimRow.unit, ClaimRow.run_id], ClaimRow.unit, wanted)
        holders: dict[str, str] = dict(claims)
        held = {unit: holder for unit, holder in holders.items() if holder in live and unit not in ended}
        taken = frozenset(unit for unit in wanted if unit not in ended and unit not in held)
        new = [{"unit": unit, "run_id": run} for unit in taken if unit not in holders]
        lapsed = [{"unit": unit, "run_id": run} for unit in taken if holders.get(unit, run) != run]
        self._db.add(session, ClaimRow, new)
        self._db.change(session, ClaimRow, lapsed)
        self.renew(session, run)
        return Claimed(taken, held)

    def live(self, session: Session, but: str | None = None) -> set[str]:
        """Runs whose claims count."""
        query = (
            select(RunRow.id, RunRow.host, RunRow.pid)
            .join(LeaseRow, (LeaseRow.corpus_id == RunRow.corpus_id) & (LeaseRow.run_id == RunRow.id))
            .where(self._db.of(RunRow), RunRow.state == RunState.RUNNING.value, LeaseRow.until > _now(session))
        )
        here = socket.gethostname()
        return {
            run for run, host, pid in session.execute(query) if run != but and (host != here or process_is_alive(pid))
        }

    def renew(self, session: Session, run: str) -> bool:
        """A run's sign of life. False when the run has ended: it needs none."""
        state = session.scalar(select(RunRow.state).where(self._db.of(RunRow), RunRow.id == run))
        if state is not None and state != RunState.RUNNING.value:
            return False
        self._db.upsert(session, LeaseRow, LeaseRow.run_id, [{"run_id": run, "until": _now(session) + LEASE}])
        return True

    def drop(self, session: Session, run: str) -> None:
        """Frees all that a run has: it ended."""
        for table in (ClaimRow, LeaseRow):
            session.execute(delete(table).where(self._db.of(table), table.run_id == run))


@contextmanager
def signs_of_life(give: Callable[[], bool], every: float = BEAT) -> Iterator[None]:
    """Gives a sign of life again and again while the block runs, in a thread of its own: the work may be silent for
    hours. One that cannot be given is left to the next; the work itself says what is wrong with the catalog."""
    over = Event()

    def beat() -> None:
        while not over.wait(every):
            try:
                if not give():
                    return
            except CorpusError:
                continue

    thread = Thread(target=beat, name="signs of life", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def process_is_alive(pid: int) -> bool:
    """Whether a process of this machine is there."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # somebody else's process: it is there
    return True


def _now(session: Session) -> datetime:
    """The time by the database's clock, where many machines ask it: theirs may disagree."""
    if session.get_bind().dialect.name == "postgresql":
        moment = session.scalar(select(func.clock_timestamp()))
        assert isinstance(moment, datetime)
        return moment
    return datetime.now(UTC)

"""The catalog on runs: which there were, what each has taken on, how it ended, and what it asked of models."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from schemas.outcome import InputOutcome, Outcome, RunReport, RunState
from schemas.usage import Usage
from storage.catalog.claims import BEAT, process_is_alive, signs_of_life
from storage.catalog.models import QuarantineRow, RunRow, UsageRow, uri_key
from storage.catalog.part import Part
from storage.catalog.records import Claimed, RunRecord
from storage.catalog.tables import chunks


class Runs(Part):
    """Runs, their claims and their usage."""

    def begin_run(self, run_id: str, recipe_name: str, recipe_hash: str, recipe_json: str) -> None:
        """Records that a run of this process works on the corpus."""

        def work(session: Session) -> None:
            self._db.insert_missing(
                session,
                RunRow,
                RunRow.id,
                [
                    {
                        "id": run_id,
                        "recipe_name": recipe_name,
                        "recipe_hash": recipe_hash,
                        "recipe": recipe_json,
                        "state": RunState.RUNNING.value,
                        "host": socket.gethostname(),
                        "pid": os.getpid(),
                        "started": datetime.now(UTC),
                    }
                ],
            )
            self._claims.renew(session, run_id)

        self._db.transact(work)

    def end_run(self, run_id: str, state: RunState, report: RunReport | None = None) -> None:
        """Records how a run ended, frees what it had claimed, and takes out of the quarantine every input that the
        report says was read.

        Without a report: for a run that was killed and could not say so itself.
        """

        def work(session: Session) -> None:
            ended: dict[str, Any] = {"state": state.value, "ended": datetime.now(UTC)}
            if report is not None:
                ended["report"] = report.model_dump(mode="json")
            session.execute(update(RunRow).where(self._db.of(RunRow), RunRow.id == run_id).values(**ended))
            self._claims.drop(session, run_id)
            if report is not None:
                self._release(session, run_id, [i for i in report.inputs if i.outcome is not Outcome.FAILED])

        self._db.transact(work)

    def unended_runs(self) -> list[str]:
        """Runs that never said how they ended, oldest first: under way, or killed."""
        query = select(RunRow.id).where(self._db.of(RunRow), RunRow.state == RunState.RUNNING.value)
        return self._db.read(lambda session: list(session.scalars(query.order_by(RunRow.started, RunRow.id))))

    def killed_runs(self) -> list[str]:
        """Unended runs whose process on this machine is gone. Of other machines' runs nothing is known here."""
        query = select(RunRow.id, RunRow.pid).where(
            self._db.of(RunRow), RunRow.state == RunState.RUNNING.value, RunRow.host == socket.gethostname()
        )
        rows = self._db.read(lambda session: session.execute(query).all())
        return [run for run, pid in rows if not process_is_alive(pid)]

    def claim(self, run_id: str, units: Iterable[str]) -> Claimed:
        """Takes units on for a run, but for those that another live run has and those that ended meanwhile.

        A run has its claims until it ends (:meth:`end_run`), until its process on this machine is gone, or until its
        lease is over: see :meth:`alive`.
        """
        wanted = list(units)
        return self._db.transact(lambda session: self._claims.take(session, run_id, wanted))

    def renew(self, run_id: str) -> bool:
        """A run's sign of life; False when the run has ended and needs none."""
        return self._db.transact(lambda session: self._claims.renew(session, run_id))

    @contextmanager
    def alive(self, run_id: str, every: float = BEAT) -> Iterator[None]:
        """Gives signs of life of a run while the block runs, so that its claims count on other machines too."""
        with signs_of_life(lambda: self.renew(run_id), every):
            yield

    def runs(self, limit: int = 20) -> list[RunRecord]:
        """The newest runs, newest first."""
        query = select(RunRow).where(self._db.of(RunRow)).order_by(RunRow.started.desc(), RunRow.id.desc()).limit(limit)
        return self._db.read(lambda session: [run_record(row) for row in session.scalars(query)])

    def recipe_of(self, run_id: str) -> str | None:
        """The recipe of a run as JSON; None for a run that is not known."""
        query = select(RunRow.recipe).where(self._db.of(RunRow), RunRow.id == run_id)
        return self._db.read(lambda session: session.scalar(query))

    def last_report(self) -> RunReport | None:
        """The report of the newest run that left one."""
        query = select(RunRow.report).where(self._db.of(RunRow), RunRow.report.is_not(None))
        report = self._db.read(lambda session: session.scalar(query.order_by(RunRow.started.desc()).limit(1)))
        return None if report is None else RunReport.model_validate(report)

    def usage(self, since: datetime | None = None, run: str | None = None) -> Usage:
        """What was asked of models, by all runs or by one, ever or since a moment."""
        sums = [func.coalesce(func.sum(getattr(UsageRow, name)), 0) for name in Usage.model_fields]
        query = select(*sums).where(self._db.of(UsageRow))
        query = query if since is None else query.where(UsageRow.ended >= since)
        query = query if run is None else query.where(UsageRow.run_id == run)
        return self._db.read(
            lambda session: Usage(**dict(zip(Usage.model_fields, map(int, session.execute(query).one()), strict=True)))
        )

    def record_usage(self, run_id: str, what: str, usage: Usage) -> None:
        """Enters what a run asked of models beside its units; again with the same `what`, it replaces the earlier."""
        row = {"unit": what, "run_id": run_id, "ended": datetime.now(UTC), **usage.model_dump()}
        self._db.transact(lambda session: self._db.upsert(session, UsageRow, UsageRow.unit, [row]))

    def _release(self, session: Session, run_id: str, inputs: Sequence[InputOutcome]) -> None:
        """By name, and by content: a file that was read under another name is no longer a problem."""
        contents = [item.sha256 for item in inputs if item.sha256 is not None]
        for column, values in (
            (QuarantineRow.uri_key, [uri_key(item.uri) for item in inputs]),
            (QuarantineRow.sha256, contents),
        ):
            for chunk in chunks(values):
                session.execute(
                    update(QuarantineRow)
                    .where(self._db.of(QuarantineRow), column.in_(chunk), QuarantineRow.released_run.is_(None))
                    .values(released_run=run_id)
                )


def run_record(row: RunRow) -> RunRecord:
    """A row as a record."""
    return RunRecord(
        id=row.id,
        recipe_name=row.recipe_name,
        recipe_hash=row.recipe_hash,
        state=RunState(row.state),
        started=row.started,
        ended=row.ended,
        report=None if row.report is None else RunReport.model_validate(row.report),
    )

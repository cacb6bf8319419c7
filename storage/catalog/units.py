"""The catalog on what is made: units, how they end, what was refused, and which rows the corpus takes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import and_, exists, select
from sqlalchemy.orm import Session

from schemas.errors import Problem
from schemas.manifest import Shard
from schemas.outcome import Outcome, UnitOutcome
from schemas.recipe import Deduplication, Splitting
from schemas.rows import Written
from storage.catalog.admission import Admission, enter
from storage.catalog.live import held
from storage.catalog.models import RejectRow, ShardRow, SlotRow, TripletRow, UnitRow, UsageRow, uri_key
from storage.catalog.part import Part
from storage.catalog.records import Committed, Judged, Reject, SignedRow

_ENDED = (Outcome.DONE, Outcome.FILTERED)


class Units(Part):
    """Units and the slots that hold them, rejects, and admission."""

    def ended_units(self, unit_keys: Iterable[str]) -> dict[str, tuple[Outcome, Problem | None]]:
        """Which of these units are done or filtered. Failed ones are not among them: they are tried again."""
        keys = list(unit_keys)
        ended = (Outcome.DONE.value, Outcome.FILTERED.value)

        def work(session: Session) -> dict[str, tuple[Outcome, Problem | None]]:
            columns = [UnitRow.unit, UnitRow.outcome, UnitRow.problem]
            return {
                unit: (Outcome(outcome), None if problem is None else Problem.model_validate(problem))
                for unit, outcome, problem in self._db.rows(
                    session, columns, UnitRow.unit, keys, UnitRow.outcome.in_(ended)
                )
            }

        return self._db.read(work)

    def moved(self, slots: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """Of these (slot, unit), those where the slot does not hold the unit now."""
        asked = {uri_key(slot): (slot, unit) for slot, unit in slots}
        columns = [SlotRow.slot_key, SlotRow.unit]

        def work(session: Session) -> dict[str, str]:
            return dict(self._db.rows(session, columns, SlotRow.slot_key, asked))

        holds = self._db.read(work)
        return [(slot, unit) for key, (slot, unit) in asked.items() if holds.get(key) != unit]

    def assign(self, run_id: str, slots: Iterable[tuple[str, str]]) -> None:
        """Records that these slots now hold these units (slot, unit), which ended before.

        Call it with what planning finds known: when an input or a recipe goes back to what it once was, or the same
        content turns up under a second name, the row that was made then is live (again) without any work.
        """
        ended = list(slots)
        self._db.transact(lambda session: self._assign(session, run_id, ended))

    def commit(self, run_id: str, written: Sequence[Written]) -> Committed:
        """Records how units ended and where their triplets lie, all or nothing.

        A unit that is done or filtered already stays as it is; the row that was written for it now is never live.
        """
        return self._db.transact(lambda session: self._commit(session, run_id, written))

    def rejects(self, limit: int = 100, offset: int = 0, run: str | None = None) -> list[Reject]:
        """Filtered units with reason, output and report: those that slots hold now, or all that a run filtered."""
        query = select(RejectRow.record, UnitRow.run_id, UnitRow.ended).join(
            UnitRow, and_(UnitRow.corpus_id == RejectRow.corpus_id, UnitRow.unit == RejectRow.unit)
        )
        query = query.where(self._db.of(RejectRow), held() if run is None else UnitRow.run_id == run)
        query = query.order_by(UnitRow.ended.desc(), UnitRow.unit).limit(limit).offset(offset)
        return self._db.read(
            lambda session: [
                Reject(UnitOutcome.model_validate(record), run_id, ended)
                for record, run_id, ended in session.execute(query)
            ]
        )

    def admit(self, rules: Deduplication, split: Splitting) -> list[Judged]:
        """Judges all rows that were committed since, and those that what kept them out has left, in batches.

        Returns the units that now end otherwise than was recorded: rows refused, and rows taken in again.
        """
        admission = Admission(self._db, rules)
        self._db.transact(admission.release)
        judged: list[Judged] = []
        more = True
        while more:
            more, batch = self._db.transact(admission.judge)
            judged += batch
        while self._db.transact(lambda session: admission.give_sides(session, split.validation_share)):
            pass
        return judged

    def unsigned_shards(self) -> list[str]:
        """Shards with rows that were committed before rows had signatures."""
        signed = exists().where(TripletRow.corpus_id == UnitRow.corpus_id, TripletRow.unit == UnitRow.unit)
        query = select(UnitRow.shard).where(self._db.of(UnitRow), UnitRow.shard.is_not(None), ~signed).distinct()
        return self._db.read(lambda session: [path for path in session.scalars(query.order_by(UnitRow.shard)) if path])

    def sign(self, rows: Sequence[SignedRow]) -> None:
        """Enters rows that were committed without a signature, to be judged."""

        def work(session: Session) -> None:
            units = self._db.among(session, UnitRow, UnitRow.unit, [row.unit for row in rows])
            runs = {unit.unit: unit.run_id for unit in units if unit.shard is not None}
            enter(self._db, session, [(runs[row.unit], row) for row in rows if row.unit in runs])

        self._db.transact(work)

    def _commit(self, session: Session, run_id: str, written: Sequence[Written]) -> Committed:
        before = {
            row.unit: row.outcome
            for row in self._db.among(session, UnitRow, UnitRow.unit, [row.outcome.unit for row in written])
        }
        counts = dict.fromkeys(Outcome, 0)
        known = 0
        units: dict[str, dict[str, Any]] = {}
        rejects: dict[str, dict[str, Any]] = {}
        shards: dict[str, dict[str, Any]] = {}
        fresh: list[SignedRow] = []
        now = datetime.now(UTC)
        for row in written:
            outcome = row.outcome
            if outcome.outcome is Outcome.POSTPONED:
                continue
            if before.get(outcome.unit) in _ENDED:
                known += 1
                continue
            counts[outcome.outcome] += 1
            before[outcome.unit] = outcome.outcome.value
            units[outcome.unit] = _unit_values(row, run_id, now)
            if outcome.outcome is Outcome.FILTERED:
                record = outcome.model_dump(mode="json")
                rejects[outcome.unit] = {"unit": outcome.unit, "record": record, "run_id": run_id}
            if (shard := _written_shard(row)) is not None:
                shards[shard.path] = shard.model_dump()
            if (signed := _signed(row)) is not None:
                fresh.append(signed)
        self._db.insert_missing(session, ShardRow, ShardRow.path, list(shards.values()))
        enter(self._db, session, [(run_id, row) for row in fresh])
        self._db.upsert(session, UnitRow, UnitRow.unit, list(units.values()))
        self._db.upsert(session, RejectRow, RejectRow.unit, list(rejects.values()))
        usage = [_usage_values(row.outcome, run_id, now) for row in written if row.outcome.usage.requests]
        self._db.upsert(session, UsageRow, UsageRow.unit, usage)
        slots = [(row.outcome.slot, row.outcome.unit) for row in written if before.get(row.outcome.unit) in _ENDED]
        self._assign(session, run_id, slots)
        self._claims.renew(session, run_id)
        return Committed(counts[Outcome.DONE], counts[Outcome.FILTERED], counts[Outcome.FAILED], known)

    def _assign(self, session: Session, run_id: str, slots: Iterable[tuple[str, str]]) -> None:
        rows = [{"slot_key": uri_key(slot), "slot": slot, "unit": unit, "run_id": run_id} for slot, unit in slots]
        self._db.upsert(session, SlotRow, SlotRow.slot_key, rows)


def _unit_values(row: Written, run_id: str, now: datetime) -> dict[str, Any]:
    outcome = row.outcome
    return {
        "unit": outcome.unit,
        "slot_key": uri_key(outcome.slot),
        "group_key": outcome.group,
        "task_type": outcome.task_type,
        "outcome": outcome.outcome.value,
        "problem": None if outcome.problem is None else outcome.problem.model_dump(),
        "triplet": outcome.triplet,
        "shard": row.shard,
        "domain": None if row.domain is None else row.domain.value,
        "reward": row.reward,
        "run_id": run_id,
        "ended": now,
    }


def _usage_values(outcome: UnitOutcome, run_id: str, now: datetime) -> dict[str, Any]:
    return {"unit": outcome.unit, "run_id": run_id, "ended": now, **outcome.usage.model_dump()}


def _signed(row: Written) -> SignedRow | None:
    if row.outcome.triplet is None or row.signature is None:
        return None
    return SignedRow(row.outcome.unit, row.outcome.triplet, row.outcome.streams, row.signature, row.split)


def _written_shard(row: Written) -> Shard | None:
    if row.shard is None or row.shard_sha256 is None:
        return None
    return Shard(path=row.shard, sha256=row.shard_sha256, rows=row.shard_rows, size=row.shard_size)

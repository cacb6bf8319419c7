"""Rows that a rollback took back, and rows that it brought back, as the catalog remembers them.

Two kinds of slots that no plan ever computes hold them (docs/decisions/0012-rollback.md). A *mark* holds a unit whose
row was withdrawn: the unit has ended as filtered, with the rollback as its reason, so that no build makes or publishes
it again. A *keeper* holds a unit whose row was brought back: it stays live although the slot of its input is given a
unit that was withdrawn or came to nothing before the rollback, and is let go when that slot has anything better.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, delete, exists, func, or_, select
from sqlalchemy.orm import Session, aliased

from schemas.errors import CorpusError, Problem
from schemas.manifest import Manifest
from schemas.outcome import Outcome, UnitOutcome
from storage.catalog.admission import Standing
from storage.catalog.models import RejectRow, RunRow, ShardRow, SlotRow, TripletRow, TripletStreamRow, UnitRow, uri_key
from storage.catalog.records import PublishedRow, Turned
from storage.catalog.tables import Tables, chunks

_MARK = "dataclaw.withdrawn/"
_KEEPER = "dataclaw.kept/"
_WITHDRAWN = "withdrawn"
"""The standing of a row that was taken back. Admission moves it nowhere, as long as a slot holds it."""
_UNTRACKED = {"synchronize_session": False}


@dataclass(frozen=True)
class _Turn:
    """What a rollback would change."""

    turned: Turned
    bad: list[str]
    """Units whose rows are withdrawn."""


class Withdrawals:
    """What rollbacks do to the rows of one corpus. Its methods work within a transaction that is given."""

    def __init__(self, db: Tables) -> None:
        self._db = db

    def look(self, session: Session, snapshot: Manifest, wanted: Mapping[str, PublishedRow]) -> _Turn:
        """What it would change to have these rows, by unit, live, and no others.

        Raises:
            CorpusError: the catalog knows nothing of a row.
        """
        known = {row.unit for row in self._db.among(session, TripletRow, TripletRow.unit, wanted)}
        if unknown := sorted(wanted.keys() - known):
            raise CorpusError(
                f"snapshot {snapshot.number}",
                f"the catalog knows nothing of {len(unknown)} of its rows, such as unit {unknown[0]}",
                "Name the catalog that the corpus was built with (--catalog), or build into a new corpus",
            )
        live = set(session.scalars(self._live()))
        # A row that only a keeper holds is not bad: it goes with its keeper, and a recipe may go back to it.
        own = session.scalars(self._live(~SlotRow.slot.startswith(_KEEPER)))
        bad = sorted({*own, *session.scalars(self._written_since(snapshot))} - wanted.keys())
        return _Turn(Turned(restored=len(wanted.keys() - live), withdrawn=len(bad)), bad)

    def turn_to(self, session: Session, snapshot: Manifest, wanted: Mapping[str, PublishedRow], run_id: str) -> Turned:
        """Makes these rows of a snapshot the live ones, and withdraws the others.

        Raises:
            CorpusError: as :meth:`look`.
        """
        turn = self.look(session, snapshot, wanted)
        self._drop(session, _KEEPER)
        self._withdraw(session, turn.bad, snapshot.number, run_id)
        self._restore(session, wanted, run_id)
        return turn.turned

    def any_over(self, session: Session) -> bool:
        """Whether there is a row to let go of."""
        return session.scalar(self._over().limit(1)) is not None

    def let_go(self, session: Session) -> int:
        """Lets go of the rows that were brought back and whose slot has something better now; returns of how many."""
        keys = list(session.scalars(self._over()))
        for chunk in chunks(keys):
            session.execute(delete(SlotRow).where(self._db.of(SlotRow), SlotRow.slot_key.in_(chunk)))
        return len(keys)

    # What is asked

    def _over(self) -> Select[tuple[str]]:
        """Keepers whose slot has something better: a row that is not withdrawn, or the end, whatever it is, of a unit
        made after the rollback."""
        keeper, real = aliased(SlotRow), aliased(SlotRow)
        better = (
            exists()
            .where(real.corpus_id == keeper.corpus_id, real.slot_key == func.substr(keeper.slot, len(_KEEPER) + 1))
            .where(real.unit != keeper.unit, UnitRow.corpus_id == real.corpus_id, UnitRow.unit == real.unit)
            .where(RunRow.corpus_id == keeper.corpus_id, RunRow.id == keeper.run_id)
            .where(~self._is_withdrawn(), or_(UnitRow.shard.is_not(None), UnitRow.ended > RunRow.started))
        )
        return select(keeper.slot_key).where(self._db.of(keeper), keeper.slot.startswith(_KEEPER), better)

    def _live(self, *slots: ColumnElement[bool]) -> Select[tuple[str]]:
        """Units with a live row that a slot of these kinds holds."""
        held = exists().where(SlotRow.corpus_id == TripletRow.corpus_id, SlotRow.unit == TripletRow.unit, *slots)
        return select(TripletRow.unit).where(
            self._db.of(TripletRow), TripletRow.standing == Standing.ADMITTED.value, held
        )

    def _written_since(self, snapshot: Manifest) -> Select[tuple[str]]:
        """Units with a row that the snapshot could not have, whatever became of them; not those withdrawn before."""
        return (
            select(TripletRow.unit)
            .join(UnitRow, and_(UnitRow.corpus_id == TripletRow.corpus_id, UnitRow.unit == TripletRow.unit))
            .where(self._db.of(TripletRow), UnitRow.ended > snapshot.created, TripletRow.standing != _WITHDRAWN)
        )

    def _is_withdrawn(self) -> ColumnElement[bool]:
        row = aliased(TripletRow)
        return exists().where(row.corpus_id == UnitRow.corpus_id, row.unit == UnitRow.unit, row.standing == _WITHDRAWN)

    # What is changed

    def _withdraw(self, session: Session, units: list[str], number: int, run_id: str) -> None:
        problem = Problem(
            input=f"snapshot {number}",
            cause=f"its row was withdrawn when the corpus was rolled back to snapshot {number}",
            remedy="A changed recipe makes it anew; `dataclaw corpora rollback` to a snapshot with it brings it back",
        )
        streams: dict[str, list[str]] = {}
        for member in self._db.among(session, TripletStreamRow, TripletStreamRow.unit, units):
            streams.setdefault(member.unit, []).append(member.stream)
        rows = list(self._db.among(session, UnitRow, UnitRow.unit, units))
        ended = {"outcome": Outcome.FILTERED.value, "problem": problem.model_dump()}
        self._db.change(session, UnitRow, [{"unit": row.unit, **ended} for row in rows])
        standing = {"standing": _WITHDRAWN, "because": None}
        self._db.change(session, TripletRow, [{"unit": unit, **standing} for unit in units])
        rejects = [
            {"unit": row.unit, "record": _reject(row, sorted(streams.get(row.unit, ())), problem), "run_id": row.run_id}
            for row in rows
        ]
        self._db.upsert(session, RejectRow, RejectRow.unit, rejects)
        self._hold(session, [(f"{_MARK}{unit}", unit) for unit in units], run_id)

    def _restore(self, session: Session, wanted: Mapping[str, PublishedRow], run_id: str) -> None:
        shards = {row.shard.path: row.shard.model_dump() for row in wanted.values()}
        self._db.insert_missing(session, ShardRow, ShardRow.path, list(shards.values()))
        done = {"outcome": Outcome.DONE.value, "problem": None}
        self._db.change(
            session,
            UnitRow,
            [{"unit": row.unit, "triplet": row.triplet, "shard": row.shard.path, **done} for row in wanted.values()],
        )
        self._db.change(
            session,
            TripletRow,
            [
                {
                    "unit": row.unit,
                    "standing": Standing.ADMITTED.value,
                    "because": None,
                    "split": row.split.value,
                    "written_split": row.split.value,
                }
                for row in wanted.values()
            ],
        )
        for chunk in chunks(wanted):
            session.execute(
                delete(RejectRow).where(self._db.of(RejectRow), RejectRow.unit.in_(chunk)), execution_options=_UNTRACKED
            )
            session.execute(
                delete(SlotRow).where(self._db.of(SlotRow), SlotRow.slot_key.in_([uri_key(_MARK + u) for u in chunk])),
                execution_options=_UNTRACKED,
            )
        units = self._db.among(session, UnitRow, UnitRow.unit, wanted)
        self._hold(session, [(f"{_KEEPER}{row.slot_key}", row.unit) for row in units], run_id)

    def _hold(self, session: Session, slots: Iterable[tuple[str, str]], run_id: str) -> None:
        """Several units may have been made for one slot, each of which another slot held: each has a keeper."""
        rows = [
            {"slot_key": uri_key(slot if slot.startswith(_MARK) else f"{slot}/{unit}"), "slot": slot, "unit": unit}
            for slot, unit in slots
        ]
        self._db.upsert(session, SlotRow, SlotRow.slot_key, [{**row, "run_id": run_id} for row in rows])

    def _drop(self, session: Session, kind: str) -> None:
        session.execute(
            delete(SlotRow).where(self._db.of(SlotRow), SlotRow.slot.startswith(kind)), execution_options=_UNTRACKED
        )


def _reject(row: UnitRow, streams: Iterable[str], problem: Problem) -> dict[str, Any]:
    return UnitOutcome(
        unit=row.unit,
        slot=row.slot_key,
        group=row.group_key,
        task_type=row.task_type,
        outcome=Outcome.FILTERED,
        streams=tuple(streams),
        triplet=row.triplet,
        problem=problem,
    ).model_dump(mode="json")

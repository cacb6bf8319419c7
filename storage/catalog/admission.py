"""Admission: which of the rows that were written the corpus takes, and on which side of the split each stream is.

A row stays out while a row of the corpus says and shows the same (duplicate), and when it would join streams of both
sides (torn). Rows are judged after a run has written them, the older run's first and then by unit, so that the order
in which workers finish does not matter. What keeps a row out is remembered: when that leaves the corpus, the row is
judged anew. Nothing is thrown away: a row that is not admitted keeps its place in its shard.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, bindparam, delete, exists, func, select, update
from sqlalchemy.orm import Session, aliased

from schemas.base import digest
from schemas.errors import Problem
from schemas.outcome import Outcome, UnitOutcome
from schemas.recipe import Deduplication
from schemas.signature import Signature
from schemas.triplet import Split
from storage import likeness
from storage.catalog.models import (
    LikenessKeyRow,
    RejectRow,
    SideRow,
    SlotRow,
    StreamRow,
    TripletRow,
    TripletStreamRow,
    UnitRow,
)
from storage.catalog.records import Judged, SignedRow
from storage.catalog.tables import Tables
from storage.families import Families, Member
from storage.split import side_of

_BATCH = 64
"""Rows judged in one transaction."""
_CROWD = 16
"""Rows entered under one key at most. What very many rows share tells none of them apart, and the work for a row must
not grow with the corpus."""
_SIDES = 500
"""Families that are given their side in one transaction."""
_TORN = "joins streams of training and validation"
_UNTRACKED = {"synchronize_session": False}
"""Statements that change rows which nobody holds."""


class Standing(StrEnum):
    """Where a row stands."""

    PENDING = "pending"
    ADMITTED = "admitted"
    DUPLICATE = "duplicate"
    TORN = "torn"
    GONE = "gone"
    """No slot holds its unit any more."""


@dataclass(frozen=True)
class _Row:
    """A row as it is compared."""

    unit: str
    run: str
    triplet: str
    signature: Signature
    streams: tuple[str, ...]
    """For a row that was judged before one of them: all are of one family."""
    taken: bool
    """The corpus has it. A row that it had once still tells which side its streams are on."""


@dataclass(frozen=True)
class _Verdict:
    row: _Row
    standing: Standing
    because: _Row | None = None


@dataclass
class _Seats:
    """The places under each key, and what is changed about them. Rows that the corpus has no longer make room."""

    index: dict[int, list[str]]
    given: list[dict[str, Any]] = field(default_factory=list)
    taken: list[dict[str, Any]] = field(default_factory=list)

    def give(self, unit: str, keys: Iterable[int], rows: Mapping[str, _Row]) -> None:
        """Enters a row under its keys, as far as there is room."""
        for key in keys:
            crowd = self.index[key]
            if unit in crowd:
                continue
            if len(crowd) >= _CROWD:
                idle = next((other for other in crowd if not rows[other].taken), None)
                if idle is None:
                    continue
                crowd.remove(idle)
                self.taken.append({"of_key": key, "of_unit": idle})
            crowd.append(unit)
            self.given.append({"key": key, "unit": unit})


class Admission:
    """Judges the rows of one corpus by one set of rules. Its methods work within a transaction that is given."""

    def __init__(self, db: Tables, rules: Deduplication) -> None:
        self._db = db
        self._rules = rules
        self._rules_key = digest([likeness.VERSION, rules.model_dump()])

    def release(self, session: Session) -> None:
        """Sets rows to be judged (anew): those that a slot holds again, those that only a row kept out which is in the
        corpus no longer, and all that were judged by other rules."""
        held = exists().where(SlotRow.corpus_id == TripletRow.corpus_id, SlotRow.unit == TripletRow.unit)
        original = aliased(TripletRow)
        keeper = exists().where(
            original.corpus_id == TripletRow.corpus_id,
            original.unit == TripletRow.because,
            original.standing == Standing.ADMITTED.value,
        )
        gone = TripletRow.standing == Standing.GONE.value
        judged = TripletRow.standing.in_([Standing.ADMITTED.value, Standing.DUPLICATE.value, Standing.TORN.value])
        self._stand(session, Standing.GONE, ~gone, ~held)
        self._stand(session, Standing.PENDING, gone, held)
        self._stand(session, Standing.PENDING, judged, TripletRow.rules != self._rules_key)
        self._stand(session, Standing.PENDING, judged, TripletRow.because.is_not(None), ~keeper)

    def judge(self, session: Session) -> tuple[bool, list[Judged]]:
        """Judges a batch: whether there was one, and the units that end otherwise than the catalog had it so far.

        The number of statements depends on the size of the batch, not on that of the corpus.
        """
        rows = self._pending(session)
        if not rows:
            return False, []
        keys = {row.unit: likeness.keys(row.signature) for row in rows}
        index = self._index(session, keys.values())
        others = self._rows(session, {unit for units in index.values() for unit in units})
        families = self._families(session, [*rows, *others.values()])
        seats = _Seats(index)
        verdicts = []
        for row in rows:
            found = {unit: others[unit] for key in keys[row.unit] for unit in index[key]}
            verdict = self._verdict(row, sorted(found.values(), key=lambda other: (other.run, other.unit)), families)
            verdicts.append(verdict)
            if verdict.standing is Standing.ADMITTED:
                others[row.unit] = replace(row, taken=True)
                seats.give(row.unit, keys[row.unit], others)
        self._keep_seats(session, seats)
        self._keep_families(session, families)
        self._keep_verdicts(session, verdicts)
        return True, self._tell(session, verdicts)

    def give_sides(self, session: Session, validation_share: float) -> bool:
        """Gives some families that have no side one; False when all have theirs, and every row its split."""
        waiting = select(SideRow.family).where(self._db.of(SideRow), SideRow.side.is_(None)).distinct().limit(_SIDES)
        families = list(session.scalars(waiting))
        if families:
            sides = {family: (family, side_of(family, validation_share)) for family in families}
            self._move_families(session, sides)
            return True
        side = (
            select(func.min(SideRow.side))
            .join(
                TripletStreamRow,
                (TripletStreamRow.corpus_id == SideRow.corpus_id) & (TripletStreamRow.stream == SideRow.stream),
            )
            .where(TripletStreamRow.corpus_id == TripletRow.corpus_id, TripletStreamRow.unit == TripletRow.unit)
            .scalar_subquery()
        )
        settled = update(TripletRow).where(
            self._db.of(TripletRow), TripletRow.standing == Standing.ADMITTED.value, TripletRow.split.is_(None)
        )
        session.execute(settled.values(split=side), execution_options=_UNTRACKED)
        return False

    # What is known

    def _pending(self, session: Session) -> list[_Row]:
        query = select(TripletRow.unit).where(self._db.of(TripletRow), TripletRow.standing == Standing.PENDING.value)
        units = list(session.scalars(query.order_by(TripletRow.run_id, TripletRow.unit).limit(_BATCH)))
        streams: dict[str, list[str]] = defaultdict(list)
        for member in self._db.among(session, TripletStreamRow, TripletStreamRow.unit, units):
            streams[member.unit].append(member.stream)
        rows = {row.unit: row for row in self._db.among(session, TripletRow, TripletRow.unit, units)}
        return [_row(rows[unit], sorted(streams[unit])) for unit in units]

    def _index(self, session: Session, keys: Iterable[Sequence[int]]) -> dict[int, list[str]]:
        index: dict[int, list[str]] = defaultdict(list)
        wanted = [key for some in keys for key in some]
        for entry in self._db.among(session, LikenessKeyRow, LikenessKeyRow.key, wanted):
            index[entry.key].append(entry.unit)
        return index

    def _rows(self, session: Session, units: Iterable[str]) -> dict[str, _Row]:
        keys = sorted(units)
        streams = self._db.first_of(session, TripletStreamRow.unit, TripletStreamRow.stream, keys)
        return {
            row.unit: _row(row, [streams[row.unit]])
            for row in self._db.among(session, TripletRow, TripletRow.unit, keys)
        }

    def _families(self, session: Session, rows: Iterable[_Row]) -> Families:
        streams = [stream for row in rows for stream in row.streams]
        members = self._db.among(session, SideRow, SideRow.stream, streams)
        return Families(
            {member.stream: (member.family, None if member.side is None else Split(member.side)) for member in members}
        )

    # What is decided

    def _verdict(self, row: _Row, others: Sequence[_Row], families: Families) -> _Verdict:
        """`others`: rows of the corpus that share a key with this one, the oldest first. Joins families on the way."""
        original, alike = None, []
        for other in others:
            if other.triplet == row.triplet:
                continue  # the same row, made again: the newer counts, as everywhere
            like = likeness.evidence_alike(row.signature.frames, other.signature.frames, self._rules.frames)
            same = likeness.same_data(row.signature, other.signature, like, self._rules)
            if like or same:
                alike.append(other)
            if same and other.taken and original is None:
                original = other
        together = [*row.streams, *(stream for other in alike for stream in other.streams)]
        sides = families.sides(together)
        if len(sides) < 2:
            families.join(together)
        if original is not None and self._rules.enabled:
            return _Verdict(row, Standing.DUPLICATE, original)
        if len(sides) > 1:
            own = families.sides(row.streams) or families.sides(alike[0].streams)
            across = next((other for other in alike if families.sides(other.streams) - own), None)
            return _Verdict(row, Standing.TORN, across)
        return _Verdict(row, Standing.ADMITTED)

    # What is kept

    def _stand(self, session: Session, standing: Standing, *conditions: ColumnElement[bool]) -> int:
        """Moves the rows that meet the conditions to a standing; returns how many."""
        moved = update(TripletRow).where(self._db.of(TripletRow), *conditions).values(standing=standing.value)
        result: Any = session.execute(moved, execution_options=_UNTRACKED)
        return int(result.rowcount)

    def _keep_verdicts(self, session: Session, verdicts: Iterable[_Verdict]) -> None:
        self._db.change(
            session,
            TripletRow,
            [
                {
                    "unit": verdict.row.unit,
                    "standing": verdict.standing.value,
                    "because": verdict.because.unit if verdict.because and verdict.because.taken else None,
                    "rules": self._rules_key,
                }
                for verdict in verdicts
            ],
        )

    def _keep_seats(self, session: Session, seats: _Seats) -> None:
        self._db.insert_missing(session, LikenessKeyRow, LikenessKeyRow.unit, seats.given)
        if seats.taken:
            table = LikenessKeyRow.__table__
            place = (table.c.key == bindparam("of_key")) & (table.c.unit == bindparam("of_unit"))
            session.connection().execute(delete(table).where(self._db.of(LikenessKeyRow), place), seats.taken)  # type: ignore[arg-type]

    def _keep_families(self, session: Session, families: Families) -> None:
        self._move_families(session, families.moved())
        rows = [
            {"stream": stream, "family": family, "side": None if side is None else side.value}
            for stream, (family, side) in families.new_members().items()
        ]
        self._db.insert_missing(session, SideRow, SideRow.stream, rows)

    def _move_families(self, session: Session, moved: Mapping[str, Member]) -> None:
        if not moved:
            return
        table = SideRow.__table__
        statement = (
            update(table)  # type: ignore[arg-type]
            .where(self._db.of(SideRow), table.c.family == bindparam("before"))
            .values(family=bindparam("now"), side=bindparam("given"))
        )
        values = [
            {"before": before, "now": now, "given": None if side is None else side.value}
            for before, (now, side) in moved.items()
        ]
        session.connection().execute(statement, values)

    def _tell(self, session: Session, verdicts: Sequence[_Verdict]) -> list[Judged]:
        """Ends the units of rows that are kept out as filtered, and those of rows that are taken in (again) as done;
        returns those that ended otherwise before."""
        rows = {verdict.row.unit: verdict.row for verdict in verdicts}
        units = {unit.unit: unit for unit in self._db.among(session, UnitRow, UnitRow.unit, rows)}
        places = self._places(session, [v.row for v in verdicts if v.standing is not Standing.ADMITTED])
        judged = [Judged(verdict.row.unit, _problem(verdict, places)) for verdict in verdicts]
        told = [item for item in judged if (item.outcome, item.problem) != _ended(units[item.unit])]
        self._db.change(
            session,
            UnitRow,
            [
                {
                    "unit": item.unit,
                    "outcome": item.outcome.value,
                    "problem": item.problem and item.problem.model_dump(),
                }
                for item in told
            ],
        )
        refused = [item for item in told if item.problem is not None]
        slots = {
            slot.unit: slot.slot for slot in self._db.among(session, SlotRow, SlotRow.unit, [i.unit for i in refused])
        }
        records = [_reject(item, rows[item.unit], units[item.unit], slots) for item in refused]
        self._db.upsert(session, RejectRow, RejectRow.unit, records)
        back = [item.unit for item in told if item.problem is None]
        session.execute(delete(RejectRow).where(self._db.of(RejectRow), RejectRow.unit.in_(back)))
        return told

    def _places(self, session: Session, rows: Iterable[_Row]) -> dict[str, str]:
        """Where the first stream of each row lies; its SHA-256 where that is not known."""
        first = {row.unit: row.streams[0] for row in rows}
        uris = {
            stream.sha256: str(stream.record["uri"])
            for stream in self._db.among(session, StreamRow, StreamRow.sha256, first.values())
        }
        return {unit: uris.get(stream, stream) for unit, stream in first.items()}


def enter(db: Tables, session: Session, rows: Iterable[tuple[str, SignedRow]]) -> None:
    """Enters rows, each with the run that wrote it, to be judged."""
    triplets, streams = [], []
    for run_id, row in rows:
        triplets.append(
            {
                "unit": row.unit,
                "run_id": run_id,
                "triplet": row.triplet,
                "form": row.signature.form,
                "exact": row.signature.exact,
                "words": row.signature.words,
                "frames": [[frame.time, frame.phash] for frame in row.signature.frames],
                "standing": Standing.PENDING.value,
                "written_split": None if row.split is None else row.split.value,
            }
        )
        streams += [{"unit": row.unit, "stream": stream} for stream in dict.fromkeys(row.streams)]
    db.insert_missing(session, TripletRow, TripletRow.unit, triplets)
    db.insert_missing(session, TripletStreamRow, TripletStreamRow.unit, streams)


def _row(row: TripletRow, streams: Sequence[str]) -> _Row:
    frames = tuple({"time": time, "phash": phash} for time, phash in row.frames)
    signature = Signature.model_validate({"form": row.form, "exact": row.exact, "words": row.words, "frames": frames})
    taken = row.standing == Standing.ADMITTED.value
    return _Row(row.unit, row.run_id, row.triplet, signature, tuple(streams), taken)


def _problem(verdict: _Verdict, places: Mapping[str, str]) -> Problem | None:
    """Why a row is kept out, in words."""
    if verdict.standing is Standing.ADMITTED:
        return None
    other = verdict.because and verdict.because.triplet
    if verdict.standing is Standing.DUPLICATE:
        cause = f"duplicates triplet {other}"
        remedy = "Nothing is to be done; `deduplicate.enabled: false` in the recipe keeps both"
    else:
        cause = f"looks like triplet {other} on the other side of the split" if other else _TORN
        remedy = "It stays out, so that nothing leaks from training into validation"
    return Problem(input=places[verdict.row.unit], cause=cause, remedy=remedy)


def _ended(unit: UnitRow) -> tuple[Outcome, Problem | None]:
    return Outcome(unit.outcome), None if unit.problem is None else Problem.model_validate(unit.problem)


def _reject(item: Judged, row: _Row, unit: UnitRow, slots: Mapping[str, str]) -> dict[str, Any]:
    record = UnitOutcome(
        unit=row.unit,
        slot=slots.get(row.unit, unit.slot_key),
        group=unit.group_key,
        task_type=unit.task_type,
        outcome=item.outcome,
        streams=row.streams,
        triplet=row.triplet,
        problem=item.problem,
    )
    return {"unit": row.unit, "record": record.model_dump(mode="json"), "run_id": unit.run_id}

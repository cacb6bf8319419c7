"""The catalog: the memory of a corpus. What was read, measured, made, refused and published, and by which run."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from sqlalchemy import ColumnElement, Engine, Select, and_, case, exists, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Session, aliased

from schemas.errors import Problem
from schemas.manifest import Manifest, Shard, Statistics, TaskStatistics
from schemas.outcome import ENDS, InputOutcome, Outcome, RunReport, RunState, UnitOutcome
from schemas.recipe import Deduplication, Splitting
from schemas.rows import Written
from schemas.stream import Stream
from schemas.triplet import Split
from schemas.usage import Usage
from storage.anchors import Settled
from storage.catalog.admission import Admission, Standing, enter
from storage.catalog.claims import BEAT, Claims, process_is_alive, signs_of_life
from storage.catalog.engine import WRITE, catalog_error, connect, migrate
from storage.catalog.models import (
    AnchorsRow,
    CorpusRow,
    FileRow,
    LocationRow,
    QuarantineRow,
    RejectRow,
    RunRow,
    ShardRow,
    SlotRow,
    SnapshotRow,
    StreamRow,
    TripletRow,
    TripletStreamRow,
    UnitRow,
    UsageRow,
    uri_key,
)
from storage.catalog.records import (
    Claimed,
    Committed,
    Judged,
    LiveShard,
    Quarantined,
    Reject,
    RunRecord,
    SignedRow,
    SnapshotRecord,
    Status,
)
from storage.catalog.tables import Tables, chunks
from storage.corpus import Corpus
from storage.likeness import mean_likeness

KnownFile = tuple[str, str, int]
"""Fingerprint, SHA-256 and bytes of a file."""

_ENDED = (Outcome.DONE, Outcome.FILTERED)
_KEY_LENGTH = len(uri_key(""))
_SAMPLE = 64
"""Rows of a task type that its diversity is measured on."""


class Catalog:
    """An open catalog, for one corpus. Use it in a `with`.

    Every method asks a bounded number of questions per batch, never one per record. Writing methods are one
    transaction each and may be repeated with the same arguments without effect.

    Every method raises `CorpusError` when the database refuses.
    """

    def __init__(self, engine: Engine, corpus: Corpus) -> None:
        self._engine = engine
        self._corpus = corpus.id
        self._db = Tables(engine, corpus.id)
        self._claims = Claims(self._db)

    @classmethod
    def open(cls, url: str, corpus: Corpus) -> Self:
        """Opens the catalog of a corpus; makes or upgrades its tables first where needed.

        Raises:
            CorpusError: the database cannot be opened, or was written by a newer DataClaw.
            UsageError: the URL is malformed or its driver missing.
        """
        engine = connect(url)
        catalog = cls(engine, corpus)
        try:
            try:
                migrate(engine)
            except SQLAlchemyError as error:
                raise catalog_error(engine, error) from error
            catalog._enter(corpus)
        except BaseException:
            engine.dispose()
            raise
        return catalog

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Releases every connection; may be called twice."""
        self._engine.dispose()

    # Runs

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
        return self._db.read(lambda session: [_run_record(row) for row in session.scalars(query)])

    def recipe_of(self, run_id: str) -> str | None:
        """The recipe of a run as JSON; None for a run that is not known."""
        query = select(RunRow.recipe).where(self._db.of(RunRow), RunRow.id == run_id)
        return self._db.read(lambda session: session.scalar(query))

    def last_report(self) -> RunReport | None:
        """The report of the newest run that left one."""
        query = select(RunRow.report).where(self._db.of(RunRow), RunRow.report.is_not(None))
        report = self._db.read(lambda session: session.scalar(query.order_by(RunRow.started.desc()).limit(1)))
        return None if report is None else RunReport.model_validate(report)

    # Files and streams

    def known_files(self, uris: Iterable[str]) -> dict[str, KnownFile]:
        """What is known of files by these URIs: fingerprint, SHA-256, bytes."""
        keys = [uri_key(uri) for uri in uris]
        return self._db.read(
            lambda session: {
                row.uri: (row.fingerprint, row.sha256, row.size)
                for row in self._db.among(session, FileRow, FileRow.uri_key, keys)
            }
        )

    def record_files(self, files: Iterable[tuple[str, str, str, int]]) -> None:
        """Records files that were hashed: URI, fingerprint, SHA-256, bytes. A URI known before is overwritten."""
        rows = [
            {"uri_key": uri_key(uri), "uri": uri, "fingerprint": fingerprint, "sha256": sha256, "size": size}
            for uri, fingerprint, sha256, size in files
        ]
        self._db.transact(lambda session: self._db.upsert(session, FileRow, FileRow.uri_key, rows))

    def known_streams(self, sha256s: Iterable[str]) -> dict[str, Stream]:
        """Streams by their SHA-256, as they were last seen."""
        keys = list(sha256s)
        rows = self._db.read(
            lambda session: {
                row.sha256: row.record for row in self._db.among(session, StreamRow, StreamRow.sha256, keys)
            }
        )
        return {sha256: Stream.model_validate(record) for sha256, record in rows.items()}

    def record_streams(self, streams: Iterable[Stream], run_id: str) -> None:
        """Records streams a run has seen, and under which URIs."""
        seen = list(streams)
        rows = [
            {
                "sha256": stream.sha256,
                "domain": stream.domain.value,
                "duration": stream.duration,
                "record": stream.model_dump(mode="json"),
                "first_run": run_id,
                "last_run": run_id,
            }
            for stream in seen
        ]
        places = [
            {
                "uri_key": uri_key(stream.uri),
                "sha256": stream.sha256,
                "uri": stream.uri,
                "first_run": run_id,
                "last_run": run_id,
            }
            for stream in seen
        ]

        def work(session: Session) -> None:
            self._db.upsert(session, StreamRow, StreamRow.sha256, rows, keep=("first_run",))
            self._db.upsert(session, LocationRow, LocationRow.uri_key, places, keep=("first_run",))

        self._db.transact(work)

    def locations(self, uris: Iterable[str]) -> dict[str, set[str]]:
        """The SHA-256 of every stream ever seen under each of these URIs."""
        keys = [uri_key(uri) for uri in uris]
        found: dict[str, set[str]] = {}

        def work(session: Session) -> None:
            for row in self._db.among(session, LocationRow, LocationRow.uri_key, keys):
                found.setdefault(row.uri, set()).add(row.sha256)

        self._db.read(work)
        return found

    # Anchors

    def anchored(self, segment_keys: Iterable[str]) -> dict[Settled, str]:
        """The anchor shard of every (segment, expert, signature) that is settled, for these segments."""
        keys = list(segment_keys)
        return self._db.read(
            lambda session: {
                (row.segment_key, row.expert, row.signature): row.shard
                for row in self._db.among(session, AnchorsRow, AnchorsRow.segment_key, keys)
            }
        )

    def record_anchors(self, run: str, shards: Iterable[tuple[Shard, Sequence[Settled]]]) -> int:
        """Records what anchor shards settle, as `storage.anchors.scan` finds it; returns how much of it was new.

        What is settled already stays with the shard it has.
        """
        rows = [
            {"segment_key": key, "expert": expert, "signature": signature, "shard": shard.path, "run_id": run}
            for shard, settled in shards
            for key, expert, signature in settled
        ]
        return self._db.transact(
            lambda session: self._db.insert_missing(session, AnchorsRow, AnchorsRow.segment_key, rows)
        )

    # Units

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

    def unsettled(self, slots: Iterable[tuple[str, str]]) -> set[str]:
        """Of these (slot, unit), the units that are not done, or whose slot does not hold them now.

        What a plan of a million known streams asks first: for what is settled nothing comes back, and there is nothing
        to do.
        """
        # In the order of the index: one page after the other.
        pairs = sorted(unit + uri_key(slot) for slot, unit in slots)

        def found(pair: ColumnElement[str]) -> ColumnElement[bool]:
            unit, slot_key = func.substr(pair, 1, _KEY_LENGTH), func.substr(pair, _KEY_LENGTH + 1)
            return (
                exists()
                .where(self._db.of(SlotRow), SlotRow.unit == unit, SlotRow.slot_key == slot_key)
                .where(self._db.of(UnitRow), UnitRow.unit == unit, UnitRow.outcome == Outcome.DONE.value)
            )

        return self._db.read(lambda session: {pair[:_KEY_LENGTH] for pair in self._db.but(session, pairs, found)})

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
        held = list(slots)
        self._db.transact(lambda session: self._assign(session, run_id, held))

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
        query = query.where(self._db.of(RejectRow), self._held() if run is None else UnitRow.run_id == run)
        query = query.order_by(UnitRow.ended.desc(), UnitRow.unit).limit(limit).offset(offset)
        return self._db.read(
            lambda session: [
                Reject(UnitOutcome.model_validate(record), run_id, ended)
                for record, run_id, ended in session.execute(query)
            ]
        )

    # Usage

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

    # Admission

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

    # Quarantine

    def quarantine(self, run_id: str, problems: Iterable[tuple[str, str | None, Problem]]) -> None:
        """Sets inputs aside that could not be read: URI, SHA-256 when known, problem."""
        now = datetime.now(UTC)
        rows = [
            {
                "uri_key": uri_key(uri),
                "uri": uri,
                "sha256": sha256,
                "problem": problem.model_dump(),
                "first_run": run_id,
                "last_run": run_id,
                "since": now,
                "released_run": None,
            }
            for uri, sha256, problem in problems
        ]
        self._db.transact(
            lambda session: self._db.upsert(
                session, QuarantineRow, QuarantineRow.uri_key, rows, keep=("first_run", "since")
            )
        )

    def quarantined(self, limit: int = 100, offset: int = 0) -> list[Quarantined]:
        """Inputs set aside and not read since, newest first."""
        query = select(QuarantineRow).where(self._db.of(QuarantineRow), QuarantineRow.released_run.is_(None))
        query = query.order_by(QuarantineRow.since.desc(), QuarantineRow.uri_key).limit(limit).offset(offset)
        return self._db.read(
            lambda session: [
                Quarantined(
                    uri=row.uri,
                    sha256=row.sha256,
                    problem=Problem.model_validate(row.problem),
                    first_run=row.first_run,
                    last_run=row.last_run,
                    since=row.since,
                )
                for row in session.scalars(query)
            ]
        )

    # Shards and snapshots

    def live_shards(self) -> list[LiveShard]:
        """Every shard with live rows, by path.

        A row is live while it is admitted and a slot holds its unit; of units with one triplet between them the newest
        counts.
        """
        live = self._live().subquery()
        counts = (
            select(ShardRow, func.count(), func.sum(case((live.c.split == live.c.written_split, 0), else_=1)))
            .join(live, live.c.shard == ShardRow.path)
            .where(self._db.of(ShardRow))
            .group_by(ShardRow.corpus_id, ShardRow.path)
            .order_by(ShardRow.path)
        )

        def work(session: Session) -> list[LiveShard]:
            found = [(_shard(row), count, wrong) for row, count, wrong in session.execute(counts)]
            keep: dict[str, dict[str, Split]] = {
                shard.path: {} for shard, count, wrong in found if wrong or count != shard.rows
            }
            for paths in chunks(sorted(keep)):
                rows = select(live.c.shard, live.c.unit, live.c.split).where(live.c.shard.in_(paths))
                for path, unit, split in session.execute(rows):
                    keep[path][unit] = Split(split)
            return [LiveShard(shard, keep.get(shard.path)) for shard, _, _ in found]

        return self._db.read(work)

    def replace_shard(self, old: Shard, new: Shard, units: Iterable[str]) -> None:
        """Records that the rows of these units now lie in `new`, which was written from `old`, with their splits."""
        moved = list(units)

        def work(session: Session) -> None:
            self._db.insert_missing(session, ShardRow, ShardRow.path, [_shard_values(new)])
            for keys in chunks(moved):
                session.execute(
                    update(UnitRow)
                    .where(self._db.of(UnitRow), UnitRow.shard == old.path, UnitRow.unit.in_(keys))
                    .values(shard=new.path)
                )
                session.execute(
                    update(TripletRow)
                    .where(self._db.of(TripletRow), TripletRow.unit.in_(keys), TripletRow.split.is_not(None))
                    .values(written_split=TripletRow.split)
                )

        self._db.transact(work)

    def statistics(self) -> Statistics:
        """Live rows by domain, task type and split, the spread of their rewards, and how different they are."""
        live = self._live().subquery()

        def work(session: Session) -> Statistics:
            counts = [
                {
                    row[0]: row[1]
                    for row in session.execute(select(column, func.count()).group_by(column).order_by(column))
                }
                for column in (live.c.domain, live.c.task_type, live.c.split)
            ]
            rows, mean, least = session.execute(
                select(func.count(), func.avg(live.c.reward), func.min(live.c.reward)).select_from(live)
            ).one()
            return Statistics(
                rows=rows,
                by_domain=counts[0],
                by_task_type=counts[1],
                reward_mean=mean,
                reward_min=least,
                by_split=counts[2],
                tasks=self._task_statistics(session, counts[1]),
            )

        return self._db.read(work)

    def _task_statistics(self, session: Session, rows: Mapping[str, int]) -> dict[str, TaskStatistics]:
        live = self._live().subquery()
        streams = (
            select(live.c.task_type, func.count(func.distinct(TripletStreamRow.stream)))
            .join(TripletStreamRow, TripletStreamRow.unit == live.c.unit)
            .where(self._db.of(TripletStreamRow))
            .group_by(live.c.task_type)
        )
        # Units are digests: the smallest are a sample that chance has drawn, and the same one at every call.
        place = func.row_number().over(partition_by=live.c.task_type, order_by=live.c.unit)
        drawn = select(live.c.task_type, live.c.unit, place.label("drawn")).subquery()
        sample = (
            select(drawn.c.task_type, TripletRow.words)
            .join(TripletRow, TripletRow.unit == drawn.c.unit)
            .where(self._db.of(TripletRow), drawn.c.drawn <= _SAMPLE)
        )
        words: dict[str, list[bytes]] = {}
        for task_type, minima in session.execute(sample):
            words.setdefault(task_type, []).append(minima)
        distinct = {row[0]: row[1] for row in session.execute(streams)}
        likeness = {task_type: mean_likeness(words.get(task_type, [])) for task_type in rows}
        return {
            task_type: TaskStatistics(
                rows=count,
                streams=distinct.get(task_type, 0),
                diversity=None if (alike := likeness[task_type]) is None else 1 - alike,
            )
            for task_type, count in rows.items()
        }

    def record_snapshot(self, manifest: Manifest) -> None:
        """Records a published snapshot."""
        row = {
            "number": manifest.number,
            "parent": manifest.parent,
            "run_id": manifest.run,
            "created": manifest.created,
            "shards": len(manifest.shards),
            "rows": manifest.statistics.rows,
        }
        self._db.transact(lambda session: self._db.insert_missing(session, SnapshotRow, SnapshotRow.number, [row]))

    def snapshots(self) -> list[SnapshotRecord]:
        """Every published snapshot, by number."""
        query = select(SnapshotRow).where(self._db.of(SnapshotRow)).order_by(SnapshotRow.number)
        return self._db.read(lambda session: [_snapshot_record(row) for row in session.scalars(query)])

    def status(self) -> Status:
        """The corpus in figures."""
        streams = select(func.count(), func.coalesce(func.sum(StreamRow.duration), 0.0)).where(self._db.of(StreamRow))
        segments = select(func.count(func.distinct(AnchorsRow.segment_key))).where(self._db.of(AnchorsRow))
        units = (
            select(UnitRow.outcome, func.count()).where(self._db.of(UnitRow), self._held()).group_by(UnitRow.outcome)
        )
        holder = aliased(UnitRow)
        failed = (
            select(func.count())
            .select_from(UnitRow)
            .outerjoin(SlotRow, and_(SlotRow.corpus_id == UnitRow.corpus_id, SlotRow.slot_key == UnitRow.slot_key))
            .outerjoin(holder, and_(holder.corpus_id == SlotRow.corpus_id, holder.unit == SlotRow.unit))
            .where(self._db.of(UnitRow), UnitRow.outcome == Outcome.FAILED.value)
            .where(or_(holder.ended.is_(None), holder.ended < UnitRow.ended))
        )
        aside = select(func.count()).where(self._db.of(QuarantineRow), QuarantineRow.released_run.is_(None))
        snapshot = select(SnapshotRow).where(self._db.of(SnapshotRow)).order_by(SnapshotRow.number.desc()).limit(1)
        run = select(RunRow).where(self._db.of(RunRow)).order_by(RunRow.started.desc(), RunRow.id.desc()).limit(1)

        def work(session: Session) -> Status:
            count, seconds = session.execute(streams).one()
            ended = {Outcome(outcome): number for outcome, number in session.execute(units)}
            ended[Outcome.FAILED] = session.scalar(failed) or 0
            last_run, last_snapshot = session.scalar(run), session.scalar(snapshot)
            return Status(
                corpus=self._corpus,
                name=session.scalar(select(CorpusRow.name).where(CorpusRow.id == self._corpus)) or "",
                streams=count,
                stream_seconds=seconds,
                segments=session.scalar(segments) or 0,
                units={outcome: ended.get(outcome, 0) for outcome in ENDS},
                rows=session.scalar(select(func.count()).select_from(self._live().subquery())) or 0,
                rejects=ended.get(Outcome.FILTERED, 0),
                quarantined=session.scalar(aside) or 0,
                runs=session.scalar(select(func.count()).where(self._db.of(RunRow))) or 0,
                last_run=None if last_run is None else _run_record(last_run),
                snapshot=None if last_snapshot is None else _snapshot_record(last_snapshot),
            )

        return self._db.read(work)

    # How

    def _enter(self, corpus: Corpus) -> None:
        query = select(CorpusRow.name).where(CorpusRow.id == corpus.id)
        if self._db.read(lambda session: session.scalar(query)) is not None:
            return
        row = {"id": corpus.id, "name": corpus.name, "created": datetime.now(UTC)}
        try:
            with Session(self._engine.execution_options(**WRITE)) as session, session.begin():
                session.execute(insert(CorpusRow), [row])
        except IntegrityError:
            return  # another process entered it at this moment
        except SQLAlchemyError as error:
            raise catalog_error(self._engine, error) from error

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
                shards[shard.path] = _shard_values(shard)
            if (signed := _signed(row)) is not None:
                fresh.append(signed)
        self._db.insert_missing(session, ShardRow, ShardRow.path, list(shards.values()))
        enter(self._db, session, [(run_id, row) for row in fresh])
        self._db.upsert(session, UnitRow, UnitRow.unit, list(units.values()))
        self._db.upsert(session, RejectRow, RejectRow.unit, list(rejects.values()))
        usage = [_usage_values(row.outcome, run_id, now) for row in written if row.outcome.usage.requests]
        self._db.upsert(session, UsageRow, UsageRow.unit, usage)
        held = [(row.outcome.slot, row.outcome.unit) for row in written if before.get(row.outcome.unit) in _ENDED]
        self._assign(session, run_id, held)
        self._claims.renew(session, run_id)
        return Committed(counts[Outcome.DONE], counts[Outcome.FILTERED], counts[Outcome.FAILED], known)

    def _assign(self, session: Session, run_id: str, slots: Iterable[tuple[str, str]]) -> None:
        rows = [{"slot_key": uri_key(slot), "slot": slot, "unit": unit, "run_id": run_id} for slot, unit in slots]
        self._db.upsert(session, SlotRow, SlotRow.slot_key, rows)

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

    def _held(self) -> ColumnElement[bool]:
        return exists().where(SlotRow.corpus_id == UnitRow.corpus_id, SlotRow.unit == UnitRow.unit)

    def _live(self) -> Select[Any]:
        newest = func.row_number().over(
            partition_by=UnitRow.triplet, order_by=(UnitRow.ended.desc(), UnitRow.unit.desc())
        )
        units = (
            select(
                UnitRow.unit,
                UnitRow.shard,
                UnitRow.domain,
                UnitRow.task_type,
                UnitRow.reward,
                TripletRow.split,
                TripletRow.written_split,
                newest.label("place"),
            )
            .join(TripletRow, and_(TripletRow.corpus_id == UnitRow.corpus_id, TripletRow.unit == UnitRow.unit))
            .where(self._db.of(UnitRow), UnitRow.shard.is_not(None), self._held())
            .where(TripletRow.standing == Standing.ADMITTED.value, TripletRow.split.is_not(None))
            .subquery()
        )
        return select(units).where(units.c.place == 1)


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


def _shard_values(shard: Shard) -> dict[str, Any]:
    return {"path": shard.path, "sha256": shard.sha256, "rows": shard.rows, "size": shard.size}


def _shard(row: ShardRow) -> Shard:
    return Shard(path=row.path, sha256=row.sha256, rows=row.rows, size=row.size)


def _run_record(row: RunRow) -> RunRecord:
    return RunRecord(
        id=row.id,
        recipe_name=row.recipe_name,
        recipe_hash=row.recipe_hash,
        state=RunState(row.state),
        started=row.started,
        ended=row.ended,
        report=None if row.report is None else RunReport.model_validate(row.report),
    )


def _snapshot_record(row: SnapshotRow) -> SnapshotRecord:
    return SnapshotRecord(
        number=row.number,
        parent=row.parent,
        run=row.run_id,
        created=row.created,
        shards=row.shards,
        rows=row.rows,
    )

"""The catalog: the memory of a corpus. What was read, measured, made, refused and published, and by which run."""

from __future__ import annotations

from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from sqlalchemy import Engine, and_, func, insert, or_, select
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Session, aliased

from schemas.outcome import ENDS, Outcome
from storage.catalog.engine import WRITE, catalog_error, connect, migrate
from storage.catalog.live import held, live_rows
from storage.catalog.models import (
    AnchorsRow,
    CorpusRow,
    QuarantineRow,
    RunRow,
    SlotRow,
    SnapshotRow,
    StreamRow,
    UnitRow,
)
from storage.catalog.records import Status
from storage.catalog.runs import Runs, run_record
from storage.catalog.snapshots import Snapshots, snapshot_record
from storage.catalog.streams import Streams
from storage.catalog.units import Units
from storage.catalog.vacuum import vacuum
from storage.corpus import Corpus


class Catalog(Runs, Streams, Units, Snapshots):
    """An open catalog, for one corpus. Use it in a `with`.

    Every method asks a bounded number of questions per batch, never one per record. Writing methods are one
    transaction each and may be repeated with the same arguments without effect.

    Every method raises `CorpusError` when the database refuses.
    """

    def __init__(self, engine: Engine, corpus: Corpus) -> None:
        super().__init__(engine, corpus.id)
        self._corpus = corpus.id

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

    def status(self) -> Status:
        """The corpus in figures."""
        streams = select(func.count(), func.coalesce(func.sum(StreamRow.duration), 0.0)).where(self._db.of(StreamRow))
        segments = select(func.count(func.distinct(AnchorsRow.segment_key))).where(self._db.of(AnchorsRow))
        units = select(UnitRow.outcome, func.count()).where(self._db.of(UnitRow), held()).group_by(UnitRow.outcome)
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
                rows=session.scalar(select(func.count()).select_from(live_rows(self._db).subquery())) or 0,
                rejects=ended.get(Outcome.FILTERED, 0),
                quarantined=session.scalar(aside) or 0,
                runs=session.scalar(select(func.count()).where(self._db.of(RunRow))) or 0,
                last_run=None if last_run is None else run_record(last_run),
                snapshot=None if last_snapshot is None else snapshot_record(last_snapshot),
            )

        return self._db.read(work)

    def vacuum(self) -> int:
        """Gives the space of deleted rows back, on SQLite to the disk; returns the bytes that the database is
        smaller."""
        return vacuum(self._engine)

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

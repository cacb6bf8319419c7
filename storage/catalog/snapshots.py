"""The catalog on what comes out: shards and snapshots, what they hold, and what rollbacks changed about them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sqlalchemy import case, func, select, update
from sqlalchemy.orm import Session

from schemas.manifest import Manifest, Shard, Statistics, TaskStatistics
from schemas.triplet import Split
from storage.catalog.live import live_rows
from storage.catalog.models import AnchorsRow, ShardRow, SnapshotRow, TripletRow, TripletStreamRow, UnitRow
from storage.catalog.part import Part
from storage.catalog.records import LiveShard, PublishedRow, SnapshotRecord, Turned
from storage.catalog.tables import chunks
from storage.catalog.withdrawals import Withdrawals
from storage.likeness import mean_likeness

_SAMPLE = 64
"""Rows of a task type that its diversity is measured on."""


class Snapshots(Part):
    """Shards, snapshots and their statistics, and rollbacks."""

    def live_shards(self) -> list[LiveShard]:
        """Every shard with live rows, by path.

        A row is live while it is admitted and a slot holds its unit; of units with one triplet between them the newest
        counts.
        """
        live = live_rows(self._db).subquery()
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
            self._db.insert_missing(session, ShardRow, ShardRow.path, [new.model_dump()])
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
        live = live_rows(self._db).subquery()

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
        return self._db.read(lambda session: [snapshot_record(row) for row in session.scalars(query)])

    def known_shards(self) -> set[str]:
        """The paths of all shards, of rows and of anchors, that the catalog may ask for."""
        of_rows = select(UnitRow.shard).where(self._db.of(UnitRow), UnitRow.shard.is_not(None)).distinct()
        of_anchors = select(AnchorsRow.shard).where(self._db.of(AnchorsRow)).distinct()
        return self._db.read(
            lambda session: {path for query in (of_rows, of_anchors) for path in session.scalars(query) if path}
        )

    def turn_to(self, snapshot: Manifest, rows: Iterable[PublishedRow], run_id: str, dry_run: bool = False) -> Turned:
        """Makes the rows of a snapshot the live ones, all or nothing: every other row that is live now or was written
        since is withdrawn.

        Args:
            run_id: the run that the rollback is recorded as.

        Raises:
            CorpusError: the catalog refuses, or knows nothing of a row.
        """
        wanted = {row.unit: row for row in rows}
        withdrawals = Withdrawals(self._db)
        if dry_run:
            return self._db.read(lambda session: withdrawals.look(session, snapshot, wanted).turned)
        return self._db.transact(lambda session: withdrawals.turn_to(session, snapshot, wanted, run_id))

    def let_go(self) -> int:
        """Lets go of the rows that a rollback brought back and whose slot has something better now; returns of how
        many."""
        withdrawals = Withdrawals(self._db)
        if not self._db.read(withdrawals.any_over):  # most corpora have none: reading takes no write lock
            return 0
        return self._db.transact(withdrawals.let_go)

    def _task_statistics(self, session: Session, rows: Mapping[str, int]) -> dict[str, TaskStatistics]:
        live = live_rows(self._db).subquery()
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


def snapshot_record(row: SnapshotRow) -> SnapshotRecord:
    """A row as a record."""
    return SnapshotRecord(
        number=row.number,
        parent=row.parent,
        run=row.run_id,
        created=row.created,
        shards=row.shards,
        rows=row.rows,
    )


def _shard(row: ShardRow) -> Shard:
    return Shard(path=row.path, sha256=row.sha256, rows=row.rows, size=row.size)

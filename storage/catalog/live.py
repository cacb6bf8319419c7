"""Which rows are live: those that are admitted and whose unit a slot holds."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Select, and_, exists, func, select

from storage.catalog.admission import Standing
from storage.catalog.models import SlotRow, TripletRow, UnitRow
from storage.catalog.tables import Tables


def held() -> ColumnElement[bool]:
    """The condition that a slot holds a unit now."""
    return exists().where(SlotRow.corpus_id == UnitRow.corpus_id, SlotRow.unit == UnitRow.unit)


def live_rows(db: Tables) -> Select[Any]:
    """The rows of a corpus that are live, one for each triplet: of several units the newest counts."""
    newest = func.row_number().over(partition_by=UnitRow.triplet, order_by=(UnitRow.ended.desc(), UnitRow.unit.desc()))
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
        .where(db.of(UnitRow), UnitRow.shard.is_not(None), held())
        .where(TripletRow.standing == Standing.ADMITTED.value, TripletRow.split.is_not(None))
        .subquery()
    )
    return select(units).where(units.c.place == 1)

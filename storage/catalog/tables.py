"""Rows of one corpus: what every question and every change to the catalog is made of."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import ARRAY, ColumnElement, Engine, String, any_, func, insert, literal, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import InstrumentedAttribute, Session

from storage.catalog.engine import READ, READ_POSTGRESQL, WRITE, catalog_error, persistently
from storage.catalog.models import Base, CorpusRow

T = TypeVar("T")

_CHUNK = 500
"""Values in one IN list: databases bound the parameters of a statement."""
_MANY = 50_000
"""Values in one list where the database takes a list as one parameter."""


class Tables:
    """The tables as one corpus sees them. Works in batches, with statements that every database knows."""

    def __init__(self, engine: Engine, corpus_id: str) -> None:
        self._engine = engine
        self._corpus = corpus_id

    @property
    def corpus(self) -> str:
        """The id of the corpus."""
        return self._corpus

    def of(self, model: type[Base]) -> ColumnElement[bool]:
        """The condition that a row belongs to this corpus."""
        column: InstrumentedAttribute[str] = model.corpus_id  # type: ignore[attr-defined]
        return column == self._corpus

    def among(
        self, session: Session, model: type[T], column: InstrumentedAttribute[Any], values: Iterable[Any]
    ) -> Iterator[T]:
        """Rows of this corpus whose `column` is one of `values`."""
        for chunk in chunks(list(dict.fromkeys(values))):
            yield from session.scalars(select(model).where(self.of(model), column.in_(chunk)))  # type: ignore[arg-type]

    def rows(
        self,
        session: Session,
        columns: Sequence[ColumnElement[Any] | InstrumentedAttribute[Any]],
        key: InstrumentedAttribute[str],
        values: Iterable[str],
        *conditions: ColumnElement[bool],
    ) -> Iterator[Any]:
        """Some columns of the rows of this corpus whose `key` is one of `values`, as tuples: what is asked of a million
        rows. Mapped objects cost ten times as much."""
        model = key.parent.class_
        dialect = session.get_bind().dialect.name
        for chunk in chunks(dict.fromkeys(values), _MANY if dialect in _ONE_PARAMETER else _CHUNK):
            among = _ONE_PARAMETER.get(dialect, _listed)(key, chunk)
            yield from session.execute(select(*columns).where(self.of(model), among, *conditions))

    def first_of(
        self,
        session: Session,
        key: InstrumentedAttribute[str],
        column: InstrumentedAttribute[str],
        values: Iterable[str],
    ) -> dict[str, str]:
        """The smallest of `column` for each value of `key`."""
        found: dict[str, str] = {}
        for chunk in chunks(values):
            smallest = select(key, func.min(column)).where(self.of(key.parent.class_), key.in_(chunk)).group_by(key)
            found.update({row[0]: row[1] for row in session.execute(smallest)})
        return found

    def add(self, session: Session, model: type[Base], rows: Sequence[Mapping[str, Any]]) -> None:
        """Inserts rows that are known not to be there."""
        if rows:
            session.execute(insert(model), [{"corpus_id": self._corpus, **row} for row in rows])

    def change(self, session: Session, model: type[Base], rows: Sequence[Mapping[str, Any]]) -> None:
        """Overwrites some columns of rows that are there; each row names its key."""
        if rows:
            session.execute(update(model), [{"corpus_id": self._corpus, **row} for row in rows])

    def _split(
        self, session: Session, model: type[Base], column: InstrumentedAttribute[Any], rows: Sequence[Mapping[str, Any]]
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Rows that are not there yet, and rows that are, by primary key; the last of several with one key counts.

        Select, then insert, in one transaction: the only way that every database knows.
        """
        keys = [key.name for key in model.__mapper__.primary_key]
        wanted = {tuple(row[key] for key in keys): row for row in ({"corpus_id": self._corpus, **row} for row in rows)}
        there = {
            tuple(getattr(row, key) for key in keys)
            for row in self.among(session, model, column, [row[column.key] for row in rows])
        }
        return (
            [row for key, row in wanted.items() if key not in there],
            [row for key, row in wanted.items() if key in there],
        )

    def insert_missing(
        self, session: Session, model: type[Base], column: InstrumentedAttribute[Any], rows: Sequence[Mapping[str, Any]]
    ) -> int:
        """Inserts rows whose key is new and leaves the others as they are; returns how many were new.

        `column` is a part of the key by which rows that are there can be found.
        """
        new, _ = self._split(session, model, column, rows)
        if new:
            session.execute(insert(model), new)
        return len(new)

    def upsert(
        self,
        session: Session,
        model: type[Base],
        column: InstrumentedAttribute[Any],
        rows: Sequence[Mapping[str, Any]],
        keep: Sequence[str] = (),
    ) -> None:
        """Inserts rows whose key is new and overwrites the others, but for the columns `keep`."""
        new, old = self._split(session, model, column, rows)
        if new:
            session.execute(insert(model), new)
        if old:
            session.execute(update(model), [{k: v for k, v in row.items() if k not in keep} for row in old])

    def read(self, work: Callable[[Session], T]) -> T:
        """One transaction that reads; all its questions see the catalog at one moment."""
        engine = self._engine.execution_options(
            **(READ_POSTGRESQL if self._engine.dialect.name == "postgresql" else READ)
        )

        def once() -> T:
            with Session(engine) as session:
                return work(session)

        return self._persistently(once)

    def transact(self, work: Callable[[Session], T]) -> T:
        """One transaction that writes. Those of one corpus follow one another: SQLite's write lock sees to it, and a
        lock on the corpus where many write at once; so what was selected still holds when it is acted on.

        `work` is done again when the server is restarted or breaks a deadlock, maybe after it landed: its repetition
        must have no effect.
        """
        corpus = select(CorpusRow.id).where(CorpusRow.id == self._corpus).with_for_update()

        def once() -> T:
            with Session(self._engine.execution_options(**WRITE)) as session, session.begin():
                session.execute(corpus)
                return work(session)

        return self._persistently(once)

    def _persistently(self, once: Callable[[], T]) -> T:
        try:
            return persistently(self._engine, once)
        except SQLAlchemyError as error:
            raise catalog_error(self._engine, error) from error


def chunks(values: Iterable[T], size: int = _CHUNK) -> Iterator[list[T]]:
    """Values in lists that fit a statement."""
    items = iter(values)
    while chunk := list(islice(items, size)):
        yield chunk


def _listed(key: InstrumentedAttribute[str], values: Sequence[str]) -> ColumnElement[bool]:
    return key.in_(values)


def _in_json(key: InstrumentedAttribute[str], values: Sequence[str]) -> ColumnElement[bool]:
    each = func.json_each(json.dumps(values)).table_valued("value")
    return key.in_(select(each.c.value))


def _in_array(key: InstrumentedAttribute[str], values: Sequence[str]) -> ColumnElement[bool]:
    return key == any_(literal(list(values), ARRAY(String)))


_ONE_PARAMETER: Mapping[str, Callable[[InstrumentedAttribute[str], Sequence[str]], ColumnElement[bool]]] = {
    "sqlite": _in_json,
    "postgresql": _in_array,
}
"""Databases that take a list of any length as one parameter, and how."""

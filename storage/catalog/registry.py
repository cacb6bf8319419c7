"""The model registry: which models there are, which of them is current, and how it came to be.

Models belong to the database, not to one corpus. Every change to the versions of a name is one transaction, and those
of one name follow one another: SQLite's write lock sees to it, and a lock on the name elsewhere. That there is one
current version of a name and kind at most holds the database itself, by a unique index.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self, TypeVar

from sqlalchemy import Engine, delete, exists, func, insert, select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Session

from schemas.errors import CorpusError, UsageError, unknown_name
from schemas.model import ModelKind, ModelState, ModelVersion, NewModel, SnapshotRef, Weights, parse_reference
from schemas.outcome import RunState
from schemas.recipe import REGISTERED
from storage.catalog.engine import (
    READ,
    READ_POSTGRESQL,
    WRITE,
    catalog_error,
    connect,
    migrate,
    persistently,
)
from storage.catalog.models import ModelParentRow, ModelPromotionRow, ModelRow, ModelVersionRow, RunRow, UnitRow

T = TypeVar("T")


class OutrunError(CorpusError):
    """Another promotion or rollback came first: what this one was decided on no longer holds."""


class Registry:
    """The models of an open catalog. Use it in a `with`.

    Every changing method is one transaction, and may be repeated with the same arguments without effect. Every method
    raises `CorpusError` when the database refuses.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @classmethod
    def open(cls, url: str, create: bool = False) -> Self:
        """Opens the registry in a catalog; makes or upgrades its tables first where needed.

        Raises:
            CorpusError: the database cannot be opened, or is a file that is not there and is not to be made.
            UsageError: the URL is malformed or its driver missing.
        """
        engine = connect(url)
        file = engine.url.database
        if engine.dialect.name == "sqlite" and file and not create and not os.path.exists(file):
            remedy = "Build the corpus first, or name the database that it was built with: --catalog URL"
            raise CorpusError(file, "there is no catalog here, so no model is registered", remedy)
        try:
            migrate(engine)
        except SQLAlchemyError as error:
            engine.dispose()
            raise catalog_error(engine, error) from error
        except BaseException:
            engine.dispose()
            raise
        return cls(engine)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._engine.dispose()

    # What there is

    def versions(self, name: str | None = None) -> list[ModelVersion]:
        """All versions, or those of a name: by name, the newest first."""
        return self._read(lambda session: _versions(session, name))

    def get(self, reference: str, kind: ModelKind | None = None) -> ModelVersion:
        """The version that `NAME@NUMBER` names, or for `NAME` the current one.

        Args:
            reference: as said.
            kind: of the current version; None: the Omni model when one is current, else the set of experts, else the
                only one that is.

        Raises:
            UsageError: there is none; says which there are.
        """
        name, number = parse_reference(reference)
        return self._read(lambda session: _find(session, name, number, kind))

    # Changes

    def add(self, model: NewModel, is_stored: Callable[[], bool]) -> ModelVersion:
        """Registers a model as a candidate, under the next number of its name. The same weights with the same prompting
        are the version that they were before.

        Args:
            model: its files are stored.
            is_stored: looks whether they are; asked while nobody can delete a version of this name.

        Raises:
            UsageError: a parent is not registered.
            CorpusError: the files were deleted meanwhile.
        """
        self._name(model.name)
        now = datetime.now(UTC)

        def work(session: Session) -> ModelVersion:
            same = [one for one in _versions(session, model.name) if _sameness(one) == _sameness(model)]
            if not is_stored():
                raise CorpusError(model.place, "the files of the model are not there", "Register it again")
            if same:
                return same[0]
            parents = [_find(session, *parse_reference(parent), None) for parent in model.parents]
            named = session.get_one(ModelRow, model.name)
            named.last = number = named.last + 1
            values = _values(model, number, now) | {"place": _kept(session, model.place)}
            session.execute(insert(ModelVersionRow), [values])
            if parents:
                session.execute(
                    insert(ModelParentRow),
                    [
                        {"name": model.name, "number": number, "parent_name": one.name, "parent_number": one.number}
                        for one in parents
                    ],
                )
            return _find(session, model.name, number, None)

        return self._change(model.name, work)

    def measure(self, reference: str, metrics: Mapping[str, float]) -> ModelVersion:
        """Enters metrics of a version; one that is there is overwritten, others stay."""

        def work(session: Session, model: ModelVersion) -> None:
            session.execute(_update(model).values(metrics=model.metrics | dict(metrics)))

        return self._change_version(reference, work)

    def promote(self, reference: str, over: int | None, by: str) -> ModelVersion:
        """Makes a candidate the current version of its kind; the one that was is retired.

        Args:
            reference: `NAME@NUMBER`.
            over: number of the version that it was compared with, and whose place it is to take; None: of none.
            by: who or what promotes it.

        Raises:
            OutrunError: another version is current by now.
            UsageError: there is no such version, or it is retired.
        """
        now = datetime.now(UTC)

        def work(session: Session, model: ModelVersion) -> None:
            if model.state is ModelState.CURRENT:
                return
            if model.state is ModelState.RETIRED:
                remedy = f"`dataclaw models retire {model.reference} --undo` makes it a candidate again"
                raise UsageError(model.reference, "it is retired", remedy)
            current = _current(session, model.name, model.kind)
            if (current and current.number) != over:
                raise _outrun(model, over, current)
            _turn(session, current, model)
            turns = select(func.max(ModelPromotionRow.turn)).where(_of_kind(model))
            session.execute(
                insert(ModelPromotionRow),
                [
                    {
                        "name": model.name,
                        "kind": str(model.kind),
                        "turn": (session.scalar(turns) or 0) + 1,
                        "number": model.number,
                        "replaced": over,
                        "promoted": now,
                        "promoted_by": by,
                    }
                ],
            )

        return self._change_version(reference, work)

    def roll_back(self, reference: str, by: str) -> ModelVersion:
        """Takes the promotion of the current version back: it is retired, and the version that it had replaced is
        current again, which is returned. Done again with the same version, it goes back no further.

        Args:
            reference: `NAME@NUMBER` of the version that is to go.
            by: who or what rolls it back.

        Raises:
            OutrunError: another version is current by now.
            UsageError: it had replaced none.
        """
        now = datetime.now(UTC)

        def work(session: Session) -> ModelVersion:
            model = _find(session, *parse_reference(reference), None)
            promotions = select(ModelPromotionRow).where(_of_kind(model))
            newest = promotions.order_by(ModelPromotionRow.turn.desc()).limit(1)
            last = session.scalar(newest.where(ModelPromotionRow.undone.is_(None)))
            current = _current(session, model.name, model.kind)
            if current is None or last is None or current.number != model.number:
                undone = session.scalar(newest.where(ModelPromotionRow.number == model.number))
                if current and undone and undone.undone and undone.replaced == current.number:
                    return current
                raise _outrun(model, model.number, current)
            if last.replaced is None:
                cause = "it replaced no version, so there is none to go back to"
                raise UsageError(model.reference, cause, "Promote another version in its place")
            last.undone, last.undone_by = now, by
            _turn(session, current, _find(session, model.name, last.replaced, None))
            return _find(session, model.name, last.replaced, None)

        return self._change(parse_reference(reference)[0], work)

    def retire(self, reference: str, undo: bool = False) -> ModelVersion:
        """Gives a candidate up; with `undo`, makes a retired version a candidate again.

        Raises:
            UsageError: it is current.
        """

        def work(session: Session, model: ModelVersion) -> None:
            if model.state is ModelState.CURRENT:
                remedy = f"Promote another version, or go back: dataclaw models rollback {model.name}"
                raise UsageError(model.reference, "it is the current version", remedy)
            state = ModelState.CANDIDATE if undo else ModelState.RETIRED
            session.execute(_update(model).values(state=state.value))

        return self._change_version(reference, work)

    def delete(self, reference: str, remove_files: Callable[[ModelVersion], None]) -> ModelVersion:
        """Forgets a retired version that nothing needs, and then its files, unless another version has them too.

        Args:
            reference: `NAME@NUMBER`.
            remove_files: removes the files at the place of a version; called while none of this name can be added.

        Raises:
            UsageError: it is needed: says by what.
        """

        def forget(session: Session, model: ModelVersion) -> None:
            if (why := _needed(session, model)) is not None:
                raise UsageError(model.reference, f"it cannot be deleted: {why}", "Leave it: it is retired")
            for table in (ModelParentRow, ModelVersionRow):
                session.execute(delete(table).where(table.name == model.name, table.number == model.number))

        def clear(session: Session) -> None:
            others = exists().where(ModelVersionRow.name == gone.name, ModelVersionRow.digest == gone.weights.digest)
            if not session.scalar(select(others)):
                remove_files(gone)

        gone = self.get(reference)
        self._change(gone.name, lambda session: forget(session, _find(session, gone.name, gone.number, None)))
        self._change(gone.name, clear)
        return gone

    # How

    def _name(self, name: str) -> None:
        if self._read(lambda session: session.get(ModelRow, name)) is not None:
            return
        try:
            with Session(self._engine.execution_options(**WRITE)) as session, session.begin():
                session.execute(insert(ModelRow), [{"name": name, "last": 0, "created": datetime.now(UTC)}])
        except IntegrityError:
            return  # another process entered it at this moment
        except SQLAlchemyError as error:
            raise catalog_error(self._engine, error) from error

    def _change_version(self, reference: str, work: Callable[[Session, ModelVersion], None]) -> ModelVersion:
        name, number = parse_reference(reference)

        def change(session: Session) -> ModelVersion:
            model = _find(session, name, number, None)
            work(session, model)
            return _find(session, name, model.number, None)

        return self._change(name, change)

    def _change(self, name: str, work: Callable[[Session], T]) -> T:
        """One transaction that changes versions of a name."""
        lock = select(ModelRow.name).where(ModelRow.name == name).with_for_update()

        def once() -> T:
            with Session(self._engine.execution_options(**WRITE)) as session, session.begin():
                session.execute(lock)
                return work(session)

        return self._persistently(once)

    def _read(self, work: Callable[[Session], T]) -> T:
        """One transaction that reads, at one moment."""
        options = READ_POSTGRESQL if self._engine.dialect.name == "postgresql" else READ

        def once() -> T:
            with Session(self._engine.execution_options(**options)) as session:
                return work(session)

        return self._persistently(once)

    def _persistently(self, once: Callable[[], T]) -> T:
        try:
            return persistently(self._engine, once)
        except SQLAlchemyError as error:
            raise catalog_error(self._engine, error) from error


def _versions(session: Session, name: str | None) -> list[ModelVersion]:
    rows = select(ModelVersionRow).order_by(ModelVersionRow.name, ModelVersionRow.number.desc())
    parents = select(ModelParentRow).order_by(ModelParentRow.parent_name, ModelParentRow.parent_number)
    promotions = select(ModelPromotionRow).where(ModelPromotionRow.undone.is_(None)).order_by(ModelPromotionRow.turn)
    if name is not None:
        rows = rows.where(ModelVersionRow.name == name)
        parents = parents.where(ModelParentRow.name == name)
        promotions = promotions.where(ModelPromotionRow.name == name)
    made_from: dict[tuple[str, int], list[str]] = {}
    for parent in session.scalars(parents):
        made_from.setdefault((parent.name, parent.number), []).append(f"{parent.parent_name}@{parent.parent_number}")
    promoted = {(one.name, one.number): one for one in session.scalars(promotions)}
    populated = rows.execution_options(populate_existing=True)  # within a transaction, as it has changed them
    return [
        _version(
            row,
            _found(session, row.place),
            made_from.get((row.name, row.number), ()),
            promoted.get((row.name, row.number)),
        )
        for row in session.scalars(populated)
    ]


def _find(session: Session, name: str, number: int | None, kind: ModelKind | None) -> ModelVersion:
    versions = _versions(session, name)
    if not versions:
        names = list(session.scalars(select(ModelVersionRow.name).distinct()))
        if not names:
            raise UsageError(name, "no model is registered here", "Train one, or name another --corpus or --catalog")
        raise unknown_name("model", name, names)
    if number is not None:
        for version in versions:
            if version.number == number:
                return version
        known = ", ".join(str(version.number) for version in versions)
        raise UsageError(f"{name}@{number}", f"{name} has no version {number}", f"Known: {known}")
    current = [version for version in versions if version.state is ModelState.CURRENT]
    wanted: tuple[ModelKind, ...] = ("omni", "experts") if kind is None else (kind,)
    found = [version for one in wanted for version in current if version.kind == one]
    if not found and kind is None and len(current) == 1:
        found = current
    if found:
        return found[0]
    newest = versions[0].reference
    remedy = f"Name one: {newest}; or make one current: dataclaw models promote {newest}"
    if current and kind is None:
        cause = f"the experts of {', '.join(sorted(str(one.kind) for one in current))} are current, and no Omni model"
        raise UsageError(name, cause, remedy)
    raise UsageError(name, "it has no current version" + (f" of kind {kind}" if kind else ""), remedy)


def _current(session: Session, name: str, kind: ModelKind) -> ModelVersion | None:
    found = (one for one in _versions(session, name) if one.kind == kind and one.state is ModelState.CURRENT)
    return next(found, None)


def _turn(session: Session, out: ModelVersion | None, into: ModelVersion) -> None:
    """The one goes before the other comes: at no moment are there two."""
    if out is not None:
        session.execute(_update(out).values(state=ModelState.RETIRED.value))
    session.execute(_update(into).values(state=ModelState.CURRENT.value))


def _update(model: ModelVersion) -> Any:
    mine = (ModelVersionRow.name == model.name, ModelVersionRow.number == model.number)
    return update(ModelVersionRow).where(*mine).execution_options(synchronize_session=False)


def _of_kind(model: NewModel) -> Any:
    return (ModelPromotionRow.name == model.name) & (ModelPromotionRow.kind == str(model.kind))


def _outrun(model: ModelVersion, over: int | None, current: ModelVersion | None) -> OutrunError:
    now = "none is" if current is None else f"{current.reference} is"
    was = "none" if over is None else f"{model.name}@{over}"
    cause = f"{was} was the current version of kind {model.kind} when this was decided, and {now} by now"
    return OutrunError(model.reference, cause, f"Look again: dataclaw models show {model.name}")


def _needed(session: Session, model: ModelVersion) -> str | None:
    """Why a version cannot go; None when nothing needs it."""
    if model.state is not ModelState.RETIRED:
        return f"it is {'the' if model.state is ModelState.CURRENT else 'a'} {model.state} version"
    was = select(ModelPromotionRow.turn).where(
        ModelPromotionRow.name == model.name, ModelPromotionRow.number == model.number
    )
    if session.scalar(was.limit(1)) is not None:
        return "it was current once, and rollbacks may lead to it"
    children = select(ModelParentRow.name, ModelParentRow.number).where(
        ModelParentRow.parent_name == model.name, ModelParentRow.parent_number == model.number
    )
    if (child := session.execute(children.limit(1)).first()) is not None:
        return f"{child[0]}@{child[1]} was made from it"
    made = exists().where(
        UnitRow.corpus_id == RunRow.corpus_id, UnitRow.run_id == RunRow.id, UnitRow.triplet.is_not(None)
    )
    # Recipes of runs are kept as JSON without blanks (storage.recipes.storable).
    used = RunRow.recipe.contains(f'"backend":"{REGISTERED}{model.reference}"', autoescape=True)
    runs = select(RunRow.id).where(used, made | (RunRow.state == RunState.RUNNING.value))
    if (run := session.scalar(runs.limit(1))) is not None:
        return f"it made triplets of run {run}"
    return None


_BESIDE = "./"


def _kept(session: Session, place: str) -> str:
    """A place as the catalog keeps it: relative to a catalog that is a file beside it, so that a corpus with its
    catalog and its models can be moved."""
    home = _home(session)
    return place.replace(home, _BESIDE, 1) if home and place.startswith(home) else place


def _found(session: Session, kept: str) -> str:
    """Where a place that is kept so lies now."""
    return _home(session) + kept.removeprefix(_BESIDE) if kept.startswith(_BESIDE) else kept


def _home(session: Session) -> str:
    """The folder of a catalog that is a file, with a slash at its end; empty for a server's."""
    url = session.get_bind().engine.url
    if url.get_backend_name() != "sqlite" or not url.database:
        return ""
    return os.path.dirname(os.path.abspath(url.database)) + "/"


def _sameness(model: NewModel) -> tuple[str, str, str, str]:
    return str(model.kind), model.weights.digest, model.place, model.prompting.model_dump_json()


def _values(model: NewModel, number: int, now: datetime) -> dict[str, Any]:
    snapshot = model.snapshot
    return {
        "name": model.name,
        "number": number,
        "kind": str(model.kind),
        "state": ModelState.CANDIDATE.value,
        "digest": model.weights.digest,
        "weights": model.weights.model_dump(mode="json"),
        "prompting": model.prompting.model_dump(mode="json"),
        "corpus_id": None if snapshot is None else snapshot.corpus,
        "snapshot": None if snapshot is None else snapshot.number,
        "recipe": model.recipe,
        "recipe_hash": model.recipe_hash,
        "code_version": model.code_version,
        "metrics": dict(model.metrics),
        "registered": now,
        "registered_by": model.registered_by,
    }


def _version(
    row: ModelVersionRow, place: str, parents: Iterable[str], promotion: ModelPromotionRow | None
) -> ModelVersion:
    snapshot = None
    if row.corpus_id is not None and row.snapshot is not None:
        snapshot = SnapshotRef(corpus=row.corpus_id, number=row.snapshot)
    return ModelVersion(
        name=row.name,
        number=row.number,
        kind=row.kind,  # type: ignore[arg-type]  # validated there
        state=ModelState(row.state),
        weights=Weights.model_validate(row.weights),
        place=place,
        prompting=row.prompting,  # type: ignore[arg-type]
        snapshot=snapshot,
        recipe=row.recipe,
        code_version=row.code_version,
        metrics=row.metrics,
        parents=tuple(parents),
        registered=row.registered,
        registered_by=row.registered_by,
        promoted=None if promotion is None else promotion.promoted,
        promoted_by=None if promotion is None else promotion.promoted_by,
    )

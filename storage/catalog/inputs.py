"""Inputs that are settled: all that is asked of them is done, and stands where it belongs.

An input is known by a key (:func:`input_key`) of all that its plan depends on: what is asked, its name, and the
fingerprints of its files. Planning enters the units that it asks of a key. Before the next plan, one sweep over units
and slots finds out which of them are done (:meth:`Inputs.sweep`); an input all of whose units are settled
is not looked at any further, and where that holds for all inputs of a folder, the folder is known by a sign of its
listing. See docs/decisions/0015-settled-inputs.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from hashlib import sha256

from sqlalchemy import delete, exists, func, select, update
from sqlalchemy.orm import Session

from schemas.outcome import Outcome
from storage.catalog.models import CorpusRow, FolderRow, InputRow, SlotRow, UnitRow, uri_key
from storage.catalog.records import SettledFolder, SettledFolders
from storage.catalog.tables import Tables, chunks

_PLACE, _CONTENT = 24, 40
"""Hexadecimal digits of a key: of the folder, so that the inputs of a folder lie on one page of the index, and of all
that the plan depends on."""
_UNTRACKED = {"synchronize_session": False}


def input_key(place: str, depends_on: str) -> str:
    """The key of an input in a folder (:func:`place_of`), whose plan depends on this text."""
    return place + sha256(depends_on.encode()).hexdigest()[:_CONTENT]


@lru_cache(maxsize=64)
def place_of(asked: str, folder: str) -> str:
    """What the keys of inputs in a folder begin with, of which this is asked."""
    return sha256(f"{asked}{folder}".encode()).hexdigest()[:_PLACE]


def place_in(key: str) -> str:
    """The folder's part of an input's key (:func:`place_of`)."""
    return key[:_PLACE]


class Inputs:
    """The inputs of one corpus. Its methods work within a transaction that is given."""

    def __init__(self, db: Tables) -> None:
        self._db = db

    def sweep(self, session: Session) -> None:
        """Settles what was done since, and forgets what is no longer: a unit that was withdrawn or refused, a slot that
        another unit has taken. The database walks its indices side by side; of what is undone, the folders' places
        travel, and no row does."""
        done = exists().where(
            SlotRow.corpus_id == InputRow.corpus_id,
            SlotRow.unit == InputRow.unit,
            SlotRow.slot_key == InputRow.slot_key,
            UnitRow.corpus_id == SlotRow.corpus_id,
            UnitRow.unit == SlotRow.unit,
            UnitRow.outcome == Outcome.DONE.value,
        )
        mine = self._db.of(InputRow)
        forget = delete(InputRow).where(mine, InputRow.settled, ~done)
        undone = forget.returning(func.substr(InputRow.key, 1, _PLACE))
        self._unsettle(session, set(session.scalars(undone, execution_options=_UNTRACKED)))
        settle = update(InputRow).where(mine, ~InputRow.settled, done).values(settled=True)
        session.execute(settle, execution_options=_UNTRACKED)

    def settled(self, session: Session, keys: Iterable[str]) -> dict[str, int]:
        """Which of some inputs are settled (all their units are), and how many units each has."""
        rows = list(self._db.rows(session, [InputRow.key, InputRow.settled], InputRow.key, sorted(keys)))
        waiting = {key for key, is_settled in rows if not is_settled}
        return Counter(key for key, _ in rows if key not in waiting)

    def record(self, session: Session, asked: Mapping[str, Collection[tuple[str, str]]]) -> None:
        """Enters the units, as (slot, unit), that a plan asks of inputs, by key."""
        self._unsettle(session, set(map(place_in, asked)))
        for keys in chunks(sorted(asked)):
            session.execute(delete(InputRow).where(self._db.of(InputRow), InputRow.key.in_(keys)))
            self._db.add(
                session,
                InputRow,
                [
                    {"unit": unit, "key": key, "slot_key": uri_key(slot), "settled": False}
                    for key in keys
                    for slot, unit in sorted(asked[key])
                ],
            )

    def folders(self, session: Session) -> SettledFolders:
        """The folders all of whose inputs are settled."""
        rows = select(FolderRow.place, FolderRow.sign, FolderRow.inputs, FolderRow.units).where(self._db.of(FolderRow))
        known = {place: SettledFolder(*row) for place, *row in session.execute(rows)}
        return SettledFolders(self._unsettled(session), known)

    def record_folders(self, session: Session, before: SettledFolders, found: Mapping[str, SettledFolder]) -> None:
        """Enters folders all of whose inputs were found settled, by place: none when somebody has unsettled anything
        since `before` was read."""
        if self._unsettled(session) == before.unsettled:
            self._forget(session, found)
            rows = [{"place": place, **folder._asdict()} for place, folder in found.items()]
            self._db.add(session, FolderRow, rows)

    def _unsettle(self, session: Session, places: Collection[str]) -> None:
        """Forgets folders an input of which is no longer settled."""
        if places:
            self._forget(session, places)
            mine = CorpusRow.id == self._db.corpus
            session.execute(update(CorpusRow).where(mine).values(unsettled=CorpusRow.unsettled + 1))

    def _forget(self, session: Session, places: Iterable[str]) -> None:
        for some in chunks(sorted(places)):
            session.execute(delete(FolderRow).where(self._db.of(FolderRow), FolderRow.place.in_(some)))

    def _unsettled(self, session: Session) -> int:
        return session.scalars(select(CorpusRow.unsettled).where(CorpusRow.id == self._db.corpus)).one()

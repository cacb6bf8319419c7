"""Machines whose clocks disagree share the units of a corpus all the same: leases go by the database's clock."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, tzinfo
from pathlib import Path

import pytest
from sqlalchemy import create_engine, update

from storage.catalog import claims
from storage.catalog.catalog import Catalog
from storage.catalog.claims import LEASE
from storage.catalog.models import RunRow
from storage.corpus import Corpus


@contextmanager
def clock_off_by(error: timedelta) -> Iterator[None]:
    """This process is on a machine whose clock is wrong, for claims."""

    class Moments(type):
        def __instancecheck__(cls, value: object) -> bool:
            return isinstance(value, datetime)

    class Wrong(datetime, metaclass=Moments):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + error

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(claims, "datetime", Wrong)
        yield


@pytest.mark.parametrize("error", [-6 * LEASE, 6 * LEASE])
def test_neither_holds_for_ever_nor_takes_what_the_other_has(postgresql: str, tmp_path: Path, error: timedelta) -> None:
    corpus = Corpus.open(tmp_path / "corpus", create=True)
    with Catalog.open(postgresql, corpus) as catalog:
        with clock_off_by(error):
            catalog.begin_run("wrong", "r", "h", "{}")
            assert catalog.claim("wrong", ["a"]).taken == {"a"}
        catalog.begin_run("right", "r", "h", "{}")
        assert catalog.claim("right", ["b"]).taken == {"b"}
        engine = create_engine(postgresql)
        with engine.begin() as connection:  # nobody here can look for their processes
            connection.execute(update(RunRow).values(host="another machine"))
        engine.dispose()
        assert catalog.claim("right", ["a"]).held == {"a": "wrong"}
        with clock_off_by(error):
            assert catalog.claim("wrong", ["b"]).held == {"b": "right"}

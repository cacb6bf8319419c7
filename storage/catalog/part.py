"""What every part of the catalog works on."""

from __future__ import annotations

from sqlalchemy import Engine

from storage.catalog.claims import Claims
from storage.catalog.inputs import Inputs
from storage.catalog.tables import Tables


class Part:
    """A part of the catalog: its methods on one theme. :class:`storage.catalog.catalog.Catalog` is all of them."""

    def __init__(self, engine: Engine, corpus_id: str) -> None:
        self._engine = engine
        self._db = Tables(engine, corpus_id)
        self._claims = Claims(self._db)
        self._inputs = Inputs(self._db)

"""A corpus: a named table of triplets in one folder.

corpus.json             identity: stays the same when the folder is moved or renamed
data/<sha256>.parquet   shards of triplets
anchors/<run>/          what experts measured, kept so that nothing is measured twice
deaths/                 what took its worker down and is left alone for a while
snapshots/000001.json   manifests, one for each published version
catalog.db              the catalog of a local corpus, unless the recipe names another
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from os import PathLike
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from schemas.base import Contract
from schemas.errors import CorpusError, UsageError
from storage.location import Location

DATA = "data"
_IDENTITY = "corpus.json"


class _Identity(Contract):
    """What corpus.json holds."""

    id: Annotated[str, Field(pattern=r"^[0-9a-f-]{36}$")]
    name: str
    format: Literal[1] = 1


@dataclass(frozen=True)
class Corpus:
    """An open corpus: its lasting id, its name, and where it lies now."""

    id: str
    name: str
    location: Location

    @classmethod
    def open(cls, uri: str | PathLike[str], create: bool = False) -> Corpus:
        """Opens the corpus in a folder; with `create`, makes one there when there is none.

        Raises:
            CorpusError: there is no corpus, its corpus.json is malformed, or the folder cannot be written.
        """
        location = Location.of(uri)
        if not location.exists(_IDENTITY):
            if not create:
                raise CorpusError(
                    location.uri(), "there is no corpus here", "Check the path, or make one with `dataclaw build`"
                )
            name = location.root.rsplit("/", 1)[-1] or "corpus"
            identity = _Identity(id=str(uuid.uuid4()), name=name)
            try:
                location.create(_IDENTITY, identity.model_dump_json(indent=2).encode())
                return cls(identity.id, identity.name, location)
            except FileExistsError:
                pass  # another process made it at this moment: its identity counts
        try:
            identity = _Identity.model_validate_json(location.read_bytes(_IDENTITY))
        except ValidationError as error:
            first = error.errors()[0]
            raise CorpusError(
                location.uri(_IDENTITY),
                f"is malformed ({'.'.join(map(str, first['loc']))}: {first['msg']})",
                "Restore it from a copy, or use the version of DataClaw that wrote it",
            ) from error
        return cls(identity.id, identity.name, location)

    @property
    def uri(self) -> str:
        """Where the corpus lies now."""
        return self.location.uri()

    def catalog_url(self, placement_catalog: str | None = None) -> str:
        """The SQLAlchemy URL of the catalog: the recipe's, or a SQLite file inside a local corpus.

        Raises:
            UsageError: the corpus is not local and the recipe names no catalog.
        """
        if placement_catalog is not None:
            return placement_catalog
        if not self.location.is_local:
            raise UsageError(
                self.uri,
                "a corpus that is not on a local disk needs a catalog of its own",
                "Set placement.catalog in the recipe to a database URL, such as postgresql+psycopg://host/dataclaw",
            )
        # What a path may hold and a URL may not is quoted.
        return f"sqlite:///{self.location.path('catalog.db').replace('%', '%25').replace('?', '%3F')}"

"""A corpus opened for a question: its catalog, one of its snapshots, and answers as JSON."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from schemas.errors import CorpusError
from schemas.manifest import Manifest
from storage import snapshots
from storage.corpus import Corpus

if TYPE_CHECKING:
    from storage.catalog.catalog import Catalog


def open_catalog(uri: str, catalog: str | None) -> Catalog:
    """The catalog of a corpus that is there already; a question never makes one.

    Raises:
        CorpusError: there is no corpus or no catalog at this place.
    """
    from storage.catalog.catalog import Catalog

    corpus = Corpus.open(uri)
    if catalog is None and corpus.location.is_local and not corpus.location.exists("catalog.db"):
        raise CorpusError(corpus.uri, "it has no catalog inside", "Name the database it was built with: --catalog URL")
    return Catalog.open(corpus.catalog_url(catalog), corpus)


def open_snapshot(uri: str, number: int | None) -> tuple[Corpus, Manifest]:
    """A corpus and one of its snapshots, the newest when no number is given.

    Raises:
        CorpusError: there is no corpus, or nothing was published, or no snapshot has this number.
    """
    corpus = Corpus.open(uri)
    manifest = snapshots.latest(corpus) if number is None else snapshots.load(corpus, number)
    if manifest is None:
        raise CorpusError(corpus.uri, "nothing was published yet", "Run `dataclaw build`, or see `dataclaw rejects`")
    return corpus, manifest


def as_json(value: Any) -> Any:
    """Records of the catalog and contracts as plain JSON values."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: as_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_json(item) for item in value]
    return value

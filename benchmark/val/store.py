"""A frozen set on storage: written once, read only when every byte is what was frozen.

manifest.json     what it consists of, with checksums; written last
clear.parquet     published rows: what is asked is said
fuzzy.parquet     DataClaw-Intent: a row for each acceptable reading of a request, those of one request together
README.md         the data card

Both files hold triplets, so that `datasets` and every tool for corpora read them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from schemas.base import digest
from schemas.errors import CorpusError, UsageError
from schemas.manifest import Shard
from schemas.stream import Domain
from schemas.triplet import TRIPLET_SCHEMA, Triplet
from schemas.val import Subset, ValManifest
from storage.location import Location
from storage.shards import SHARD_SCHEMA, conform, read_shard, verify_shard

MANIFEST, CARD = "manifest.json", "README.md"
_ROW_GROUP = 16
"""Rows: each may hold a few megabytes of pictures."""


@dataclass(frozen=True)
class FuzzyRequest:
    """A request with its acceptable readings: rows that differ in task type, output and instruction alone."""

    readings: tuple[Triplet, ...]

    @property
    def id(self) -> str:
        """The same request over the same recordings has the same id."""
        first = self.readings[0]
        return digest([first.intent.text, [stream.sha256 for stream in first.streams]])

    @property
    def task_types(self) -> frozenset[str]:
        return frozenset(reading.task_type for reading in self.readings)


@dataclass(frozen=True)
class Val:
    """An open set."""

    location: Location
    manifest: ValManifest
    clear: tuple[Triplet, ...] = field(repr=False)
    fuzzy: tuple[FuzzyRequest, ...] = field(repr=False)


def content_digest(clear: Iterable[Triplet], fuzzy: Iterable[FuzzyRequest]) -> str:
    """Over all that the rows say and show. Where streams lay and when rows were made does not enter."""
    readings = [row for request in fuzzy for row in request.readings]
    return digest([[row_digest(row) for row in rows] for rows in (clear, readings)])


def row_digest(row: Triplet) -> str:
    """Of one row: its id, and the pictures of its evidence."""
    pictures = [[f.stream, f.time, hashlib.sha256(f.image.bytes).hexdigest()] for f in row.evidence]
    return digest([row.content_id(), pictures])


def freeze(
    location: Location, manifest: ValManifest, clear: Sequence[Triplet], fuzzy: Sequence[FuzzyRequest], card: str
) -> ValManifest:
    """Writes a set; gives its manifest with the files in it. Rows are stored without the paths of the machine that
    built them.

    Raises:
        UsageError: there is one already: it is frozen.
        CorpusError: it cannot be written.
    """
    expect_none(location)
    rows = {Subset.CLEAR: list(clear), Subset.FUZZY: [row for request in fuzzy for row in request.readings]}
    files = {subset: _write(location, f"{subset}.parquet", some) for subset, some in rows.items()}
    frozen = manifest.model_copy(update={"files": files})
    location.replace(CARD, card.encode())
    try:
        location.create(MANIFEST, frozen.model_dump_json(indent=2).encode())
    except FileExistsError as error:
        raise UsageError(location.uri(), "another process wrote a set here at this moment", "Look at it") from error
    return frozen


def expect_none(location: Location) -> None:
    """Refuses a place where a set is.

    Raises:
        UsageError: there is one.
    """
    if location.exists(MANIFEST):
        remedy = "Name another place; a set that is used is never changed, a new one has a new version"
        raise UsageError(location.uri(), "there is a set already, and it is frozen", remedy)


def open_val(uri: str) -> Val:
    """A set, every byte of its data checked.

    Raises:
        UsageError: there is none at this place.
        CorpusError: it is not what was frozen.
    """
    location = Location.of(uri)
    if not location.exists(MANIFEST):
        raise UsageError(
            location.uri(), "there is no set here", "Check the path, or make one with `dataclaw bench make`"
        )
    remedy = "Restore it from a copy: scores on a changed set compare with nothing"
    try:
        manifest = ValManifest.model_validate_json(location.read_bytes(MANIFEST))
    except ValidationError as error:
        first = error.errors()[0]
        cause = f"is malformed ({'.'.join(map(str, first['loc'])) or 'JSON'}: {first['msg']})"
        raise CorpusError(location.uri(MANIFEST), cause, remedy) from error
    rows: dict[Subset, tuple[Triplet, ...]] = {}
    for subset in Subset:
        if subset not in manifest.files:
            raise CorpusError(location.uri(MANIFEST), f"names no {subset} examples", remedy)
        verify_shard(location, manifest.files[subset])
        rows[subset] = tuple(Triplet.from_table(read_shard(location, manifest.files[subset].path)))
    val = Val(location, manifest, rows[Subset.CLEAR], _requests(rows[Subset.FUZZY]))
    if content_digest(val.clear, val.fuzzy) != manifest.digest:
        raise CorpusError(location.uri(MANIFEST), "its digest is not that of its rows", remedy)
    return val


def without_places(row: Triplet) -> Triplet:
    """The row without the paths of the machine that built it: nobody else has them."""
    streams = tuple(
        stream.model_copy(
            update={
                "uri": stream.name,
                "parts": tuple(part.model_copy(update={"uri": f"{stream.name}#{part.role}"}) for part in stream.parts),
            }
        )
        for stream in row.streams
    )
    # The trail is of whoever wrote the true output: a model that is measured has no use for it, and it is long.
    provenance = row.provenance.model_copy(update={"trail": None})
    return row.model_copy(update={"streams": streams, "provenance": provenance})


def domain_of(request: FuzzyRequest) -> Domain:
    return request.readings[0].domain


def _write(location: Location, path: str, rows: Sequence[Triplet]) -> Shard:
    table = conform(Triplet.to_table(map(without_places, rows), TRIPLET_SCHEMA), SHARD_SCHEMA)
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", row_group_size=_ROW_GROUP)
    data: bytes = sink.getvalue().to_pybytes()
    location.replace(path, data)
    return Shard(path=path, sha256=hashlib.sha256(data).hexdigest(), rows=len(rows), size=len(data))


def _requests(rows: Iterable[Triplet]) -> tuple[FuzzyRequest, ...]:
    groups = groupby(rows, key=lambda row: (row.intent.text, [stream.sha256 for stream in row.streams]))
    return tuple(FuzzyRequest(tuple(group)) for _, group in groups)

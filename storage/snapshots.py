"""Snapshots: immutable, numbered versions of a corpus that appear whole or not at all."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.fs as pafs
from pydantic import ValidationError

from schemas.errors import CorpusError, Problem
from schemas.manifest import Manifest
from storage.corpus import Corpus
from storage.shards import SHARD_SCHEMA, iter_shard, verify_shard

FOLDER = "snapshots"
_NAME = re.compile(r"(\d{6,})\.json")


class SnapshotTakenError(CorpusError):
    """Another process published under this number first."""


class MissingSnapshotError(CorpusError):
    """There is no snapshot of this number, or it expired at this moment."""


def publish(corpus: Corpus, manifest: Manifest) -> None:
    """Makes a snapshot visible, in one step.

    Raises:
        SnapshotTakenError: the number is taken.
        CorpusError: the manifest cannot be written.
    """
    path = _path(manifest.number)
    try:
        corpus.location.create(path, manifest.model_dump_json(indent=2).encode())
    except FileExistsError as error:
        raise SnapshotTakenError(
            corpus.location.uri(path), "another process published this snapshot first", "Publish again"
        ) from error


def numbers(corpus: Corpus) -> list[int]:
    """The numbers of all snapshots, ascending."""
    matches = (_NAME.fullmatch(name) for name in corpus.location.names(FOLDER))
    return sorted(int(match[1]) for match in matches if match)


def latest(corpus: Corpus) -> Manifest | None:
    """The newest snapshot; None when nothing was published yet.

    Raises:
        CorpusError: its manifest is malformed.
    """
    while found := numbers(corpus):
        try:
            return load(corpus, found[-1])
        except MissingSnapshotError:
            if numbers(corpus)[-1:] == found[-1:]:
                raise
            # Maintenance published a newer one meanwhile, and this one expired.
    return None


def load(corpus: Corpus, number: int) -> Manifest:
    """Reads a manifest.

    Raises:
        MissingSnapshotError: there is none of this number.
        CorpusError: it is malformed, or it names files outside the corpus.
    """
    path = _path(number)
    place = corpus.location.uri(path)
    if not corpus.location.exists(path):
        known = ", ".join(map(str, numbers(corpus))) or "none"
        raise MissingSnapshotError(place, f"there is no snapshot {number}", f"Snapshots of this corpus: {known}")
    remedy = "Restore the manifest from a copy, or remove it to fall back to the snapshot before"
    try:
        manifest = Manifest.model_validate_json(corpus.location.read_bytes(path))
    except ValidationError as error:
        first = error.errors()[0]
        cause = f"is malformed ({'.'.join(map(str, first['loc'])) or 'JSON'}: {first['msg']})"
        raise CorpusError(place, cause, remedy) from error
    if manifest.number != number:
        raise CorpusError(place, f"says that it is snapshot {manifest.number}", remedy)
    return manifest


def remove(corpus: Corpus, number: int) -> None:
    """Removes a manifest; its shards stay, for the snapshots that share them. The newest one is never removed.

    Raises:
        CorpusError: it is the newest, or the storage refuses.
    """
    if number >= max(numbers(corpus), default=number):
        raise CorpusError(corpus.location.uri(_path(number)), "is the newest snapshot", "Expire an older one")
    corpus.location.remove(_path(number))


def dataset(corpus: Corpus, manifest: Manifest) -> pads.Dataset:
    """The rows of a snapshot as an Arrow dataset, for projections, filters and scans."""
    paths = [corpus.location.path(shard.path) for shard in manifest.shards]
    fs = corpus.location.fs
    return pads.FileSystemDataset.from_paths(
        paths,
        schema=SHARD_SCHEMA,
        format=pads.ParquetFileFormat(),
        filesystem=pafs.LocalFileSystem() if corpus.location.is_local else pafs.PyFileSystem(pafs.FSSpecHandler(fs)),
    )


def iter_triplets(
    corpus: Corpus, manifest: Manifest, batch_size: int, columns: Sequence[str] | None = None
) -> Iterator[pa.Table]:
    """The rows of a snapshot in order, at most `batch_size` at a time, under TRIPLET_SCHEMA (or those of its columns
    that are asked for): `Triplet.from_table` reads them. Memory grows with neither snapshot nor shard.

    Raises:
        CorpusError: a shard is missing or damaged.
    """
    for shard in manifest.shards:
        yield from iter_shard(corpus.location, shard.path, batch_size, columns)


def verify_files(corpus: Corpus, manifest: Manifest) -> list[Problem]:
    """Compares every shard's size, checksum and row count with the manifest; empty when all agree."""
    problems = []
    for shard in manifest.shards:
        try:
            verify_shard(corpus.location, shard)
        except CorpusError as error:
            problems.append(error.problem)
    return problems


def _path(number: int) -> str:
    return f"{FOLDER}/{number:06d}.json"

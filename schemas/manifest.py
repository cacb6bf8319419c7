"""Shards and the manifest of a snapshot: an immutable, numbered, atomically published version of a corpus."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field, field_validator

from schemas.base import Contract
from schemas.stream import Sha256


def inside(path: str) -> str:
    """A path relative to its folder that stays inside it.

    Raises:
        ValueError: the path is absolute, has a scheme, or climbs out with `..`.
    """
    parts = path.replace("\\", "/").split("/")
    if not path or path.startswith(("/", "\\")) or "://" in path or ".." in parts or (len(path) > 1 and path[1] == ":"):
        raise ValueError(f"{path!r} points outside its folder")
    return path


class Shard(Contract):
    """One immutable Parquet file. `path` is relative to the corpus and ends in the file's own SHA-256."""

    path: str
    sha256: Sha256
    rows: Annotated[int, Field(ge=0)]
    size: Annotated[int, Field(ge=0)]

    @field_validator("path")
    @classmethod
    def _inside(cls, path: str) -> str:
        return inside(path)


class TaskStatistics(Contract):
    """How much there is of one task type, and how different it is."""

    rows: int
    streams: int
    """Distinct streams in these rows."""
    diversity: Annotated[float, Field(ge=0.0, le=1.0)] | None
    """1 less the mean likeness (estimated Jaccard over runs of three words) of two outputs, over a sample of at most
    64 rows: 0 when all say the same, near 1 when no two do. None for a single row."""


class Statistics(Contract):
    """Rows by domain, task type and split, and the spread of rewards."""

    rows: int
    by_domain: dict[str, int]
    by_task_type: dict[str, int]
    reward_mean: float | None
    reward_min: float | None
    by_split: dict[str, int] = Field(default_factory=dict)
    tasks: dict[str, TaskStatistics] = Field(default_factory=dict)


class Manifest(Contract):
    """One snapshot. It lists every file, so that reading needs neither the catalog nor DataClaw."""

    corpus: str
    number: Annotated[int, Field(ge=1)]
    parent: int | None
    run: str
    created: datetime
    shards: tuple[Shard, ...]
    arrow_schema: str
    """The Arrow schema of every shard, as text for people."""
    statistics: Statistics
    dataclaw_version: str

"""What the catalog answers with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from schemas.errors import Problem
from schemas.manifest import Shard
from schemas.outcome import Outcome, RunReport, RunState, UnitOutcome
from schemas.signature import Signature
from schemas.triplet import Split


@dataclass(frozen=True)
class Committed:
    """How the units of one commit ended; `known` were done or filtered before and were left as they are."""

    done: int = 0
    filtered: int = 0
    failed: int = 0
    known: int = 0


@dataclass(frozen=True)
class Claimed:
    """What became of a claim: the units that the run has now, and those that other live runs have, with their ids.
    Units that ended meanwhile are in neither."""

    taken: frozenset[str]
    held: Mapping[str, str]


class SettledFolder(NamedTuple):
    """A folder all of whose inputs are settled: a sign of its listing, and how many inputs and units it has."""

    sign: str
    inputs: int
    units: int


class SettledFolders(NamedTuple):
    """The folders all of whose inputs are settled, by place, and how often a folder has ceased to be one."""

    unsettled: int
    known: Mapping[str, SettledFolder]


@dataclass(frozen=True)
class LiveShard:
    """A shard with live rows. `keep` is None when it can stay as it is: all its rows are live, and say the split that
    they have. Else it holds the units whose rows are live, with their splits."""

    shard: Shard
    keep: Mapping[str, Split] | None


@dataclass(frozen=True)
class SignedRow:
    """A row as the catalog takes it in: `streams` are their SHA-256, `split` is what its shard says, if anything."""

    unit: str
    triplet: str
    streams: tuple[str, ...]
    signature: Signature
    split: Split | None


@dataclass(frozen=True)
class Judged:
    """A unit whose row the corpus does not take, for this reason; or takes (again), without one."""

    unit: str
    problem: Problem | None

    @property
    def outcome(self) -> Outcome:
        return Outcome.DONE if self.problem is None else Outcome.FILTERED


@dataclass(frozen=True)
class PublishedRow:
    """A row as it lies in a snapshot."""

    unit: str
    triplet: str
    shard: Shard
    split: Split


@dataclass(frozen=True)
class Turned:
    """What a rollback changed: rows brought back, and rows taken back."""

    restored: int
    withdrawn: int


@dataclass(frozen=True)
class RunRecord:
    """A run as the catalog knows it; `report` is None while it runs, and for ever when it was killed."""

    id: str
    recipe_name: str
    recipe_hash: str
    state: RunState
    started: datetime
    ended: datetime | None
    report: RunReport | None


@dataclass(frozen=True)
class Reject:
    """A unit whose output was not published: `outcome` holds the reason, the output and the report on its claims."""

    outcome: UnitOutcome
    run: str
    ended: datetime


@dataclass(frozen=True)
class Quarantined:
    """An input that could not be read, with the run that met it first and the one that met it last."""

    uri: str
    sha256: str | None
    problem: Problem
    first_run: str
    last_run: str
    since: datetime


@dataclass(frozen=True)
class SnapshotRecord:
    """A published snapshot."""

    number: int
    parent: int | None
    run: str
    created: datetime
    shards: int
    rows: int


@dataclass(frozen=True)
class Status:
    """The figures of `dataclaw status`. `units` are those that slots hold now, and those that
    failed since; durations are seconds."""

    corpus: str
    name: str
    streams: int
    stream_seconds: float
    segments: int
    units: dict[Outcome, int]
    rows: int
    rejects: int
    quarantined: int
    runs: int
    last_run: RunRecord | None
    snapshot: SnapshotRecord | None

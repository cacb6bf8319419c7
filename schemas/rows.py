"""The rows that travel through Ray Data, each under its declared Arrow schema.

WORK  --extract-->  ANCHORED  --gather-->  GROUP  --synthesise-->  RESULT  --write-->  WRITTEN
"""

from __future__ import annotations

import pyarrow as pa
from pydantic import model_validator

from schemas.anchor import ANCHOR_SCHEMA, FactualAnchor
from schemas.base import Contract
from schemas.errors import PROBLEM_SCHEMA, Problem
from schemas.outcome import COST, UNIT_OUTCOME_SCHEMA, Cost, UnitOutcome
from schemas.segment import SEGMENT_SCHEMA, Segment
from schemas.signature import SIGNATURE_SCHEMA, Signature
from schemas.stream import STREAM_SCHEMA, Domain, Stream
from schemas.task_spec import TASK_SPEC_SCHEMA, TaskSpec
from schemas.triplet import TRIPLET_SCHEMA, Split, Triplet


class UnitPlan(Contract):
    """A task spec to carry out on a group, with the keys under which its end is recorded."""

    unit: str
    slot: str
    spec: TaskSpec
    readings: tuple[str, ...] = ()
    instead: tuple[TaskSpec, ...] = ()
    """What is made where the spec cannot be: the first of these that can."""


class Work(Contract):
    """One segment to look at, for one group of streams that is made into `units` together."""

    group: str
    group_segments: int
    """How many rows of WORK the group has; it is complete when all have arrived."""
    stream: Stream
    segment: Segment
    experts: tuple[str, ...]
    """Names of the experts to run; the anchors of the others are read from `known`."""
    known: tuple[str, ...]
    """Anchor shards (paths in the corpus) that hold what earlier runs extracted for this segment."""
    units: tuple[UnitPlan, ...]


class Anchored(Contract):
    """A segment with its anchors, or with the problem that kept it from having any."""

    group: str
    group_segments: int
    stream: Stream
    segment: Segment
    units: tuple[UnitPlan, ...]
    anchors: tuple[FactualAnchor, ...]
    problem: Problem | None
    """What broke the reading off, or kept the segment from being read at all (`failed`)."""
    failed: bool
    costs: tuple[Cost, ...]


class Group(Contract):
    """A group of streams whose segments have all arrived, ready for its units."""

    group: str
    streams: tuple[Stream, ...]
    anchors: tuple[FactualAnchor, ...]
    units: tuple[UnitPlan, ...]
    problems: tuple[Problem, ...]
    failed_streams: tuple[str, ...]
    costs: tuple[Cost, ...]


class Result(Contract):
    """The end of a unit, with its triplet when it has one."""

    outcome: UnitOutcome
    triplet: Triplet | None
    failed_streams: tuple[str, ...]
    problems: tuple[Problem, ...]
    costs: tuple[Cost, ...]

    @model_validator(mode="after")
    def _agree(self) -> Result:
        if (self.outcome.triplet is None) != (self.triplet is None):
            raise ValueError("an outcome names a triplet exactly when there is one")
        return self


class Written(Contract):
    """The end of a unit after its triplet was written to `shard` (path, SHA-256, rows, bytes).

    `domain`, `reward`, `split` and `signature` are the triplet's, so that the catalog can count and compare without
    opening the shard; None without one.
    """

    outcome: UnitOutcome
    domain: Domain | None
    reward: float | None
    split: Split | None
    signature: Signature | None
    shard: str | None
    shard_sha256: str | None
    shard_rows: int
    shard_size: int
    failed_streams: tuple[str, ...]
    problems: tuple[Problem, ...]
    costs: tuple[Cost, ...]


def _struct(schema: pa.Schema) -> pa.StructType:
    return pa.struct(list(schema))


UNIT_PLAN = pa.struct(
    [
        pa.field("unit", pa.string(), False),
        pa.field("slot", pa.string(), False),
        pa.field("spec", _struct(TASK_SPEC_SCHEMA), False),
        pa.field("readings", pa.list_(pa.string()), False),
        pa.field("instead", pa.list_(_struct(TASK_SPEC_SCHEMA)), False),
    ]
)
_STREAM = pa.field("stream", _struct(STREAM_SCHEMA), False)
_SEGMENT = pa.field("segment", _struct(SEGMENT_SCHEMA), False)
_GROUP = pa.field("group", pa.string(), False)
_GROUP_SEGMENTS = pa.field("group_segments", pa.int32(), False)
_UNITS = pa.field("units", pa.list_(UNIT_PLAN), False)
_ANCHORS = pa.field("anchors", pa.list_(_struct(ANCHOR_SCHEMA)), False)
_COSTS = pa.field("costs", pa.list_(COST), False)
_PROBLEMS = pa.field("problems", pa.list_(_struct(PROBLEM_SCHEMA)), False)
_FAILED = pa.field("failed_streams", pa.list_(pa.string()), False)
_OUTCOME = pa.field("outcome", _struct(UNIT_OUTCOME_SCHEMA), False)

WORK_SCHEMA = pa.schema(
    [
        _GROUP,
        _GROUP_SEGMENTS,
        _STREAM,
        _SEGMENT,
        pa.field("experts", pa.list_(pa.string()), False),
        pa.field("known", pa.list_(pa.string()), False),
        _UNITS,
    ]
)
ANCHORED_SCHEMA = pa.schema(
    [
        _GROUP,
        _GROUP_SEGMENTS,
        _STREAM,
        _SEGMENT,
        _UNITS,
        _ANCHORS,
        pa.field("problem", _struct(PROBLEM_SCHEMA)),
        pa.field("failed", pa.bool_(), False),
        _COSTS,
    ]
)
GROUP_SCHEMA = pa.schema(
    [_GROUP, pa.field("streams", pa.list_(_struct(STREAM_SCHEMA)), False), _ANCHORS, _UNITS, _PROBLEMS, _FAILED, _COSTS]
)
RESULT_SCHEMA = pa.schema([_OUTCOME, pa.field("triplet", _struct(TRIPLET_SCHEMA)), _FAILED, _PROBLEMS, _COSTS])
WRITTEN_SCHEMA = pa.schema(
    [
        _OUTCOME,
        pa.field("domain", pa.string()),
        pa.field("reward", pa.float64()),
        pa.field("split", pa.string()),
        pa.field("signature", _struct(SIGNATURE_SCHEMA)),
        pa.field("shard", pa.string()),
        pa.field("shard_sha256", pa.string()),
        pa.field("shard_rows", pa.int64(), False),
        pa.field("shard_size", pa.int64(), False),
        _FAILED,
        _PROBLEMS,
        _COSTS,
    ]
)

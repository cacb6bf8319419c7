"""Model and Arrow schema stand side by side: what one writes the other gives back."""

from __future__ import annotations

import io
import types
import typing
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from schemas.anchor import ANCHOR_SCHEMA, FactualAnchor
from schemas.base import Contract
from schemas.errors import PROBLEM_SCHEMA, Problem
from schemas.geometry import BOX, POINT, Box, Point
from schemas.outcome import COST, UNIT_OUTCOME_SCHEMA, Cost, UnitOutcome
from schemas.rows import (
    ANCHORED_SCHEMA,
    GROUP_SCHEMA,
    RESULT_SCHEMA,
    UNIT_PLAN,
    WORK_SCHEMA,
    WRITTEN_SCHEMA,
    Anchored,
    Group,
    Result,
    UnitPlan,
    Work,
    Written,
)
from schemas.score import SCORE_SCHEMA, SUPPORT, Score, Support
from schemas.segment import SEGMENT_SCHEMA, Segment
from schemas.signature import FRAME_HASH, SIGNATURE_SCHEMA, FrameHash, Signature
from schemas.stream import PART, STREAM_SCHEMA, TRACK, Stream, StreamPart, Track
from schemas.task_spec import INTENT, TASK_SPEC_SCHEMA, Intent, TaskSpec
from schemas.triplet import (
    EVIDENCE,
    EXPERT_VERSION,
    PROVENANCE,
    TRIPLET_SCHEMA,
    EvidenceFrame,
    ExpertVersion,
    Provenance,
    Triplet,
)

CONTRACTS: list[tuple[type[Contract], pa.Schema]] = [
    (Stream, STREAM_SCHEMA),
    (StreamPart, pa.schema(list(PART))),
    (Track, pa.schema(list(TRACK))),
    (Segment, SEGMENT_SCHEMA),
    (FactualAnchor, ANCHOR_SCHEMA),
    (Box, pa.schema(list(BOX))),
    (Point, pa.schema(list(POINT))),
    (Intent, pa.schema(list(INTENT))),
    (TaskSpec, TASK_SPEC_SCHEMA),
    (Score, SCORE_SCHEMA),
    (Support, pa.schema(list(SUPPORT))),
    (Triplet, TRIPLET_SCHEMA),
    (EvidenceFrame, pa.schema(list(EVIDENCE))),
    (ExpertVersion, pa.schema(list(EXPERT_VERSION))),
    (Provenance, pa.schema(list(PROVENANCE))),
    (Signature, SIGNATURE_SCHEMA),
    (FrameHash, pa.schema(list(FRAME_HASH))),
    (UnitOutcome, UNIT_OUTCOME_SCHEMA),
    (Cost, pa.schema(list(COST))),
    (Problem, PROBLEM_SCHEMA),
    (UnitPlan, pa.schema(list(UNIT_PLAN))),
    (Work, WORK_SCHEMA),
    (Anchored, ANCHORED_SCHEMA),
    (Group, GROUP_SCHEMA),
    (Result, RESULT_SCHEMA),
    (Written, WRITTEN_SCHEMA),
]
each_contract = pytest.mark.parametrize(("model", "schema"), CONTRACTS, ids=lambda item: getattr(item, "__name__", ""))


@each_contract
def test_a_record_comes_back_from_parquet_as_it_was(
    model: type[Contract], schema: pa.Schema, any_record: Callable[[type[BaseModel]], st.SearchStrategy[Any]]
) -> None:
    @settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(any_record(model), max_size=3))
    def holds(written: list[Contract]) -> None:
        sink = io.BytesIO()
        pq.write_table(model.to_table(written, schema), sink, compression="zstd")
        table = pq.read_table(io.BytesIO(sink.getvalue()))
        assert table.schema.equals(schema)
        assert model.from_table(table) == written

    holds()


@each_contract
def test_model_and_arrow_schema_have_the_same_fields_and_the_same_that_may_be_missing(
    model: type[Contract], schema: pa.Schema
) -> None:
    _agree(model, list(schema), model.__name__)


def _agree(model: type[BaseModel], fields: list[pa.Field], where: str) -> None:
    hints = typing.get_type_hints(model)
    assert [field.name for field in fields] == list(model.model_fields), where
    for field in fields:
        hint, place = hints[field.name], f"{where}.{field.name}"
        choices = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
        assert field.nullable == (type(None) in choices), place
        inner = next(choice for choice in choices if choice is not type(None))
        kind = field.type
        if pa.types.is_list(kind):
            inner, kind = typing.get_args(inner)[0], kind.value_type
        if pa.types.is_struct(kind):
            _agree(inner, list(kind), place)

"""What DataClaw-val says of one output of a model, and of many: levels, fields, differences, intervals."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import pyarrow as pa
from pydantic import Field

from schemas.base import Contract
from schemas.stream import Domain, Sha256
from schemas.task_spec import Name

Share = Annotated[float, Field(ge=0.0, le=1.0)]


class Level(StrEnum):
    """The levels of the metrics: each is 0 where the first one is."""

    JSON = "json"
    FIELD = "field"
    SEMANTIC = "semantic"
    SEQUENCE = "sequence"


class Comparison(StrEnum):
    """How two values of one field are compared (docs/benchmark.md)."""

    CHOICE = "choice"
    """Equal or not: enums, identifiers, integers, truth values."""
    QUOTE = "quote"
    """Verbatim, but for case and white space."""
    TEXT = "text"
    """By meaning."""
    NUMBER = "number"
    TIME = "time"
    SPAN = "span"
    BOX = "box"
    POINT = "point"


class FieldScore(Contract):
    """One field over all its occurrences in an output: `/steps/*/action/type`.

    `expected` and `given` count its values in the true output and in this one, `typed` those given that have the
    right type, `likeness` is the sum over aligned values of how alike they are.
    """

    path: str
    comparison: Comparison | None
    """None: the schema does not declare the field."""
    expected: Annotated[int, Field(ge=0)]
    given: Annotated[int, Field(ge=0)]
    typed: Annotated[int, Field(ge=0)]
    likeness: Annotated[float, Field(ge=0.0)]


class Difference(Contract):
    """One place at which an output is not what was expected. Values are JSON text, cut off where long."""

    level: Level
    path: str
    """JSON pointer into the true output, or into the given one where nothing is expected."""
    expected: str | None
    got: str | None
    score: Share
    why: str


class SequenceScore(Contract):
    """The measures of Sequence; None where the true output has nothing that they measure."""

    edit: Share | None = None
    order: Share | None = None
    spans: Share | None = None
    trajectory: Share | None = None


class SampleScore(Contract):
    """One output of one model against the true output of its sample.

    A level is None where the true output has nothing of it (an edited picture has no sequence); below `json` 0 the
    others are 0.
    """

    sample: str
    domain: Domain
    task_type: Name
    streams: Annotated[tuple[Sha256, ...], Field(min_length=1)]
    json_valid: Share
    field: Share | None
    semantic: Share | None
    sequence: Share | None
    measures: SequenceScore = SequenceScore()
    fields: tuple[FieldScore, ...] = ()
    differences: tuple[Difference, ...] = ()
    """At most 100, in the order of the output."""
    more_differences: Annotated[int, Field(ge=0)] = 0
    """How many were left out."""

    def level(self, level: Level) -> float | None:
        return {
            Level.JSON: self.json_valid,
            Level.FIELD: self.field,
            Level.SEMANTIC: self.semantic,
            Level.SEQUENCE: self.sequence,
        }[level]

    @property
    def mean(self) -> float:
        """Of the levels that apply."""
        levels = [score for level in Level if (score := self.level(level)) is not None]
        return sum(levels) / len(levels)


class Estimate(Contract):
    """A mean over samples with its 95 % interval; no interval where all come from one family of streams."""

    mean: Share
    low: Share | None
    high: Share | None
    samples: Annotated[int, Field(ge=1)]
    clusters: Annotated[int, Field(ge=1)]
    """Families of streams that share no sample with another."""


class LevelScores(Contract):
    """All levels over some samples; None where a level applies to none of them."""

    json_valid: Estimate
    field: Estimate | None
    semantic: Estimate | None
    sequence: Estimate | None
    mean: Estimate


class PairedDifference(Contract):
    """Model A less model B on the same samples, at one level."""

    level: Level | None
    """None: the mean of the levels."""
    difference: float
    low: float | None
    high: float | None
    p: Share | None
    """Two-sided, of the hypothesis that it does not matter which model an output is from; None with one cluster."""
    samples: Annotated[int, Field(ge=1)]
    clusters: Annotated[int, Field(ge=1)]
    better: Annotated[int, Field(ge=0)]
    """Samples on which A is better."""
    worse: Annotated[int, Field(ge=0)]


FIELD_SCORE = pa.struct(
    [
        pa.field("path", pa.string(), False),
        pa.field("comparison", pa.string()),
        pa.field("expected", pa.int32(), False),
        pa.field("given", pa.int32(), False),
        pa.field("typed", pa.int32(), False),
        pa.field("likeness", pa.float64(), False),
    ]
)
DIFFERENCE = pa.struct(
    [
        pa.field("level", pa.string(), False),
        pa.field("path", pa.string(), False),
        pa.field("expected", pa.string()),
        pa.field("got", pa.string()),
        pa.field("score", pa.float64(), False),
        pa.field("why", pa.string(), False),
    ]
)
MEASURES = pa.struct([pa.field(name, pa.float64()) for name in SequenceScore.model_fields])
SAMPLE_SCORE_SCHEMA = pa.schema(
    [
        pa.field("sample", pa.string(), False),
        pa.field("domain", pa.string(), False),
        pa.field("task_type", pa.string(), False),
        pa.field("streams", pa.list_(pa.string()), False),
        pa.field("json_valid", pa.float64(), False),
        pa.field("field", pa.float64()),
        pa.field("semantic", pa.float64()),
        pa.field("sequence", pa.float64()),
        pa.field("measures", MEASURES, False),
        pa.field("fields", pa.list_(FIELD_SCORE), False),
        pa.field("differences", pa.list_(DIFFERENCE), False),
        pa.field("more_differences", pa.int32(), False),
    ]
)

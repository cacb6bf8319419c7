"""Claims, their support, and the reward R = l1 R_format + l2 R_anchor + l3 R_eff."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import pyarrow as pa
from pydantic import Field

from schemas.base import Contract
from schemas.geometry import Box, Point
from schemas.stream import Seconds, Sha256


class ClaimKind(StrEnum):
    """What a structured output can assert about its streams."""

    TIME = "time"
    BOX = "box"
    QUOTE = "quote"
    ORDER = "order"
    COUNT = "count"


class Claim(Contract):
    """One checkable assertion found in an output, about anchors of `kinds` (any when empty; `text.*` names a group) in
    `stream` (any when None).

    TIME: something happens at t0..t1, both edges within 0.25 s of an anchor's. t0 == t1: it lies inside or within
    0.25 s of an anchor. t1 None: an anchor begins or ends at t0. With `items`, t0 and t1 must also be among these
    moments: what a sentence says must be what the fields around it say.
    BOX: `box` (IoU >= 0.5) or `point` (inside a box, or within 0.02 of a point), around t0..t1 when given.
    QUOTE: `text` is said or shown verbatim, on word borders, within t0..t1 when given.
    ORDER: `items` rise strictly, and an anchor begins, ends or lasts at each of them. With `streams`, item i is a
    moment of streams[i]; with kinds == (screen.clock,) the items are clock values in minutes since midnight (past
    midnight they go on from 1440).
    COUNT: `count` anchors begin in t0 <= t < t1 (no bound where None).
    Except in QUOTE, `text` binds the claim to anchors whose content holds it, `value` to anchors of that value (within
    5 per cent).
    """

    path: str
    """JSON pointer (RFC 6901) to the value in the output."""
    kind: ClaimKind
    stream: Sha256 | None = None
    t0: Seconds | None = None
    t1: Seconds | None = None
    box: Box | None = None
    point: Point | None = None
    text: str | None = None
    value: float | None = None
    kinds: tuple[str, ...] = ()
    items: tuple[float, ...] = ()
    streams: tuple[Sha256, ...] = ()
    count: int | None = None
    whole: bool = False
    """t0..t1 is all of the anchor, also where t0 == t1: a span shrunk to a moment inside it is another span."""


class Support(Contract):
    """The verdict on one claim: the anchors that carry it, or why there are none."""

    path: str
    kind: ClaimKind
    supported: bool
    anchors: tuple[str, ...] = ()
    reason: str = ""


class Score(Contract):
    """The reward of one output and its parts, each in [0, 1]; None where a part does not apply (no claim to check)."""

    format: Annotated[float, Field(ge=0.0, le=1.0)]
    anchor: Annotated[float, Field(ge=0.0, le=1.0)] | None
    efficiency: Annotated[float, Field(ge=0.0, le=1.0)] | None
    reward: Annotated[float, Field(ge=0.0, le=1.0)]
    supports: tuple[Support, ...] = ()
    format_errors: tuple[str, ...] = ()

    @property
    def unsupported(self) -> tuple[Support, ...]:
        return tuple(support for support in self.supports if not support.supported)


SUPPORT = pa.struct(
    [
        pa.field("path", pa.string(), False),
        pa.field("kind", pa.string(), False),
        pa.field("supported", pa.bool_(), False),
        pa.field("anchors", pa.list_(pa.string()), False),
        pa.field("reason", pa.string(), False),
    ]
)
SCORE_SCHEMA = pa.schema(
    [
        pa.field("format", pa.float64(), False),
        pa.field("anchor", pa.float64()),
        pa.field("efficiency", pa.float64()),
        pa.field("reward", pa.float64(), False),
        pa.field("supports", pa.list_(SUPPORT), False),
        pa.field("format_errors", pa.list_(pa.string()), False),
    ]
)

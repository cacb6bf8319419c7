"""A bounded time window of a stream: the unit of parallel work."""

from __future__ import annotations

import math
from typing import Annotated, Self

import pyarrow as pa
from pydantic import Field, model_validator

from schemas.base import Contract, digest
from schemas.stream import Seconds, Sha256, Stream


class Segment(Contract):
    """The window [t0, t1] of a stream in seconds, `index` of `count`. The last one ends with the stream."""

    stream: Sha256
    index: Annotated[int, Field(ge=0)]
    count: Annotated[int, Field(ge=1)]
    t0: Seconds
    t1: Seconds

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.t0 > self.t1 or self.index >= self.count:
            raise ValueError("a segment needs t0 <= t1 and index < count")
        return self

    @property
    def last(self) -> bool:
        """The last segment includes its end; the others leave it to the next."""
        return self.index == self.count - 1

    @property
    def key(self) -> str:
        """Identity by content and window, independent of paths and of how work is laid out."""
        return digest([self.stream, round(self.t0, 6), round(self.t1, 6), self.last])


def cut_segments(stream: Stream, seconds: float) -> list[Segment]:
    """Cuts a stream into windows of `seconds`, the last one shorter; a stream without duration is one segment.

    A remainder below a millionth of a window stays with the window before: it is rounding, not content.
    """
    count = max(1, math.ceil(round(stream.duration / seconds, 6)))
    edges = [index * seconds for index in range(count)] + [stream.duration]
    return [Segment(stream=stream.sha256, index=i, count=count, t0=edges[i], t1=edges[i + 1]) for i in range(count)]


SEGMENT_SCHEMA = pa.schema(
    [
        pa.field("stream", pa.string(), False),
        pa.field("index", pa.int32(), False),
        pa.field("count", pa.int32(), False),
        pa.field("t0", pa.float64(), False),
        pa.field("t1", pa.float64(), False),
    ]
)

"""Places in a frame, normalised: (0, 0) is the top left corner, (1, 1) the bottom right one."""

from __future__ import annotations

from typing import Annotated, Self

import pyarrow as pa
from pydantic import Field, model_validator

from schemas.base import Contract

Unit = Annotated[float, Field(ge=0.0, le=1.0)]


class Point(Contract):
    """A place: x to the right, y downwards, both in [0, 1]."""

    x: Unit
    y: Unit


class Box(Contract):
    """An axis-aligned rectangle with its corners (x0, y0) and (x1, y1), x0 <= x1 and y0 <= y1."""

    x0: Unit
    y0: Unit
    x1: Unit
    y1: Unit

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.x0 > self.x1 or self.y0 > self.y1:
            raise ValueError("a box needs x0 <= x1 and y0 <= y1")
        return self

    @classmethod
    def clipped(cls, x0: float, y0: float, x1: float, y1: float) -> Box:
        """The part of a rectangle that lies inside the frame; corners may come in any order."""
        left, right = sorted((min(max(x0, 0.0), 1.0), min(max(x1, 0.0), 1.0)))
        top, bottom = sorted((min(max(y0, 0.0), 1.0), min(max(y1, 0.0), 1.0)))
        return cls(x0=left, y0=top, x1=right, y1=bottom)

    @property
    def area(self) -> float:
        """Share of the frame covered, in [0, 1]."""
        return (self.x1 - self.x0) * (self.y1 - self.y0)

    @property
    def centre(self) -> Point:
        return Point(x=(self.x0 + self.x1) / 2, y=(self.y0 + self.y1) / 2)

    def contains(self, point: Point) -> bool:
        return self.x0 <= point.x <= self.x1 and self.y0 <= point.y <= self.y1

    def iou(self, other: Box) -> float:
        """Intersection over union, in [0, 1]; 0 for two empty boxes."""
        width = min(self.x1, other.x1) - max(self.x0, other.x0)
        height = min(self.y1, other.y1) - max(self.y0, other.y0)
        overlap = max(width, 0.0) * max(height, 0.0)
        union = self.area + other.area - overlap
        return overlap / union if union > 0 else 0.0


POINT = pa.struct([pa.field("x", pa.float64(), False), pa.field("y", pa.float64(), False)])
BOX = pa.struct([pa.field(name, pa.float64(), False) for name in ("x0", "y0", "x1", "y1")])

"""drawing_sequence: a drawing as the strokes that make it, in order, with the pages in between."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from schemas.anchor import AnchorKind
from schemas.base import Contract
from schemas.geometry import Box, Point
from schemas.outputs.grounded import Role, asserting, asserts
from schemas.outputs.span import Span, Text
from schemas.stream import Seconds


class Course(StrEnum):
    """Where a stroke goes, from where the pen goes down to where it lifts."""

    RIGHT = "right"
    DOWN_RIGHT = "down right"
    DOWN = "down"
    DOWN_LEFT = "down left"
    LEFT = "left"
    UP_LEFT = "up left"
    UP = "up"
    UP_RIGHT = "up right"
    ROUND = "round"
    """Back to where it began."""
    DOT = "dot"
    """Nowhere."""


class DrawnStroke(Span):
    """`index` counts from 1. `length` is the way of the pen in frame widths; `straight` when that is the way from its
    start to its end."""

    model_config = Contract.model_config | asserting(Role.SPAN, AnchorKind.STROKE)

    index: Annotated[int, Field(ge=1), asserts(Role.FREE)]
    box: Annotated[Box, asserts(Role.BOX, AnchorKind.STROKE)]
    start: Annotated[Point, asserts(Role.FREE)]
    end: Annotated[Point, asserts(Role.FREE)]
    length: Annotated[float, Field(ge=0.0), asserts(Role.VALUE, AnchorKind.STROKE)]
    course: Annotated[Course, asserts(Role.FREE)]
    straight: Annotated[bool, asserts(Role.FREE)]


class Stage(Contract):
    """The page at `time`, when `strokes` of them have been drawn."""

    time: Annotated[Seconds, asserts(Role.MOMENT, AnchorKind.STROKE)]
    strokes: Annotated[int, Field(ge=1), asserts(Role.FREE)]


class DrawingSequence(Contract):
    """`prompt` is the text that came with the drawing; without one, what to draw told by its strokes."""

    prompt: Annotated[Text, asserts(Role.FREE)]
    strokes: Annotated[tuple[DrawnStroke, ...], Field(min_length=1), asserts(Role.ORDERED)]
    stages: Annotated[tuple[Stage, ...], Field(min_length=1), asserts(Role.ORDERED)]

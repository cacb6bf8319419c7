"""spatio_temporal_vqa: questions on where and when."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from schemas.base import Contract
from schemas.constraints import Difficulty
from schemas.geometry import Box
from schemas.outputs.grounded import Role, asserting, asserts
from schemas.outputs.span import Span, Text


class PlacedKind(StrEnum):
    MOTION = "motion"
    """Something moves."""
    TURN = "turn"
    """Motion turns back."""
    TO_AND_FRO = "to_and_fro"
    CAMERA = "camera"
    """The camera pans, tilts or zooms."""
    TEXT = "text"
    """A line stands on the picture."""


class Region(StrEnum):
    """A half or quarter of the frame that holds a box, to a twentieth of the frame."""

    UPPER_LEFT = "upper left quarter"
    UPPER_RIGHT = "upper right quarter"
    LOWER_LEFT = "lower left quarter"
    LOWER_RIGHT = "lower right quarter"
    LEFT = "left half"
    RIGHT = "right half"
    UPPER = "upper half"
    LOWER = "lower half"


class PlacedEvent(Span):
    """Something measured: when, where, and which way it goes or what it says."""

    model_config = Contract.model_config | asserting(Role.SPAN)

    kind: Annotated[PlacedKind, asserts(Role.FREE)]
    box: Annotated[Box, asserts(Role.BOX)] | None = None
    region: Annotated[Region, asserts(Role.FREE)] | None = None
    direction: Annotated[Text, asserts(Role.FREE)] | None = None
    quote: Annotated[Text, asserts(Role.FREE)] | None = None


class PlaceQuestionType(StrEnum):
    WHERE = "where"
    WHEN = "when"
    DIRECTION = "direction"
    DURATION = "duration"
    ORDER = "order"


class PlaceQuestion(Contract):
    """`events`, in the order of time, are what question and answer speak of: one, or the two that ORDER compares."""

    type: Annotated[PlaceQuestionType, asserts(Role.FREE)]
    difficulty: Annotated[Difficulty, asserts(Role.FREE)]
    question: Annotated[Text, asserts(Role.FREE)]
    answer: Annotated[Text, asserts(Role.FREE)]
    events: Annotated[tuple[PlacedEvent, ...], Field(min_length=1, max_length=2), asserts(Role.ORDERED)]


class SpatioTemporalVQA(Contract):
    questions: Annotated[tuple[PlaceQuestion, ...], Field(min_length=1)]

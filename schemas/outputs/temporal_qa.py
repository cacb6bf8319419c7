"""temporal_qa: questions whose answers lie in when things happen."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from schemas.base import Contract
from schemas.constraints import Difficulty
from schemas.outputs.span import Span, Text


class QuestionType(StrEnum):
    LOCALISATION = "localisation"
    ORDERING = "ordering"
    STATE_CHANGE = "state_change"
    MULTI_EVENT = "multi_event"


class TimedEvent(Span):
    """An event the question is about. `quote` is verbatim when the event is something said or shown."""

    description: Text
    quote: str | None = None


class Question(Contract):
    """`events` stand in the order of time and carry every time and quote that question and answer use."""

    type: QuestionType
    difficulty: Difficulty
    question: Text
    answer: Text
    events: Annotated[tuple[TimedEvent, ...], Field(min_length=1)]
    count: Annotated[int, Field(ge=0)] | None = None
    """For answers that are a number of events."""


class TemporalQA(Contract):
    questions: Annotated[tuple[Question, ...], Field(min_length=1)]

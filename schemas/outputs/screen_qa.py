"""screen_qa: questions on a screen at a moment: what stands on it and where, what changed, what was done to it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from schemas.base import Contract
from schemas.constraints import Difficulty
from schemas.geometry import Box, Point
from schemas.outputs.grounded import Role, asserting, asserts
from schemas.outputs.span import Span, Text
from schemas.stream import Seconds


class ScreenQuestionType(StrEnum):
    WHERE = "where"
    """Where does a text stand?"""
    PRESENT = "present"
    """Does a text stand on this screen?"""
    APPEARED = "appeared"
    """What text is new on a later screen?"""
    CLICKED = "clicked"
    """Which element is clicked?"""
    TAPPED = "tapped"
    """Which text is tapped?"""
    TYPED = "typed"
    """What is typed?"""


class ScreenFact(Span):
    """A text, an element clicked, a tap, or typing, with its place where one was measured."""

    model_config = Contract.model_config | asserting(Role.SPAN)

    kind: Annotated[Text, asserts(Role.KIND)]
    content: Annotated[Text, asserts(Role.CONTENT)] | None = None
    box: Annotated[Box, asserts(Role.BOX)] | None = None
    point: Annotated[Point, asserts(Role.POINT)] | None = None


class ScreenQuestion(Contract):
    """`evidence` starts with what the answer is about. Of `appeared` it is all that is new; where a text is not present
    a line that stands there instead follows; where a text is tapped, the tap."""

    type: ScreenQuestionType
    difficulty: Difficulty
    frame_time: Annotated[Seconds, asserts(Role.INSTANT)]
    """The frame that the question is about; of `appeared` the later one."""
    earlier_time: Annotated[Seconds, asserts(Role.INSTANT)] | None = None
    """Of `appeared`: the frame before the change."""
    question: Text
    answer: Annotated[Text, asserts(Role.FREE)]
    evidence: Annotated[tuple[ScreenFact, ...], Field(min_length=1)]


class ScreenQA(Contract):
    questions: Annotated[tuple[ScreenQuestion, ...], Field(min_length=1)]

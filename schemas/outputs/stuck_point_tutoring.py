"""stuck_point_tutoring: the moment at which a learner is stuck, what the learner knows and asks, and what helps."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from schemas.base import Contract
from schemas.outputs.grounded import Role, asserting, asserts
from schemas.outputs.span import Line, Span, Text
from schemas.stream import Seconds


class Medium(StrEnum):
    """What the lesson goes on by."""

    BOARD = "board"
    """Lines that come on the screen."""
    SPEECH = "speech"
    """Lines that are said."""


class Pause(Span):
    """From the last line before the learner is stuck to the one that helps."""

    model_config = Contract.model_config | asserting(Role.WINDOW)


class Known(Contract):
    """A line seen or heard before the learner is stuck, and when it came: nothing of how long it stays."""

    time: Annotated[Seconds, asserts(Role.MOMENT, "text.*")]
    text: Annotated[Text, asserts(Role.FREE)]


class Help(Contract):
    """What comes at `time`: lines of the board, with what is said to them, and the frame that shows them."""

    time: Annotated[Seconds, asserts(Role.MOMENT, "text.*")]
    frame_time: Annotated[Seconds, asserts(Role.INSTANT, "text.*")]
    lines: Annotated[tuple[Line, ...], Field(min_length=1)]


class Answer(Help):
    text: Annotated[Text, asserts(Role.FREE)]


class StuckPointTutoring(Contract):
    medium: Annotated[Medium, asserts(Role.FREE)]
    pause: Pause
    frame_time: Annotated[Seconds, asserts(Role.FREE)]
    """The last moment before the help comes: nothing of it is to be seen yet."""
    known: Annotated[tuple[Known, ...], Field(min_length=1)]
    question: Annotated[Text, asserts(Role.FREE)]
    answer: Answer
    steps: Annotated[tuple[Help, ...], asserts(Role.ORDERED)] = ()
    """How the lesson goes on after the answer."""

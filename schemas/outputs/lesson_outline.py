"""lesson_outline: the sections of a lesson, one after the other, each with a heading and its points, all quoted."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from schemas.base import Contract
from schemas.outputs.grounded import Role, asserting, asserts
from schemas.outputs.span import Line, Span, Text


class Boundary(StrEnum):
    """What begins a section."""

    START = "start"
    """The recording begins."""
    PAGE = "page"
    """The screen changes in large part."""
    WRITING = "writing"
    """A line comes on the board."""
    SHOT = "shot"
    PAUSE = "pause"
    """Somebody speaks again after a pause."""


class Section(Span):
    """From its beginning to that of the next section; the last one to the end of the lesson."""

    model_config = Contract.model_config | asserting(Role.WINDOW)

    begins: Annotated[Boundary, asserts(Role.FREE)]
    heading: Line
    points: tuple[Line, ...] = ()


class LessonOutline(Contract):
    title: Annotated[Text, asserts(Role.QUOTE, "text.*")]
    sections: Annotated[tuple[Section, ...], Field(min_length=2)]

"""video_qa: questions on what a recording says, shows and does, with options taken from the same recording."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, model_validator

from schemas.base import Contract
from schemas.constraints import AnswerForm, Difficulty
from schemas.outputs.grounded import Role, asserting, asserts
from schemas.outputs.span import Span, Text
from schemas.stream import Seconds

Letter = Annotated[str, Field(pattern=r"^[A-D]$")]


class Relation(StrEnum):
    """What a question asks for, seen from the facts that it names."""

    AFTER = "after"
    """What of a kind begins next after something."""
    BEFORE = "before"
    """What of a kind began last before something."""
    FIRST = "first"
    """Which of the options begins first."""
    LAST = "last"
    AT = "at"
    """What is said or stands on screen at a moment."""
    WHEN = "when"
    COUNT = "count"
    """How many of a kind, in all or between two facts."""
    CAMERA = "camera"
    """How the camera moves in a stretch."""


class Fact(Span):
    """Something measured: its kind (`text.subtitle`, `video.cut`) and its words, over its whole span."""

    model_config = Contract.model_config | asserting(Role.SPAN)

    kind: Annotated[Text, asserts(Role.KIND)]
    content: Annotated[Text, asserts(Role.CONTENT)] | None = None


class Option(Contract):
    """`fact` is where the option stands in the recording; none for a number or a way to move."""

    letter: Annotated[Letter, asserts(Role.FREE)]
    text: Annotated[Text, asserts(Role.FREE)]
    fact: Fact | None = None


class VideoQuestion(Contract):
    """`asked` are the facts that the question names, in its order; `evidence` those that its answer rests on."""

    relation: Relation
    form: AnswerForm
    difficulty: Difficulty
    question: Text
    moment: Annotated[Seconds, asserts(Role.INSTANT)] | None = None
    """That the question names: the time of `at`."""
    asked: tuple[Fact, ...] = ()
    options: Annotated[tuple[Option, ...], Field(max_length=4)] = ()
    letter: Annotated[Letter, asserts(Role.FREE)] | None = None
    """Of the right option."""
    answer: Annotated[Text, asserts(Role.FREE)]
    evidence: tuple[Fact, ...] = ()

    @model_validator(mode="after")
    def _formed(self) -> Self:
        if self.form is AnswerForm.OPEN and (self.options or self.letter is not None):
            raise ValueError("an open question has neither options nor a letter")
        if self.form is AnswerForm.MULTIPLE_CHOICE:
            letters = [option.letter for option in self.options]
            if len(letters) < 2 or letters != list("ABCD")[: len(letters)] or self.letter not in letters:
                raise ValueError("multiple choice has two to four options, lettered from A, and the letter of one")
        return self


class VideoQA(Contract):
    questions: Annotated[tuple[VideoQuestion, ...], Field(min_length=1)]

"""What an intent asks of an output beyond its form: how many, from where, in which language, how hard."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Self

import pyarrow as pa
from pydantic import Field, model_validator

from schemas.base import Contract
from schemas.stream import Seconds

Language = Annotated[str, Field(pattern=r"^[a-z]{2}$")]
"""ISO 639-1."""


class Difficulty(StrEnum):
    EASY = "easy"
    MEDIUM = "medium"
    HARD = "hard"


class AnswerForm(StrEnum):
    MULTIPLE_CHOICE = "multiple_choice"
    OPEN = "open"
    """The answer is written out; there is nothing to choose from."""


class Count(Contract):
    """How many parts of one kind (`questions`, `steps`, `clips`) an output must have; None: no bound."""

    noun: Annotated[str, Field(min_length=1)]
    least: Annotated[int, Field(ge=0)] | None = None
    most: Annotated[int, Field(ge=0)] | None = None

    def __str__(self) -> str:
        if self.least == self.most:
            return f"exactly {self.least} {self.noun}"
        bounds = [f"at least {self.least}"] if self.least is not None else []
        bounds += [f"at most {self.most}"] if self.most is not None else []
        return f"{' and '.join(bounds)} {self.noun}"


class Window(Contract):
    """The part of each stream that is meant, in seconds; up to its end when t1 is None."""

    t0: Seconds = 0.0
    t1: Seconds | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.t1 is not None and self.t0 > self.t1:
            raise ValueError("a window needs t0 <= t1")
        return self

    def __str__(self) -> str:
        return f"from {self.t0:g} s to {'the end' if self.t1 is None else f'{self.t1:g} s'}"


class Constraints(Contract):
    """Bounds on an output that verification checks. Empty when the intent sets none."""

    counts: tuple[Count, ...] = ()
    window: Window | None = None
    language: Language | None = None
    difficulty: Difficulty | None = None
    answers: AnswerForm | None = None
    most_words: Annotated[int, Field(ge=1)] | None = None
    """Over all strings of the output."""

    def __str__(self) -> str:
        """All of them in words, for instructions and reports; empty when there is none."""
        words = [str(count) for count in self.counts]
        words += [f"only {self.window}"] if self.window else []
        words += [f"written in {self.language}"] if self.language else []
        words += [f"{self.difficulty} ones only"] if self.difficulty else []
        words += [f"{self.answers.replace('_', ' ')} answers"] if self.answers else []
        words += [f"at most {self.most_words} words"] if self.most_words else []
        return "; ".join(words)


COUNT = pa.struct([pa.field("noun", pa.string(), False), pa.field("least", pa.int64()), pa.field("most", pa.int64())])
WINDOW = pa.struct([pa.field("t0", pa.float64(), False), pa.field("t1", pa.float64())])
CONSTRAINTS = pa.struct(
    [
        pa.field("counts", pa.list_(COUNT), False),
        pa.field("window", WINDOW),
        pa.field("language", pa.string()),
        pa.field("difficulty", pa.string()),
        pa.field("answers", pa.string()),
        pa.field("most_words", pa.int64()),
    ]
)

"""grounding: what is meant on a screen, and where it stands."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from schemas.base import Contract
from schemas.geometry import Box
from schemas.outputs.grounded import Role, asserts
from schemas.outputs.span import Text
from schemas.stream import Seconds


class TargetKind(StrEnum):
    TEXT = "text"
    """A line read on the screen; the box is that of its letters."""
    ELEMENT = "element"
    """A named element that was clicked; the box is the element's."""


class GroundingPair(Contract):
    """An expression and the one place that it means in the frame at `time`.

    `others` are the boxes at which the same text stands too; the expression then says which of them is meant, counted
    from the top (from the left within one row).
    """

    time: Annotated[Seconds, asserts(Role.INSTANT)]
    kind: Annotated[TargetKind, asserts(Role.FREE)]
    expression: Text
    text: Annotated[Text, asserts(Role.CONTENT)]
    box: Annotated[Box, asserts(Role.BOX)]
    others: tuple[Annotated[Box, asserts(Role.BOX)], ...] = ()
    read_as_text: Annotated[bool, asserts(Role.FREE)] = True
    """Whether the name of an element was also read on the screen. One that was not is known by the log alone."""


class Grounding(Contract):
    pairs: Annotated[tuple[GroundingPair, ...], Field(min_length=1)]

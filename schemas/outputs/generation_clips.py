"""generation_clips: stretches of a film without a cut, each with a prompt that says what was measured in it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from schemas.anchor import AnchorKind
from schemas.base import Contract
from schemas.outputs.grounded import Role, asserting, asserts
from schemas.outputs.span import Line, Span, Text


class Edge(StrEnum):
    """What bounds a take."""

    START = "start"
    """The recording begins."""
    CUT = "cut"
    DISSOLVE = "dissolve"
    """A gradual change ends (or begins) there; nothing of it is in the take."""
    END = "end"
    """The recording ends."""


class Level(StrEnum):
    """How fast what moves is, in frame widths per second."""

    STILL = "still"
    """It stands still (`motion.stall`)."""
    SLOW = "slow"
    """Below 0.1."""
    STEADY = "steady"
    """Below 0.3."""
    FAST = "fast"


class Shot(Span):
    """The shot that a clip is taken from; `number` counts from 0."""

    model_config = Contract.model_config | asserting(Role.SPAN, AnchorKind.SHOT)

    number: Annotated[int, Field(ge=0), asserts(Role.VALUE)]


class Take(Span):
    """What of the shot can be used: all but what dissolves. It is one clip, or divided into `clips` equal ones."""

    model_config = Contract.model_config | asserting(Role.WINDOW)

    begins: Annotated[Edge, asserts(Role.FREE)]
    ends: Annotated[Edge, asserts(Role.FREE)]
    clips: Annotated[int, Field(ge=1), asserts(Role.FREE)] = 1


class SaidLine(Line):
    model_config = Contract.model_config | asserting(Role.SPAN, AnchorKind.SUBTITLE)


class ShownLine(Line):
    model_config = Contract.model_config | asserting(Role.SPAN, AnchorKind.SCREEN_TEXT)


class CameraMove(Span):
    model_config = Contract.model_config | asserting(Role.SPAN, AnchorKind.CAMERA)

    move: Annotated[Text, asserts(Role.CONTENT)]
    """`pan_left`, `pan_right`, `tilt_up`, `tilt_down`, `zoom_in` or `zoom_out`."""


class Motion(Span):
    """How what is seen moves, by the measurement that covers most of the clip and little else. `speed` is in frame
    widths per second."""

    model_config = Contract.model_config | asserting(Role.SPAN, AnchorKind.MOTION, AnchorKind.STALL)

    level: Annotated[Level, asserts(Role.FREE)]
    speed: Annotated[float, Field(ge=0.0), asserts(Role.VALUE)]
    direction: Annotated[Text, asserts(Role.CONTENT)] | None = None


class Clip(Span):
    """`place` counts the clips of a take from 0; `prompt` says only what the fields say."""

    model_config = Contract.model_config | asserting(Role.WINDOW)

    shot: Shot
    take: Take
    place: Annotated[int, Field(ge=0), asserts(Role.FREE)] = 0
    camera: tuple[CameraMove, ...] = ()
    motion: Motion | None = None
    said: tuple[SaidLine, ...] = ()
    shown: tuple[ShownLine, ...] = ()
    about: Annotated[Text, asserts(Role.QUOTE, AnchorKind.GIVEN_TEXT)] | None = None
    """The text that came with the recording."""
    prompt: Annotated[Text, asserts(Role.FREE)]


class GenerationClips(Contract):
    clips: Annotated[tuple[Clip, ...], Field(min_length=1)]

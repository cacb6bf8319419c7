"""game_generation: a request, and the frames that answer it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from schemas.anchor import AnchorKind
from schemas.base import Contract
from schemas.geometry import Box
from schemas.outputs.grounded import Role, asserting, asserts
from schemas.outputs.span import Span, Text
from schemas.stream import Seconds


class TargetFrame(Contract):
    """One frame to be generated. `caption`: the prompt or line that belongs to it, where it is not the request."""

    time: Annotated[Seconds, asserts(Role.INSTANT)]
    caption: Annotated[Text, asserts(Role.FREE)] | None = None


class FrameChange(Span):
    """Where the frame at `t1` differs from the one at `t0`, and which share of the pixels lies there and differs."""

    model_config = Contract.model_config | asserting(Role.SPAN, AnchorKind.EDIT_REGION)

    box: Annotated[Box, asserts(Role.BOX, AnchorKind.EDIT_REGION)]
    changed_share: Annotated[float, Field(ge=0.0, le=1.0), asserts(Role.VALUE, AnchorKind.EDIT_REGION)]


class GameGeneration(Contract):
    """`request` is verbatim: the text that came with the pictures, or the first prompt of a session."""

    request: Annotated[Text, asserts(Role.QUOTE, AnchorKind.GIVEN_TEXT, AnchorKind.SUBTITLE)]
    frames: Annotated[tuple[TargetFrame, ...], Field(min_length=1), asserts(Role.ORDERED)]
    changes: tuple[FrameChange, ...] = ()

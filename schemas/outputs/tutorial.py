"""tutorial: interleaved text and key frames."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from schemas.base import Contract
from schemas.outputs.span import Quote, Text
from schemas.stream import Seconds


class TextBlock(Contract):
    """A passage about the stretch t0 to t1. What it quotes stands in `quotes`, verbatim."""

    type: Literal["text"] = "text"
    t0: Seconds
    t1: Seconds
    text: Text
    quotes: tuple[Quote, ...] = ()


class FrameBlock(Contract):
    """A key frame of the stream."""

    type: Literal["frame"] = "frame"
    time: Seconds
    caption: str = ""


class Tutorial(Contract):
    """An illustrated walk through the stream, in the order of time."""

    title: Text
    blocks: Annotated[tuple[Annotated[TextBlock | FrameBlock, Field(discriminator="type")], ...], Field(min_length=2)]

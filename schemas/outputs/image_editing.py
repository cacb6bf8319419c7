"""image_editing: an instruction, where it applies, and the pictures before and after."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from schemas.base import Contract
from schemas.geometry import Box
from schemas.outputs.span import Text
from schemas.stream import Seconds


class EditedRegion(Contract):
    """Where the pictures differ, and which share of their pixels lies there and differs."""

    box: Box
    changed_share: Annotated[float, Field(ge=0.0, le=1.0)]


class ImageEditing(Contract):
    """`before_time` and `after_time` name the two pictures by their place in the stream (nominal seconds)."""

    instruction: Text
    regions: Annotated[tuple[EditedRegion, ...], Field(min_length=1)]
    before_time: Seconds
    after_time: Seconds

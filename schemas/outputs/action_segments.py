"""action_segments: a recording cut into the stretches in which one thing happens."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from schemas.base import Contract
from schemas.outputs.grounded import Role, asserting, asserts
from schemas.outputs.span import Line, Span, Text


class ActionSegment(Span):
    """One stretch. `label` is the kind of what was measured (`shot`, `activity`, `gripper_close`...), `detail` its
    content (which hand, which way the camera goes), `lines` what is said or shown meanwhile."""

    model_config = Contract.model_config | asserting(Role.SPAN)

    label: Annotated[Text, asserts(Role.KIND)]
    detail: Annotated[Text, asserts(Role.CONTENT)] | None = None
    lines: tuple[Line, ...] = ()


class ActionSegments(Contract):
    segments: Annotated[tuple[ActionSegment, ...], Field(min_length=1), asserts(Role.ORDERED)]

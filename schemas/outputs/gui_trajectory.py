"""gui_trajectory: what was done on a screen to reach a goal, from one recording or from fragments of several."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from schemas.base import Contract
from schemas.geometry import Box, Point
from schemas.outputs.span import Text
from schemas.stream import Seconds


class ActionType(StrEnum):
    TAP = "tap"
    CLICK = "click"
    DOUBLE_CLICK = "double_click"
    RIGHT_CLICK = "right_click"
    DRAG = "drag"
    SWIPE = "swipe"
    SCROLL = "scroll"
    TYPE = "type"
    HOTKEY = "hotkey"
    NAVIGATE = "navigate"
    """The screen changed without a mark or event that shows how."""


class Action(Contract):
    """`text`: what was typed, or the keys; `direction`: where content or pointer went; `count`: how many times."""

    type: ActionType
    point: Point | None = None
    end_point: Point | None = None
    text: str | None = None
    direction: str | None = None
    count: Annotated[int, Field(ge=1)] | None = None


class Target(Contract):
    """What was acted upon: its text, its box, or both."""

    text: str | None = None
    box: Box | None = None


class Step(Contract):
    """`observation_time` is that of the last distinct frame before the action, so that no future leaks in."""

    index: Annotated[int, Field(ge=0)]
    source: Text
    observation_time: Seconds
    action_time: Seconds
    action: Action
    target: Target | None = None
    reason: Text


class LinkBasis(StrEnum):
    CLOCK = "clock"
    SCREEN = "screen"
    TEXT = "text"


class LinkFact(Contract):
    """One fact that ties the end of one source to the beginning of the next: what stood there and what stands here.

    CLOCK: the two clock readings. SCREEN: signatures of the two screens. TEXT: the words both share.
    """

    basis: LinkBasis
    before: Text
    before_time: Seconds
    after: Text
    after_time: Seconds


class Link(Contract):
    """Why one source follows another."""

    source: Text
    next_source: Text
    facts: Annotated[tuple[LinkFact, ...], Field(min_length=1)]


class Discarded(Contract):
    """A source that does not belong to the task. Quotes in `reason` stand in `texts`."""

    source: Text
    reason: Text
    texts: tuple[str, ...] = ()


class Omitted(Contract):
    """An action that was left out of the steps, and why (without effect, repeated, a stray frame)."""

    source: Text
    time: Seconds
    reason: Text


class GuiTrajectory(Contract):
    """`source_order` lists the names of the streams used, first to last; steps follow it."""

    goal: Text
    source_order: Annotated[tuple[Text, ...], Field(min_length=1)]
    steps: Annotated[tuple[Step, ...], Field(min_length=1)]
    links: tuple[Link, ...] = ()
    discarded: tuple[Discarded, ...] = ()
    omitted: tuple[Omitted, ...] = ()

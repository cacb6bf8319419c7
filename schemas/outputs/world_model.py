"""world_model: what was the case, what was done, what was the case then."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from schemas.anchor import AnchorKind
from schemas.base import Contract
from schemas.geometry import Box, Point
from schemas.outputs.grounded import Role, asserts
from schemas.outputs.span import Text
from schemas.stream import Seconds

SCENE = "scene"
"""Subject of what is measured in the picture as a whole."""


class Condition(StrEnum):
    """What can be measured of a state."""

    OPEN = "open"
    CLOSED = "closed"
    IN_CONTACT = "in_contact"
    """The command of the gripper goes on where the gripper has stopped: it holds something."""
    MOVING = "moving"
    STILL = "still"
    TURNING = "turning"
    """It turns back in this very frame."""
    IN_FRONT = "in_front"
    """Of a window."""


class StateFact(Contract):
    """`subject` is the hand, group of joints or window that the fact is about, or `scene`. `since`: when what was
    measured began or was done; None for a posture that only the change which begins now shows."""

    subject: Annotated[Text, asserts(Role.FREE)]
    condition: Annotated[Condition, asserts(Role.FREE)]
    since: Annotated[Seconds, asserts(Role.FREE)] | None = None


class VisibleLine(Contract):
    """A line on the screen, verbatim."""

    text: Annotated[Text, asserts(Role.CONTENT, AnchorKind.SCREEN_TEXT)]
    box: Annotated[Box, asserts(Role.BOX, AnchorKind.SCREEN_TEXT)]


class State(Contract):
    """What was measured up to the frame at `time`: nothing here is later."""

    time: Annotated[Seconds, asserts(Role.INSTANT)]
    facts: tuple[StateFact, ...] = ()
    lines: tuple[VisibleLine, ...] = ()


class ActionType(StrEnum):
    CLOSE_GRIPPER = "close_gripper"
    OPEN_GRIPPER = "open_gripper"
    MOVE = "move"
    """Something moves all the time, and no gripper opens or closes."""
    TURN_BACK = "turn_back"
    """A move that begins by turning back."""
    REST = "rest"
    """Nothing moves."""
    CLICK = "click"
    DOUBLE_CLICK = "double_click"
    RIGHT_CLICK = "right_click"
    DRAG = "drag"
    SCROLL = "scroll"
    TYPE = "type"
    HOTKEY = "hotkey"
    TAP = "tap"
    SWIPE = "swipe"


class MeasuredAction(Contract):
    """`target`: the hand, the group of joints or the element acted with or upon. `text`: what was typed, or the keys.
    `direction`: where the motion or the view went. `count`: turns of the wheel."""

    type: Annotated[ActionType, asserts(Role.FREE)]
    t0: Annotated[Seconds, asserts(Role.FREE)]
    t1: Annotated[Seconds, asserts(Role.FREE)]
    target: Annotated[Text, asserts(Role.FREE)] | None = None
    text: Annotated[Text, asserts(Role.FREE)] | None = None
    direction: Annotated[Text, asserts(Role.FREE)] | None = None
    count: Annotated[int, Field(ge=1), asserts(Role.FREE)] | None = None
    point: Annotated[Point, asserts(Role.FREE)] | None = None
    end_point: Annotated[Point, asserts(Role.FREE)] | None = None


class Transition(Contract):
    """One step of the world: the frame before, what was done, the frame after."""

    state: State
    action: MeasuredAction
    next_state: State


class WorldModel(Contract):
    """`task` is the text that came with the recording."""

    task: Annotated[Text, asserts(Role.QUOTE, AnchorKind.GIVEN_TEXT)] | None = None
    transitions: Annotated[tuple[Transition, ...], Field(min_length=1), asserts(Role.ORDERED)]

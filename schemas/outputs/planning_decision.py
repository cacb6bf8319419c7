"""planning_decision: where things stood, what threatened, what was decided, and what followed or should have."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from schemas.anchor import AnchorKind
from schemas.base import Contract
from schemas.outputs.fault_recovery import Fault
from schemas.outputs.grounded import Role, asserts
from schemas.outputs.span import Text
from schemas.outputs.world_model import MeasuredAction, StateFact
from schemas.stream import Seconds


class Situation(Contract):
    """What was known at the moment of the decision: `facts` hold then, `history` was over by then."""

    facts: Annotated[tuple[StateFact, ...], Field(min_length=1)]
    history: tuple[MeasuredAction, ...] = ()


class RiskType(StrEnum):
    OSCILLATION = "oscillation"
    """Motion goes to and fro over one place."""
    REVERSAL = "reversal"
    """A group of joints, or what moves in the picture, turns back."""
    STALL = "stall"
    """What moved stands still."""
    SECOND_GRASP = "second_grasp"
    """A hand that has closed, and opened, closes again."""


class Risk(Contract):
    """Something that went wrong in this recording, as measured. `subject`: the hand or group of joints; `detail`: what
    was measured of a to-and-fro or turn (`same way back`)."""

    type: Annotated[RiskType, asserts(Role.FREE)]
    t0: Annotated[Seconds, asserts(Role.FREE)]
    t1: Annotated[Seconds, asserts(Role.FREE)]
    subject: Annotated[Text, asserts(Role.FREE)] | None = None
    detail: Annotated[Text, asserts(Role.FREE)] | None = None


class Choice(StrEnum):
    GO_ON = "go_on"
    """The plan is what was done next."""
    CORRECT = "correct"
    """What was done next went wrong: the plan is what should be done instead."""


class PlanStep(Contract):
    """Either `action`, which was done in this recording, or `advice`, which was not."""

    action: MeasuredAction | None = None
    advice: Annotated[Text, asserts(Role.FREE)] | None = None
    reason: Annotated[Text, asserts(Role.FREE)]


class Decision(Contract):
    """`fault` names what the risks amount to; None where nothing went wrong."""

    time: Annotated[Seconds, asserts(Role.MOMENT)]
    situation: Situation
    fault: Annotated[Fault, asserts(Role.FREE)] | None = None
    risks: tuple[Risk, ...] = ()
    choice: Annotated[Choice, asserts(Role.FREE)]
    reason: Annotated[Text, asserts(Role.FREE)]
    plan: Annotated[tuple[PlanStep, ...], Field(min_length=1)]


class PlanningDecision(Contract):
    """`task` is the text that came with the recording."""

    task: Annotated[Text, asserts(Role.QUOTE, AnchorKind.GIVEN_TEXT)] | None = None
    decisions: Annotated[tuple[Decision, ...], Field(min_length=1), asserts(Role.ORDERED)]

"""fault_recovery: what went wrong in a manipulation, when it could have been seen, and how it should have gone on."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from schemas.base import Contract
from schemas.outputs.span import Span, Text
from schemas.stream import Seconds


class Fault(StrEnum):
    HESITATION_LOOP = "hesitation_loop"
    """Back-and-forth motion without progress."""
    UNSTABLE_GRASP = "unstable_grasp"
    """A grasp slips and is tried again."""
    EARLY_STAGNATION = "early_stagnation"
    """Motion stops before the target is reached."""


class Observation(Span):
    """A measured fact that the diagnosis rests on."""

    description: Text


class CorrectedStep(Contract):
    """One step of the continuation that should have followed."""

    action: Text
    purpose: Text


class FaultRecovery(Contract):
    """`recall_time` is the last moment before the fault at which an agent should look again and change its plan."""

    fault: Fault
    span: Span
    observations: Annotated[tuple[Observation, ...], Field(min_length=1)]
    diagnosis: Text
    reasoning: Text
    recall_time: Seconds
    corrected_continuation: Annotated[tuple[CorrectedStep, ...], Field(min_length=1)]

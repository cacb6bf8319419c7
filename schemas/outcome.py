"""How every piece of work ends: done, filtered (why) or failed (why). Nothing is dropped; what a budget does not cover
is postponed, which is no end."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated

import pyarrow as pa
from pydantic import Field

from schemas.base import Contract
from schemas.errors import PROBLEM_SCHEMA, Problem
from schemas.score import SCORE_SCHEMA, Score
from schemas.stream import Seconds
from schemas.task_spec import Name
from schemas.usage import USAGE, Usage


class Outcome(StrEnum):
    """The three ends, and the one that is none."""

    DONE = "done"
    FILTERED = "filtered"
    FAILED = "failed"
    POSTPONED = "postponed"
    """The budget was met before: the next run takes it up."""


ENDS = (Outcome.DONE, Outcome.FILTERED, Outcome.FAILED)


class UnitOutcome(Contract):
    """The end of one unit of work: one group of streams under one task spec.

    A unit is done when it published a triplet, filtered when nothing could be made (`problem` says why) or when
    what was made did not verify (`score` and `output` are the rejected ones), failed when it broke.
    """

    unit: str
    slot: str
    """What the unit is about, by location: stream URIs, intent and task type. A newer unit in the same slot (changed
    content, changed recipe) replaces the older one's row in the next snapshot."""
    group: str
    task_type: Name
    outcome: Outcome
    streams: tuple[str, ...]
    """SHA-256 of each stream of the group."""
    triplet: str | None = None
    problem: Problem | None = None
    score: Score | None = None
    output: str | None = None
    usage: Usage = Usage()
    """What was asked of models for it, whatever came of it."""
    trail: str | None = None
    """What passed between DataClaw and a model where no triplet holds it: a :class:`schemas.trail.Trail` as JSON."""


class InputOutcome(Contract):
    """The end of one input (a stream, or a file that should have been one) in one run."""

    uri: str
    sha256: str | None
    outcome: Outcome
    reasons: tuple[str, ...] = ()


class Cost(Contract):
    """What one stage or expert used: seconds of wall and CPU time, and how often it was called."""

    stage: str
    wall: Seconds
    cpu: Seconds
    calls: Annotated[int, Field(ge=0)]


class RunState(StrEnum):
    RUNNING = "running"
    COMPLETED = "completed"
    COMPLETED_WITH_REJECTS = "completed with rejects"
    INTERRUPTED = "interrupted"
    FAILED = "failed"


class RunReport(Contract):
    """What one build did. Its inputs (`inputs` and `inputs_settled`) = done + filtered + failed, always."""

    run: str
    name: str
    corpus: str
    recipe_hash: str
    state: RunState
    started: datetime
    ended: datetime | None = None
    inputs: tuple[InputOutcome, ...] = ()
    """Those that this run looked at."""
    inputs_settled: Annotated[int, Field(ge=0)] = 0
    """Those that it passed over: all that is asked of them was done by earlier runs."""
    units_done: int = 0
    units_filtered: int = 0
    units_failed: int = 0
    units_postponed: int = 0
    """Units for which the budget did not last."""
    units_known: int = 0
    """Units that an earlier run had ended: no work was done for them."""
    segments_extracted: int = 0
    segments_known: int = 0
    stream_seconds: Seconds = 0.0
    snapshot: int | None = None
    rows: int = 0
    costs: tuple[Cost, ...] = ()
    usage: Usage = Usage()
    ambiguous: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Intents that name no form, or several, with the task types that they were taken for."""
    message: str = ""

    @property
    def inputs_found(self) -> int:
        return len(self.inputs) + self.inputs_settled

    def count(self, outcome: Outcome) -> int:
        looked_at = sum(1 for item in self.inputs if item.outcome is outcome)
        return looked_at + (self.inputs_settled if outcome is Outcome.DONE else 0)

    @property
    def usable(self) -> bool:
        """Whether a build gave what it was run for: it did not fail, and at least one input could be used."""
        ended_well = self.state in (RunState.COMPLETED, RunState.COMPLETED_WITH_REJECTS)
        return ended_well and self.count(Outcome.DONE) + self.count(Outcome.POSTPONED) > 0

    @property
    def ends(self) -> dict[Outcome, int]:
        """How many inputs ended how; those that wait for budget only where there are some."""
        counts = {outcome: self.count(outcome) for outcome in Outcome}
        return {outcome: number for outcome, number in counts.items() if number or outcome in ENDS}


COST = pa.struct(
    [
        pa.field("stage", pa.string(), False),
        pa.field("wall", pa.float64(), False),
        pa.field("cpu", pa.float64(), False),
        pa.field("calls", pa.int64(), False),
    ]
)
UNIT_OUTCOME_SCHEMA = pa.schema(
    [
        pa.field("unit", pa.string(), False),
        pa.field("slot", pa.string(), False),
        pa.field("group", pa.string(), False),
        pa.field("task_type", pa.string(), False),
        pa.field("outcome", pa.string(), False),
        pa.field("streams", pa.list_(pa.string()), False),
        pa.field("triplet", pa.string()),
        pa.field("problem", pa.struct(list(PROBLEM_SCHEMA))),
        pa.field("score", pa.struct(list(SCORE_SCHEMA))),
        pa.field("output", pa.large_string()),
        pa.field("usage", USAGE, False),
        pa.field("trail", pa.large_string()),
    ]
)

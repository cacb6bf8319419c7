"""DataClaw-val as it stands in files: the manifest of a frozen set, and what came of asking a model its questions."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

import pyarrow as pa
from pydantic import Field

from schemas.base import Contract
from schemas.manifest import Shard
from schemas.recipe import ModelSpec
from schemas.sample_score import SAMPLE_SCORE_SCHEMA, SampleScore
from schemas.score import SCORE_SCHEMA, Score
from schemas.stream import Sha256
from schemas.usage import USAGE, Usage


class Subset(StrEnum):
    """The two parts of the set."""

    CLEAR = "clear"
    """The task is said: a published row is asked for."""
    FUZZY = "fuzzy"
    """DataClaw-Intent: a vague or ambiguous request, with every reading of it that is acceptable."""


class ValManifest(Contract):
    """What a set consists of. The same draw from the same snapshot gives the same manifest."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$")]
    version: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$")]
    format: Literal[1] = 1
    digest: Sha256
    """Of what the rows say and show, in their order: equal for equal streams, wherever and whenever it was drawn."""
    seed: int
    size: Annotated[int, Field(ge=1)]
    """Clear examples asked for; there may be fewer."""
    corpus: str
    """Name of the corpus it was drawn from."""
    snapshot: Annotated[int, Field(ge=1)]
    files: dict[Subset, Shard]
    counts: dict[Subset, dict[str, dict[str, int]]]
    """Clear: rows by domain and task type. Fuzzy: requests by domain and by what leaves them open."""
    written_by: dict[str, int]
    """True outputs by the backend or model that wrote them."""
    dataclaw_version: str

    @property
    def title(self) -> str:
        return f"{self.name} {self.version}"


class AnswerState(StrEnum):
    """How a question ended."""

    ANSWERED = "answered"
    DECLINED = "declined"
    """There is no answer: it was refused, was not understood, does not fit, or cannot be made. Scores 0."""
    FAILED = "failed"
    """No answer could be had. Scores 0; the next run asks again."""


class Answer(Contract):
    """What a model gave for a sample."""

    sample: str
    state: AnswerState
    output: str = ""
    """As it came: it need not be JSON."""
    why: str = ""
    """Why there is no output."""
    readings: tuple[str, ...] = ()
    """Task types that a fuzzy request was taken for, best first; the last one was written, those before it could not
    be made."""
    usage: Usage = Usage()
    seconds: Annotated[float, Field(ge=0.0)] = 0.0
    """From the question to its end, waiting for others included."""
    told: bool | None = None
    """Whether the question told all that the true output states; None where nothing was asked of a model, or no one
    output is the true one."""


class ValRecord(Contract):
    """One sample of a run: what was answered, and what it is worth."""

    subset: Subset
    answer: Answer
    score: SampleScore
    """Of a fuzzy request: against the acceptable reading that the output meets best."""
    acceptable: bool | None
    """Whether the best reading is an acceptable one; None for clear examples."""
    verified: Score | None
    """The verifier's reward of the output, with the claims that no fact carries; None for fuzzy requests."""


class ValRun(Contract):
    """One model over a whole set: what stands beside its records."""

    label: str
    """What the model is called in reports."""
    identity: Sha256
    """Digest of all that its answers depend on."""
    backend: str
    model: str | None
    settings: ModelSpec | None
    prompt_version: str | None
    val: str
    """Title of the set."""
    val_digest: Sha256
    ended: datetime
    dataclaw_version: str
    asked: Annotated[int, Field(ge=0)]
    """Questions that this run put; the others were answered in an earlier one."""

    def as_metadata(self) -> dict[bytes, bytes]:
        """For the footer of a Parquet file."""
        return {RUN_KEY: self.model_dump_json().encode()}

    @classmethod
    def of_metadata(cls, metadata: dict[bytes, bytes]) -> ValRun:
        return cls.model_validate_json(metadata[RUN_KEY])


RUN_KEY = b"dataclaw.val_run"
_ANSWER: Any = pa.struct(
    [
        pa.field("sample", pa.string(), False),
        pa.field("state", pa.string(), False),
        pa.field("output", pa.large_string(), False),
        pa.field("why", pa.string(), False),
        pa.field("readings", pa.list_(pa.string()), False),
        pa.field("usage", USAGE, False),
        pa.field("seconds", pa.float64(), False),
        pa.field("told", pa.bool_()),
    ]
)
VAL_RECORD_SCHEMA = pa.schema(
    [
        pa.field("subset", pa.string(), False),
        pa.field("answer", _ANSWER, False),
        pa.field("score", pa.struct(list(SAMPLE_SCORE_SCHEMA)), False),
        pa.field("acceptable", pa.bool_()),
        pa.field("verified", pa.struct(list(SCORE_SCHEMA))),
    ]
)

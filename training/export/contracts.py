"""What an export is asked for, and what it says of itself in `export.json`."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from schemas.base import Contract
from schemas.errors import UsageError
from schemas.manifest import Shard
from schemas.recipe import ModelSpec
from schemas.stream import Domain
from schemas.task_spec import Name
from schemas.triplet import Split

_DEFAULT = ModelSpec(name="any")


class Options(Contract):
    """What is exported, and how a model would be asked. The same corpus under the same options gives the same bytes."""

    format: Name
    split: Split | None = None
    """None: both, apart."""
    brief: bool = _DEFAULT.brief
    anchor_tokens: int = _DEFAULT.anchor_tokens
    frames: int = _DEFAULT.frames
    """0: text alone; messages then hold plain strings and there is no column for pictures."""
    image_side: int = _DEFAULT.image_side
    tokenizer: str | None = None
    """Folder or hub id of the model that counts tokens. None: they are not counted."""
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    """Of prompt and completion; longer rows are left out, since a completion that is cut off teaches broken JSON."""
    weights: dict[Domain, Annotated[float, Field(gt=0.0)]] = Field(default_factory=dict)
    """Of domains against each other; 1 for those that are not named."""

    @model_validator(mode="after")
    def _countable(self) -> Self:
        if self.max_tokens is not None and self.tokenizer is None:
            raise UsageError("--max-tokens", "nothing says how tokens are counted", "Add --tokenizer FOLDER")
        return self

    @property
    def model(self) -> ModelSpec:
        """The options as those of a model that a build would ask."""
        return ModelSpec(
            name=self.tokenizer or _DEFAULT.name,
            brief=self.brief,
            anchor_tokens=self.anchor_tokens,
            frames=self.frames,
            image_side=self.image_side,
        )


class Reason(StrEnum):
    """Why a row is left out."""

    TOO_LONG = "too long"
    UNTOLD = "not told"
    """Its output states what its question does not tell."""
    UNKNOWN_TASK = "unknown task type"
    BROKEN = "broken"
    """It is no triplet, its output no JSON, or one of its pictures no picture."""


class LeftOut(Contract):
    """A row that is not in the export: a line of `left_out/`."""

    id: str
    split: str
    reason: Reason
    cause: str


class Part(Contract):
    """One split of an export."""

    rows: int
    pictures: int
    prompt_tokens: int | None
    completion_tokens: int | None
    by_domain: dict[str, int]
    by_task_type: dict[str, int]
    weights: dict[str, float]
    """Of a row of each domain; their mean over the rows of the split is 1, before any is left out."""
    shards: tuple[Shard, ...]


class Export(Contract):
    """`export.json`, which is written last: where it is missing there is no whole export."""

    version: Literal[1] = 1
    corpus: str
    """Its id, which stays the same when it is moved."""
    corpus_name: str
    snapshot: int
    dataclaw_version: str
    prompt_version: str
    created: datetime
    options: Options
    splits: dict[Split, Part]
    left_out: dict[Reason, int]
    """The rows themselves stand in `left_out/`."""
    files: dict[str, str]
    """SHA-256 of the files that are no shards, by path; pictures beside shards are named by theirs."""

    @property
    def rows(self) -> int:
        return sum(part.rows for part in self.splits.values())

"""What builds and trainings tell the world about corpora and models: typed payloads of events, on which triggers start
other work.

An event's name is part of its contract: whoever waits for it writes it into a trigger.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

from pydantic import Field

from schemas.base import Contract
from schemas.manifest import Statistics
from schemas.recipe import Growth

Count = Annotated[int, Field(ge=0)]


class CorpusSize(Contract):
    """How much there is, and of how many kinds."""

    rows: Count = 0
    task_types: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()

    @classmethod
    def of(cls, statistics: Statistics) -> Self:
        """The size of a snapshot."""
        return cls(
            rows=statistics.rows,
            task_types=tuple(sorted(statistics.by_task_type)),
            domains=tuple(sorted(statistics.by_domain)),
        )


class CorpusEvent(Contract):
    """What every event says: which corpus, where it lies, and the run that speaks."""

    name: ClassVar[str]

    corpus: str
    """Folder or URI."""
    corpus_id: str
    recipe: str
    run: str


class CorpusPublished(CorpusEvent):
    """A snapshot appeared."""

    name: ClassVar[str] = "dataclaw.corpus.published"

    snapshot: Annotated[int, Field(ge=1)]
    size: CorpusSize


class CorpusGrew(CorpusEvent):
    """A corpus has grown past its recipe's threshold since growth was last acted upon."""

    name: ClassVar[str] = "dataclaw.corpus.grew"

    snapshot: Annotated[int, Field(ge=1)]
    since: int | None
    """The snapshot that was last acted upon; None when none was."""
    rows: int
    """More than then; below 0 where another kind grew and rows went."""
    task_types: tuple[str, ...]
    """New ones."""
    domains: tuple[str, ...]
    """New ones."""


class QuarantineExceeded(CorpusEvent):
    """Of the inputs of a run, more could not be read than its recipe allows."""

    name: ClassVar[str] = "dataclaw.corpus.quarantine_exceeded"

    inputs: Count
    failed: Count
    share: Annotated[float, Field(ge=0.0, le=1.0)]
    limit: Annotated[float, Field(ge=0.0, le=1.0)]


class VerificationFailed(Contract):
    """Rows of a snapshot that was published no longer prove what they say."""

    name: ClassVar[str] = "dataclaw.corpus.verification_failed"

    corpus: str
    """Folder or URI."""
    corpus_id: str
    snapshot: Annotated[int, Field(ge=1)]
    rows: Count
    """Drawn and checked."""
    seed: int
    """Draws them again."""
    failures: Annotated[int, Field(ge=1)]
    first: str
    """The first of the failures, in words."""


class ModelEvent(Contract):
    """What every event about a registered model says: which version, and the catalog that it is in."""

    name: ClassVar[str]

    model: str
    """`NAME@NUMBER`."""
    corpus: str
    """Folder or URI of the corpus that it was trained on."""
    catalog: str | None
    """URL of the database that it is registered in; None: the file inside the corpus."""


class ModelRegistered(ModelEvent):
    """A candidate was registered."""

    name: ClassVar[str] = "dataclaw.model.registered"

    snapshot: Annotated[int, Field(ge=1)]


class ModelBenchmarked(ModelEvent):
    """A candidate was measured."""

    name: ClassVar[str] = "dataclaw.model.benchmarked"

    over: str | None
    """The version that was current then, measured on the same samples; None when none was."""
    val: str
    """Title of the set."""
    mean: Annotated[float, Field(ge=0.0, le=1.0)]
    """Of all levels over all samples."""


class ModelPromoted(ModelEvent):
    """A candidate became the current version."""

    name: ClassVar[str] = "dataclaw.model.promoted"

    over: str | None
    """The version whose place it took."""


class ActedUpon(Contract):
    """The state of a corpus at which its growth was last acted upon."""

    snapshot: Annotated[int, Field(ge=1)]
    size: CorpusSize


def past(threshold: Growth, size: CorpusSize, before: CorpusSize) -> bool:
    """Whether the growth between two sizes reaches a recipe's threshold: in rows, in task types or in domains."""
    return (
        size.rows - before.rows >= threshold.rows
        or len(set(size.task_types) - set(before.task_types)) >= threshold.task_types
        or len(set(size.domains) - set(before.domains)) >= threshold.domains
    )

"""What a synthesis agent is: it knows one task type, and turns evidence into a structured output."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from pydantic import BaseModel

from schemas.anchor import FactualAnchor
from schemas.base import canonical_json
from schemas.score import Claim, Support
from schemas.stream import Domain, Stream
from schemas.task_spec import TaskSpec


@dataclass(frozen=True)
class Evidence:
    """What an agent works from: the streams, the anchors measured in them, the task. Never pixels.

    Anchors are sorted by stream (in the order of `streams`), t0, t1 and kind.
    """

    streams: tuple[Stream, ...]
    anchors: tuple[FactualAnchor, ...]
    spec: TaskSpec

    @cached_property
    def by_stream(self) -> Mapping[str, tuple[FactualAnchor, ...]]:
        """Anchors of each stream, by its SHA-256."""
        groups: dict[str, list[FactualAnchor]] = {stream.sha256: [] for stream in self.streams}
        for anchor in self.anchors:
            groups[anchor.stream].append(anchor)
        return {key: tuple(value) for key, value in groups.items()}

    def of(self, *kinds: str, stream: str | None = None) -> list[FactualAnchor]:
        """Anchors of the given kinds, of one stream or of all."""
        pool: Sequence[FactualAnchor] = self.anchors if stream is None else self.by_stream[stream]
        return [anchor for anchor in pool if anchor.kind in kinds]

    def stream_named(self, name: str) -> Stream | None:
        """The stream that outputs call `name`; names are unique within a group."""
        return next((stream for stream in self.streams if stream.name == name), None)


class Agent(ABC):
    """A task type. One file per agent; `synthesis/agents/roster.py` lists them.

    `compose` is the rules backend: it reorganises anchors and invents nothing. `claims` finds every checkable
    assertion of an output, whoever wrote it; the verifier checks them. Both are pure.
    """

    task_type: ClassVar[str]
    version: ClassVar[str]
    domains: ClassVar[frozenset[Domain]]
    output: ClassVar[type[BaseModel]]
    """Phi."""

    @classmethod
    def output_schema(cls) -> str:
        """Phi as canonical JSON Schema (2020-12)."""
        return canonical_json(cls.output.model_json_schema())

    @abstractmethod
    def compose(self, evidence: Evidence) -> BaseModel:
        """Makes the output from anchors alone.

        Raises:
            schemas.errors.UnsuitedError: nothing of this type can honestly be made from this evidence; says why.
        """

    @abstractmethod
    def claims(self, output: Any, streams: Sequence[Stream]) -> list[Claim]:
        """Every time, box, quote, order and count that a schema-valid output asserts (parsed JSON, not a model)."""

    @abstractmethod
    def repair(self, output: BaseModel, unsupported: Sequence[Support], evidence: Evidence) -> BaseModel | None:
        """Takes what is unsupported out of an output; None when nothing worth having is left."""

    @abstractmethod
    def evidence_times(self, output: Any, streams: Sequence[Stream]) -> list[tuple[str, float]]:
        """The frames the output rests on, as (stream SHA-256, seconds), most important first."""

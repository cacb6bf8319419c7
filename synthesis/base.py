"""What a synthesis agent is: it knows one task type, and turns evidence into a structured output."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ValidationError

from schemas.anchor import FactualAnchor
from schemas.base import schema_json
from schemas.constraints import AnswerForm, Constraints
from schemas.score import Claim, Support
from schemas.stream import Domain, Stream, TrackKind
from schemas.task_spec import TaskSpec
from synthesis.verification.grounding import grounded_claims, schema_of, times_of

Made = TypeVar("Made")


@dataclass(frozen=True)
class Evidence:
    """What an agent works from: the streams, the anchors measured in them, the task. Never pixels.

    Anchors are sorted by stream (in the order of `streams`), t0, t1 and kind.
    """

    streams: tuple[Stream, ...]
    anchors: tuple[FactualAnchor, ...]
    spec: TaskSpec
    _made: dict[object, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

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

    def once(self, make: Callable[[Evidence, str], Made], stream: str) -> Made:
        """What a function makes of one stream of this evidence, made once however often it is asked for."""
        if (make, stream) not in self._made:
            self._made[make, stream] = make(self, stream)
        made: Made = self._made[make, stream]
        return made

    def stream_named(self, name: str) -> Stream | None:
        """The stream that outputs call `name`; names are unique within a group."""
        return next((stream for stream in self.streams if stream.name == name), None)


@dataclass(frozen=True)
class Recognition:
    """How a task type is recognised in an intent, and what it asks of an input.

    `names` are words that name the form, `hints` words that go with it (regular expressions over the lower-cased
    sentence); `examples` are sentences that ask for it, for comparison by meaning.
    """

    instruction: str
    """What the task is, as one self-contained sentence; the user's own words are added to it."""
    names: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    prior: Mapping[Domain, float] = field(default_factory=dict)
    """How much a domain suggests it when nothing is named, in [0, 0.5)."""
    needs: frozenset[TrackKind] = frozenset()
    """It needs a track of any of these kinds."""
    joins: tuple[str, ...] = ()
    """Words that ask for one sample from all streams together."""


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
    recognition: ClassVar[Recognition]
    experts: ClassVar[tuple[str, ...]] = ()
    """Experts that it needs beside those of the domain, where the recipe names none."""
    joins: ClassVar[bool] = False
    """It can make one output of several streams."""
    parts: ClassVar[Mapping[str, str]] = {}
    """What an intent can count in an output: noun (plural) to the top-level list that holds them."""
    answers: ClassVar[frozenset[AnswerForm]] = frozenset({AnswerForm.OPEN})
    """How its questions, if it has any, can be answered."""
    divisible: ClassVar[bool] = True
    """Items of these lists stand for themselves: some may be left out."""
    instead: ClassVar[tuple[str, ...]] = ()
    """Forms that serve the same wish, made of a stream of which this one cannot be made."""

    @classmethod
    @cache
    def output_schema(cls) -> str:
        """Phi as JSON Schema (2020-12). Made once per type: every score reads it."""
        return schema_json(cls.output.model_json_schema())

    @property
    def schema(self) -> str:
        """The schema whose marks say what an output asserts: that of the type, whatever a row's spec holds."""
        return self.output_schema()

    def bound_to(self, spec: TaskSpec) -> Agent:
        """The agent for one spec; another one where the form is not fixed by the type."""
        return self

    @classmethod
    def joinable(cls, streams: Sequence[Stream]) -> bool:
        """Whether it can make one output of just these streams."""
        return cls.joins

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

    def breaches(self, output: Any, constraints: Constraints) -> list[str]:
        """What an output breaks of the constraints that only this agent can read, as `JSON pointer: message`."""
        return []


class GroundedAgent(Agent):
    """An agent whose output says by marks in its schema what its fields assert (`schemas/outputs/grounded.py`).

    What is left to write is `compose`. `parts` must name the lists from which single items may be taken out.
    """

    def claims(self, output: Any, streams: Sequence[Stream]) -> list[Claim]:
        return grounded_claims(output, schema_of(self.schema), streams)

    def repair(self, output: BaseModel, unsupported: Sequence[Support], evidence: Evidence) -> BaseModel | None:
        """Items of the lists in `parts` that hold an unsupported claim go; a claim outside of them cannot be mended,
        nor one inside where the items stand only together (not `divisible`)."""
        if not self.divisible:
            return None
        kept = output.model_dump()
        wrong: dict[str, set[int]] = {}
        for support in unsupported:
            place = re.match(r"/([^/]+)/(\d+)", support.path)
            if place is None or place[1] not in self.parts.values():
                return None
            wrong.setdefault(place[1], set()).add(int(place[2]))
        for name, places in wrong.items():
            kept[name] = [item for place, item in enumerate(kept[name]) if place not in places]
        try:
            return self.output.model_validate(kept)
        except ValidationError:
            return None

    def evidence_times(self, output: Any, streams: Sequence[Stream]) -> list[tuple[str, float]]:
        return times_of(output, schema_of(self.schema), streams)

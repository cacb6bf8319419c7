"""Models as the registry knows them: what they are made of, what they come from, how good they are, and their state."""

from __future__ import annotations

import re
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from schemas.base import Contract, digest
from schemas.errors import UsageError
from schemas.manifest import inside
from schemas.recipe import REGISTERED, ModelSpec
from schemas.stream import Domain, Sha256
from schemas.task_spec import Name

ModelName = Annotated[Name, Field(max_length=64)]
Expertise = Literal["omni"] | Domain
"""What one model is for: all domains, or one."""
ModelKind = Expertise | Literal["experts"]
"""One model, or a set of experts on one base with their router."""
ADAPTER = "adapter_config.json"
"""A folder with this file holds an adapter."""
EXPERTS, ROUTER = "experts.json", "router.json"
"""A folder with these files holds a set of experts, each in a folder named for its expertise; one without any of the
three, a whole model."""
_REFERENCE = re.compile(r"([a-z][a-z0-9_]*)(?:@([1-9][0-9]*))?")


class ModelState(StrEnum):
    """How a version stands."""

    CANDIDATE = "candidate"
    """Registered, and not in use."""
    CURRENT = "current"
    """What `model:NAME` stands for. There is at most one of each name and kind."""
    RETIRED = "retired"
    """Replaced, rolled back, or given up. A recipe that names its number can use it still."""


class ModelFile(Contract):
    """A file of a model; `path` is relative to its folder."""

    path: str
    sha256: Sha256
    size: Annotated[int, Field(ge=0)]

    @field_validator("path")
    @classmethod
    def _inside(cls, path: str) -> str:
        return inside(path)


class Base(Contract):
    """The model that was tuned: a hub id or folder, and what tells that it is still the same."""

    name: Annotated[str, Field(min_length=1)]
    fingerprint: Annotated[str, Field(min_length=1)]
    """Of a hub id, the commit of its repository; of a folder, a digest of the files in it."""


class Weights(Contract):
    """What a model consists of. Stored beside its files, as their completion marker."""

    base: Base
    files: Annotated[tuple[ModelFile, ...], Field(min_length=1)]

    @property
    def digest(self) -> str:
        """What these weights are known by, wherever they lie."""
        return digest(self)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def is_adapter(self) -> bool:
        """They change a base; else they are a model by themselves, or a set of experts."""
        return any(file.path == ADAPTER for file in self.files)

    @property
    def is_set(self) -> bool:
        """They are several adapters and the router between them."""
        return any(file.path == EXPERTS for file in self.files)


class ExpertSet(Contract):
    """Which adapters a set consists of. Stored in it as `experts.json`."""

    members: dict[Expertise, str]
    """The registered version (`NAME@NUMBER`) that each adapter is a copy of."""

    @field_validator("members")
    @classmethod
    def _numbered(cls, members: dict[Expertise, str]) -> dict[Expertise, str]:
        for member in members.values():
            if parse_reference(member)[1] is None:
                raise ValueError(f"{member!r} names no version: write NAME@NUMBER")
        return members


class SnapshotRef(Contract):
    """A snapshot of a corpus, by the corpus's lasting id."""

    corpus: str
    number: Annotated[int, Field(ge=1)]


class NewModel(Contract):
    """A model as it is registered."""

    name: ModelName
    kind: ModelKind = "omni"
    weights: Weights
    place: str
    """The folder of its files, as a path or URI."""
    prompting: ModelSpec
    """How it was asked in training, and is asked in builds."""
    snapshot: SnapshotRef | None = None
    """What it was trained on."""
    recipe: dict[str, Any] = Field(default_factory=dict)
    """Of its training."""
    code_version: str
    metrics: dict[str, float] = Field(default_factory=dict)
    parents: tuple[str, ...] = ()
    """Versions that it was made from, as `NAME@NUMBER`: the SFT model of a GRPO model, the experts of a set."""
    registered_by: str
    """Who or what: a person, a run."""

    @field_validator("parents")
    @classmethod
    def _numbered(cls, parents: tuple[str, ...]) -> tuple[str, ...]:
        if unnumbered := [parent for parent in parents if "@" not in parent or not _REFERENCE.fullmatch(parent)]:
            raise ValueError(f"{unnumbered[0]!r} names no version: write NAME@NUMBER")
        return parents

    @property
    def recipe_hash(self) -> str:
        return digest(self.recipe)


class ModelVersion(NewModel):
    """A registered model."""

    number: Annotated[int, Field(ge=1)]
    state: ModelState
    registered: datetime
    promoted: datetime | None = None
    """When it last became current by a promotion that stands."""
    promoted_by: str | None = None

    @property
    def reference(self) -> str:
        """`NAME@NUMBER`: it names this version for ever."""
        return f"{self.name}@{self.number}"

    @property
    def backend(self) -> str:
        """The backend that is this version."""
        return f"{REGISTERED}{self.reference}"


def parse_reference(text: str) -> tuple[str, int | None]:
    """The name and, where one is given, the number of `NAME` or `NAME@NUMBER`.

    Raises:
        UsageError: it is neither.
    """
    match = _REFERENCE.fullmatch(text)
    if match is None:
        raise UsageError(text, "names no model", "Write NAME or NAME@NUMBER, such as tailor@3; `dataclaw models` lists")
    return match[1], None if match[2] is None else int(match[2])

"""The recipe: the YAML file that says what a corpus build does. One frozen, typed object.

What identifies a result (`sampling`, `experts`, `synthesis`, `reward`) is kept apart from where it runs
(`placement`), from what it may use (`budget`), from what it is applied to (`sources`, `corpus`), from which rows
the corpus takes (`deduplicate`, `split`) and from what is told of it (`growth`, `alarm`), so that a moved corpus or a
bigger machine redoes nothing.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, field_serializer, field_validator, model_validator

from schemas.base import Contract, digest, schema_json
from schemas.redaction import redacted
from schemas.stream import Domain
from schemas.task_spec import Name

Scalar = str | int | float | bool


class Section(Contract):
    """A part of a recipe. What stands under its keys explains them in forms, such as that of a run in Prefect's UI."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class SourceSpec(Section):
    """Where raw streams lie and what they are. Intents given here replace the recipe's own for this source."""

    uri: Annotated[str, Field(min_length=1)]
    """A file, a folder or a URI of either."""
    domain: Domain | None = None
    """None: found out."""
    format: Name | None = None
    """Name of a reader. None: found out."""
    intents: tuple[Annotated[str, Field(pattern=r"\S")], ...] = ()
    """What you want of this source, in your words."""
    group_by: Annotated[str, Field(min_length=1)] | None = None
    """`folder`, or a regular expression over URIs: streams with the same folder, or the same text in its groups, belong
    together, and forms that can join several streams are made of them as one sample."""

    @field_validator("group_by")
    @classmethod
    def _pattern(cls, text: str | None) -> str | None:
        try:
            pattern = re.compile(text or "")
        except re.error as error:
            raise ValueError(f"{text!r} is no regular expression: {error}") from error
        if text not in (None, "folder") and not pattern.groups:
            raise ValueError(f"{text!r} has no group in parentheses, whose text would say what belongs together")
        return text


class Sampling(Section):
    """How streams are cut and looked at."""

    segment_seconds: Annotated[float, Field(ge=1.0)] = 300.0
    frame_rate: Annotated[float, Field(gt=0.0, le=120.0)] = 2.0
    """Frames per second for experts that read whole frames (OCR, screen); an expert may ask for its own rate."""
    max_pixels: Annotated[int, Field(ge=1)] = 100_000_000
    """A picture or frame larger than this is refused before it is decoded."""


class ExpertSpec(Section):
    """One member of the ensemble with the parameters that differ from its defaults."""

    name: Name
    parameters: dict[str, Scalar] = Field(default_factory=dict)


class ModelSpec(Section):
    """A model that writes outputs, how it is asked, and how much it is shown."""

    name: Annotated[str, Field(min_length=1)]
    """A hub id, a folder, or the name under which a server knows it."""
    adapter: str | None = None
    """A LoRA adapter: a folder or hub id; with a server, the name under which it serves the adapter."""
    temperature: Annotated[float, Field(ge=0.0, le=2.0)] = 0.0
    top_p: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    seed: int = 0
    max_tokens: Annotated[int, Field(ge=16)] = 2048
    """Of an answer. One that is cut off is asked for once more with twice as many."""
    context: Annotated[int, Field(ge=256)] = 32768
    """Tokens of prompt and answer together."""
    frames: Annotated[int, Field(ge=0)] = 16
    """At most so many full-size frames are shown."""
    image_side: Annotated[int, Field(ge=28)] = 768
    """Their longer side in pixels."""
    thumbnails: Annotated[int, Field(ge=0)] = 48
    """At most so many small pictures stand on the contact sheets from which the model chooses what to look at. 0: it
    is not asked to choose."""
    anchor_tokens: Annotated[int, Field(ge=64)] = 6000
    """Bound on the facts told."""


class Budget(Section):
    """What models may use. A run that meets it ends cleanly, and the next one goes on. Not part of any identity."""

    stream_tokens: Annotated[int, Field(ge=1)] | None = None
    stream_images: Annotated[int, Field(ge=1)] | None = None
    run_tokens: Annotated[int, Field(ge=1)] | None = None
    run_images: Annotated[int, Field(ge=1)] | None = None
    day_tokens: Annotated[int, Field(ge=1)] | None = None
    """Of all runs into the corpus since midnight, UTC."""
    day_images: Annotated[int, Field(ge=1)] | None = None


class Synthesis(Section):
    """How outputs are made."""

    backend: Name = "rules"
    model: ModelSpec | None = None
    """Needed by every backend but `rules`."""
    max_repairs: Annotated[int, Field(ge=0, le=2)] = 2
    evidence_frames: Annotated[int, Field(ge=1)] = 16
    """At most so many frames of evidence in a triplet."""
    evidence_side: Annotated[int, Field(ge=32)] = 768
    """Longer side of an evidence frame in pixels."""


class RewardWeights(Section):
    """l1, l2, l3 of R = l1 R_format + l2 R_anchor + l3 R_eff. They sum to 1; absent parts share their weight out."""

    format: Annotated[float, Field(ge=0.0, le=1.0)] = 0.3
    anchor: Annotated[float, Field(ge=0.0, le=1.0)] = 0.6
    efficiency: Annotated[float, Field(ge=0.0, le=1.0)] = 0.1

    @model_validator(mode="after")
    def _sum(self) -> Self:
        if abs(self.format + self.anchor + self.efficiency - 1.0) > 1e-6:
            raise ValueError("the reward weights must sum to 1")
        return self


class RewardSpec(Section):
    """The reward and what an output must reach to be published."""

    weights: RewardWeights = RewardWeights()
    threshold: Annotated[float, Field(ge=0.0, le=1.0)] = 0.85
    anchor_threshold: Annotated[float, Field(ge=0.0, le=1.0)] = 1.0
    """Share of claims that must be supported. Below 1 a corpus may hold claims that nothing proves."""


class Serving(Section):
    """How a model is reached or run. Not part of any identity."""

    base_url: str | None = None
    """Of an OpenAI-compatible server, such as `http://localhost:8000/v1`."""
    key: str | None = None
    """Where the server's key is: the name of an environment variable, or `prefect:BLOCK` for a secret block. Never the
    key itself. None: OPENAI_API_KEY when it is set."""
    concurrency: Annotated[int, Field(ge=1)] = 16
    """Requests under way at once in each worker. A server that answers 429 is asked less, then slowly more again."""
    requests_per_minute: Annotated[float, Field(gt=0.0)] | None = None
    """Of each worker."""
    tokens_per_minute: Annotated[float, Field(gt=0.0)] | None = None
    timeout: Annotated[float, Field(gt=0.0)] = 120.0
    """Seconds for one answer."""
    patience: Annotated[float, Field(ge=0.0)] = 300.0
    """Seconds over which a request is tried again before its unit fails."""
    gpus: Annotated[float, Field(ge=0.0)] = 0.0
    """Of each synthesis worker; a fraction shares a GPU between workers."""
    tensor_parallel: Annotated[int, Field(ge=1)] = 1
    """GPUs over which one engine is split."""
    gpu_memory: Annotated[float, Field(gt=0.0, le=1.0)] = 0.9
    """Share of a GPU's memory that the engine takes."""
    dtype: str = "auto"


class Placement(Section):
    """Where and how wide it runs. Not part of any identity."""

    extract_workers: Annotated[int, Field(ge=1)] | tuple[int, int] | None = None
    """A number, or the least and the most of a pool that grows with its work. None: one for each CPU of the cluster."""
    extract_gpus: Annotated[float, Field(ge=0.0)] = 0.0
    """Of each extracting worker; a fraction shares a GPU between workers."""
    synthesis_workers: Annotated[int, Field(ge=1)] | tuple[int, int] = 1
    """Engines, for a backend that runs a model in the worker."""
    serving: Serving = Serving()
    rows_per_shard: Annotated[int, Field(ge=1)] = 64
    ray_address: str | None = None
    catalog: str | None = None
    """SQLAlchemy URL. None: a SQLite file inside a local corpus."""
    gallery: Annotated[str, Field(pattern=r"^https?://")] | None = None
    """Where people see the gallery of the corpus that `dataclaw view --out` writes. Runs link to it."""

    @field_serializer("catalog")
    def _without_password(self, url: str | None) -> str | None:
        # Prefect keeps the parameters of runs.
        return url and redacted(url)


class Deduplication(Section):
    """Which rows are too much like one that is there already. Not part of any result's identity: it decides what
    comes into the corpus, not what is made."""

    enabled: bool = True
    similarity: Annotated[float, Field(gt=0.0, le=1.0)] = 0.9
    """A duplicate shares at least so much of its words (Jaccard over runs of three words)."""
    frames: Annotated[float, Field(gt=0.5, le=1.0)] = 0.7
    """...and at least so many of its evidence frames, of the row that has fewer. Streams whose evidence is this much
    alike are kept on one side of the split, duplicates or not."""


class Splitting(Section):
    """How streams are shared out between training and validation."""

    validation_share: Annotated[float, Field(ge=0.0, le=1.0)] = 0.1
    """Share of streams (those that look alike count as one) for validation. Streams that have a side keep it."""


class Growth(Section):
    """When a corpus has grown enough for others to act on it: any one of these, since it was last acted upon."""

    rows: Annotated[int, Field(ge=1)] = 1000
    """So many more rows."""
    task_types: Annotated[int, Field(ge=1)] = 1
    """So many task types that were not there."""
    domains: Annotated[int, Field(ge=1)] = 1
    """So many domains that were not there."""


class Alarm(Section):
    """When people are told that something is wrong with what a build was given."""

    quarantine_share: Annotated[float, Field(ge=0.0, le=1.0)] = 0.1
    """More than this share of a run's inputs could not be read."""


class Recipe(Section):
    """A corpus build."""

    name: Name
    corpus: Annotated[str, Field(min_length=1)]
    """Folder or URI; made when it is not there."""
    sources: Annotated[tuple[SourceSpec, ...], Field(min_length=1)]
    """Where raw streams lie."""
    intents: tuple[Annotated[str, Field(pattern=r"\S")], ...] = ()
    """What you want, in your words; each is asked of every source that has none of its own."""
    sampling: Sampling = Sampling()
    experts: tuple[ExpertSpec, ...] | None = None
    """None: those that each domain needs."""
    output_schema: str | None = None
    """A JSON Schema (2020-12) of the user's own, as JSON text: outputs take its form, whatever the intents name."""
    synthesis: Synthesis = Synthesis()
    reward: RewardSpec = RewardSpec()
    deduplicate: Deduplication = Deduplication()
    split: Splitting = Splitting()
    growth: Growth = Growth()
    alarm: Alarm = Alarm()
    budget: Budget = Budget()
    placement: Placement = Placement()

    @field_validator("output_schema", mode="before")
    @classmethod
    def _as_text(cls, schema: Any) -> Any:
        return schema_json(schema) if isinstance(schema, dict) else schema

    @model_validator(mode="after")
    def _asked(self) -> Self:
        for source in self.sources:
            if not (source.intents or self.intents):
                raise ValueError(f"no intent for {source.uri!r}: give one to the source or to the recipe")
        if self.synthesis.backend == "rules" and self.synthesis.model is not None:
            raise ValueError("the backend 'rules' takes no model: name another backend, or leave synthesis.model out")
        return self

    @property
    def identity(self) -> dict[str, Any]:
        """What a result depends on, and nothing else."""
        return self.model_dump(mode="json", include={"sampling", "experts", "synthesis", "reward"})

    @property
    def hash(self) -> str:
        """The recipe hash of provenance: SHA-256 of :attr:`identity`."""
        return digest(self.identity)

"""The recipe: the YAML file that says what a corpus build does. One frozen, typed object.

What identifies a result (`sampling`, `experts`, `synthesis`, `reward`) is kept apart from where it runs
(`placement`), from what it may use (`budget`), from what it is applied to (`sources`, `corpus`), from which rows
the corpus takes (`deduplicate`, `split`) and from what is told of it (`growth`, `alarm`), so that a moved corpus or a
bigger machine redoes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, field_serializer, field_validator, model_validator

from schemas.base import Contract, digest, schema_json
from schemas.redaction import redacted
from schemas.stream import Domain
from schemas.task_spec import Name

Scalar = str | int | float | bool
Text = Annotated[str, Field(pattern=r"\S")]
REGISTERED = "model:"
"""With this before a name, a backend is a registered model: `model:NAME`, or one version of it, `model:NAME@NUMBER`."""
RouteName = Annotated[str, Field(pattern=rf"^(router|omni|wrong|expert:({'|'.join(Domain)}))$")]
BackendName = Annotated[str, Field(pattern=r"^(model:[a-z][a-z0-9_]*(@[1-9][0-9]*)?|[a-z][a-z0-9_]*)$")]


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
    intents: tuple[Text, ...] = ()
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
    """Longer streams are cut into windows of at most so many seconds."""
    frame_rate: Annotated[float, Field(gt=0.0, le=120.0)] = 2.0
    """Frames per second for experts that read whole frames (OCR, screen); an expert may ask for its own rate."""
    max_pixels: Annotated[int, Field(ge=1)] = 100_000_000
    """A picture or frame larger than this is refused before it is decoded."""


class ExpertSpec(Section):
    """One member of the ensemble with the parameters that differ from its defaults."""

    name: Name
    """Of the expert, such as `ocr`."""
    parameters: dict[str, Scalar] = Field(default_factory=dict)
    """Those that differ from the expert's defaults, by name."""


class ModelSpec(Section):
    """A model that writes outputs, how it is asked, and how much it is shown."""

    name: Annotated[str, Field(min_length=1)]
    """A hub id, a folder, or the name under which a server knows it."""
    adapter: str | None = None
    """A LoRA adapter: a folder or hub id; with a server, the name under which it serves the adapter. Of a registered
    model, `sha256:` and the digest of its weights."""
    temperature: Annotated[float, Field(ge=0.0, le=2.0)] = 0.0
    """0 is greedy."""
    top_p: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    """Share of probability that tokens are drawn from."""
    seed: int = 0
    """Of the drawing."""
    max_tokens: Annotated[int, Field(ge=16)] = 2048
    """Of an answer. One that is cut off is asked for once more with twice as many."""
    context: Annotated[int, Field(ge=256)] = 32768
    """Tokens of prompt and answer together."""
    frames: Annotated[int, Field(ge=0)] = 16
    """At most so many full-size frames are shown. 0: no pictures at all, as a language model needs it."""
    image_side: Annotated[int, Field(ge=28)] = 768
    """Their longer side in pixels."""
    thumbnails: Annotated[int, Field(ge=0)] = 48
    """At most so many small pictures stand on the contact sheets from which the model chooses what to look at. 0: it
    is not asked to choose."""
    anchor_tokens: Annotated[int, Field(ge=64)] = 6000
    """Bound on the facts told."""
    brief: bool = False
    """Ask without rules and schema, as a model is asked that was tuned to be asked so: most of the tokens of a small
    task are theirs."""
    constrained: bool = True
    """Hold outputs to their schema while they are written, where the engine can. False shows what the model writes by
    itself."""


class Budget(Section):
    """What models may use. A run that meets it ends cleanly, and the next one goes on. None: no bound. Not part of any
    identity."""

    stream_tokens: Annotated[int, Field(ge=1)] | None = None
    """Tokens, read and written, that one stream may cost."""
    stream_images: Annotated[int, Field(ge=1)] | None = None
    """Pictures shown of one stream."""
    run_tokens: Annotated[int, Field(ge=1)] | None = None
    """Tokens of one run."""
    run_images: Annotated[int, Field(ge=1)] | None = None
    """Pictures of one run."""
    day_tokens: Annotated[int, Field(ge=1)] | None = None
    """Tokens of all runs into the corpus since midnight, UTC."""
    day_images: Annotated[int, Field(ge=1)] | None = None
    """Pictures of all runs into the corpus since midnight, UTC."""


class Synthesis(Section):
    """How outputs are made."""

    backend: BackendName = "rules"
    """What writes the outputs: `rules`, `openai`, `vllm`, `transformers`, a plugin's, or a registered model:
    `model:NAME` for its current version, `model:NAME@NUMBER` for a certain one."""
    model: ModelSpec | None = None
    """Needed by every backend but `rules` and registered models, which bring their own."""
    route: RouteName | None = None
    """Of a registered set of experts: which of them writes. `router` (what None becomes) chooses for each task; for
    ablations `omni`, `expert:DOMAIN`, or `wrong`, an expert of another domain than the stream's."""
    max_repairs: Annotated[int, Field(ge=0, le=2)] = 2
    """Of an output that does not verify."""
    evidence_frames: Annotated[int, Field(ge=1)] = 16
    """At most so many frames of evidence in a triplet."""
    evidence_side: Annotated[int, Field(ge=32)] = 768
    """Longer side of an evidence frame in pixels."""


class RewardWeights(Section):
    """l1, l2, l3 of R = l1 R_format + l2 R_anchor + l3 R_eff. They sum to 1; absent parts share their weight out."""

    format: Annotated[float, Field(ge=0.0, le=1.0)] = 0.3
    """l1: the output has the form that was asked for."""
    anchor: Annotated[float, Field(ge=0.0, le=1.0)] = 0.6
    """l2: its claims are supported by anchors."""
    efficiency: Annotated[float, Field(ge=0.0, le=1.0)] = 0.1
    """l3: it says so without waste."""

    @model_validator(mode="after")
    def _sum(self) -> Self:
        if abs(self.format + self.anchor + self.efficiency - 1.0) > 1e-6:
            raise ValueError("the reward weights must sum to 1")
        return self


class RewardSpec(Section):
    """The reward and what an output must reach to be published."""

    weights: RewardWeights = RewardWeights()
    threshold: Annotated[float, Field(ge=0.0, le=1.0)] = 0.85
    """Least reward of a published row."""
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
    """Of each worker. None: no bound."""
    tokens_per_minute: Annotated[float, Field(gt=0.0)] | None = None
    """Of each worker. None: no bound."""
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
    """Number format of the weights."""
    weights: str | None = None
    """Where the files of a registered model lie. Filled in when its name is resolved."""


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
    """Rows written to one Parquet file."""
    ray_address: str | None = None
    """A running Ray cluster that this machine is a node of: `auto`, or its head as HOST:PORT. None: one for the run."""
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
    """Off: rows that say and show what another says and shows are kept."""
    similarity: Annotated[float, Field(gt=0.0, le=1.0)] = 0.9
    """A duplicate shares at least so much of its words (Jaccard over runs of three words)."""
    frames: Annotated[float, Field(gt=0.5, le=1.0)] = 0.7
    """Besides, it shares at least so many of its evidence frames, of the row that has fewer. Streams whose evidence is
    this much alike are kept on one side of the split, duplicates or not."""


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
    """Lower-case letters, digits and `_`, a letter first."""
    corpus: Annotated[str, Field(min_length=1)]
    """Folder or URI; made when it is not there."""
    sources: Annotated[tuple[SourceSpec, ...], Field(min_length=1)]
    """Where raw streams lie."""
    intents: tuple[Text, ...] = ()
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
        if self.synthesis.route is not None and not self.synthesis.backend.startswith(REGISTERED):
            raise ValueError(f"the backend {self.synthesis.backend!r} has no experts: leave synthesis.route out")
        return self

    def for_one_run(
        self, sources: Sequence[str] = (), intents: Sequence[str] = (), run_tokens: int | None = None
    ) -> Self:
        """This recipe as one run is to take it. What it may change is no part of the identity: it redoes nothing.

        Args:
            sources: files, folders or URIs in place of its own. One that lies below a source of its own is read and
                grouped as that one is.
            intents: in place of all of its own, those of single sources too.
            run_tokens: in place of that of its budget.
        """
        recipe = self
        if sources:
            recipe = recipe.model_copy(update={"sources": tuple(self._source_at(uri) for uri in sources)})
        if intents:
            unasked = tuple(source.model_copy(update={"intents": ()}) for source in recipe.sources)
            recipe = recipe.model_copy(update={"sources": unasked, "intents": tuple(intents)})
        if run_tokens is not None:
            budget = self.budget.model_copy(update={"run_tokens": run_tokens})
            recipe = recipe.model_copy(update={"budget": budget})
        return recipe

    def _source_at(self, uri: str) -> SourceSpec:
        """A source at a place: as the nearest one that holds it (a folder, or a data set with `#` and a member), or one
        of which nothing is said."""

        def holds(source: SourceSpec) -> bool:
            return f"{uri}/".startswith((f"{source.uri.rstrip('/')}/", f"{source.uri}#"))

        above = filter(holds, self.sources)
        nearest = max(above, key=lambda source: len(source.uri), default=SourceSpec(uri=uri))
        return nearest.model_copy(update={"uri": uri})

    @property
    def identity(self) -> dict[str, Any]:
        """What a result depends on, and nothing else."""
        parts = self.model_dump(mode="json", include={"sampling", "experts", "synthesis", "reward"})
        if self.synthesis.route is None:  # what was made before there were sets of experts is not made anew
            del parts["synthesis"]["route"]
        return parts

    @property
    def hash(self) -> str:
        """The recipe hash of provenance: SHA-256 of :attr:`identity`."""
        return digest(self.identity)

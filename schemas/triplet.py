"""The verified triplet (X_raw, I, Y_struct): one Parquet row that proves itself without the raw stream."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated

import pyarrow as pa
from pydantic import Field

from schemas.anchor import ANCHOR_SCHEMA, FactualAnchor
from schemas.base import Contract, digest
from schemas.recipe import RewardSpec
from schemas.score import SCORE_SCHEMA, Score
from schemas.stream import STREAM_SCHEMA, Domain, Seconds, Sha256, Stream
from schemas.task_spec import TASK_SPEC_SCHEMA, Intent, Name, TaskSpec
from schemas.usage import USAGE, Usage


class Split(StrEnum):
    """The two sides of a corpus. No stream, nor one that looks like it, is on both."""

    TRAIN = "train"
    VALIDATION = "validation"


class EncodedImage(Contract):
    """An encoded picture as `datasets.Image` reads it: the bytes, and a name that tells the format."""

    bytes: bytes
    path: str


class EvidenceFrame(Contract):
    """A frame the output rests on."""

    stream: Sha256
    time: Seconds
    image: EncodedImage


class ExpertVersion(Contract):
    """Which expert, at which version, with which parameters (signature: digest of all three)."""

    name: str
    version: str
    signature: str


class Provenance(Contract):
    """Where a row comes from."""

    run: str
    recipe_hash: Sha256
    reward: RewardSpec = RewardSpec()
    """Weights and thresholds the row was published under: with them the row alone gives its score again."""
    experts: tuple[ExpertVersion, ...]
    backend: str
    model: str | None
    agent_version: str
    prompt_version: str | None
    repairs: Annotated[int, Field(ge=0)]
    readings: tuple[str, ...] = ()
    """Task types of the other plausible readings of a vague intent, best first."""
    usage: Usage = Usage()
    trail: str | None = None
    """What passed between DataClaw and the model: a :class:`schemas.trail.Trail` as JSON; None without a model. Parquet
    compresses it, and over rows that share their prompts very well."""
    created: datetime


class Triplet(Contract):
    """One row of a corpus.

    `anchors` are those that the output was made from, `output` is Y_struct as canonical JSON under
    `spec.output_schema`, `score` is the verdict it was published with.
    """

    id: Sha256
    """Digest of streams, spec, anchors and output: the same data made twice has one id, a changed row another."""
    unit: str
    """Digest of the work that made it (streams, spec, experts, agent); one unit is published once."""
    domain: Domain
    task_type: Name
    streams: Annotated[tuple[Stream, ...], Field(min_length=1)]
    intent: Intent
    spec: TaskSpec
    anchors: tuple[FactualAnchor, ...]
    evidence: tuple[EvidenceFrame, ...]
    output: str
    score: Score
    provenance: Provenance
    split: Split = Split.TRAIN
    """The side its streams are on. Decided where all rows are known, at publishing; not part of the row's identity."""

    def content_id(self) -> str:
        """The id this row's content gives; differs from `id` when the row was changed by hand."""
        return triplet_id(self.streams, self.spec, self.anchors, self.output)


def triplet_id(streams: tuple[Stream, ...], spec: TaskSpec, anchors: tuple[FactualAnchor, ...], output: str) -> str:
    """Digest over what a triplet asserts and over what it rests on; locations of the streams do not enter."""
    return digest([[s.sha256 for s in streams], spec.key, [a.id for a in anchors], output])


IMAGE = pa.struct([pa.field("bytes", pa.binary(), False), pa.field("path", pa.string(), False)])
EVIDENCE = pa.struct(
    [
        pa.field("stream", pa.string(), False),
        pa.field("time", pa.float64(), False),
        pa.field("image", IMAGE, False),
    ]
)
EXPERT_VERSION = pa.struct([pa.field(n, pa.string(), False) for n in ("name", "version", "signature")])
WEIGHTS = pa.struct([pa.field(n, pa.float64(), False) for n in ("format", "anchor", "efficiency")])
REWARD = pa.struct(
    [
        pa.field("weights", WEIGHTS, False),
        pa.field("threshold", pa.float64(), False),
        pa.field("anchor_threshold", pa.float64(), False),
    ]
)
PROVENANCE = pa.struct(
    [
        pa.field("run", pa.string(), False),
        pa.field("recipe_hash", pa.string(), False),
        pa.field("reward", REWARD, False),
        pa.field("experts", pa.list_(EXPERT_VERSION), False),
        pa.field("backend", pa.string(), False),
        pa.field("model", pa.string()),
        pa.field("agent_version", pa.string(), False),
        pa.field("prompt_version", pa.string()),
        pa.field("repairs", pa.int32(), False),
        pa.field("readings", pa.list_(pa.string()), False),
        pa.field("usage", USAGE, False),
        pa.field("trail", pa.large_string()),
        pa.field("created", pa.timestamp("us", tz="UTC"), False),
    ]
)
TRIPLET_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), False),
        pa.field("unit", pa.string(), False),
        pa.field("domain", pa.string(), False),
        pa.field("task_type", pa.string(), False),
        pa.field("streams", pa.list_(pa.struct(list(STREAM_SCHEMA))), False),
        pa.field("intent", TASK_SPEC_SCHEMA.field("intent").type, False),
        pa.field("spec", pa.struct(list(TASK_SPEC_SCHEMA)), False),
        pa.field("anchors", pa.list_(pa.struct(list(ANCHOR_SCHEMA))), False),
        pa.field("evidence", pa.list_(EVIDENCE), False),
        pa.field("output", pa.large_string(), False),
        pa.field("score", pa.struct(list(SCORE_SCHEMA)), False),
        pa.field("provenance", PROVENANCE, False),
        pa.field("split", pa.string(), False),
    ]
)

"""The tables of the catalog. Every row but those of models belongs to a corpus, so that many may share one database.

Keys are natural (content hashes); a URI is keyed by its SHA-256, since a path may be longer than an index entry.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    String,
    Text,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator


def uri_key(uri: str) -> str:
    """The key of a URI of any length."""
    return hashlib.sha256(uri.encode()).hexdigest()


class UtcDateTime(TypeDecorator[datetime]):
    """An aware point in time, kept in UTC. SQLite forgets the zone; it is given back here."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError("a point in time needs a time zone")
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy's own protocol
        str: Text(),
        int: BigInteger(),
        float: Double(),
        bytes: LargeBinary(),
        datetime: UtcDateTime(),
        dict[str, Any]: JSON(none_as_null=True),
        list[Any]: JSON(none_as_null=True),
    }


_KEY = String(64)


class CorpusRow(Base):
    """A corpus, by the id in its corpus.json."""

    __tablename__ = "corpora"
    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    name: Mapped[str]
    created: Mapped[datetime]
    unsettled: Mapped[int] = mapped_column(BigInteger, default=0)
    """How often a folder has ceased to be one of FolderRow."""


class _OfCorpus:
    """What belongs to a corpus has its id as the first part of its key."""

    corpus_id: Mapped[str] = mapped_column(String(36), ForeignKey("corpora.id"), primary_key=True)


class RunRow(_OfCorpus, Base):
    """A build: its recipe, and its report once it ended."""

    __tablename__ = "runs"
    id: Mapped[str] = mapped_column(String(128), primary_key=True)
    recipe_name: Mapped[str]
    recipe_hash: Mapped[str] = mapped_column(_KEY)
    recipe: Mapped[str]
    state: Mapped[str] = mapped_column(String(32))
    host: Mapped[str]
    pid: Mapped[int]
    started: Mapped[datetime]
    ended: Mapped[datetime | None]
    report: Mapped[dict[str, Any] | None]


class FileRow(_OfCorpus, Base):
    """A file whose hash is known, for as long as its fingerprint (size, time of change) stays the same."""

    __tablename__ = "files"
    uri_key: Mapped[str] = mapped_column(_KEY, primary_key=True)
    uri: Mapped[str]
    fingerprint: Mapped[str]
    sha256: Mapped[str] = mapped_column(_KEY)
    size: Mapped[int]


class StreamRow(_OfCorpus, Base):
    """A stream as it was last seen."""

    __tablename__ = "streams"
    sha256: Mapped[str] = mapped_column(_KEY, primary_key=True)
    domain: Mapped[str] = mapped_column(String(32))
    duration: Mapped[float]
    record: Mapped[dict[str, Any]]
    first_run: Mapped[str] = mapped_column(String(128))
    last_run: Mapped[str] = mapped_column(String(128))


class LocationRow(_OfCorpus, Base):
    """Which content was seen under which name, from which run to which."""

    __tablename__ = "locations"
    uri_key: Mapped[str] = mapped_column(_KEY, primary_key=True)
    sha256: Mapped[str] = mapped_column(_KEY, primary_key=True)
    uri: Mapped[str]
    first_run: Mapped[str] = mapped_column(String(128))
    last_run: Mapped[str] = mapped_column(String(128))


class AnchorsRow(_OfCorpus, Base):
    """A segment that an expert has looked at, and the anchor shard that holds what it found."""

    __tablename__ = "anchors_done"
    segment_key: Mapped[str] = mapped_column(_KEY, primary_key=True)
    expert: Mapped[str] = mapped_column(String(128), primary_key=True)
    signature: Mapped[str] = mapped_column(String(128), primary_key=True)
    shard: Mapped[str]
    run_id: Mapped[str] = mapped_column(String(128))


class ShardRow(_OfCorpus, Base):
    """A shard that holds the row of at least one unit."""

    __tablename__ = "shards"
    path: Mapped[str] = mapped_column(String(256), primary_key=True)
    sha256: Mapped[str] = mapped_column(_KEY)
    rows: Mapped[int]
    size: Mapped[int]


class UnitRow(_OfCorpus, Base):
    """A unit of work that ended, and where its triplet lies when it has one."""

    __tablename__ = "units"
    unit: Mapped[str] = mapped_column(_KEY, primary_key=True)
    slot_key: Mapped[str] = mapped_column(_KEY)
    """The slot it was last made for."""
    group_key: Mapped[str]
    task_type: Mapped[str] = mapped_column(String(64))
    outcome: Mapped[str] = mapped_column(String(16))
    problem: Mapped[dict[str, Any] | None]
    triplet: Mapped[str | None] = mapped_column(_KEY)
    shard: Mapped[str | None] = mapped_column(String(256))
    domain: Mapped[str | None] = mapped_column(String(32))
    reward: Mapped[float | None]
    run_id: Mapped[str] = mapped_column(String(128))
    ended: Mapped[datetime]
    __table_args__ = (
        Index("units_by_shard", "corpus_id", "shard"),
        Index("units_by_run", "corpus_id", "run_id"),
        # Planning asks how a million units ended: it finds it there, and reads no row.
        Index("units_by_outcome", "corpus_id", "unit", "outcome"),
    )


class TripletRow(_OfCorpus, Base):
    """A row that was written: what it is known by, and whether the corpus takes it (storage.catalog.admission)."""

    __tablename__ = "triplets"
    unit: Mapped[str] = mapped_column(_KEY, primary_key=True)
    run_id: Mapped[str] = mapped_column(String(128))
    triplet: Mapped[str] = mapped_column(_KEY)
    form: Mapped[str] = mapped_column(_KEY)
    exact: Mapped[str] = mapped_column(_KEY)
    words: Mapped[bytes]
    frames: Mapped[list[Any]]
    standing: Mapped[str] = mapped_column(String(16))
    rules: Mapped[str | None] = mapped_column(_KEY)
    """Digest of the rules it was judged by."""
    because: Mapped[str | None] = mapped_column(_KEY)
    """The unit whose row keeps it out: it is judged anew when that one leaves the corpus."""
    split: Mapped[str | None] = mapped_column(String(16))
    written_split: Mapped[str | None] = mapped_column(String(16))
    """The split that stands in its shard; None in a shard of before there were splits."""
    __table_args__ = (
        Index("triplets_by_standing", "corpus_id", "standing", "run_id", "unit"),
        Index("triplets_by_because", "corpus_id", "because"),
    )


class TripletStreamRow(_OfCorpus, Base):
    """A stream that a row was made from."""

    __tablename__ = "triplet_streams"
    unit: Mapped[str] = mapped_column(_KEY, primary_key=True)
    stream: Mapped[str] = mapped_column(_KEY, primary_key=True)


class LikenessKeyRow(_OfCorpus, Base):
    """A key (storage.likeness) under which a row of the corpus is found by rows that are like it."""

    __tablename__ = "likeness_keys"
    key: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    unit: Mapped[str] = mapped_column(_KEY, primary_key=True)
    __table_args__ = (Index("likeness_keys_by_unit", "corpus_id", "unit"),)


class SideRow(_OfCorpus, Base):
    """The side of the split that a stream is on, with all streams of its family: those it shares a row with, and those
    that look like it. A side once given is kept."""

    __tablename__ = "sides"
    stream: Mapped[str] = mapped_column(_KEY, primary_key=True)
    family: Mapped[str] = mapped_column(_KEY)
    side: Mapped[str | None] = mapped_column(String(16))
    __table_args__ = (Index("sides_by_family", "corpus_id", "family"), Index("sides_by_side", "corpus_id", "side"))


class SlotRow(_OfCorpus, Base):
    """Which unit a slot (a place in the input, an intent, a task type) holds now. A row is live while a slot holds
    its unit."""

    __tablename__ = "slots"
    slot_key: Mapped[str] = mapped_column(_KEY, primary_key=True)
    slot: Mapped[str]
    unit: Mapped[str] = mapped_column(_KEY)
    run_id: Mapped[str] = mapped_column(String(128))
    # With the slot: planning finds there all that it asks of a slot.
    __table_args__ = (Index("slots_by_unit", "corpus_id", "unit", "slot_key"),)


class InputRow(_OfCorpus, Base):
    """A unit that was asked of an input (storage.catalog.inputs), so that the next plan need not look at the input to
    know. An input of which several units are asked has as many rows."""

    __tablename__ = "inputs"
    unit: Mapped[str] = mapped_column(_KEY, primary_key=True)
    key: Mapped[str] = mapped_column(_KEY, primary_key=True)
    slot_key: Mapped[str] = mapped_column(_KEY)
    settled: Mapped[bool]
    """The unit was done, and the slot held it, when that was looked at last."""
    # By unit, the rows lie in the order of units and slots, beside which they are looked at every night.
    __table_args__ = (Index("inputs_by_key", "corpus_id", "key", "settled"), {"sqlite_with_rowid": False})


class FolderRow(_OfCorpus, Base):
    """A folder all of whose inputs were settled, so that the next plan need not look at them one by one."""

    __tablename__ = "folders"
    place: Mapped[str] = mapped_column(_KEY, primary_key=True)
    """What the keys of its inputs begin with."""
    sign: Mapped[str] = mapped_column(_KEY)
    """Of its listing."""
    inputs: Mapped[int] = mapped_column(BigInteger)
    units: Mapped[int] = mapped_column(BigInteger)


class RejectRow(_OfCorpus, Base):
    """What a filtered unit had made, with the verdict on it."""

    __tablename__ = "rejects"
    unit: Mapped[str] = mapped_column(_KEY, primary_key=True)
    record: Mapped[dict[str, Any]]
    """The UnitOutcome."""
    run_id: Mapped[str] = mapped_column(String(128))


class UsageRow(_OfCorpus, Base):
    """What a run asked of models for a unit, in tokens. Kept when a later run makes the unit again: days are summed."""

    __tablename__ = "usage"
    run_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    unit: Mapped[str] = mapped_column(_KEY, primary_key=True)
    ended: Mapped[datetime]
    requests: Mapped[int]
    prompt_tokens: Mapped[int]
    cached_tokens: Mapped[int]
    image_tokens: Mapped[int]
    completion_tokens: Mapped[int]
    images: Mapped[int]
    __table_args__ = (Index("usage_by_time", "corpus_id", "ended"),)


class LeaseRow(_OfCorpus, Base):
    """How long the word of a run that it is alive counts."""

    __tablename__ = "leases"
    run_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    until: Mapped[datetime]


class ClaimRow(_OfCorpus, Base):
    """The run that has taken a unit on. It counts while the run is under way, alive, and has a lease."""

    __tablename__ = "claims"
    unit: Mapped[str] = mapped_column(_KEY, primary_key=True)
    run_id: Mapped[str] = mapped_column(String(128))
    __table_args__ = (Index("claims_by_run", "corpus_id", "run_id"),)


class SnapshotRow(_OfCorpus, Base):
    """A published snapshot. The manifest file is the truth; this is for questions."""

    __tablename__ = "snapshots"
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    parent: Mapped[int | None]
    run_id: Mapped[str] = mapped_column(String(128))
    created: Mapped[datetime]
    shards: Mapped[int]
    rows: Mapped[int]


class QuarantineRow(_OfCorpus, Base):
    """An input that could not be read, until a run reads it (`released_run`)."""

    __tablename__ = "quarantine"
    uri_key: Mapped[str] = mapped_column(_KEY, primary_key=True)
    uri: Mapped[str]
    sha256: Mapped[str | None] = mapped_column(_KEY)
    problem: Mapped[dict[str, Any]]
    first_run: Mapped[str] = mapped_column(String(128))
    last_run: Mapped[str] = mapped_column(String(128))
    since: Mapped[datetime]
    released_run: Mapped[str | None] = mapped_column(String(128))


class ModelRow(Base):
    """A name under which models are registered. Models belong to the database, not to a corpus: one that was trained on
    a corpus may build another. The row is what changes to its versions wait for."""

    __tablename__ = "models"
    name: Mapped[str] = mapped_column(_KEY, primary_key=True)
    last: Mapped[int]
    """The highest number that was given out: none is used again."""
    created: Mapped[datetime]


class ModelVersionRow(Base):
    """A version of a model (schemas.model.ModelVersion). Its files lie at `place`."""

    __tablename__ = "model_versions"
    name: Mapped[str] = mapped_column(_KEY, ForeignKey("models.name"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(String(32))
    state: Mapped[str] = mapped_column(String(16))
    digest: Mapped[str] = mapped_column(_KEY)
    """Of the weights."""
    weights: Mapped[dict[str, Any]]
    place: Mapped[str]
    prompting: Mapped[dict[str, Any]]
    corpus_id: Mapped[str | None] = mapped_column(String(36))
    """Of what it was trained on: a corpus of this database or of another one."""
    snapshot: Mapped[int | None]
    recipe: Mapped[dict[str, Any]]
    recipe_hash: Mapped[str] = mapped_column(_KEY)
    code_version: Mapped[str]
    metrics: Mapped[dict[str, Any]]
    registered: Mapped[datetime]
    registered_by: Mapped[str]
    __table_args__ = (
        Index(
            "model_versions_current",
            "name",
            "kind",
            unique=True,
            sqlite_where=text("state = 'current'"),
            postgresql_where=text("state = 'current'"),
        ),
    )


class ModelParentRow(Base):
    """A version that another one was made from."""

    __tablename__ = "model_parents"
    name: Mapped[str] = mapped_column(_KEY, primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    parent_name: Mapped[str] = mapped_column(_KEY, primary_key=True)
    parent_number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    __table_args__ = (
        ForeignKeyConstraint(["name", "number"], ["model_versions.name", "model_versions.number"]),
        ForeignKeyConstraint(["parent_name", "parent_number"], ["model_versions.name", "model_versions.number"]),
    )


class ModelPromotionRow(Base):
    """That a version became the current one of its kind, in the place of which, and whether that was rolled back."""

    __tablename__ = "model_promotions"
    name: Mapped[str] = mapped_column(_KEY, primary_key=True)
    kind: Mapped[str] = mapped_column(String(32), primary_key=True)
    turn: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    number: Mapped[int]
    replaced: Mapped[int | None]
    promoted: Mapped[datetime]
    promoted_by: Mapped[str]
    undone: Mapped[datetime | None]
    undone_by: Mapped[str | None]
    __table_args__ = (
        ForeignKeyConstraint(["name", "number"], ["model_versions.name", "model_versions.number"]),
        ForeignKeyConstraint(["name", "replaced"], ["model_versions.name", "model_versions.number"]),
    )

"""The first catalog: runs, files, streams, anchors, units, slots, shards, snapshots, rejects, quarantine."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "corpora",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("name", sa.Text(), nullable=False),
        _moment("created"),
    )
    _create(
        "runs",
        _required("id", sa.String(128), key=True),
        _required("recipe_name", sa.Text()),
        _required("recipe_hash", sa.String(64)),
        _required("recipe", sa.Text()),
        _required("state", sa.String(32)),
        _required("host", sa.Text()),
        _required("pid", sa.BigInteger()),
        _moment("started"),
        sa.Column("ended", sa.DateTime(timezone=True)),
        sa.Column("report", sa.JSON()),
    )
    _create(
        "files",
        _required("uri_key", sa.String(64), key=True),
        _required("uri", sa.Text()),
        _required("fingerprint", sa.Text()),
        _required("sha256", sa.String(64)),
        _required("size", sa.BigInteger()),
    )
    _create(
        "streams",
        _required("sha256", sa.String(64), key=True),
        _required("domain", sa.String(32)),
        _required("duration", sa.Double()),
        _required("record", sa.JSON()),
        _required("first_run", sa.String(128)),
        _required("last_run", sa.String(128)),
    )
    _create(
        "locations",
        _required("uri_key", sa.String(64), key=True),
        _required("sha256", sa.String(64), key=True),
        _required("uri", sa.Text()),
        _required("first_run", sa.String(128)),
        _required("last_run", sa.String(128)),
    )
    _create(
        "anchors_done",
        _required("segment_key", sa.String(64), key=True),
        _required("expert", sa.String(128), key=True),
        _required("signature", sa.String(128), key=True),
        _required("shard", sa.Text()),
        _required("run_id", sa.String(128)),
    )
    _create(
        "shards",
        _required("path", sa.String(256), key=True),
        _required("sha256", sa.String(64)),
        _required("rows", sa.BigInteger()),
        _required("size", sa.BigInteger()),
    )
    _create(
        "units",
        _required("unit", sa.String(64), key=True),
        _required("slot_key", sa.String(64)),
        _required("group_key", sa.Text()),
        _required("task_type", sa.String(64)),
        _required("outcome", sa.String(16)),
        sa.Column("problem", sa.JSON()),
        sa.Column("triplet", sa.String(64)),
        sa.Column("shard", sa.String(256)),
        sa.Column("domain", sa.String(32)),
        sa.Column("reward", sa.Double()),
        _required("run_id", sa.String(128)),
        _moment("ended"),
    )
    op.create_index("units_by_shard", "units", ["corpus_id", "shard"])
    op.create_index("units_by_run", "units", ["corpus_id", "run_id"])
    _create(
        "slots",
        _required("slot_key", sa.String(64), key=True),
        _required("slot", sa.Text()),
        _required("unit", sa.String(64)),
        _required("run_id", sa.String(128)),
    )
    op.create_index("slots_by_unit", "slots", ["corpus_id", "unit"])
    _create(
        "rejects",
        _required("unit", sa.String(64), key=True),
        _required("record", sa.JSON()),
        _required("run_id", sa.String(128)),
    )
    _create(
        "snapshots",
        _required("number", sa.BigInteger(), key=True),
        sa.Column("parent", sa.BigInteger()),
        _required("run_id", sa.String(128)),
        _moment("created"),
        _required("shards", sa.BigInteger()),
        _required("rows", sa.BigInteger()),
    )
    _create(
        "quarantine",
        _required("uri_key", sa.String(64), key=True),
        _required("uri", sa.Text()),
        sa.Column("sha256", sa.String(64)),
        _required("problem", sa.JSON()),
        _required("first_run", sa.String(128)),
        _required("last_run", sa.String(128)),
        _moment("since"),
        sa.Column("released_run", sa.String(128)),
    )


def downgrade() -> None:
    for table in (
        "quarantine", "snapshots", "rejects", "slots", "units", "shards",
        "anchors_done", "locations", "streams", "files", "runs", "corpora",
    ):  # fmt: skip
        op.drop_table(table)


def _create(table: str, *columns: sa.Column[Any]) -> None:
    corpus = sa.Column("corpus_id", sa.String(36), sa.ForeignKey("corpora.id"), primary_key=True)
    op.create_table(table, corpus, *columns)


def _required(name: str, kind: sa.types.TypeEngine[Any], key: bool = False) -> sa.Column[Any]:
    return sa.Column(name, kind, primary_key=key, nullable=False, autoincrement=False)


def _moment(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False)

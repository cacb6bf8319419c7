"""Which rows the corpus takes: their signatures, the keys to find like ones by, and the sides of streams."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _create(
        "triplets",
        _required("unit", sa.String(64), key=True),
        _required("run_id", sa.String(128)),
        _required("triplet", sa.String(64)),
        _required("form", sa.String(64)),
        _required("exact", sa.String(64)),
        _required("words", sa.LargeBinary()),
        _required("frames", sa.JSON()),
        _required("standing", sa.String(16)),
        sa.Column("rules", sa.String(64)),
        sa.Column("because", sa.String(64)),
        sa.Column("split", sa.String(16)),
        sa.Column("written_split", sa.String(16)),
    )
    op.create_index("triplets_by_standing", "triplets", ["corpus_id", "standing", "run_id", "unit"])
    op.create_index("triplets_by_because", "triplets", ["corpus_id", "because"])
    _create(
        "triplet_streams",
        _required("unit", sa.String(64), key=True),
        _required("stream", sa.String(64), key=True),
    )
    _create(
        "likeness_keys",
        _required("key", sa.BigInteger(), key=True),
        _required("unit", sa.String(64), key=True),
    )
    op.create_index("likeness_keys_by_unit", "likeness_keys", ["corpus_id", "unit"])
    _create(
        "sides",
        _required("stream", sa.String(64), key=True),
        _required("family", sa.String(64)),
        sa.Column("side", sa.String(16)),
    )
    op.create_index("sides_by_family", "sides", ["corpus_id", "family"])
    op.create_index("sides_by_side", "sides", ["corpus_id", "side"])


def downgrade() -> None:
    for table in ("sides", "likeness_keys", "triplet_streams", "triplets"):
        op.drop_table(table)


def _create(table: str, *columns: sa.Column[Any]) -> None:
    corpus = sa.Column("corpus_id", sa.String(36), sa.ForeignKey("corpora.id"), primary_key=True)
    op.create_table(table, corpus, *columns)


def _required(name: str, kind: sa.types.TypeEngine[Any], key: bool = False) -> sa.Column[Any]:
    return sa.Column(name, kind, primary_key=key, nullable=False, autoincrement=False)

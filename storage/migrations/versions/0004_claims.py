"""Who works on what: claims of runs on units, and the leases that claims are worth. And what planning looks up at once:
how units ended, and which slot holds them."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _create(
        "leases",
        _required("run_id", sa.String(128), primary_key=True),
        _required("until", sa.DateTime(timezone=True)),
    )
    _create(
        "claims",
        _required("unit", sa.String(64), primary_key=True),
        _required("run_id", sa.String(128)),
    )
    op.create_index("claims_by_run", "claims", ["corpus_id", "run_id"])
    op.create_index("units_by_outcome", "units", ["corpus_id", "unit", "outcome"])
    op.drop_index("slots_by_unit", "slots")
    op.create_index("slots_by_unit", "slots", ["corpus_id", "unit", "slot_key"])


def downgrade() -> None:
    op.drop_index("slots_by_unit", "slots")
    op.create_index("slots_by_unit", "slots", ["corpus_id", "unit"])
    op.drop_index("units_by_outcome", "units")
    op.drop_table("claims")
    op.drop_table("leases")


def _create(table: str, *columns: sa.Column[Any]) -> None:
    corpus = sa.Column("corpus_id", sa.String(36), sa.ForeignKey("corpora.id"), primary_key=True)
    op.create_table(table, corpus, *columns)


def _required(name: str, kind: sa.types.TypeEngine[Any], **more: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False, **more)

"""Folders all of whose inputs are settled: planning passes over their files together."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("corpora", sa.Column("unsettled", sa.BigInteger(), nullable=False, server_default="0"))
    op.create_table(
        "folders",
        sa.Column("corpus_id", sa.String(36), sa.ForeignKey("corpora.id"), primary_key=True),
        sa.Column("place", sa.String(64), primary_key=True, nullable=False),
        sa.Column("sign", sa.String(64), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ("inputs", "units")),
    )


def downgrade() -> None:
    op.drop_table("folders")
    op.drop_column("corpora", "unsettled")

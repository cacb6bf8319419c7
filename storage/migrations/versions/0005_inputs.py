"""What was asked of which input: planning passes over inputs of which all that is asked is done."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "inputs",
        sa.Column("corpus_id", sa.String(36), sa.ForeignKey("corpora.id"), primary_key=True),
        *(sa.Column(name, sa.String(64), primary_key=True, nullable=False) for name in ("unit", "key")),
        sa.Column("slot_key", sa.String(64), nullable=False),
        sa.Column("settled", sa.Boolean(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("inputs_by_key", "inputs", ["corpus_id", "key", "settled"])


def downgrade() -> None:
    op.drop_table("inputs")

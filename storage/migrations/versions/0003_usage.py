"""What runs asked of models, in tokens: budgets of a day are kept over it."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_COUNTS = ("requests", "prompt_tokens", "cached_tokens", "image_tokens", "completion_tokens", "images")


def upgrade() -> None:
    op.create_table(
        "usage",
        sa.Column("corpus_id", sa.String(36), sa.ForeignKey("corpora.id"), primary_key=True),
        _required("run_id", sa.String(128), primary_key=True),
        _required("unit", sa.String(64), primary_key=True),
        _required("ended", sa.DateTime(timezone=True)),
        *(_required(name, sa.BigInteger()) for name in _COUNTS),
    )
    op.create_index("usage_by_time", "usage", ["corpus_id", "ended"])


def downgrade() -> None:
    op.drop_table("usage")


def _required(name: str, kind: sa.types.TypeEngine[Any], **more: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False, **more)

"""The model registry: versions of models, what they were made from, and which of them was current when."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "models",
        _key("name", sa.String(64)),
        _required("last", sa.BigInteger()),
        _required("created", sa.DateTime(timezone=True)),
    )
    op.create_table(
        "model_versions",
        sa.Column("name", sa.String(64), sa.ForeignKey("models.name"), primary_key=True),
        _key("number", sa.BigInteger()),
        _required("kind", sa.String(32)),
        _required("state", sa.String(16)),
        _required("digest", sa.String(64)),
        _required("weights", sa.JSON()),
        _required("place", sa.Text()),
        _required("prompting", sa.JSON()),
        sa.Column("corpus_id", sa.String(36)),
        sa.Column("snapshot", sa.BigInteger()),
        _required("recipe", sa.JSON()),
        _required("recipe_hash", sa.String(64)),
        _required("code_version", sa.Text()),
        _required("metrics", sa.JSON()),
        _required("registered", sa.DateTime(timezone=True)),
        _required("registered_by", sa.Text()),
    )
    current = sa.text("state = 'current'")
    op.create_index(
        "model_versions_current",
        "model_versions",
        ["name", "kind"],
        unique=True,
        sqlite_where=current,
        postgresql_where=current,
    )
    op.create_table(
        "model_parents",
        *(_key(name, sa.String(64) if name.endswith("name") else sa.BigInteger()) for name in _PARENT),
        _version("name", "number"),
        _version("parent_name", "parent_number"),
    )
    op.create_table(
        "model_promotions",
        _key("name", sa.String(64)),
        _key("kind", sa.String(32)),
        _key("turn", sa.BigInteger()),
        _required("number", sa.BigInteger()),
        sa.Column("replaced", sa.BigInteger()),
        _required("promoted", sa.DateTime(timezone=True)),
        _required("promoted_by", sa.Text()),
        sa.Column("undone", sa.DateTime(timezone=True)),
        sa.Column("undone_by", sa.Text()),
        _version("name", "number"),
        _version("name", "replaced"),
    )


def downgrade() -> None:
    for table in ("model_promotions", "model_parents", "model_versions", "models"):
        op.drop_table(table)


_PARENT = ("name", "number", "parent_name", "parent_number")


def _key(name: str, kind: sa.types.TypeEngine[Any]) -> sa.Column[Any]:
    return sa.Column(name, kind, primary_key=True, autoincrement=False, nullable=False)


def _required(name: str, kind: sa.types.TypeEngine[Any]) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False)


def _version(name: str, number: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([name, number], ["model_versions.name", "model_versions.number"])

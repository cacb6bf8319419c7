"""Alembic's entry. The connection, with its transaction, is handed over by storage.catalog.engine.migrate."""

from __future__ import annotations

from alembic import context

from storage.catalog.models import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    compare_type=True,
    # Tables and revision number change together or not at all, on SQLite as on PostgreSQL.
    transactional_ddl=True,
)
context.run_migrations()

"""Migrations of the catalog (Alembic)."""

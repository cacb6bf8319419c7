-- Run by PostgreSQL when its volume is empty. Prefect's database is there by then; this is the one of the catalogs.
CREATE DATABASE catalog;

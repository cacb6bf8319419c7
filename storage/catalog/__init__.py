"""The catalog: what is done, in any database that SQLAlchemy speaks to."""

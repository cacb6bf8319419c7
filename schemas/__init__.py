"""The contracts of DataClaw: Pydantic models and the Arrow schemas they are written under. No I/O lives here."""

"""Weather logs for DataClaw."""

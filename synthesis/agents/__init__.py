"""One agent per task type."""

"""DataClaw-val, metrics, public suites and reports. Nothing lives here yet: see docs/architecture.md."""

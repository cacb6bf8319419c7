"""DataClaw-val's metrics: how near outputs are to the true ones, and how sure their means (docs/benchmark.md)."""

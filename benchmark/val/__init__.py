"""DataClaw-val: drawn from published rows, frozen, asked of models, and scored (docs/benchmark.md)."""

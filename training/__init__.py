"""Dataset export, SFT, GRPO, adapters and the model registry. Nothing lives here yet: see docs/architecture.md."""

"""Dataset export, SFT, GRPO, adapters and the model registry."""

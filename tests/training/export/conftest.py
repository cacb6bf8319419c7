"""What tests of exports need."""

from tests.models.fixtures import smollm2, tiny_qwen3_vl
from tests.training.fixtures import corpus, letters, manifest, rows

__all__ = ["corpus", "letters", "manifest", "rows", "smollm2", "tiny_qwen3_vl"]

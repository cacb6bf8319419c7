"""Makes `faulty_server` importable here: pytest's importlib mode leaves sys.path alone."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "models"))

from tests.models.fixtures import smollm2, smollm2_server, tiny_qwen3_vl, vllm_server

__all__ = ["smollm2", "smollm2_server", "tiny_qwen3_vl", "vllm_server"]

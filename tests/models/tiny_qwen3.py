"""A random Qwen3 of a quarter of a million parameters, without eyes, with the tokenizer of the tiny Qwen3-VL.

It learns a few short answers by heart in seconds on a CPU: what tests of training need.
"""

from __future__ import annotations

from pathlib import Path

from tests.models import tiny_qwen3_vl


def make(folder: Path, seed: int = 0) -> Path:
    """Saves model and tokenizer into `folder`, as a checkpoint of the hub is laid out, and returns it."""
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    tokenizer = tiny_qwen3_vl._tokenizer()
    tokenizer.chat_template = tiny_qwen3_vl._TEMPLATE.strip()
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=4096,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=True,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen3ForCausalLM(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder

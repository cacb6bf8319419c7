"""A Grounding DINO of random weights, small enough to be made and run in seconds: the real classes, no knowledge.

`python tests/models/tiny_grounding_dino.py FOLDER` makes it by hand.
"""

from __future__ import annotations

import sys
from pathlib import Path

VOCABULARY = Path(__file__).resolve().parents[2] / "synthesis" / "intent" / "vocab.txt"
"""BERT's own word pieces: the model knows the separators of its prompt by their numbers in it."""


def make(folder: Path, seed: int = 0) -> Path:
    """Saves the model and its processor, so that both load with `from_pretrained(folder)`."""
    import torch
    from transformers import (
        BertConfig,
        BertTokenizer,
        GroundingDinoConfig,
        GroundingDinoForObjectDetection,
        GroundingDinoImageProcessor,
        GroundingDinoProcessor,
        SwinConfig,
    )

    torch.manual_seed(seed)
    words = VOCABULARY.read_text(encoding="utf-8").split()
    config = GroundingDinoConfig(
        backbone_config=SwinConfig(
            image_size=64,
            embed_dim=12,
            depths=[1, 1, 1, 1],
            num_heads=[1, 1, 2, 2],
            window_size=4,
            out_features=["stage2", "stage3", "stage4"],
        ),
        text_config=BertConfig(
            vocab_size=len(words), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
        ),
        d_model=32,
        num_queries=12,
        encoder_layers=2,
        encoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_layers=2,
        decoder_attention_heads=2,
        decoder_ffn_dim=32,
        max_text_len=256,
    )
    model = GroundingDinoForObjectDetection(config).eval()
    tokenizer = BertTokenizer(vocab={word: number for number, word in enumerate(words)})
    images = GroundingDinoImageProcessor(size={"shortest_edge": 64, "longest_edge": 96})
    model.save_pretrained(folder)
    GroundingDinoProcessor(image_processor=images, tokenizer=tokenizer).save_pretrained(folder)
    return folder


if __name__ == "__main__":
    print(make(Path(sys.argv[1])))

"""Whispers of a few thousand weights: the real classes, no knowledge. One says random words, one always the same.

`python tests/models/tiny_whisper.py FOLDER` makes the first by hand.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

SIGNS = (
    "<|startoftranscript|>",
    "<|en|>",
    "<|de|>",
    "<|translate|>",
    "<|transcribe|>",
    "<|startoflm|>",
    "<|startofprev|>",
    "<|nospeech|>",
    "<|notimestamps|>",
)
END = 256
"""The number of <|endoftext|>: the bytes come before it, the signs and the times after it."""
FIRST_TIME = END + 1 + len(SIGNS)


def tokens_of(*words: str | float) -> list[int]:
    """Tokens of texts (their bytes) and of times in seconds."""
    found: list[int] = []
    for word in words:
        found += [FIRST_TIME + round(word / 0.02)] if isinstance(word, float) else _letters(word)
    return found


def make(folder: Path, says: Sequence[int] | None = None, multilingual: bool = True, seed: int = 0) -> Path:
    """Saves the model and its processor, so that both load with `from_pretrained(folder)`. With `says`, its layers add
    nothing and its places in a text stand for these tokens: it writes them whatever it hears, then ends."""
    import torch
    from transformers import (
        AddedToken,
        WhisperConfig,
        WhisperFeatureExtractor,
        WhisperForConditionalGeneration,
        WhisperProcessor,
        WhisperTokenizer,
    )
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    torch.manual_seed(seed)
    letters = {letter: byte for byte, letter in bytes_to_unicode().items()}
    tokenizer = WhisperTokenizer(vocab={**letters, "<|endoftext|>": END}, merges=[], pad_token="<|endoftext|>")
    tokenizer.add_tokens([AddedToken(sign, special=True) for sign in SIGNS], special_tokens=True)
    tokenizer.add_tokens([AddedToken(f"<|{number * 0.02:.2f}|>", special=False) for number in range(1501)])
    numbers = {sign: tokenizer.convert_tokens_to_ids(sign) for sign in SIGNS}
    assert numbers["<|notimestamps|>"] == FIRST_TIME - 1
    config = WhisperConfig(
        vocab_size=FIRST_TIME + 1501,
        d_model=64,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        max_target_positions=96,
        bos_token_id=END,
        eos_token_id=END,
        pad_token_id=END,
        decoder_start_token_id=numbers["<|startoftranscript|>"],
        begin_suppress_tokens=None,
    )
    model = WhisperForConditionalGeneration(config).eval()
    if says is not None:
        _teach(model, [*says, END], prompt=3 if multilingual else 1)
    rules = model.generation_config
    rules._from_model_config = False  # else what follows is not read back
    rules.no_timestamps_token_id = numbers["<|notimestamps|>"]
    rules.is_multilingual = multilingual
    rules.max_initial_timestamp_index = 50
    rules.max_length = 90
    rules.begin_suppress_tokens = None
    rules.suppress_tokens = None
    if multilingual:
        rules.lang_to_id = {sign: numbers[sign] for sign in ("<|en|>", "<|de|>")}
        rules.task_to_id = {task: numbers[f"<|{task}|>"] for task in ("translate", "transcribe")}
    model.save_pretrained(folder)
    WhisperProcessor(feature_extractor=WhisperFeatureExtractor(), tokenizer=tokenizer).save_pretrained(folder)
    return folder


def _letters(text: str) -> list[int]:
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    # Their order in the vocabulary is that of `letters` above: the numbers are the bytes themselves.
    assert len(bytes_to_unicode()) == END
    return list(text.encode())


def _teach(model, tokens: Sequence[int], prompt: int) -> None:  # type: ignore[no-untyped-def]
    import torch

    with torch.no_grad():
        words = torch.nn.functional.normalize(torch.randn(model.config.vocab_size, model.config.d_model), dim=1)
        model.model.decoder.embed_tokens.weight.copy_(words)
        model.model.decoder.embed_positions.weight.zero_()
        for place, token in enumerate(tokens, start=prompt - 1):
            model.model.decoder.embed_positions.weight[place] = 10 * words[token]
        for layer in model.model.decoder.layers:
            for part in (layer.self_attn.out_proj, layer.encoder_attn.out_proj, layer.fc2):
                part.weight.zero_()
                part.bias.zero_()
        model.model.decoder.layer_norm.weight.fill_(4.0)
        model.model.decoder.layer_norm.bias.zero_()
        model.tie_weights()


if __name__ == "__main__":
    print(make(Path(sys.argv[1])))

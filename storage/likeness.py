"""Likeness of rows by their signatures, and the keys under which rows that may be alike are found."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt

from schemas.recipe import Deduplication
from schemas.signature import FrameHash, Signature

VERSION = "1"
"""Raised with every change to this module: rows are then judged anew."""

_BITS = 4
"""Most bits of 64 by which the hashes of one picture, encoded twice, differ. Measured: docs/decisions/0009."""
_QUARTER = 16
"""Two hashes that differ in few bits agree in two quarters at least (Manku, Jain, Das Sarma, WWW 2007, section 3)."""
_KEYS = 24
"""Keys of one row at most. Rows that are alike choose the same ones: the smallest."""
_SHIFT = 0.5
"""Seconds by which a frame's moment may differ between two encodings, after a cut at the beginning is allowed for."""


def keys(signature: Signature) -> list[int]:
    """Keys (signed, 64 bits) of which two rows that are alike very likely share one: some for the evidence, whatever
    the row says, and one for all of it."""
    found = {_key(f"{pair}:{part}") for frame in signature.frames for pair, part in _pairs(frame.phash)}
    return [*sorted(found)[:_KEYS], _key(signature.exact)]


def evidence_alike(one: Sequence[FrameHash], other: Sequence[FrameHash], share: float) -> bool:
    """Whether most frames of the row that has fewer are in the other too, all displaced by one span of time.

    The order of moments tells a copy from another recording of the same place: a fixed camera sees much the same
    picture in every episode.
    """
    if not one or not other:
        return False
    differing = np.bitwise_count(_hashes(one)[:, None] ^ _hashes(other)[None, :])
    shifts = _times(other)[None, :] - _times(one)[:, None]
    close = differing <= _BITS
    # One picture in common (a title card) makes no copy of a row that shows more.
    needed = max(share * min(len(one), len(other)), min(2, max(len(one), len(other))))
    for shift in np.unique(np.round(shifts[close] / _SHIFT)) * _SHIFT:
        pairs = close & (np.abs(shifts - shift) <= _SHIFT)
        if min(pairs.any(axis=0).sum(), pairs.any(axis=1).sum()) >= needed:
            return True
    return False


def word_likeness(one: bytes, other: bytes) -> float:
    """Estimated Jaccard similarity of the runs of words of two outputs."""
    return float((_minima(one) == _minima(other)).mean())


def mean_likeness(words: Sequence[bytes]) -> float | None:
    """Mean :func:`word_likeness` of all pairs; None when there is no pair."""
    if len(words) < 2:
        return None
    minima = np.stack([_minima(item) for item in words])
    equal = sum(float((minima[place] == minima[place + 1 :]).mean(axis=1).sum()) for place in range(len(words) - 1))
    return equal / (len(words) * (len(words) - 1) / 2)


def same_data(one: Signature, other: Signature, alike: bool, rules: Deduplication) -> bool:
    """Whether one of two rows, whose evidence is `alike` or not, is enough."""
    if one.exact == other.exact:
        return True
    return alike and one.form == other.form and word_likeness(one.words, other.words) >= rules.similarity


def _pairs(phash: str) -> list[tuple[str, str]]:
    """The six pairs of quarters of a hash, each with its name."""
    digits = _QUARTER // 4
    quarters = [phash[start : start + digits] for start in range(0, len(phash), digits)]
    return [(f"{a}{b}", quarters[a] + quarters[b]) for a, b in combinations(range(len(quarters)), 2)]


def _key(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big", signed=True)


def _hashes(frames: Sequence[FrameHash]) -> npt.NDArray[np.uint64]:
    return np.array([int(frame.phash, 16) for frame in frames], np.uint64)


def _times(frames: Sequence[FrameHash]) -> npt.NDArray[np.float64]:
    return np.array([frame.time for frame in frames], np.float64)


def _minima(words: bytes) -> npt.NDArray[np.uint32]:
    return np.frombuffer(words, "<u4")

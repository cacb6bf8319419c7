"""Which side of a corpus a stream is on, where nothing but the stream decides it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import pyarrow as pa

from schemas.triplet import Split


def side_of(family: str, validation_share: float) -> Split:
    """The side of a family of streams, named by the smallest of their SHA-256: chance, and the same everywhere."""
    number = int.from_bytes(hashlib.sha256(f"split {family}".encode()).digest()[:8], "big")
    return Split.VALIDATION if number < validation_share * 2**64 else Split.TRAIN


def likely_splits(streams: pa.ChunkedArray, validation_share: float) -> list[Split]:
    """The split that rows with these `streams` get, unless their streams have a side already, or look like others."""
    return [side_of(min(sha256s), validation_share) for sha256s in _sha256s(streams)]


def _sha256s(streams: pa.ChunkedArray) -> Iterable[list[str]]:
    for chunk in streams.chunks:
        for row in chunk:
            yield [stream["sha256"] for stream in row.as_py()]

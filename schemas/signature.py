"""What tells one row from another, small enough to be kept of every row for ever."""

from __future__ import annotations

from typing import Annotated

import pyarrow as pa
from pydantic import Field

from schemas.base import Contract
from schemas.stream import Seconds, Sha256


class FrameHash(Contract):
    """An evidence frame: its moment, and the perceptual hash (64 bits, in hexadecimal) of its picture."""

    time: Seconds
    phash: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]


class Signature(Contract):
    """A row in small: what near and exact duplicates are known by."""

    form: Sha256
    """Digest of task type and output schema. Rows of two forms are different data, whatever they say."""
    exact: Sha256
    """Digest of all that the row says and shows, and not of how its streams are encoded or named."""
    words: bytes
    """MinHash of the words of the output: 128 minima of 32 bits, little-endian."""
    frames: tuple[FrameHash, ...]
    """The evidence frames on which there is something to see."""


FRAME_HASH = pa.struct([pa.field("time", pa.float64(), False), pa.field("phash", pa.string(), False)])
SIGNATURE_SCHEMA = pa.schema(
    [
        pa.field("form", pa.string(), False),
        pa.field("exact", pa.string(), False),
        pa.field("words", pa.binary(), False),
        pa.field("frames", pa.list_(FRAME_HASH), False),
    ]
)

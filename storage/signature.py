"""Signatures of rows: the words of the output as a MinHash, the evidence frames as perceptual hashes."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import imagehash
import numpy as np
import pyarrow as pa
from datasketch import MinHash
from PIL import Image

from schemas.base import digest
from schemas.signature import FrameHash, Signature

COLUMNS = ("task_type", "streams", "spec", "anchors", "evidence", "output")
"""The columns of a row that its signature is made from."""

_MINIMA = 128
"""Standard error of an estimated likeness of 0.9: 0.03."""
_RUN = 3
"""Words in a shingle."""
_SCHEME = "affine32"
"""Signatures are kept for years, so that nothing may be left to a library's default."""
_FLAT = 4.0
"""Grey levels. A picture of less contrast (black, a blank page) has a hash made of noise."""
_HASHED_FROM = (256, 256)
"""JPEG is decoded to no less than this: the hash looks at 32x32 pixels."""

_FRACTION = re.compile(r"(?<=\d)\.\d+")
_UNSPACED = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
"""Kana, Han and Hangul: a letter counts as a word."""
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W_{_UNSPACED}]+")


def sign(rows: pa.Table) -> list[Signature]:
    """The signatures of triplets. One row at a time is taken out of Arrow, since rows hold pictures."""
    wanted = rows.select(COLUMNS)
    return [_sign(wanted.slice(place, 1).to_pylist()[0]) for place in range(rows.num_rows)]


def words_of(output: Any) -> bytes:
    """MinHash of the runs of words in an output (JSON). Keys and bare numbers do not count: templates share the ones,
    and two encodings of one recording differ in the others."""
    minima = MinHash(num_perm=_MINIMA, scheme=_SCHEME)
    minima.update_batch([shingle.encode() for shingle in set(_shingles(output))])
    return bytes(minima.hashvalues.astype("<u4").tobytes())


def phash_of(data: bytes) -> str | None:
    """The perceptual hash of an encoded picture; None when there is nothing to see on it, or it cannot be read."""
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG", "PNG")) as picture:
            picture.draft("L", _HASHED_FROM)
            grey = picture.convert("L")
    except OSError:
        return None
    if np.asarray(grey.resize((32, 32))).std() < _FLAT:
        return None
    return str(imagehash.phash(grey))


def _sign(row: Mapping[str, Any]) -> Signature:
    output = _unnamed(json.loads(row["output"]), [stream["name"] for stream in row["streams"]])
    form = digest([row["task_type"], row["spec"]["output_schema"]])
    anchors = [[anchor["kind"], anchor["t0"], anchor["t1"], anchor["content"]] for anchor in row["anchors"]]
    pictures = [(frame["time"], frame["image"]["bytes"]) for frame in row["evidence"]]
    shown = [[time, hashlib.sha256(data).hexdigest()] for time, data in pictures]
    hashes = [(time, phash_of(data)) for time, data in pictures]
    # Where nothing was measured or seen, only the stream itself tells rows of equal words apart.
    seen = [anchors, shown] if anchors or shown else [stream["sha256"] for stream in row["streams"]]
    return Signature(
        form=form,
        exact=digest([form, output, seen]),
        words=words_of(output),
        frames=tuple(FrameHash(time=time, phash=phash) for time, phash in hashes if phash is not None),
    )


def _unnamed(value: Any, names: Iterable[str]) -> Any:
    """An output without the names of its streams: a copy has another name."""
    words = sorted(map(re.escape, filter(None, names)), key=len, reverse=True)
    return _replaced(value, re.compile(rf"(?<!\w)(?:{'|'.join(words)})(?!\w)")) if words else value


def _replaced(value: Any, names: re.Pattern[str]) -> Any:
    if isinstance(value, str):
        return names.sub("", value)
    if isinstance(value, list):
        return [_replaced(item, names) for item in value]
    if isinstance(value, dict):
        return {key: _replaced(item, names) for key, item in value.items()}
    return value


def _shingles(value: Any) -> Iterator[str]:
    for text in _texts(value):
        words = _WORD.findall(_FRACTION.sub("", text).casefold())
        for place in range(max(1, len(words) - _RUN + 1)):
            if run := words[place : place + _RUN]:
                yield " ".join(run)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)

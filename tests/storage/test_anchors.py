"""Anchor shards keep what experts measured, and say what they settle even where nothing was found."""

from __future__ import annotations

import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas.errors import CorpusError
from storage.anchors import read_anchors, scan, write_anchors
from storage.catalog.catalog import Catalog
from storage.corpus import Corpus


def test_anchors_come_back_for_the_segment_and_the_experts_asked_for(corpus: Corpus, make: Any) -> None:
    stream = make.stream("a")
    ocr, shots = [make.anchor(stream, t) for t in (3.0, 1.0)], [make.anchor(stream, 2.0, expert="shots")]
    other = [make.anchor(stream, 9.0)]
    first = write_anchors(corpus.location, "run-1", [("s1", "ocr", "x", ocr), ("s2", "ocr", "x", other)])
    second = write_anchors(corpus.location, "run-1", [("s1", "shots", "y", shots), ("s1", "motion", "z", [])])
    paths = [first.path, second.path]
    assert read_anchors(corpus.location, paths, "s1", {"ocr": "x"}) == ocr
    assert read_anchors(corpus.location, paths, "s1", {"ocr": "x", "shots": "y", "motion": "z"}) == ocr + shots
    assert read_anchors(corpus.location, paths, "s1", {"ocr": "another version"}) == []
    assert read_anchors(corpus.location, paths, "s2", {"ocr": "x"}) == other


def test_what_two_files_hold_is_read_once(corpus: Corpus, make: Any) -> None:
    anchors = [make.anchor(make.stream("a"))]
    paths = [
        write_anchors(corpus.location, "run-1", rows).path
        for rows in ([("s", "ocr", "x", anchors)], [("s", "ocr", "x", anchors), ("t", "ocr", "x", [])])
    ]
    assert len(set(paths)) == 2
    assert read_anchors(corpus.location, paths, "s", {"ocr": "x"}) == anchors


def test_a_scan_finds_all_that_was_settled_also_where_nothing_was_found(
    corpus: Corpus, catalog: Catalog, make: Any
) -> None:
    anchors = [make.anchor(make.stream("a"))]
    shard = write_anchors(corpus.location, "run-1", [("s", "ocr", "x", anchors), ("s", "shots", "y", [])])
    write_anchors(corpus.location, "run-2", [("t", "ocr", "x", [])])
    assert list(scan(corpus.location, "run-1")) == [(shard, [("s", "ocr", "x"), ("s", "shots", "y")])]
    assert list(scan(corpus.location, "no such run")) == []

    assert catalog.record_anchors("run-1", scan(corpus.location, "run-1")) == 2
    assert catalog.record_anchors("run-1", scan(corpus.location, "run-1")) == 0
    assert catalog.anchored(["s", "t"]) == {("s", "ocr", "x"): shard.path, ("s", "shots", "y"): shard.path}


def test_a_missing_damaged_or_foreign_file_is_named(corpus: Corpus, make: Any) -> None:
    shard = write_anchors(corpus.location, "run-1", [("s", "ocr", "x", [])])
    corpus.location.replace(shard.path, b"PAR1 but no more")
    with pytest.raises(CorpusError, match="damaged"):
        list(scan(corpus.location, "run-1"))
    with pytest.raises(CorpusError, match="cannot be read"):
        read_anchors(corpus.location, ["anchors/run-1/none.parquet"], "s", {"ocr": "x"})
    sink = io.BytesIO()
    pq.write_table(pa.table({"a": [1]}), sink)
    corpus.location.replace(shard.path, sink.getvalue())
    with pytest.raises(CorpusError, match="no anchor shard"):
        list(scan(corpus.location, "run-1"))

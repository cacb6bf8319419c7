"""Transcripts of pages: `page.gold.txt` or `page.txt` beside the picture `page.tif`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmark.experts.labels.base import Label, Labels
from schemas.anchor import AnchorKind
from schemas.stream import Stream
from sources.images import SECONDS

_SUFFIXES = (".gold.txt", ".txt")


def page_labels(stream: Stream) -> Iterator[Labels]:
    """Each transcribed picture's whole text, for as long as the picture stands. A transcript breaks lines as the page
    does not always, so its words are looked for."""
    if stream.format != "images":
        return
    labels = []
    for number, part in enumerate(stream.parts):
        picture = Path(part.uri)
        text = next((file for suffix in _SUFFIXES if (file := picture.with_suffix(suffix)).is_file()), None)
        if text is not None:
            # A picture stands until the next one comes; its own first half is nobody else's.
            begin = number * SECONDS
            labels.append(Label(begin, begin + SECONDS / 2, text.read_text(encoding="utf-8-sig")))
    if labels:
        source = "transcripts"
        yield Labels(AnchorKind.SCREEN_TEXT, tuple(labels), source, complete=False, words_only=True, tolerance=0.0)

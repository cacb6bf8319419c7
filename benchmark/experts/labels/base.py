"""What is known to be true of a stream: labels in the vocabulary of anchors, and how far they reach."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from schemas.geometry import Box, Point
from schemas.stream import Stream


@dataclass(frozen=True)
class Label:
    """One true fact: seconds from the start of the stream (t0 == t1 for a moment), what and where as far as known."""

    t0: float
    t1: float
    content: str = ""
    box: Box | None = None
    point: Point | None = None
    end_point: Point | None = None


@dataclass(frozen=True)
class Labels:
    """The labels of one anchor kind on one stream. None at all is a label too: whatever is found there is wrong."""

    kind: str
    members: tuple[Label, ...]
    source: str
    """The file they come from, for people."""
    complete: bool = True
    """All facts of the kind (within `window`) are labelled, so that a find without a label is a false one. Else only
    recall can be known."""
    words_only: bool = False
    """A label's text is not one anchor's (a page, a cue, an element's name): only its words are looked for."""
    timed: bool = True
    """False: the labels hold for the whole stream, and only that there is (or how often) is known, not when."""
    window: tuple[float, float] | None = None
    """Seconds between which the labels hold; None for the whole stream."""
    tolerance: float | None = None
    """Seconds by which times may differ, where the source of the labels says so."""


LabelReader = Callable[[Stream], Iterable[Labels]]
"""Reads one format of ground truth: the labels that lie beside a stream or above it, none where there are none."""


def place_of(stream: Stream) -> tuple[Path, str]:
    """The file or folder of a stream, and what picks it out of that (an episode or drawing), if anything."""
    if Path(stream.uri).exists():
        return Path(stream.uri), ""
    before, _, selector = stream.uri.rpartition("#")
    return Path(before), selector


def folders_above(place: Path) -> list[Path]:
    """The folder that a stream lies in, and all above it: what names the stream by its path there speaks of it."""
    place = place.resolve()
    start = place if place.is_dir() else place.parent
    return [start, *start.parents]

"""Clips of a robot that are named after their fault: `hesitate-input.mp4`, `stagnant-input.mp4`."""

from __future__ import annotations

from collections.abc import Iterator

from benchmark.experts.labels.base import Label, Labels, place_of
from schemas.anchor import AnchorKind
from schemas.stream import Stream

_SEEN_AS = {"hesitate": AnchorKind.OSCILLATION, "stagnant": AnchorKind.STALL}
"""What motion shows of a fault. A grasp that slips (`unstable`) has no kind of anchor of its own in a film alone."""
_SUFFIX = "-input"


def fault_labels(stream: Stream) -> Iterator[Labels]:
    """The fault, somewhere in the clip: its time is not known, so one find anywhere meets it."""
    place, _ = place_of(stream)
    name = place.stem.removesuffix(_SUFFIX)
    if stream.format == "video" and place.stem.endswith(_SUFFIX) and name in _SEEN_AS:
        somewhere = (Label(0.0, stream.duration),)
        yield Labels(_SEEN_AS[name], somewhere, "name of the file", complete=False, timed=False)

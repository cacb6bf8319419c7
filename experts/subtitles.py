"""Subtitle cues as anchors: what is said, verbatim, and when."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from experts.base import Expert, Observer
from schemas.anchor import AnchorKind, FactualAnchor
from schemas.errors import UsageError
from schemas.recipe import Scalar
from schemas.segment import Segment
from schemas.stream import Stream, TrackKind
from sources.base import Recording


class Subtitles(Expert):
    """One `text.subtitle` for each cue that begins in the segment; a cue that goes on past its border keeps its end.

    Cues with the same text and times (two files for one language) are one fact.
    """

    name: ClassVar[str] = "subtitles"
    version: ClassVar[str] = "1"
    reads: ClassVar[frozenset[TrackKind]] = frozenset({TrackKind.SUBTITLES})

    def __init__(self, **parameters: Scalar) -> None:
        super().__init__(**parameters)
        if parameters:
            raise UsageError(f"expert {self.name}", f"unknown parameter {min(parameters)!r}", "It takes none.")

    def start(self, recording: Recording, segment: Segment) -> Observer:
        return _Cues(self, recording, segment)

    @classmethod
    def join(cls, stream: Stream, anchors: Sequence[FactualAnchor]) -> list[FactualAnchor]:
        """Ends no cue later than its stream: subtitles made for a longer cut claim nothing about what is not there."""
        return [anchor.model_copy(update={"t1": min(anchor.t1, max(stream.duration, anchor.t0))}) for anchor in anchors]


class _Cues(Observer):
    def __init__(self, expert: Subtitles, recording: Recording, segment: Segment) -> None:
        self._expert = expert
        self._recording = recording
        self._segment = segment

    def finish(self) -> list[FactualAnchor]:
        segment = self._segment
        cues = {
            (cue.t0, max(cue.t0, cue.t1), " ".join(cue.text.split()))
            for cue in self._recording.cues()
            if segment.t0 <= cue.t0 < segment.t1 or (segment.last and cue.t0 == segment.t1)
        }
        self.calls = len(cues)
        return [
            self._expert.anchor(segment, AnchorKind.SUBTITLE, t0, t1, content=text, confidence=1.0)
            for t0, t1, text in sorted(cues)
            if text
        ]

"""An expert that does not survive some streams."""

from __future__ import annotations

from typing import ClassVar

from experts.base import Expert, Observer
from poison import die_of
from schemas.anchor import FactualAnchor
from schemas.segment import Segment
from schemas.stream import Domain, TrackKind
from sources.base import Recording


class Fragile(Expert):
    name: ClassVar[str] = "fragile"
    version: ClassVar[str] = "1"
    reads: ClassVar[frozenset[TrackKind]] = frozenset({TrackKind.SUBTITLES})
    domains: ClassVar[frozenset[Domain]] = frozenset({Domain.DAILY_LIFE})

    def start(self, recording: Recording, segment: Segment) -> Observer:
        for cue in recording.cues():
            die_of(cue.text, "extraction")
        return Nothing()


class Nothing(Observer):
    def finish(self) -> list[FactualAnchor]:
        return []

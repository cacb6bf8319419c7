"""Readings as anchors of a kind of their own."""

from __future__ import annotations

from typing import ClassVar

from experts.base import Expert, Observer
from schemas.anchor import FactualAnchor
from schemas.segment import Segment
from schemas.stream import Domain, TrackKind
from sources.base import Recording

KIND = "weather.reading"


class Thermometer(Expert):
    name: ClassVar[str] = "thermometer"
    version: ClassVar[str] = "1"
    reads: ClassVar[frozenset[TrackKind]] = frozenset({TrackKind.SUBTITLES})
    domains: ClassVar[frozenset[Domain]] = frozenset({Domain.DAILY_LIFE})

    def start(self, recording: Recording, segment: Segment) -> Observer:
        return _Readings(self, recording, segment)


class _Readings(Observer):
    def __init__(self, expert: Thermometer, recording: Recording, segment: Segment) -> None:
        self._expert, self._recording, self._segment = expert, recording, segment

    def finish(self) -> list[FactualAnchor]:
        return [
            self._expert.anchor(self._segment, KIND, cue.t0, cue.t1, content=cue.text, confidence=1.0)
            for cue in self._recording.cues()
            if self._segment.t0 <= cue.t0 < self._segment.t1
        ]

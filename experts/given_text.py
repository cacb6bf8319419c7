"""Text that came with the stream (a task name, an edit instruction) as anchors."""

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


class GivenText(Expert):
    """One `text.given` for each text, over the whole stream. The first segment reports it for all."""

    name: ClassVar[str] = "given_text"
    version: ClassVar[str] = "1"
    reads: ClassVar[frozenset[TrackKind]] = frozenset({TrackKind.TEXT})

    def __init__(self, **parameters: Scalar) -> None:
        super().__init__(**parameters)
        if parameters:
            raise UsageError(f"expert {self.name}", f"unknown parameter {min(parameters)!r}", "It takes none.")

    def start(self, recording: Recording, segment: Segment) -> Observer:
        return _Texts(self, recording, segment)

    @classmethod
    def join(cls, stream: Stream, anchors: Sequence[FactualAnchor]) -> list[FactualAnchor]:
        """Stretches the texts over the stream, whose end the first segment does not know."""
        return [anchor.model_copy(update={"t1": round(stream.duration, 6)}) for anchor in anchors]


class _Texts(Observer):
    def __init__(self, expert: GivenText, recording: Recording, segment: Segment) -> None:
        self._expert = expert
        self._recording = recording
        self._segment = segment

    def finish(self) -> list[FactualAnchor]:
        if self._segment.index > 0:
            return []
        texts = dict.fromkeys(" ".join(text.split()) for text in self._recording.texts())
        self.calls = len(texts)
        return [
            self._expert.anchor(
                self._segment, AnchorKind.GIVEN_TEXT, 0.0, self._segment.t1, content=text, confidence=1.0
            )
            for text in texts
            if text
        ]

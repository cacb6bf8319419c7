"""Voice and speech: where someone speaks (silero-vad), and what is said when a Whisper-family model is given."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import ClassVar

import numpy as np

from experts.base import Expert, Observer
from experts.voice import CELL, RATE, WINDOW, Manner, Piece, Silero, begin_of, cells, pieces, weights
from experts.weights import lacking_packages
from experts.whisper import Whisper
from schemas.anchor import AnchorKind, FactualAnchor
from schemas.errors import Problem, UsageError
from schemas.recipe import Scalar
from schemas.segment import Segment
from schemas.stream import Stream, TrackKind
from sources.base import Recording, Samples

_REMEDY = "pip install 'silero-vad>=6.2.3' (with --no-deps where torch is not wanted: only its weights are used)"
# A piece is shorter than two cells, so that it ends in one of the two cells after the one in which it begins; the third
# tells that it has.
_AFTER = 3
_LONGEST_TIME = 6.0


@cache
def _silero() -> Silero:
    """One session per process: it is the same for every segment and stream."""
    file = weights()
    if file is None:
        raise UsageError("expert speech", "the weights of silero-vad are missing", _REMEDY)
    return Silero(file)


class Speech(Expert):
    """One `audio.voice` for each stretch of speech and, given a model, `text.speech` for what is said in it: one
    anchor for each pair of timestamps the model writes.

    Parameters: `weights` of a Whisper-family model, a folder or hub id (default none: voice alone); `language`, its
    code or name (found out by the model); `device` (`auto`, the first GPU if there is one; voice runs on the CPU);
    `batch_size`, pieces of at most 23 s heard together (8; halved where memory is too small); `threshold` from which
    a voice counts (0.5), `min_silence` that ends speech (0.2 s), `min_speech` that is none (0.25 s), `pad` added at its
    ends (0.1 s, less where pauses are short). Only the first audio track is heard. The observer counts one call for
    each cell of sound judged and each batch heard.
    """

    name: ClassVar[str] = "speech"
    version: ClassVar[str] = "1"
    reads: ClassVar[frozenset[TrackKind]] = frozenset({TrackKind.AUDIO})

    known = ("weights", "language", "device", "batch_size", "threshold", "min_silence", "min_speech", "pad")

    def __init__(self, **parameters: Scalar) -> None:
        super().__init__(**parameters)
        default = Manner()
        self.manner = Manner(
            threshold=float(parameters.get("threshold", default.threshold)),
            min_silence=float(parameters.get("min_silence", default.min_silence)),
            min_speech=float(parameters.get("min_speech", default.min_speech)),
            pad=float(parameters.get("pad", default.pad)),
        )
        times = (self.manner.min_silence, self.manner.min_speech, self.manner.pad)
        if not 0 < self.manner.threshold < 1 or min(times) < 0 or max(times) > _LONGEST_TIME:
            cause = f"`threshold` must lie between 0 and 1, and times between 0 and {_LONGEST_TIME:g} s"
            raise UsageError("expert speech", cause, "Leave them out to have the defaults.")
        self.voice = _silero()
        self.model: Whisper | None = None
        if parameters.get("weights"):
            language = parameters.get("language")
            self.model = Whisper(
                str(parameters["weights"]),
                None if language is None else str(language),
                str(parameters.get("device", "auto")),
                int(parameters.get("batch_size", 8)),
            )

    @classmethod
    def lacks(cls, **parameters: Scalar) -> list[Problem]:
        """The weights of silero-vad, and torch and transformers when a model is to run."""
        problems = []
        if weights() is None:
            cause = "the weights of silero-vad are missing"
            problems.append(Problem(input=f"expert {cls.name}", cause=cause, remedy=_REMEDY))
        if parameters.get("weights"):
            problems += lacking_packages(cls.name, "torch", "transformers")
        return problems

    def start(self, recording: Recording, segment: Segment) -> Observer:
        return _Listener(self, recording, segment)

    @classmethod
    def join(cls, stream: Stream, anchors: Sequence[FactualAnchor]) -> list[FactualAnchor]:
        """Merges the parts of speech that never paused, and ends nothing later than the stream."""
        joined: list[FactualAnchor] = []
        latest: int | None = None
        for anchor in sorted(anchors, key=lambda a: (a.t0, a.t1, a.kind, a.content)):
            anchor = anchor.model_copy(update={"t1": min(anchor.t1, max(stream.duration, anchor.t0))})
            if anchor.kind == AnchorKind.VOICE:
                if latest is not None and anchor.t0 <= joined[latest].t1:
                    joined[latest] = _merged(joined[latest], anchor)
                    continue
                latest = len(joined)
            joined.append(anchor)
        return joined


def _merged(one: FactualAnchor, other: FactualAnchor) -> FactualAnchor:
    """Two parts of one speech; it is as sure as they are, by their length."""
    lengths = (one.t1 - one.t0, other.t1 - other.t0)
    whole = sum(lengths) or 1.0
    confidence = (one.confidence * lengths[0] + other.confidence * lengths[1]) / whole
    return one.model_copy(update={"t1": max(one.t1, other.t1), "confidence": round(confidence, 4)})


class _Listener(Observer):
    """Hears a segment, as much before it as tells where its first speech begins, and on until its last has ended."""

    def __init__(self, expert: Speech, recording: Recording, segment: Segment) -> None:
        self._expert = expert
        self._recording = recording
        self._segment = segment

    def finish(self) -> list[FactualAnchor]:
        found, begin, sound = self._hear()
        anchors = [
            self._expert.anchor(self._segment, AnchorKind.VOICE, one.t0, one.t1, confidence=one.confidence)
            for one in found
        ]
        model = self._expert.model
        if model is not None and found:
            before = model.calls
            cut = [sound[round(one.t0 * RATE) - begin : round(one.t1 * RATE) - begin] for one in found]
            for one, said in zip(found, model(cut), strict=True):
                anchors += [
                    self._expert.anchor(
                        self._segment,
                        AnchorKind.SPEECH,
                        one.t0 + words.t0,
                        min(one.t0 + words.t1, one.t1),
                        content=words.text,
                        confidence=words.confidence,
                    )
                    for words in said
                    if words.text
                ]
            self.calls += model.calls - before
        return sorted(anchors, key=lambda a: (a.t0, a.t1, a.kind))

    def _hear(self) -> tuple[list[Piece], int, Samples]:
        """The speech that begins in the segment; the sound heard and the number of its first sample."""
        segment, manner = self._segment, self._expert.manner
        # The cell before tells whether speech was going on.
        first = max(0, int(segment.t0 * RATE / WINDOW) // CELL - 1)
        last = int((segment.t1 + manner.pad) * RATE / WINDOW) // CELL
        begin = begin_of(first) * WINDOW
        end = (last + _AFTER + 1) * CELL * WINDOW
        judged = np.zeros(0, np.float32)
        kept: list[Samples] = []
        for number, (sound, ahead) in enumerate(
            cells(self._recording.audio(begin / RATE, end / RATE, RATE), first), start=first
        ):
            judged = np.concatenate([judged, self._expert.voice(sound)[ahead:]])
            self.calls += 1
            if self._expert.model is not None:
                kept.append(sound[0 if number == first else ahead * WINDOW :])
            if number > last and (judged[-manner.silent - 1 :] < manner.low).all():
                break
        found = [
            piece
            for piece in pieces(judged, first * CELL, manner)
            if segment.t0 <= piece.t0 < segment.t1 or (segment.last and piece.t0 == segment.t1)
        ]
        return found, begin, np.concatenate([np.zeros(0, np.float32), *kept])

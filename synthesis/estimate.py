"""What an output will ask of a model, before anything is measured or asked."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.recipe import ModelSpec
from schemas.stream import Domain, Stream, TrackKind
from schemas.usage import Usage
from synthesis import prompt, showing
from synthesis.backends.chat import Chat
from synthesis.backends.model import asks_where
from synthesis.base import Agent, Evidence

_FACTS_PER_SECOND: dict[Domain, float] = {
    Domain.GUI: 290,
    Domain.EMBODIED: 75,
    Domain.AIGC: 40,
    Domain.EDUCATION: 30,
    Domain.DAILY_LIFE: 16,
}
"""Tokens of facts that a second of a recording gives, as sample streams do (docs/measurements/2026-11-21-learning.md);
bounded by `anchor_tokens`."""
_LEAST_FACTS = 120
_ANSWER = 0.5
"""Share of `max_tokens` that an answer usually takes."""
_UNKNOWN = (1280, 720)
"""Pixels of a picture whose size is not known yet."""


@dataclass(frozen=True)
class Estimate:
    """`usual`: verified at the first try. `most`: every answer as long as it may be, and every repair needed."""

    usual: Usage
    most: Usage

    def __add__(self, other: Estimate) -> Estimate:
        return Estimate(self.usual + other.usual, self.most + other.most)


NOTHING = Estimate(Usage(), Usage())


def estimate(agent: Agent, evidence: Evidence, settings: ModelSpec, chat: Chat, max_repairs: int) -> Estimate:
    """For one task on one group of streams; `evidence` needs no anchors."""
    windows = prompt.whole(evidence)
    opening = sum(chat.tokens(message.text) for message in prompt.opening(agent, evidence, settings.brief))
    seconds = sum(window.t1 - window.t0 for window in windows)
    eventful = sum(
        (window.t1 - window.t0) * _FACTS_PER_SECOND[stream.domain]
        for window, stream in zip(windows, evidence.streams, strict=True)
    )
    facts = min(settings.anchor_tokens, int(_LEAST_FACTS + eventful))
    seen = [stream for stream in evidence.streams if showing.has_pictures(stream)]
    frames = settings.frames if seen and seconds > 0 else min(settings.frames, len(seen))
    per_frame = max((chat.picture_tokens(*_size(stream, settings.image_side)) for stream in seen), default=0)
    asked = chat.tokens(
        prompt.writing(agent, evidence, prompt.told(agent, evidence, windows, settings.anchor_tokens), ()).text
    )
    write = _question(opening + asked, facts, frames, per_frame, int(settings.max_tokens * _ANSWER))
    longest = _question(opening + asked, settings.anchor_tokens, frames, per_frame, settings.max_tokens)
    total = Estimate(write, longest)
    for repair in range(1, max_repairs + 1):
        again = _question(opening + asked + repair * settings.max_tokens, settings.anchor_tokens, frames, per_frame, 0)
        total += Estimate(Usage(), again + Usage(completion_tokens=settings.max_tokens))
    if asks_where(evidence, settings):
        sheets = -(-settings.thumbnails // showing.ON_A_SHEET)
        per_sheet = chat.picture_tokens(*showing.SHEET)
        where = chat.tokens(prompt.choosing(evidence, (), settings.anchor_tokens).text)
        choose = _question(opening + where, facts, sheets, per_sheet, 200)
        total += Estimate(
            choose, _question(opening + where, settings.anchor_tokens, sheets, per_sheet, settings.max_tokens)
        )
    return total


def _question(text: int, facts: int, pictures: int, per_picture: int, answer: int) -> Usage:
    image = pictures * per_picture
    return Usage(
        requests=1, prompt_tokens=text + facts + image, image_tokens=image, completion_tokens=answer, images=pictures
    )


def _size(stream: Stream, side: int) -> tuple[int, int]:
    """Pixels of a full-size frame of a stream, as it is shown."""
    tracks = [track for track in stream.tracks if track.kind in (TrackKind.VIDEO, TrackKind.IMAGES)]
    width, height = next(((t.width, t.height) for t in tracks if t.width and t.height), _UNKNOWN)
    scale = min(1.0, side / max(width, height))
    return max(1, int(width * scale)), max(1, int(height * scale))

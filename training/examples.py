"""Rows as a model learns from them: the question that a build would ask, and the answer that was published."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from io import BytesIO
from pathlib import PurePosixPath
from typing import Any

from PIL import Image

from schemas.anchor import FactualAnchor
from schemas.manifest import Manifest
from schemas.order import in_schema_order
from schemas.recipe import ModelSpec
from schemas.score import Score
from schemas.stream import Domain
from schemas.triplet import EvidenceFrame, Split, Triplet
from storage import snapshots
from storage.corpus import Corpus
from synthesis import prompt
from synthesis.agents.roster import agent_of
from synthesis.backends.chat import Message, Picture
from synthesis.base import Evidence
from synthesis.verification.grounding import schema_of
from synthesis.verification.verify import score_output

_ROWS = 64
"""Held in memory at a time."""


@dataclass(frozen=True)
class Example:
    """One row as a model learns from it.

    `messages` are what a build asks of a model, pictures in their places; `told` are the anchors whose facts they tell.
    `triplet` is the row itself, whose anchors judge what a model answers instead.
    """

    messages: tuple[Message, ...]
    told: tuple[FactualAnchor, ...] = field(repr=False)
    triplet: Triplet = field(repr=False)

    @cached_property
    def completion(self) -> str:
        """The output as JSON, its keys in the order of the schema and its numbers as precise as the facts tell them."""
        row = self.triplet
        ordered = in_schema_order(json.loads(row.output), schema_of(agent_of(row.spec).schema))
        answer = _compact(_as_told(ordered, prompt.numbers_told(row.anchors)))
        if _lacks(self._scored(answer, row.anchors), row.score):
            answer = _compact(ordered)
        # As facts are told, so that quotes are copied letter by letter: no text from a screen ends the answer, or
        # stands for a picture in it.
        return answer.replace("<", "\\u003c")

    @property
    def is_told(self) -> bool:
        """Whether the question tells everything that the answer states. A model that learns to answer what it cannot
        know learns to make things up. Of questions with pictures it is taken for granted: they show what they show."""
        if self.pictures or len(self.told) == len(self.triplet.anchors):
            return True
        known = self._scored(self.completion, self.triplet.anchors)
        return not _lacks(self._scored(self.completion, self.told), known)

    def _scored(self, answer: str, anchors: Sequence[FactualAnchor]) -> Score:
        return score_output(answer, self.triplet.spec, self.triplet.streams, anchors)

    @property
    def pictures(self) -> tuple[Picture, ...]:
        return tuple(picture for message in self.messages for picture in message.pictures)

    @property
    def domain(self) -> Domain:
        return self.triplet.domain


def example_of(triplet: Triplet, model: ModelSpec) -> Example:
    """A row as a question to this model and its answer.

    The facts told are chosen from the anchors of the row as a build chooses them; the frames shown are its evidence.

    Raises:
        UsageError: the task type of the row is not known here.
    """
    agent = agent_of(triplet.spec)
    evidence = Evidence(streams=triplet.streams, anchors=triplet.anchors, spec=triplet.spec)
    frames = [_picture(frame, model.image_side) for frame in triplet.evidence[: model.frames]]
    told = prompt.told(agent, evidence, prompt.whole(evidence), model.anchor_tokens)
    question = prompt.writing(agent, evidence, told, frames)
    return Example(
        messages=tuple(map(_joined, prompt.conversation(agent, evidence, question, model.brief))),
        told=tuple(told),
        triplet=triplet,
    )


def examples(
    corpus: Corpus, manifest: Manifest, model: ModelSpec, split: Split | None = None, domains: Collection[Domain] = ()
) -> Iterator[Example]:
    """The rows of a snapshot as examples, in their order, a few in memory at a time.

    Args:
        split: of this side alone.
        domains: of these alone; none named: of all.
    """
    for batch in snapshots.iter_triplets(corpus, manifest, _ROWS):
        for triplet in Triplet.from_table(batch):
            if split in (None, triplet.split) and (not domains or triplet.domain in domains):
                yield example_of(triplet, model)


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _as_told(value: Any, told: Mapping[float, float]) -> Any:
    """A value whose numbers are those that were told. Digits that nobody was told cannot be learned; those that were
    computed from facts get the precision of places, the finest."""
    if isinstance(value, float):
        return told.get(value, round(value, 3))
    if isinstance(value, list):
        return [_as_told(item, told) for item in value]
    return {key: _as_told(item, told) for key, item in value.items()} if isinstance(value, dict) else value


def _lacks(score: Score, known: Score) -> bool:
    """Whether a score falls behind another in what must hold."""
    return score.format < known.format or (score.anchor or 0.0) < (known.anchor or 0.0)


def _joined(message: Message) -> Message:
    """A message whose texts that follow each other are one, with the distance at which engines put them."""
    parts: list[str | Picture] = []
    for part in message.parts:
        if isinstance(part, str) and parts and isinstance(parts[-1], str):
            parts[-1] = f"{parts[-1]}\n\n{part}"
        else:
            parts.append(part)
    return Message(message.role, tuple(parts))


def _picture(frame: EvidenceFrame, side: int) -> Picture:
    """A frame of evidence, its longer side at most `side` pixels."""
    data, kind = frame.image.bytes, PurePosixPath(frame.image.path).suffix
    with Image.open(BytesIO(data)) as image:
        width, height = image.size
        if max(width, height) > side:
            image.thumbnail((side, side))
            width, height = image.size
            sink = BytesIO()
            image.save(sink, "PNG" if kind == ".png" else "JPEG", quality=90)
            data = sink.getvalue()
    return Picture(data, "image/png" if kind == ".png" else "image/jpeg", width, height, ((frame.stream, frame.time),))

"""An output made again from its trail: the same questions, with the same pictures, and what became of each answer."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from schemas.errors import InputError
from schemas.score import Score
from schemas.stream import Stream
from schemas.trail import Exchange, Said, Shown, Step, Trail
from schemas.triplet import Triplet
from synthesis import showing
from synthesis.backends.chat import Chat, Message, Picture, Reply, Request, Sampling
from synthesis.verification.verify import score_output


@dataclass(frozen=True)
class Replayed:
    """One exchange of a trail."""

    exchange: Exchange
    messages: tuple[Said, ...]
    score: Score | None
    """The verdict on the answer now, where it was an output."""
    again: Reply | None = None
    """What the model answers today, where it was asked again."""
    now: Score | None = None
    """The verdict on that."""

    @property
    def same(self) -> bool | None:
        """Whether today's answer is the one of then; None when nobody asked."""
        return None if self.again is None else self.again.text == self.exchange.answer


def replay(triplet: Triplet, trail: Trail) -> list[Replayed]:
    """Every exchange with the verdict that the rules give on its answer, from the row alone."""
    steps = []
    for place, exchange in enumerate(trail.exchanges):
        score = None if exchange.step is Step.CHOOSE else judged(triplet, exchange.answer)
        steps.append(Replayed(exchange, trail.conversation(place), score))
    return steps


def judged(triplet: Triplet, answer: str) -> Score:
    """The verdict on an answer as the output of a row."""
    return score_output(answer, triplet.spec, triplet.streams, triplet.anchors, triplet.provenance.reward)


async def ask_again(triplet: Triplet, steps: Sequence[Replayed], chat: Chat) -> list[Replayed]:
    """The same questions put to a model again, pictures made anew from the raw streams.

    Raises:
        InputError: a raw stream is gone, or shows other pictures now.
        UsageError, UnavailableError: the model cannot be asked.
    """
    asked = []
    for step in steps:
        exchange = step.exchange
        messages = tuple(
            Message(said.role, tuple(_part(part, triplet.streams, exchange) for part in said.parts))
            for said in step.messages
        )
        sampling = Sampling(exchange.temperature, exchange.top_p, exchange.seed, exchange.max_tokens)
        reply = await chat.complete(Request(messages, exchange.answer_schema, sampling))
        now = None if exchange.step is Step.CHOOSE else judged(triplet, reply.text)
        asked.append(Replayed(exchange, step.messages, step.score, reply, now))
    return asked


def _part(part: str | Shown, streams: Sequence[Stream], exchange: Exchange) -> str | Picture:
    if isinstance(part, str):
        return part
    made = (
        showing.contact_sheets(streams, part.moments)
        if exchange.step is Step.CHOOSE
        else showing.frames(streams, part.moments, max(part.width, part.height))
    )
    if len(made) != 1 or hashlib.sha256(made[0].data).hexdigest() != part.sha256:
        where = ", ".join(f"{time:.2f} s" for _, time in part.moments)
        raise InputError(
            streams[0].uri,
            f"the picture of {where} is not the one that the model saw",
            "The raw stream changed, or another version of the decoder reads it otherwise.",
        )
    return made[0]

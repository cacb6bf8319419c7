"""Questions and answers as provenance keeps them: pictures by what they show, not by their bytes."""

from __future__ import annotations

import hashlib

from schemas.trail import Exchange, Said, Shown, Step, Trail
from synthesis.backends.chat import Message, Picture, Reply, Request


def exchange(step: Step, request: Request, reply: Reply, trail: Trail) -> Exchange:
    """The next exchange of a trail; the messages that it shares with the one before are not written again."""
    said = tuple(_said(message) for message in request.messages)
    before = trail.conversation(len(trail.exchanges) - 1) if trail.exchanges else ()
    kept = next((n for n, (a, b) in enumerate(zip(said, before, strict=False)) if a != b), min(len(said), len(before)))
    sampling = request.sampling
    return Exchange(
        step=step,
        kept=kept,
        messages=said[kept:],
        answer_schema=request.schema,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        seed=sampling.seed,
        max_tokens=sampling.max_tokens,
        answer=reply.text,
        finish=reply.finish.value,
        usage=reply.usage,
    )


def _said(message: Message) -> Said:
    return Said(role=message.role, parts=tuple(_part(part) for part in message.parts))


def _part(part: str | Picture) -> str | Shown:
    if isinstance(part, str):
        return part
    digest = hashlib.sha256(part.data).hexdigest()
    return Shown(moments=part.moments, width=part.width, height=part.height, sha256=digest)

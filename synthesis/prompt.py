"""What a model is asked: the task, its bounds, the anchors it may rest on, the moments to look at, the schema.

One text for every backend with a model.
"""

from __future__ import annotations

from dataclasses import dataclass

from schemas.anchor import FactualAnchor
from schemas.stream import Stream
from synthesis.base import Agent, Evidence
from synthesis.selection import Budget, select_anchors_for_prompt, select_moments

ANCHOR_TOKENS = 6000
BUDGET = Budget(frames=16)

_RULES = (
    "Answer with one JSON value that satisfies the schema, and nothing else. Every time, quote, box, order and count "
    "must be carried by the facts below: quote verbatim, give times in seconds, leave out what no fact carries."
)


@dataclass(frozen=True)
class Prompt:
    """A request to a model: its text, and the frames to show as (stream SHA-256, seconds) in their order."""

    text: str
    moments: tuple[tuple[str, float], ...]


def prepare(agent: Agent, evidence: Evidence, budget: Budget = BUDGET, anchor_tokens: int = ANCHOR_TOKENS) -> Prompt:
    """The prompt for a task. Equal evidence gives an equal prompt.

    Args:
        agent: bound to the spec.
        evidence: streams, anchors, task spec.
        budget: bounds on the frames of all streams together.
        anchor_tokens: bound on the facts told.
    """
    spec = evidence.spec
    share = Budget(
        max(1, budget.frames // len(evidence.streams)), budget.tokens // len(evidence.streams), budget.frame_tokens
    )
    moments = tuple(
        (stream.sha256, time)
        for stream in evidence.streams
        for time in select_moments(evidence.by_stream[stream.sha256], 0.0, stream.duration, share)
    )
    names = {stream.sha256: stream.name for stream in evidence.streams}
    several = len(names) > 1
    facts = [
        f"{names[anchor.stream]} {_fact(anchor)}" if several else _fact(anchor)
        for anchor in select_anchors_for_prompt(evidence.anchors, anchor_tokens)
    ]
    blocks = [
        spec.instruction,
        _RULES,
        "Recordings:\n" + "\n".join(_recording(stream) for stream in evidence.streams),
        "Frames shown, in order:\n" + "\n".join(f"{names[sha]} at {time:.2f} s" for sha, time in moments),
        "Facts (stream, seconds, kind, content, place):\n" + "\n".join(facts),
        f"Schema:\n{agent.schema}",
    ]
    return Prompt("\n\n".join(blocks), moments)


def _recording(stream: Stream) -> str:
    tracks = ", ".join(dict.fromkeys(track.kind for track in stream.tracks))
    return f"{stream.name}: {stream.domain}, {stream.duration:.2f} s, {tracks}"


def _fact(anchor: FactualAnchor) -> str:
    """An anchor in one line."""
    place = ""
    if anchor.box is not None:
        place = f" [{anchor.box.x0:.3f}, {anchor.box.y0:.3f}, {anchor.box.x1:.3f}, {anchor.box.y1:.3f}]"
    elif anchor.point is not None:
        place = f" ({anchor.point.x:.3f}, {anchor.point.y:.3f})"
    content = f' "{anchor.content}"' if anchor.content else ""
    value = f" {anchor.value:g}" if anchor.value is not None else ""
    return f"{anchor.t0:.2f}-{anchor.t1:.2f} {anchor.kind}{content}{value}{place}"

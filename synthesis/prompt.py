"""What a model is asked, as messages: the same for every backend with a model.

What all streams of a run share (rules, task, schema) comes first, so that an engine's prefix cache serves it. Whatever
comes from a recording stands inside JSON strings whose `<` is escaped: no text on a screen can end its block, imitate
a chat template's control tokens, or stand where instructions stand.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from schemas.anchor import AnchorKind, FactualAnchor
from schemas.base import schema_json
from schemas.score import Score
from schemas.stream import Stream
from synthesis.backends.chat import Message, Picture
from synthesis.base import Agent, Evidence
from synthesis.prompts import filled
from synthesis.selection import select_anchors_for_prompt
from synthesis.verification.grounding import holds_boxes, schema_of

MOST_WINDOWS = 8
_MOST_REPORTED = 20
"""Unsupported claims that a repair is told of: the first ones, more do not help."""
_TOKENS = re.compile(r"[A-Za-z]{1,6}|[^A-Za-z\s]")


@dataclass(frozen=True)
class Window:
    """A stretch of a recording, in seconds, that a model chose to look at."""

    stream: str
    t0: float
    t1: float

    def shows(self, anchor: FactualAnchor) -> bool:
        return anchor.stream == self.stream and anchor.t0 <= self.t1 and anchor.t1 >= self.t0


def opening(agent: Agent, evidence: Evidence, brief: bool = False) -> tuple[Message, ...]:
    """Rules and task: the prefix that all groups under one task spec share. Brief: the task alone, without rules and
    schema, for models that were tuned to know them."""
    spec = evidence.spec
    bounds = f"Bounds that are checked: {spec.constraints}.\n" if str(spec.constraints) else ""
    if brief:
        named = filled("brief", task_type=agent.task_type, instruction=spec.instruction, bounds=bounds)
        return (Message("user", (named,)),)
    task = filled("task", instruction=spec.instruction, bounds=bounds, schema=told_schema(agent.schema))
    return Message("system", (filled("system"),)), Message("user", (task,))


def conversation(agent: Agent, evidence: Evidence, question: Message, brief: bool = False) -> tuple[Message, ...]:
    """A question after rules and task. Task and question are one message: there are chat templates that refuse two of
    one role in a row."""
    *rules, task = opening(agent, evidence, brief)
    return (*rules, Message("user", (*task.parts, *question.parts)))


def choosing(evidence: Evidence, sheets: Sequence[Picture], anchor_tokens: int) -> Message:
    """Asks where to look."""
    teller = _Teller(evidence, boxes=False)
    facts = teller.facts(teller.within(evidence.anchors, anchor_tokens))
    return Message("user", (filled("choose", recordings=_recordings(evidence), facts=facts), *sheets))


def writing(agent: Agent, evidence: Evidence, anchors: Sequence[FactualAnchor], frames: Sequence[Picture]) -> Message:
    """Asks for the output, from the facts of these anchors: see :func:`told`."""
    teller = _Teller(evidence, holds_boxes(agent.schema))
    moments = [moment for frame in frames for moment in frame.moments]
    shown = data([[teller.numbers[sha256], round(time, 2)] for sha256, time in moments]) if moments else "none"
    text = filled("write", recordings=_recordings(evidence), facts=teller.facts(anchors), frames=shown)
    return Message("user", (text, *frames))


def told(agent: Agent, evidence: Evidence, windows: Sequence[Window], anchor_tokens: int) -> list[FactualAnchor]:
    """The anchors of the windows whose facts are told within a number of tokens."""
    inside = [
        anchor
        for anchor in evidence.anchors
        if anchor.kind == AnchorKind.GIVEN_TEXT or any(window.shows(anchor) for window in windows)
    ]
    return _Teller(evidence, holds_boxes(agent.schema)).within(inside, anchor_tokens)


def repairing(score: Score) -> Message:
    """Tells what does not hold."""
    told = [f"The answer is not valid: {error}" for error in score.format_errors]
    told += [f"{support.path or '/'}: {support.reason}" for support in score.unsupported]
    left = len(told) - _MOST_REPORTED
    lines = [data(line) for line in told[:_MOST_REPORTED]] + ([f"and {left} more"] if left > 0 else [])
    return Message("user", (filled("repair", report="\n".join(f"- {line}" for line in lines)),))


def prepared(agent: Agent, evidence: Evidence, anchor_tokens: int = 6000) -> str:
    """What a model would be asked where there is none, without its pictures: for whoever reads the rejects."""
    anchors = told(agent, evidence, whole(evidence), anchor_tokens)
    messages = [*opening(agent, evidence), writing(agent, evidence, anchors, ())]
    return "\n\n".join(message.text for message in messages)


def windows_schema(evidence: Evidence) -> str:
    """The schema of an answer to :func:`choosing`."""
    longest = max(stream.duration for stream in evidence.streams)
    window = {
        "type": "object",
        "properties": {
            "stream": {"enum": [stream.name for stream in evidence.streams]},
            "t0": {"type": "number", "minimum": 0, "maximum": longest},
            "t1": {"type": "number", "minimum": 0, "maximum": longest},
            "why": {"type": "string", "maxLength": 200},
        },
        "required": ["stream", "t0", "t1", "why"],
        "additionalProperties": False,
    }
    return schema_json(
        {
            "type": "object",
            "properties": {"windows": {"type": "array", "minItems": 1, "maxItems": MOST_WINDOWS, "items": window}},
            "required": ["windows"],
            "additionalProperties": False,
        }
    )


def windows_of(answer: str, evidence: Evidence, least: float) -> list[Window]:
    """The windows of an answer, at least `least` seconds long and inside their recordings; all of every recording
    when the answer names none that there is."""
    try:
        named = json.loads(answer)["windows"]
    except (ValueError, TypeError, KeyError):
        named = []
    found = []
    for item in named if isinstance(named, list) else []:
        window = _window(item, evidence, least)
        if window is not None and window not in found:
            found.append(window)
    return found[:MOST_WINDOWS] or whole(evidence)


def whole(evidence: Evidence) -> list[Window]:
    """Everything, or what the task's own window leaves of it."""
    bound = evidence.spec.constraints.window
    t0, t1 = (0.0, None) if bound is None else (bound.t0, bound.t1)
    return [
        Window(stream.sha256, min(t0, stream.duration), stream.duration if t1 is None else min(t1, stream.duration))
        for stream in evidence.streams
    ]


def data(value: object) -> str:
    """JSON in which no `<` stands, so that nothing in it reads as markup or as a control token."""
    return json.dumps(value, ensure_ascii=False).replace("<", "\\u003c")


def told_schema(schema: str) -> str:
    """A schema as a model reads it: what our own marks say is ours."""
    return data(_unmarked(schema_of(schema)))


def _unmarked(node: object) -> object:
    if isinstance(node, dict):
        return {key: _unmarked(item) for key, item in node.items() if not str(key).startswith("x-")}
    return [_unmarked(item) for item in node] if isinstance(node, list | tuple) else node


def _window(item: object, evidence: Evidence, least: float) -> Window | None:
    if not isinstance(item, dict):
        return None
    stream = evidence.stream_named(str(item.get("stream")))
    t0, t1 = item.get("t0"), item.get("t1")
    if stream is None or not isinstance(t0, int | float) or not isinstance(t1, int | float) or t1 < t0:
        return None
    missing = max(0.0, least - (t1 - t0)) / 2
    begin, end = max(0.0, t0 - missing), min(stream.duration, t1 + missing)
    return Window(stream.sha256, begin, end) if begin <= end else None


def _recordings(evidence: Evidence) -> str:
    return "\n".join(data(_recording(number, stream)) for number, stream in enumerate(evidence.streams, 1))


def _recording(number: int, stream: Stream) -> dict[str, object]:
    tracks = list(dict.fromkeys(str(track.kind) for track in stream.tracks))
    return {
        "number": number,
        "name": stream.name,
        "domain": str(stream.domain),
        "seconds": round(stream.duration, 2),
        "tracks": tracks,
    }


class _Teller:
    """Writes anchors as facts, one a line: [recording, from, to, kind, content, value, place], as far as there is any.
    A recording is named by its number: names are long.

    Args:
        boxes: tell all of a place, for outputs that hold boxes; else the left upper corner, from which layout is read.
    """

    def __init__(self, evidence: Evidence, boxes: bool) -> None:
        self.numbers = {stream.sha256: number for number, stream in enumerate(evidence.streams, 1)}
        self._edges = None if boxes else 2

    def facts(self, anchors: Sequence[FactualAnchor]) -> str:
        return "\n".join(map(self._line, anchors))

    def within(self, anchors: Sequence[FactualAnchor], tokens: int) -> list[FactualAnchor]:
        """The anchors to tell within a number of tokens."""
        return select_anchors_for_prompt(anchors, tokens, lambda anchor: _takes(self._line(anchor)))

    def _line(self, anchor: FactualAnchor) -> str:
        place = [_edge(edge) for edge in _place(anchor)[: self._edges]] or None
        value = None if anchor.value is None else _value(anchor.value)
        content = "" if anchor.kind == AnchorKind.SCREEN else anchor.content  # a signature says nothing to a reader
        row: list[object] = [
            self.numbers[anchor.stream], _time(anchor.t0), _time(anchor.t1), anchor.kind, content, value, place,
        ]  # fmt: skip
        while row[-1] in (None, ""):
            row.pop()
        return data(row)


def _takes(line: str) -> int:
    """Tokens of a fact, with its end of line: about as many as SmolLM2's tokenizer makes of it, which takes digits one
    by one as others do (docs/measurements/2026-11-21-learning.md)."""
    return len(_TOKENS.findall(line)) + 1


def numbers_told(anchors: Iterable[FactualAnchor]) -> dict[float, float]:
    """The numbers of facts, each with what a model reads for it."""
    told: dict[float, float] = {}
    for anchor in anchors:
        if anchor.value is not None:
            told[anchor.value] = _value(anchor.value)
        told |= {time: _time(time) for time in (anchor.t0, anchor.t1)}
        told |= {edge: _edge(edge) for edge in _place(anchor)}
    return told


def _place(anchor: FactualAnchor) -> tuple[float, ...]:
    if anchor.box is not None:
        return anchor.box.x0, anchor.box.y0, anchor.box.x1, anchor.box.y1
    return () if anchor.point is None else (anchor.point.x, anchor.point.y)


def _time(seconds: float) -> float:
    return round(seconds, 2)


def _edge(share: float) -> float:
    return round(share, 3)


def _value(value: float) -> float:
    return float(f"{value:.4g}")

"""What the rules backend can put into the items of a list: what was measured, and questions about it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from schemas.anchor import AnchorKind, FactualAnchor
from schemas.geometry import Box, Point
from synthesis.agents.temporal_questions import questions
from synthesis.base import Evidence


@dataclass(frozen=True)
class Record:
    """One thing to write down. `values` are what fields may ask for by name (`question`, `answer`, `difficulty`)."""

    t0: float
    t1: float
    stream: str | None = None
    """SHA-256; None when it is about all streams of a group."""
    kind: str = ""
    content: str = ""
    value: float | None = None
    box: Box | None = None
    point: Point | None = None
    index: int = 0
    values: tuple[tuple[str, str], ...] = ()

    @property
    def said(self) -> str:
        """Its words, when it is something said, shown, typed or clicked."""
        return self.content if self.kind.startswith(("text.", "ui.", "input.")) else ""

    def holds(self, other: Record) -> bool:
        """Whether another one begins inside it: what is said across a cut belongs to the shot in which it begins."""
        inside = self.t0 <= other.t0 < self.t1 or self.t0 == other.t0
        return self.stream in (None, other.stream) and inside


@dataclass(frozen=True)
class Provider:
    """A family of records: the words that ask for it, and how they are found in a stretch of the evidence."""

    called: str
    """Words, with spaces between them."""
    records: Callable[[Evidence, Record], list[Record]]
    """Those that lie inside a record."""

    @cached_property
    def words(self) -> frozenset[str]:
        return frozenset(self.called.split())


def records_of(kinds: Sequence[str], evidence: Evidence, around: Record) -> list[Record]:
    """Everything of some kinds that begins inside a record."""
    return _of(*kinds)(evidence, around)


def _of(*kinds: str) -> Callable[[Evidence, Record], list[Record]]:
    def find(evidence: Evidence, around: Record) -> list[Record]:
        return numbered([record for record in map(_record, evidence.of(*kinds)) if around.holds(record)])

    return find


lines_in = _of(AnchorKind.SUBTITLE, AnchorKind.SCREEN_TEXT)
"""What is said or shown inside a record."""


def _questions(evidence: Evidence, around: Record) -> list[Record]:
    stream = around.stream or evidence.streams[0].sha256
    records = [
        Record(
            t0=question.events[0].t0,
            t1=question.events[0].t1,
            stream=stream,
            kind=_kind_at(evidence, question.events[0].t0, question.events[0].t1),
            content=question.events[0].quote or "",
            values=(
                ("question", question.question),
                ("answer", question.answer),
                ("difficulty", question.difficulty),
            ),
        )
        for question in evidence.once(questions, stream)
        if all(around.t0 <= event.t0 and event.t1 <= around.t1 for event in question.events)
    ]
    return numbered(records)


def _kind_at(evidence: Evidence, t0: float, t1: float) -> str:
    return next((anchor.kind for anchor in evidence.anchors if (anchor.t0, anchor.t1) == (t0, t1)), "")


def _record(anchor: FactualAnchor) -> Record:
    return Record(
        t0=anchor.t0,
        t1=anchor.t1,
        stream=anchor.stream,
        kind=anchor.kind,
        content=anchor.content,
        value=anchor.value,
        box=anchor.box,
        point=anchor.point,
    )


def numbered(records: Sequence[Record]) -> list[Record]:
    """Each fact once, in the order of its stream and of time, with its number in it."""
    streams = {stream: place for place, stream in enumerate(dict.fromkeys(record.stream for record in records))}
    ordered = sorted(dict.fromkeys(records), key=lambda record: (streams[record.stream], record.t0, record.t1))
    return [replace(record, index=index) for index, record in enumerate(ordered)]


PROVIDERS = (
    Provider(
        "line subtitle caption transcript speech utterance sentence dialogue narration quote cue",
        _of(AnchorKind.SUBTITLE),
    ),
    Provider("line text ocr board word screen note", _of(AnchorKind.SCREEN_TEXT)),
    Provider("question qa quiz query answer exercise", _questions),
    Provider("shot scene clip chapter section segment part", _of(AnchorKind.SHOT)),
    Provider("cut transition boundary scene change", _of(AnchorKind.CUT, AnchorKind.DISSOLVE)),
    Provider(
        "action event step manipulation motion movement activity grasp gripper robot fault phase",
        _of(
            AnchorKind.GRIPPER_CLOSE,
            AnchorKind.GRIPPER_OPEN,
            AnchorKind.CONTACT,
            AnchorKind.MOTION,
            AnchorKind.STALL,
            AnchorKind.OSCILLATION,
            AnchorKind.REVERSAL,
            AnchorKind.JOINT_STALL,
            AnchorKind.JOINT_REVERSAL,
            AnchorKind.CAMERA,
        ),
    ),
    Provider(
        "action step interaction click tap type input event gui trajectory operation",
        _of(
            AnchorKind.CLICK,
            AnchorKind.DOUBLE_CLICK,
            AnchorKind.RIGHT_CLICK,
            AnchorKind.DRAG,
            AnchorKind.WHEEL,
            AnchorKind.TYPING,
            AnchorKind.HOTKEY,
            AnchorKind.TAP,
            AnchorKind.SWIPE,
            AnchorKind.SCROLL,
        ),
    ),
    Provider("screen page state view slide", _of(AnchorKind.SCREEN)),
    Provider("element widget button control region grounding target", _of(AnchorKind.ELEMENT)),
    Provider("edit region change difference", _of(AnchorKind.EDIT_REGION)),
    Provider("prompt instruction task goal", _of(AnchorKind.GIVEN_TEXT)),
)
"""In the order in which they are preferred where nothing else decides."""

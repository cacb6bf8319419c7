"""spatio_temporal_vqa: where, when, which way, how long and which first, of what was measured with its place."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, ClassVar

from pydantic import BaseModel

from schemas.anchor import AnchorKind, FactualAnchor
from schemas.constraints import Difficulty
from schemas.errors import UnsuitedError
from schemas.geometry import Box
from schemas.outputs.spatio_temporal_vqa import (
    PlacedEvent,
    PlacedKind,
    PlaceQuestion,
    PlaceQuestionType,
    Region,
    SpatioTemporalVQA,
)
from schemas.score import Claim, ClaimKind
from schemas.stream import Domain, Stream, TrackKind
from synthesis.agents.handling import NO_DIRECTION
from synthesis.agents.proofs import proved, refused, stream_of, whole
from synthesis.agents.screen_lines import readable
from synthesis.base import Evidence, GroundedAgent, Recognition
from synthesis.intent.words import ANY_QUESTIONS
from synthesis.verification.check import EPSILON
from synthesis.verification.mentions import claims_in, find, quoted

MOST_OF_TYPE = 6
_MIDDLE = 0.05
"""Of the frame, by which a box may reach over the middle and still lie in a half."""
_APART = 0.5
"""Seconds between two events whose order can be seen."""
_LEAST = 0.5
"""Seconds that must last what is asked how long it lasts, or which way it goes."""
_SURE = 0.7
_KINDS = {
    PlacedKind.MOTION: AnchorKind.MOTION,
    PlacedKind.TURN: AnchorKind.REVERSAL,
    PlacedKind.TO_AND_FRO: AnchorKind.OSCILLATION,
    PlacedKind.CAMERA: AnchorKind.CAMERA,
    PlacedKind.TEXT: AnchorKind.SCREEN_TEXT,
}
_DIRECTED = (PlacedKind.MOTION, PlacedKind.CAMERA)
_DOES = {
    PlacedKind.MOTION: "something moves",
    PlacedKind.TURN: "motion turns back",
    PlacedKind.TO_AND_FRO: "motion goes to and fro",
    PlacedKind.CAMERA: "the camera moves",
    PlacedKind.TEXT: "a line stands",
}
_ASKED = {
    PlacedKind.MOTION: "does something move",
    PlacedKind.TURN: "does motion turn back",
    PlacedKind.TO_AND_FRO: "does motion go to and fro",
    PlacedKind.CAMERA: "does the camera move",
}
_DIFFICULTY = {
    PlaceQuestionType.WHERE: Difficulty.EASY,
    PlaceQuestionType.DIRECTION: Difficulty.EASY,
    PlaceQuestionType.WHEN: Difficulty.MEDIUM,
    PlaceQuestionType.DURATION: Difficulty.MEDIUM,
    PlaceQuestionType.ORDER: Difficulty.HARD,
}
_REGION = re.compile("|".join(re.escape(region) for region in Region))
_WAYS = re.compile(r"\b(?:(?:up|down) (?:left|right)|(?:pan|tilt|zoom)s (?:left|right|up|down|in|out)|up|down)\b")


class SpatioTemporalVQAAgent(GroundedAgent):
    """Asks of motion, camera and text: what was measured with a place or a direction."""

    task_type: ClassVar[str] = "spatio_temporal_vqa"
    version: ClassVar[str] = "1"
    domains: ClassVar[frozenset[Domain]] = frozenset({Domain.EMBODIED, Domain.DAILY_LIFE})
    output: ClassVar[type[BaseModel]] = SpatioTemporalVQA
    experts: ClassVar[tuple[str, ...]] = ("motion",)
    parts: ClassVar[dict[str, str]] = {"questions": "questions", "answers": "questions", "pairs": "questions"}
    recognition: ClassVar[Recognition] = Recognition(
        instruction="Write questions on where and when things move in this recording (which part of the frame, which "
        "way, how long, which first), each with its answer, spans and boxes.",
        names=(
            r"spat(?:io|ial(?:ly)?)(?:[- ]?| and )temporal(?:ly)?(?: (?:reasoning|understanding|questions?|vqa"
            r"|q ?(?:&|and)? ?as?|data))*",
            r"spatial (?:reasoning|relations?|understanding|vqa|qa|questions?)(?: (?:questions?|qa|vqa|data))?",
            r"(?:vqa|questions?|qa) (?:about|on|over) space and time",
            *ANY_QUESTIONS,
            r"spati(?:o|al)[- ]?(?:and )?temporal (?:vqa|qa|questions?|reasoning|understanding|grounding)",
            r"spatial (?:vqa|qa|questions?|reasoning|understanding|relations?)",
            r"where and when|when and where",
            r"st[- ]?v?qa",
            r"(?:left|right|upper|lower)[- /]+(?:or )?(?:left|right|upper|lower)(?: half)? questions?",
        ),
        hints=(
            r"where",
            r"positions?|places?|locations?",
            r"left|right|above|below",
            r"mov\w+|motions?|directions?",
            r"spa(?:ce|tial)\w*",
            r"objects?",
            r"over time",
            r"when",
            r"boxes",
        ),
        examples=(
            "Make spatio-temporal questions about this manipulation.",
            "Where is the object before and after it was moved?",
            "Spatial reasoning questions and answers over a robot video.",
            "In which direction does the arm move, and when?",
            "Questions that need both the place and the time of things.",
            "Ask where and when things move in the video.",
            "I want spatial and temporal question answering data from this footage.",
            "Make questions about which side of the picture the motion is on, and at what time.",
            "Build QA about direction of motion and position with evidence boxes.",
            "Test whether a model knows what moves first and where.",
            "Question-answer pairs on location and time of movements, please.",
        ),
        prior={Domain.EMBODIED: 0.25, Domain.DAILY_LIFE: 0.1},
        needs=frozenset({TrackKind.VIDEO, TrackKind.IMAGES}),
    )

    def compose(self, evidence: Evidence) -> SpatioTemporalVQA:
        stream = evidence.streams[0]
        events = [event for a in evidence.of(*_KINDS.values(), stream=stream.sha256) if (event := _event(a))]
        questions = [question for type_ in PlaceQuestionType for question in _some(_ASKERS[type_](events))]
        if not questions:
            raise UnsuitedError(
                stream.uri,
                "no place or direction of motion was measured in it: nothing that moves stays in one half of the "
                "frame or goes one way",
                "Choose the expert motion (or ocr) in the recipe, or a model backend that sees what is in the picture.",
            )
        return proved(self, SpatioTemporalVQA(questions=tuple(questions)), evidence)

    def claims(self, output: Any, streams: Sequence[Stream]) -> list[Claim]:
        stream = stream_of(streams)
        found = super().claims(output, streams)
        for place, question in enumerate(output["questions"]):
            path = f"/questions/{place}"
            for number, event in enumerate(question["events"]):
                found += _event_claims(event, f"{path}/events/{number}", stream)
            found += _question_claims(question, path, stream)
        return found


# --- what happens where --------------------------------------------------------------------------------------------


def _event(anchor: FactualAnchor) -> PlacedEvent | None:
    """An anchor as an event; None when neither a place nor a direction is known of it."""
    kind = next(kind for kind, its in _KINDS.items() if its == anchor.kind)
    if kind is PlacedKind.TEXT and not readable(anchor):
        return None
    region = None if anchor.box is None else region_of(anchor.box)
    said = anchor.content.strip()
    direction = said if kind in _DIRECTED and said not in NO_DIRECTION else None
    if anchor.confidence < _SURE or (region is None and direction is None):
        return None
    return PlacedEvent(
        t0=anchor.t0,
        t1=anchor.t1,
        kind=kind,
        box=anchor.box,
        region=region,
        direction=direction,
        quote=said if kind is PlacedKind.TEXT else None,
    )


def region_of(box: Box) -> Region | None:
    """The quarter or half of the frame that holds a box; None when it reaches over the middle both ways."""
    across = "left" if box.x1 <= 0.5 + _MIDDLE else "right" if box.x0 >= 0.5 - _MIDDLE else ""
    down = "upper" if box.y1 <= 0.5 + _MIDDLE else "lower" if box.y0 >= 0.5 - _MIDDLE else ""
    words = f"{down} {across} quarter" if down and across else f"{down or across} half"
    return Region(words) if down or across else None


# --- what is asked -------------------------------------------------------------------------------------------------


def _where(events: Sequence[PlacedEvent]) -> Iterator[PlaceQuestion]:
    for event in events:
        if event.region is not None and event.kind is not PlacedKind.CAMERA:
            asked = f"does {quoted(event.quote)} stand" if event.quote else _ASKED[event.kind]
            question = f"In which part of the frame {asked} {_when_words(event)}?"
            yield _question(PlaceQuestionType.WHERE, question, f"In the {event.region}.", event)


def _when(events: Sequence[PlacedEvent]) -> Iterator[PlaceQuestion]:
    for event in events:
        if event.region is not None and event.kind in (PlacedKind.MOTION, PlacedKind.TURN, PlacedKind.TO_AND_FRO):
            question = f"Name a time at which {_DOES[event.kind]} in the {event.region}."
            yield _question(PlaceQuestionType.WHEN, question, _sentence(_when_words(event)), event)


def _direction(events: Sequence[PlacedEvent]) -> Iterator[PlaceQuestion]:
    for event in events:
        if event.direction is not None and event.t1 - event.t0 >= _LEAST:
            asked = "What does the camera do" if event.kind is PlacedKind.CAMERA else "Which way does motion go"
            answer = _sentence(_way(event))
            yield _question(PlaceQuestionType.DIRECTION, f"{asked} {_when_words(event)}?", answer, event)


def _duration(events: Sequence[PlacedEvent]) -> Iterator[PlaceQuestion]:
    for event in events:
        if event.kind in (PlacedKind.MOTION, PlacedKind.TO_AND_FRO) and event.region and event.t1 - event.t0 >= _LEAST:
            question = f"From {event.t0:.2f} s on, how long {_ASKED[event.kind]} in the {event.region}?"
            answer = f"It does so for {event.t1 - event.t0:.2f} s."
            yield _question(PlaceQuestionType.DURATION, question, answer, event)


def _order(events: Sequence[PlacedEvent]) -> Iterator[PlaceQuestion]:
    """Neighbours in time of one kind in two halves that do not meet."""
    for kind in (PlacedKind.MOTION, PlacedKind.TURN):
        placed = [event for event in events if event.kind is kind and event.region is not None]
        for first, second in pairwise(placed):
            if second.t0 - max(first.t0, first.t1) >= _APART and _apart(first, second):
                # The one in the order of the alphabet is named first, so that the question does not give the answer.
                named = sorted((str(first.region), str(second.region)))
                question = (
                    f"Between {first.t0:.2f} s and {second.t1:.2f} s, where {_ASKED[kind]} first: in the {named[0]} or "
                    f"in the {named[1]}?"
                )
                yield _question(PlaceQuestionType.ORDER, question, f"In the {first.region}.", first, second)


def _apart(one: PlacedEvent, other: PlacedEvent) -> bool:
    return one.box is not None and other.box is not None and one.region != other.region and one.box.iou(other.box) < 0.1


_ASKERS = {
    PlaceQuestionType.WHERE: _where,
    PlaceQuestionType.WHEN: _when,
    PlaceQuestionType.DIRECTION: _direction,
    PlaceQuestionType.DURATION: _duration,
    PlaceQuestionType.ORDER: _order,
}


def _some(questions: Iterator[PlaceQuestion]) -> list[PlaceQuestion]:
    """At most so many of a type, spread over the recording, no question twice."""
    every = list({question.question: question for question in questions}.values())
    step = max(1.0, len(every) / MOST_OF_TYPE)
    return [every[int(place * step)] for place in range(min(len(every), MOST_OF_TYPE))]


def _question(type_: PlaceQuestionType, question: str, answer: str, *events: PlacedEvent) -> PlaceQuestion:
    return PlaceQuestion(
        type=type_, difficulty=_DIFFICULTY[type_], question=question, answer=answer, events=tuple(events)
    )


def _when_words(event: PlacedEvent) -> str:
    same = f"{event.t0:.2f}" == f"{event.t1:.2f}"
    return f"at {event.t0:.2f} s" if same else f"from {event.t0:.2f} s to {event.t1:.2f} s"


def _way(event: PlacedEvent) -> str:
    """`pan_left` as `it pans left`; a direction of motion as it is."""
    way = event.direction or ""
    verb, _, where = way.partition("_")
    return f"it {verb}s {where}" if where else way


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."


# --- what is proved ------------------------------------------------------------------------------------------------


def _event_claims(event: Mapping[str, Any], path: str, stream: str | None) -> Iterator[Claim]:
    kind, t0, t1 = PlacedKind(event["kind"]), event["t0"], event["t1"]
    box = None if event["box"] is None else Box.model_validate(event["box"])
    said = event["direction"] if event["quote"] is None else event["quote"]
    yield whole(path, stream, t0, t1, _KINDS[kind], text=said)
    if box is not None:
        yield Claim(
            path=f"{path}/box",
            kind=ClaimKind.BOX,
            stream=stream,
            t0=t0,
            t1=t1,
            box=box,
            kinds=(_KINDS[kind],),
            text=said,
        )
    if event["region"] != (None if box is None else region_of(box)):
        yield refused(f"{path}/region", str(event["region"]))
    if event["direction"] is not None and (kind not in _DIRECTED or event["direction"] in NO_DIRECTION):
        yield refused(f"{path}/direction", event["direction"])
    if (event["quote"] is not None) != (kind is PlacedKind.TEXT):
        yield refused(f"{path}/quote", str(event["quote"]))


def _question_claims(question: Mapping[str, Any], path: str, stream: str | None) -> Iterator[Claim]:
    """Times, lengths, regions and ways that are named are those of the events, and the answer answers."""
    events, type_ = question["events"], PlaceQuestionType(question["type"])
    edges = [time for event in events for time in (event["t0"], event["t1"])]
    kinds = tuple(_KINDS[PlacedKind(event["kind"])] for event in events)
    span = (events[0]["t0"], events[0]["t1"])
    regions = {event["region"] for event in events}
    ways = {_way(PlacedEvent.model_validate(event)) for event in events if event["direction"] is not None}
    for name in ("question", "answer"):
        text = question[name]
        yield from claims_in(text, f"{path}/{name}", stream, moments=edges, span=span, kinds=kinds)
        yield from (refused(f"{path}/{name}", region) for region in _REGION.findall(text) if region not in regions)
        named = _WAYS.findall(_REGION.sub("", text))
        yield from (refused(f"{path}/{name}", way) for way in named if all(way not in its.lower() for its in ways))
    if question["difficulty"] != _DIFFICULTY[type_]:
        yield refused(f"{path}/difficulty", str(question["difficulty"]))
    if len(events) != (2 if type_ is PlaceQuestionType.ORDER else 1):
        yield refused(f"{path}/events", f"{len(events)} events")
    if not _answers(type_, question, ways):
        yield refused(f"{path}/answer", question["answer"])
    if not _asks(type_, question):
        yield refused(f"{path}/question", question["question"])


def _answers(type_: PlaceQuestionType, question: Mapping[str, Any], ways: set[str]) -> bool:
    """Whether the answer names what is asked, of the first event, and nothing of another."""
    answer, first = question["answer"], question["events"][0]
    named = find(answer)
    if type_ in (PlaceQuestionType.WHERE, PlaceQuestionType.ORDER):
        return _REGION.findall(answer) == [first["region"]]
    if type_ is PlaceQuestionType.WHEN:
        return bool(named.times)
    if type_ is PlaceQuestionType.DURATION:
        return len(named.durations) == 1
    return any(way.lower() in answer.lower() for way in ways)


def _asks(type_: PlaceQuestionType, question: Mapping[str, Any]) -> bool:
    """Whether the question says of what it asks: when, where or both, without the answer."""
    text, regions = question["question"], _REGION.findall(question["question"])
    times = find(text).times
    if type_ is PlaceQuestionType.ORDER:
        return (
            sorted(regions) == sorted(event["region"] or "" for event in question["events"]) and len(set(regions)) == 2
        )
    if type_ is PlaceQuestionType.WHEN:
        return bool(regions) and not times
    if type_ is PlaceQuestionType.DURATION:
        return bool(regions) and len(times) == 1 and abs(times[0] - question["events"][0]["t0"]) < 0.01 + EPSILON
    return bool(times) and not regions

"""temporal_qa: questions whose answers lie in when things happen, and the claims that prove the answers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from pydantic import BaseModel

from schemas.errors import UnsuitedError
from schemas.outputs.temporal_qa import QuestionType, TemporalQA
from schemas.score import Claim, ClaimKind, Support
from schemas.stream import Domain, Stream
from synthesis.agents.passages import spread
from synthesis.agents.temporal_questions import questions
from synthesis.agents.temporal_words import QUOTED, Reference, kinds_of, named, only
from synthesis.base import Agent, Evidence, Recognition
from synthesis.intent.words import ANY_QUESTIONS
from synthesis.verification.check import EPSILON, normalise, stands_in
from synthesis.verification.mentions import find

_TEXT = tuple(QUOTED)
_NUMBER = re.compile(r"(?<![\w.])\d+(?![\w.]*\d)")


class TemporalQAAgent(Agent):
    """Asks about whatever was measured: words said and shown, cuts, screens, input, motion, grippers."""

    task_type: ClassVar[str] = "temporal_qa"
    version: ClassVar[str] = "2"
    domains: ClassVar[frozenset[Domain]] = frozenset(Domain)
    output: ClassVar[type[BaseModel]] = TemporalQA
    parts: ClassVar[dict[str, str]] = {"questions": "questions"}
    recognition: ClassVar[Recognition] = Recognition(
        instruction="Write questions whose answers lie in when things happen in this recording (when, in which order, "
        "what before and after, how many), each with its answer and the spans that prove it.",
        names=(
            r"temporal(?:ly)?(?: (?:and )?(?:reasoning|understanding|grounding|order(?:ing)?|questions?|vqa"
            r"|q ?(?:&|and)? ?a|answer(?:s|ing)?|question[- ]answering))*",
            *ANY_QUESTIONS,
        ),
        hints=(
            r"when",
            r"timelines?",
            r"moments?",
            r"(?:chronological )?order(?:ing)?",
            r"locali[sz]\w+",
            r"events?",
            r"before|after|first|last",
            r"which second",
        ),
        examples=(
            "Make temporal questions and answers about when things happen.",
            "Ask what happens before and after something else in the video.",
            "Questions about the order of events, with answers.",
            "At which second does it happen? Make such questions.",
            "Test whether a model understands the time line of a film.",
            "How many times does something occur, and when for the first time?",
        ),
        prior={
            Domain.DAILY_LIFE: 0.35,
            Domain.EDUCATION: 0.2,
            Domain.EMBODIED: 0.15,
            Domain.GUI: 0.1,
            Domain.AIGC: 0.1,
        },
    )

    def compose(self, evidence: Evidence) -> TemporalQA:
        stream = evidence.streams[0]
        made = questions(evidence, stream.sha256)
        if not made:
            raise UnsuitedError(
                stream.uri,
                "no event in it has a name and a time that a question could ask for "
                f"({len(evidence.anchors)} facts were measured)",
                "Add subtitles, or choose experts that see what changes in it.",
            )
        return TemporalQA(questions=tuple(made))

    def claims(self, output: Any, streams: Sequence[Stream]) -> list[Claim]:
        """Of each event its span, its words, its number; of each question that what it names is among its events; of
        each answer that it names the right ones, at the right times, in the right order and number."""
        stream = streams[0].sha256 if len(streams) == 1 else None
        return [
            claim
            for place, question in enumerate(output["questions"])
            for claim in _Question(question, f"/questions/{place}", stream).claims()
        ]

    def repair(self, output: BaseModel, unsupported: Sequence[Support], evidence: Evidence) -> TemporalQA | None:
        """Questions with an unsupported claim go."""
        assert isinstance(output, TemporalQA)
        bad = {int(support.path.split("/")[2]) for support in unsupported}
        kept = tuple(question for place, question in enumerate(output.questions) if place not in bad)
        return TemporalQA(questions=kept) if kept else None

    def evidence_times(self, output: Any, streams: Sequence[Stream]) -> list[tuple[str, float]]:
        """The middle of what lasts, the beginning of the rest; first one event of each question, then the others."""
        rounds: list[float] = []
        asked = spread(output["questions"])
        for place in range(max(len(question["events"]) for question in asked)):
            rounds += [_moment(question["events"][place]) for question in asked if place < len(question["events"])]
        return [(streams[0].sha256, time) for time in rounds]


def _moment(event: Any) -> float:
    return round((event["t0"] + event["t1"]) / 2, 6) if event["quote"] is not None else float(event["t0"])


class _Question:
    """Reads one question back into claims. The rules are those of `temporal_words`; in an answer, what is named follows
    the events in the order of time."""

    def __init__(self, question: Any, at: str, stream: str | None) -> None:
        self.question = question
        self.events = question["events"]
        self.type = question["type"]
        self.at = at
        self.stream = stream
        self.edges = tuple(dict.fromkeys(edge for event in self.events for edge in (event["t0"], event["t1"])))

    def claims(self) -> Iterator[Claim]:
        for place, event in enumerate(self.events):
            yield from self._event(event, f"/events/{place}")
        if len(self.events) > 1:
            yield self._claim("/events", ClaimKind.ORDER, items=tuple(event["t0"] for event in self.events))
        yield from self._asked()
        yield from self._answered()
        yield from self._counted()

    def _event(self, event: Any, at: str) -> Iterator[Claim]:
        kinds = kinds_of(event["description"])
        span = {"t0": event["t0"], "t1": event["t1"]}
        if event["quote"] is None:
            yield self._claim(at, ClaimKind.TIME, kinds=kinds, whole=True, **span)
        else:
            kinds = kinds or _TEXT
            yield self._claim(at, ClaimKind.TIME, kinds=kinds, text=event["quote"], whole=True, **span)
            yield self._claim(f"{at}/quote", ClaimKind.QUOTE, kinds=kinds, text=event["quote"], **span)
        for reference in named(event["description"]):
            yield self._names(reference, event, f"{at}/description")
        yield from self._moments(event["description"], f"{at}/description", (event["t0"], event["t1"]))

    def _asked(self) -> Iterator[Claim]:
        """What a question names is among its events."""
        text, at = self.question["question"], "/question"
        references = named(text)
        wanted = self._asked_for()
        if wanted is None:
            pairs = [(reference, self._meant(reference)) for reference in references]
            if self.type == QuestionType.ORDERING:
                # Each is named: an order of things one of which is named twice is none.
                left = [event for event in self.events if not any(event is meant for _, meant in pairs)]
                yield from (
                    self._missing(Reference(quote=event["quote"] or event["description"]), at) for event in left
                )
        else:
            pairs = [(reference, wanted[i] if i < len(wanted) else None) for i, reference in enumerate(references)]
        for reference, event in pairs:
            yield self._missing(reference, at) if event is None else self._names(reference, event, at)
        for noun in only(text):
            yield self._claim(at, ClaimKind.COUNT, kinds=noun.kinds, count=1)
        yield from self._moments(text, at, self.edges)

    def _answered(self) -> Iterator[Claim]:
        """What an answer names are the events asked for, in their order."""
        text, at = self.question["answer"], "/answer"
        wanted = self._wanted()
        references = named(text)
        for place, reference in enumerate(references):
            if place < len(wanted):
                yield self._names(reference, wanted[place], at)
            else:
                yield self._missing(reference, at)
        # A listing names all there is; a choice (which comes first) names one.
        complete = self.type != QuestionType.LOCALISATION and self.question["count"] is None
        least = 1 if self.type == QuestionType.ORDERING and len(self.events) == 2 else len(wanted)
        if complete and len(references) < least:
            yield self._missing(Reference(quote=wanted[len(references)]["quote"]), at)
        named_times = find(text).times
        if self.type == QuestionType.LOCALISATION:
            edges = (self.events[0]["t0"], self.events[0]["t1"])
            for place, time in enumerate(named_times):
                # The first moment is the beginning; a second one the end.
                yield self._claim(at, ClaimKind.TIME, t0=time, t1=time, items=(edges[min(place, 1)],))
            if not named_times:
                yield self._claim(at, ClaimKind.TIME, text="a moment")
        else:
            yield from self._moments(text, at, self.edges)

    def _counted(self) -> Iterator[Claim]:
        """A number counts what the question asks for, over all or between the first and the last event; what stands
        between two events of one kind is all there is between them."""
        count = self.question["count"]
        first, last = self.events[0], self.events[-1]
        between = "between" in self.question["question"].lower()
        if count is not None:
            kinds = kinds_of(self.question["question"])
            window = {"t0": first["t0"], "t1": last["t0"]} if between else {}
            if "both included" in self.question["question"].lower():
                window = {"t0": first["t0"], "t1": last["t0"] + 2 * EPSILON}
            # The window begins with its first event; when that is of the kind, it is counted over but not asked for.
            extra = int(between and bool(set(kinds_of(first["description"])) & set(kinds)))
            numbers = [int(number[:9]) for number in _NUMBER.findall(self.question["answer"])]
            yield self._claim("/count", ClaimKind.COUNT, kinds=kinds, count=count + extra, **window)
            for number in numbers[:1] or [count + 1]:
                yield self._claim("/answer", ClaimKind.COUNT, kinds=kinds, count=number + extra, **window)
        elif self.type in (QuestionType.STATE_CHANGE, QuestionType.MULTI_EVENT) and len(self.events) > 1:
            kinds = kinds_of(first["description"])
            same = sum(kinds_of(event["description"]) == kinds for event in self.events[:-1])
            window = {"t0": first["t0"], "t1": last["t0"]}
            yield self._claim("/events", ClaimKind.COUNT, kinds=kinds, count=same, **window)

    def _asked_for(self) -> list[Any] | None:
        """The events that a question names, in its order; None when any of its events will do, in any order."""
        if self.type == QuestionType.LOCALISATION:
            return list(self.events[:1])
        if self.type == QuestionType.STATE_CHANGE and len(self.events) > 2:
            return list(self.events[1:-1])
        if self.type == QuestionType.MULTI_EVENT and "between" in self.question["question"].lower():
            return [self.events[0], self.events[-1]]
        return None

    def _meant(self, reference: Reference) -> Any | None:
        return next((event for event in self.events if _is(reference, event)), None)

    def _wanted(self) -> list[Any]:
        """The events that an answer names."""
        if self.type == QuestionType.STATE_CHANGE and len(self.events) > 1:
            return [self.events[0], self.events[-1]]
        if self.type == QuestionType.MULTI_EVENT and "between" in self.question["question"].lower():
            return list(self.events[1:-1])
        return list(self.events)

    def _names(self, reference: Reference, event: Any, at: str) -> Claim:
        """That a reference names this very event: by words that stand in its span, or by its number."""
        if reference.quote is not None:
            # Lines on screen stand at the same time: the words must be the event's own, not only be there too.
            if not _is(reference, event):
                return self._missing(reference, at)
            return self._claim(at, ClaimKind.QUOTE, text=reference.quote, t0=event["t0"], t1=event["t1"], kinds=_TEXT)
        if reference.kinds != kinds_of(event["description"]):
            return self._missing(reference, at)
        return self._claim(
            at, ClaimKind.COUNT, kinds=reference.kinds, t1=event["t0"], count=max(reference.number or 0, 0) - 1
        )

    def _missing(self, reference: Reference, at: str) -> Claim:
        """A claim that nothing supports: the text names what the events do not give."""
        words = reference.quote if reference.quote is not None else f"{reference.noun} number {reference.number}"
        return self._claim(at, ClaimKind.TIME, text=words)

    def _moments(self, text: str, at: str, edges: tuple[float, ...]) -> Iterator[Claim]:
        for time in find(text).times:
            yield self._claim(at, ClaimKind.TIME, t0=time, t1=time, items=edges)

    def _claim(self, at: str, kind: ClaimKind, **fields: Any) -> Claim:
        return Claim(path=self.at + at, kind=kind, stream=self.stream, **fields)


def _is(reference: Reference, event: Any) -> bool:
    """Whether a reference could mean an event: its words are the event's, or its noun and number stand in its
    description."""
    if reference.quote is not None:
        return event["quote"] is not None and stands_in(normalise(reference.quote), normalise(event["quote"]))
    return reference in named(event["description"])

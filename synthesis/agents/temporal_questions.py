"""Writes temporal questions from events: what the rules backend can ask, and how hard it is."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, pairwise

from schemas.anchor import AnchorKind, FactualAnchor
from schemas.constraints import Difficulty
from schemas.outputs.temporal_qa import Question, QuestionType, TimedEvent
from synthesis.agents.passages import LEAST_CONFIDENCE, ended_once, evenly, shown, spoken
from synthesis.agents.temporal_words import NOUNS, QUOTED, plural
from synthesis.base import Evidence
from synthesis.verification.check import TOLERANCE, normalise, stands_in
from synthesis.verification.mentions import find, quoted

MAX_QUESTIONS = 12
CANDIDATES = 12
"""So many events, spread over the stream, are considered for each form of question."""
APART = 2 * TOLERANCE
"""Seconds by which two moments must differ before their order is asked for: each may be off by the tolerance."""
MAX_COUNTED = 10
MAX_NUMBER = 12
"""Nobody counts further to find out which event is meant."""
MAX_WORDS = 25
"""A longer line is not put into a question."""


@dataclass(frozen=True)
class Event:
    """An anchor as questions speak of it."""

    anchor: FactualAnchor
    noun: str
    number: int
    """Its place among its kind, from 1."""

    @property
    def t0(self) -> float:
        return self.anchor.t0

    @property
    def t1(self) -> float:
        return self.anchor.t1

    @property
    def is_quoted(self) -> bool:
        return self.anchor.kind in QUOTED

    @property
    def name(self) -> str:
        return quoted(self.anchor.content) if self.is_quoted else f"{self.noun} number {self.number}"

    def timed(self) -> TimedEvent:
        return TimedEvent(
            t0=self.t0,
            t1=self.t1,
            description=self.noun if self.is_quoted else self.name,
            quote=self.anchor.content if self.is_quoted else None,
        )


class Material:
    """The events of a stream, by noun, in the order of time, and which of them a name singles out."""

    def __init__(self, evidence: Evidence, stream: str) -> None:
        texts = {
            AnchorKind.SUBTITLE: spoken(evidence, stream),
            AnchorKind.SCREEN_TEXT: shown(evidence, stream),
            AnchorKind.TYPING: [a for a in evidence.of(AnchorKind.TYPING, stream=stream) if normalise(a.content)],
        }
        self.by_noun: dict[str, list[Event]] = {}
        for noun, kinds in NOUNS.items():
            anchors = [anchor for kind in kinds for anchor in texts.get(kind, evidence.of(kind, stream=stream))]
            anchors.sort(key=lambda anchor: (anchor.t0, anchor.t1))
            if anchors:
                self.by_noun[noun] = [Event(anchor, noun, place + 1) for place, anchor in enumerate(anchors)]
        # Every anchor with words counts here, also those that no question is made of: a line that was read badly is
        # still a second place where the words stand.
        self._words = [normalise(anchor.content) for kind in QUOTED for anchor in evidence.of(kind, stream=stream)]
        self._text = "\n".join(self._words)
        self._clear: dict[tuple[str, int], bool] = {}
        self._all = {
            noun: sorted(anchor.t0 for kind in kinds for anchor in evidence.of(kind, stream=stream))
            for noun, kinds in NOUNS.items()
        }

    @property
    def spoken(self) -> list[Event]:
        return self.by_noun.get("subtitle line", [])

    def begins(self, noun: str, t0: float, t1: float) -> int:
        """How many anchors behind a noun begin in t0 <= t < t1, as the verifier counts them."""
        starts = self._all[noun]
        return bisect_left(starts, t1) - bisect_left(starts, t0)

    def clear(self, event: Event) -> bool:
        """Whether the event's name says which one is meant, and its times can be told in words."""
        key = (event.noun, event.number)
        if key not in self._clear:
            self._clear[key] = self._is_clear(event)
        return self._clear[key]

    def _is_clear(self, event: Event) -> bool:
        if event.anchor.confidence < LEAST_CONFIDENCE:
            return False
        if not event.is_quoted:
            # Two of one kind at about one moment cannot be told apart by number.
            return (
                event.number <= MAX_NUMBER
                and self.begins(event.noun, event.t0 - APART, event.t0 + APART) == 1
                and self.begins(event.noun, 0.0, event.t0) == event.number - 1
            )
        content = normalise(event.anchor.content)
        if len(content.split()) > MAX_WORDS or sum(map(str.isalnum, content)) < 2:
            return False
        asked = find(event.name).quotes
        if len(asked) != 1 or normalise(asked[0]) != content:
            return False
        # Few words stand twice anywhere; only those are looked at line by line.
        return self._text.count(content) == 1 or sum(stands_in(content, other) for other in self._words) == 1

    def distinct(self, events: Sequence[Event], count: int = CANDIDATES) -> list[Event]:
        """At most `count` clear events, spread over the stream."""
        pool = evenly([event for event in events if event.is_quoted or event.number <= MAX_NUMBER], 4 * count)
        return evenly([event for event in pool if self.clear(event)], count)


def questions(evidence: Evidence, stream: str) -> list[Question]:
    """At most MAX_QUESTIONS questions, of every form the events allow, spread over the stream, in the order of time."""
    material = Material(evidence, stream)
    forms: list[Callable[[Material], Iterator[Question]]] = [_localisation, _ordering, _state_change, _multi_event]
    pools = [list(form(material)) for form in forms]
    asked: dict[str, Question] = {}
    share = MAX_QUESTIONS // len(forms)
    for pool in pools:
        for question in evenly(pool, share):
            asked.setdefault(question.question, question)
    # What one form has no use for goes to the others.
    for pool in pools:
        for question in evenly(pool, MAX_QUESTIONS):
            if len(asked) < MAX_QUESTIONS:
                asked.setdefault(question.question, question)
    return sorted(asked.values(), key=lambda question: (question.events[0].t0, question.events[-1].t0))


def difficulty(type: QuestionType, events: Sequence[TimedEvent]) -> Difficulty:
    """How hard a question is, by what must be held in mind and how close the moments lie.

    localisation: easy when words name the event, medium when its number does (one must count).
    ordering: by the smallest gap between beginnings, easy from 5 s, medium from 1.5 s, hard below; three events are
    one level harder.
    state_change: medium; hard when before and after begin less than 3 s apart.
    multi_event: easy up to 3 events, medium up to 6, hard beyond.
    """
    levels = list(Difficulty)
    if type is QuestionType.LOCALISATION:
        return Difficulty.EASY if events[0].quote is not None else Difficulty.MEDIUM
    starts = [event.t0 for event in events]
    if type is QuestionType.ORDERING:
        gap = min(after - before for before, after in pairwise(starts))
        level = (0 if gap >= 5 else 1 if gap >= 1.5 else 2) + (len(events) > 2)
        return levels[min(level, 2)]
    if type is QuestionType.STATE_CHANGE:
        return Difficulty.HARD if starts[-1] - starts[0] < 3 else Difficulty.MEDIUM
    return levels[0 if len(events) <= 3 else 1 if len(events) <= 6 else 2]


def _question(
    type: QuestionType, question: str, answer: str, events: Sequence[Event], count: int | None = None
) -> Question:
    timed = tuple(event.timed() for event in events)
    return Question(
        type=type,
        difficulty=difficulty(type, timed),
        question=ended_once(question),
        answer=ended_once(answer),
        events=timed,
        count=count,
    )


def _localisation(material: Material) -> Iterator[Question]:
    """When is this said, shown, done?"""
    for noun, events in material.by_noun.items():
        for event in material.distinct(events):
            if noun == "subtitle line":
                ask = f"When is {event.name} said?"
            elif noun == "line on screen":
                ask = f"When does {event.name} stand on screen?"
            elif noun == "typed text":
                ask = f"When is {event.name} typed?"
            elif len(material.by_noun[noun]) == 1 and material.begins(noun, 0.0, float("inf")) == 1:
                ask = f"When does the only {noun} happen?"
            else:
                ask = f"When does {event.name} happen?"
            yield _question(QuestionType.LOCALISATION, ask, _span(event), [event])


def _span(event: Event) -> str:
    begin, end = f"{event.t0:.1f}", f"{event.t1:.1f}"
    return f"At {begin} s." if begin == end else f"From {begin} s to {end} s."


def _ordering(material: Material) -> Iterator[Question]:
    """Which comes first? In which order? Over all kinds of events together."""
    pool = sorted(
        (event for events in material.by_noun.values() for event in material.distinct(events)), key=lambda e: e.t0
    )
    pool = [event for place, event in enumerate(pool) if place == 0 or event.t0 - pool[place - 1].t0 >= APART]
    for place, (one, other) in enumerate(pairwise(pool)):
        if _told_by_number([one, other]):
            continue
        # The right answer stands now first, now second: its place must not tell it.
        first, second = (one, other) if place % 2 else (other, one)
        ask = f"Which comes first, {first.name} or {second.name}?"
        yield _question(QuestionType.ORDERING, ask, f"{_capital(one.name)}.", [one, other])
    for place in range(len(pool) - 2):
        a, b, c = trio = pool[place : place + 3]
        if _told_by_number(trio):
            continue
        shuffled = [(b, c, a), (c, a, b), (b, a, c), (c, b, a), (a, c, b)][place % 5]
        ask = f"In which order do {shuffled[0].name}, {shuffled[1].name} and {shuffled[2].name} begin?"
        answer = f"First {a.name}, then {b.name}, then {c.name}."
        yield _question(QuestionType.ORDERING, ask, answer, trio)


def _told_by_number(events: Sequence[Event]) -> bool:
    """Whether two events are named by numbers of one kind, so that their order needs no looking."""
    nouns = [event.noun for event in events if not event.is_quoted]
    return len(set(nouns)) < len(nouns)


def _state_change(material: Material) -> Iterator[Question]:
    """What was said or shown last before something, and what first after it?"""
    yield from _around(material, "subtitle line", "Which line is said last before {0}, and which one first after it?")
    yield from _around(
        material, "line on screen", "Which line comes on screen last before {0}, and which first after it?"
    )


def _around(material: Material, kind: str, ask: str) -> Iterator[Question]:
    """The lines of a kind next to each event: of the same kind the neighbours, of another kind those around it."""
    lines = material.by_noun.get(kind, [])
    starts = [line.t0 for line in lines]
    for noun, events in material.by_noun.items():
        for event in material.distinct(events):
            after = bisect_left(starts, event.t0) + (noun == kind)
            before = after - (2 if noun == kind else 1)
            if before < 0 or after >= len(lines):
                continue
            last, first = lines[before], lines[after]
            # The three must stand apart, and nothing of the kind begin in between.
            if (
                material.clear(last)
                and material.clear(first)
                and _apart([last, event, first])
                and material.begins(kind, last.t0, first.t0) == 1 + (noun == kind)
            ):
                answer = f"Before it {last.name}, after it {first.name}."
                yield _question(QuestionType.STATE_CHANGE, ask.format(event.name), answer, [last, event, first])


def _multi_event(material: Material) -> Iterator[Question]:
    """How many, over all or between two others? What is said between two lines?"""
    for noun, events in material.by_noun.items():
        total = material.begins(noun, 0.0, float("inf"))
        confident = all(event.anchor.confidence >= LEAST_CONFIDENCE for event in events)
        if noun not in QUOTED.values() and 2 <= total == len(events) <= MAX_COUNTED and confident:
            if len({event.t0 for event in events}) < len(events):
                continue
            ask = f"How many {plural(noun)} are there in the whole recording?"
            yield _question(QuestionType.MULTI_EVENT, ask, f"{total}.", events, total)
    yield from _between(material)
    yield from _from_to(material)
    lines = material.spoken
    for place in evenly(range(len(lines) - 3), 2 * CANDIDATES):
        first, *inner, last = window = lines[place : place + 4]
        if not all(material.clear(line) for line in window) or not _apart(window):
            continue
        if material.begins("subtitle line", first.t0, last.t0) != len(window) - 1:
            continue
        ask = f"Which lines begin between the beginning of {first.name} and that of {last.name}?"
        answer = f"First {inner[0].name}, then {inner[1].name}."
        yield _question(QuestionType.MULTI_EVENT, ask, answer, window)


def _between(material: Material) -> Iterator[Question]:
    """How many of one kind between two lines?"""
    lines = material.distinct(material.spoken)
    for noun, events in material.by_noun.items():
        if noun in QUOTED.values():
            continue
        starts = [event.t0 for event in events]
        for first, last in pairwise(lines):
            count = material.begins(noun, first.t0, last.t0)
            inner = events[bisect_left(starts, first.t0) : bisect_left(starts, last.t0)]
            window = [first, *inner, last]
            if not 1 <= count == len(inner) <= MAX_COUNTED or not _apart(window):
                continue
            ask = f"How many {plural(noun)} are there between the beginning of {first.name} and that of {last.name}?"
            yield _question(QuestionType.MULTI_EVENT, ask, f"{count}.", window, count)


def _from_to(material: Material) -> Iterator[Question]:
    """How many of one kind from one of them to another, both named by their moments?"""
    for noun, events in material.by_noun.items():
        if noun in QUOTED.values():
            continue
        for place, size in zip(evenly(range(len(events)), 2 * CANDIDATES), cycle((4, 3, 5))):
            window = events[place : place + size]
            if len(window) < 3 or not _apart(window) or not all(map(material.clear, (window[0], window[-1]))):
                continue
            if material.begins(noun, window[0].t0, window[-1].t0) != len(window) - 1:
                continue
            # As written the bounds must hold both events: 5.48 said as 5.5 would leave one out.
            begin, end = f"{window[0].t0:.3f}", f"{window[-1].t0:.3f}"
            if float(begin) > window[0].t0 or float(end) < window[-1].t0:
                continue
            ask = f"How many {plural(noun)} begin from {begin} s to {end} s, both included?"
            yield _question(QuestionType.MULTI_EVENT, ask, f"{len(window)}.", window, len(window))


def _apart(events: Sequence[Event]) -> bool:
    """Whether events begin one after the other with so much between them that none could be another way round."""
    return all(after.t0 - before.t0 >= APART for before, after in pairwise(events))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]

"""Writes questions on a recording from its facts, with options from the same recording: what the rules can ask."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise, zip_longest

from schemas.anchor import AnchorKind, FactualAnchor
from schemas.constraints import AnswerForm, Difficulty
from schemas.outputs.video_qa import Fact, Option, Relation, VideoQuestion
from schemas.stream import Domain
from synthesis.agents.camera_words import CAMERA_WORDS
from synthesis.agents.choices import LETTERS, MOST_OPTIONS, alike, arranged, balanced, chosen, unlike
from synthesis.agents.passages import LEAST_CONFIDENCE, ended_once, evenly, shown, spoken
from synthesis.agents.temporal_words import NOUNS, plural
from synthesis.base import Evidence
from synthesis.verification.check import TOLERANCE, normalise, stands_in
from synthesis.verification.mentions import find, quoted

MOST_QUESTIONS = 12
CANDIDATES = 16
"""So many facts of a kind, spread over the stream, are asked for."""
NEIGHBOURS = 8
"""Wrong options are taken from so many facts around the right one: what is said close by could have been the answer."""
APART = 2 * TOLERANCE
"""Seconds by which moments must differ before their order is asked for."""
MOST_COMPARED = 400
"""So many lines of a kind, spread over the stream, are looked at."""
LONGEST_TEXT = 25
"""Words of a line in a question or an option."""
LEAST_LETTERS = 4
READ_SURELY = 0.95
"""Confidence of lines read on screen: handwriting below it is guessed more often than read."""
MOST_NUMBERED = 12
UNSEEN = frozenset({"standstill", "reversal of motion", "back-and-forth motion", "camera motion"})
"""Nouns of measurements that nobody numbers while watching; only what moves by itself (a robot) is asked about them."""
LEAST_STAY = 1.0
"""Seconds that words stay, to be asked for by a moment or asked when they stay."""
CLOSE = 5.0
"""Seconds within which a wrong option is hard to tell from the right one."""
FAR = 15.0

FAMILIES = (AnchorKind.SUBTITLE, AnchorKind.SCREEN_TEXT, AnchorKind.CLICK, AnchorKind.TYPING)
"""Kinds that are asked for by their words."""
_ASKS: Mapping[tuple[Relation, str], tuple[str, ...]] = {
    (Relation.AFTER, AnchorKind.SUBTITLE): (
        "What is said right after {}?",
        "Which line follows {}?",
        "Somebody says {}. What is said next?",
    ),
    (Relation.AFTER, AnchorKind.SCREEN_TEXT): ("Which line comes on screen next after {}?",),
    (Relation.AFTER, AnchorKind.CLICK): ("What is clicked right after {}?", "Which element is clicked next after {}?"),
    (Relation.AFTER, AnchorKind.TYPING): ("What is typed next after {}?",),
    (Relation.BEFORE, AnchorKind.SUBTITLE): (
        "What is said right before {}?",
        "Which line is the last one before {}?",
        "Which line precedes {}?",
    ),
    (Relation.BEFORE, AnchorKind.SCREEN_TEXT): ("Which line came on screen last before {}?",),
    (Relation.BEFORE, AnchorKind.CLICK): ("What was clicked right before {}?",),
    (Relation.BEFORE, AnchorKind.TYPING): ("What was typed last before {}?",),
    (Relation.FIRST, AnchorKind.SUBTITLE): ("Which of these is said first?", "Which of these lines comes first?"),
    (Relation.FIRST, AnchorKind.SCREEN_TEXT): ("Which of these is on screen first?",),
    (Relation.FIRST, AnchorKind.CLICK): ("Which of these is clicked first?",),
    (Relation.FIRST, AnchorKind.TYPING): ("Which of these is typed first?",),
    (Relation.FIRST, ""): ("Which of these happens first?",),
    (Relation.LAST, AnchorKind.SUBTITLE): ("Which of these is said last?", "Which of these lines comes last?"),
    (Relation.LAST, AnchorKind.SCREEN_TEXT): ("Which of these comes on screen last?",),
    (Relation.LAST, AnchorKind.CLICK): ("Which of these is clicked last?",),
    (Relation.LAST, AnchorKind.TYPING): ("Which of these is typed last?",),
    (Relation.LAST, ""): ("Which of these happens last?",),
    (Relation.WHEN, AnchorKind.SUBTITLE): ("When is {} said?", "At what time does somebody say {}?"),
    (Relation.WHEN, AnchorKind.SCREEN_TEXT): ("When does {} stand on screen?",),
    (Relation.WHEN, AnchorKind.CLICK): ("When is {} clicked?",),
    (Relation.WHEN, AnchorKind.TYPING): ("When is {} typed?",),
    (Relation.WHEN, ""): ("When does {} happen?", "At what time does {} happen?"),
    (Relation.AT, AnchorKind.SUBTITLE): ("What is being said at {:.1f} s?", "Which line is heard at {:.1f} s?"),
    (Relation.AT, AnchorKind.SCREEN_TEXT): ("Which of these is on screen at {:.1f} s?",),
    (Relation.CAMERA, AnchorKind.CAMERA): (
        "How does the camera move from {:.1f} s to {:.1f} s?",
        "What does the camera do from {:.1f} s to {:.1f} s?",
    ),
}


@dataclass(frozen=True)
class Choice:
    """What an option says, and the fact behind it."""

    text: str
    fact: Fact | None = None


@dataclass(frozen=True)
class Draft:
    """A question before its options are lettered; wrong choices stand with the best one first."""

    relation: Relation
    question: str
    asked: tuple[Fact, ...]
    right: Choice
    wrong: tuple[Choice, ...]
    moment: float | None = None

    @property
    def is_choice(self) -> bool:
        """Whether it cannot be asked without its options."""
        return "of these" in self.question


@dataclass(frozen=True)
class Named:
    """An anchor and the words that single it out: a quote, or a noun with its number."""

    anchor: FactualAnchor
    name: str

    @property
    def t0(self) -> float:
        return self.anchor.t0

    @property
    def lasts(self) -> float:
        return self.anchor.t1 - self.anchor.t0

    @property
    def fact(self) -> Fact:
        content = self.anchor.content if self.anchor.kind in FAMILIES else None
        return Fact(t0=self.anchor.t0, t1=self.anchor.t1, kind=str(self.anchor.kind), content=content)

    @property
    def choice(self) -> Choice:
        return Choice(self.anchor.content if self.anchor.kind in FAMILIES else self.name, self.fact)


class Material:
    """The facts of a stream that questions can name."""

    def __init__(self, evidence: Evidence, stream: str) -> None:
        self._evidence = evidence
        self._stream = stream
        self._domain = next(one.domain for one in evidence.streams if one.sha256 == stream)

    def begins(self, kinds: Sequence[str], t0: float, t1: float) -> int:
        """How many anchors of the kinds begin in t0 <= t < t1."""
        starts = self._starts(tuple(kinds))
        return bisect_left(starts, t1) - bisect_left(starts, t0)

    def of(self, kind: str) -> list[Named]:
        """The facts of a family whose words stand nowhere else in it, spread over the stream."""
        return evenly(self.families.get(kind, []), CANDIDATES)

    @cached_property
    def families(self) -> dict[str, list[Named]]:
        read = {
            AnchorKind.SUBTITLE: spoken(self._evidence, self._stream),
            AnchorKind.SCREEN_TEXT: shown(self._evidence, self._stream),
        }
        found = {}
        for kind in FAMILIES:
            everything = self._evidence.of(kind, stream=self._stream)
            contents = [normalise(anchor.content) for anchor in everything]
            pool = evenly([anchor for anchor in read.get(kind, everything) if _tells(anchor)], MOST_COMPARED)
            alone = _unread_again if kind == AnchorKind.SCREEN_TEXT else _alone
            found[kind] = [Named(a, quoted(a.content)) for a in pool if alone(normalise(a.content), contents)]
        return {kind: items for kind, items in found.items() if items}

    @cached_property
    def numbered(self) -> dict[str, list[Named]]:
        """By noun, the facts that have no words and are known by their number."""
        found: dict[str, list[Named]] = {}
        for noun, kinds in NOUNS.items():
            anchors = self._evidence.of(*kinds, stream=self._stream)
            unseen = noun in UNSEEN and self._domain is not Domain.EMBODIED
            if unseen or set(kinds) & set(FAMILIES) or len(anchors) > MOST_NUMBERED:
                continue
            found[noun] = [
                Named(anchor, f"{noun} number {place + 1}")
                for place, anchor in enumerate(anchors)
                if anchor.confidence >= LEAST_CONFIDENCE
                and self.begins(kinds, anchor.t0 - APART, anchor.t0 + APART) == 1
                and self.begins(kinds, 0.0, anchor.t0) == place
            ]
        return {noun: items for noun, items in found.items() if items}

    @cached_property
    def camera(self) -> list[FactualAnchor]:
        """Camera motions that nothing else of the camera comes near to."""
        motions = self._evidence.of(AnchorKind.CAMERA, stream=self._stream)
        return [
            motion
            for motion in motions
            if motion.content in CAMERA_WORDS
            and motion.confidence >= LEAST_CONFIDENCE
            and motion.t1 - motion.t0 >= APART
            and not any(
                other is not motion and other.t0 < motion.t1 + APART and other.t1 > motion.t0 - APART
                for other in motions
            )
        ]

    def _starts(self, kinds: tuple[str, ...]) -> list[float]:
        known = self._known.get(kinds)
        if known is None:
            known = sorted(anchor.t0 for anchor in self._evidence.of(*kinds, stream=self._stream))
            self._known[kinds] = known
        return known

    @cached_property
    def _known(self) -> dict[tuple[str, ...], list[float]]:
        return {}


def video_questions(evidence: Evidence, stream: str, form: AnswerForm) -> list[VideoQuestion]:
    """At most MOST_QUESTIONS questions, of every kind that the facts allow, in the order of the answers."""
    material = Material(evidence, stream)
    writers: list[Callable[[Material], Iterator[Draft]]] = [
        _next_to,
        _first_or_last,
        _next_to_event,
        _camera,
        _at,
        _when,
        _how_many,
    ]
    pools = [[draft for draft in writer(material) if _fits(draft, form)] for writer in writers]
    drafts = sorted(_in_turn(pools), key=_begin)
    letters = balanced([min(len(draft.wrong) + 1, MOST_OPTIONS) for draft in drafts], stream)
    return [_question(draft, form, letter) for draft, letter in zip(drafts, letters, strict=True)]


def difficulty(question: VideoQuestion) -> Difficulty:
    """How hard a question is, by how close what must be told apart lies.

    after, before, first, last: hard when the nearest wrong option begins within CLOSE of the right one, easy when none
    does within FAR, otherwise medium; without options medium. when, at: easy, or medium when a wrong option is that
    close. count: easy up to 2, medium up to 5, hard beyond. camera: medium.
    """
    if question.relation is Relation.COUNT:
        number = int(question.answer) if question.answer.isdecimal() else 0
        return Difficulty.EASY if number <= 2 else Difficulty.MEDIUM if number <= 5 else Difficulty.HARD
    nearest = _nearest(question)
    if question.relation in (Relation.WHEN, Relation.AT):
        return Difficulty.MEDIUM if nearest is not None and nearest < CLOSE else Difficulty.EASY
    if nearest is None or question.relation is Relation.CAMERA:
        return Difficulty.MEDIUM
    return Difficulty.HARD if nearest < CLOSE else Difficulty.EASY if nearest >= FAR else Difficulty.MEDIUM


def span_words(fact: Fact) -> str:
    """The times of a fact as options tell them."""
    begin, end = f"{fact.t0:.1f}", f"{fact.t1:.1f}"
    return f"At {begin} s" if begin == end else f"From {begin} s to {end} s"


def camera_words(motion: str) -> str:
    return f"It {CAMERA_WORDS[motion]}"


def _nearest(question: VideoQuestion) -> float | None:
    starts = [option.fact.t0 for option in question.options if option.fact and option.letter != question.letter]
    if not starts or not question.evidence:
        return None
    return min(abs(start - question.evidence[0].t0) for start in starts)


def _tells(anchor: FactualAnchor) -> bool:
    """Whether an anchor's words are fit for a question: some, not too many, and found again between quotation marks."""
    content = normalise(anchor.content)
    return (
        anchor.confidence >= (READ_SURELY if anchor.kind == AnchorKind.SCREEN_TEXT else LEAST_CONFIDENCE)
        and len(content.split()) <= LONGEST_TEXT
        and sum(map(str.isalnum, content)) >= LEAST_LETTERS
        and [normalise(quote) for quote in find(quoted(anchor.content)).quotes] == [content]
    )


def _alone(content: str, contents: Sequence[str]) -> bool:
    return sum(stands_in(content, other) for other in contents) == 1


def _unread_again(content: str, contents: Sequence[str]) -> bool:
    """Whether a line on screen was read once: the same line with a letter misread would be a second right answer."""
    return contents.count(content) == 1 and not any(alike(content, other) for other in {*contents} - {content})


def _fits(draft: Draft, form: AnswerForm) -> bool:
    return bool(draft.wrong) if form is AnswerForm.MULTIPLE_CHOICE else not draft.is_choice


def _in_turn(pools: Sequence[Sequence[Draft]]) -> list[Draft]:
    """Drafts from all pools, one of each in turn, of each spread over the stream; no question and no fact twice."""
    asked: dict[str, Draft] = {}
    answers: Counter[str] = Counter()
    for round_ in zip_longest(*(evenly(pool, MOST_QUESTIONS) for pool in pools)):
        for draft in round_:
            # A line that is the answer everywhere would be known without looking.
            if draft is not None and len(asked) < MOST_QUESTIONS and answers[draft.right.text] < 2:
                key = f"{draft.question} {draft.right.text if draft.is_choice else ''}"
                answers[draft.right.text] += key not in asked
                asked.setdefault(key, draft)
    return list(asked.values())


def _begin(draft: Draft) -> tuple[float, str]:
    fact = draft.right.fact or (draft.asked[0] if draft.asked else None)
    return (fact.t0 if fact else 0.0), draft.question


def _question(draft: Draft, form: AnswerForm, letter: str) -> VideoQuestion:
    multiple = form is AnswerForm.MULTIPLE_CHOICE
    choices = arranged(draft.right, draft.wrong[: MOST_OPTIONS - 1], letter, draft.question) if multiple else []
    made = VideoQuestion(
        relation=draft.relation,
        form=form,
        difficulty=Difficulty.MEDIUM,
        question=ended_once(draft.question),
        moment=draft.moment,
        asked=draft.asked,
        options=tuple(
            Option(
                letter=LETTERS[place],
                text=choice.text,
                fact=None if draft.relation is Relation.CAMERA else choice.fact,
            )
            for place, choice in enumerate(choices)
        ),
        letter=letter if multiple else None,
        answer=draft.right.text,
        evidence=() if draft.right.fact is None else (draft.right.fact,),
    )
    return made.model_copy(update={"difficulty": difficulty(made)})


def _ask(relation: Relation, kind: str, *words: object) -> str:
    variants = _ASKS[relation, kind]
    return chosen(variants, relation, kind, *words).format(*words)


def _around(items: Sequence[Named], right: Named, but: Sequence[Named] = ()) -> tuple[Choice, ...]:
    """Wrong choices from the facts around the right one: the nearest first, all apart from it and unlike it."""
    pool = [item for item in items if item not in but and abs(item.t0 - right.t0) >= APART]
    pool = sorted(pool, key=lambda item: (abs(item.t0 - right.t0), item.t0))[:NEIGHBOURS]
    taken = [right.choice.text, *(item.choice.text for item in but)]
    kept = unlike(pool, [item.choice.text for item in pool], taken, MOST_OPTIONS - 1)
    return tuple(item.choice for item in kept)


def _next_to(material: Material) -> Iterator[Draft]:
    """What comes right after a line, a click, a typed text; what right before it?"""
    for kind, items in material.families.items():
        pairs = [
            pair
            for pair in pairwise(items)
            if pair[1].t0 - pair[0].t0 >= APART and material.begins((kind,), pair[0].t0, pair[1].t0) == 1
        ]
        for place, (before, after) in enumerate(evenly(pairs, CANDIDATES)):
            relation = Relation.BEFORE if place % 2 else Relation.AFTER
            named, right = (after, before) if relation is Relation.BEFORE else (before, after)
            if not alike(named.choice.text, right.choice.text):
                wrong = _around(items, right, but=(named,))
                yield Draft(relation, _ask(relation, kind, named.name), (named.fact,), right.choice, wrong)


def _next_to_event(material: Material) -> Iterator[Draft]:
    """Which line is the first after a cut, the last before it?"""
    lines = material.families.get(AnchorKind.SUBTITLE, [])
    kinds = (AnchorKind.SUBTITLE,)
    for items in material.numbered.values():
        for place, event in enumerate(items):
            after = next((line for line in lines if line.t0 >= event.t0 + APART), None)
            before = next((line for line in reversed(lines) if line.t0 <= event.t0 - APART), None)
            if place % 2 == 0 and after is not None and not material.begins(kinds, event.t0, after.t0):
                question = f"Which line is the first to be said after {event.name}?"
                yield Draft(Relation.AFTER, question, (event.fact,), after.choice, _around(lines, after))
            elif place % 2 and before is not None and material.begins(kinds, before.t0, event.t0) == 1:
                question = f"Which line is the last to begin before {event.name}?"
                yield Draft(Relation.BEFORE, question, (event.fact,), before.choice, _around(lines, before))


def _first_or_last(material: Material) -> Iterator[Draft]:
    """Which of four comes first, which last? Of one kind, or of events of different kinds."""
    for kind, items in material.families.items():
        for place in range(0, max(len(items) - 1, 0), MOST_OPTIONS - 1):
            yield from _extreme(kind, items[place : place + MOST_OPTIONS], place)
    events = [items[0] for items in material.numbered.values()]
    yield from _extreme("", sorted(events, key=lambda event: event.t0)[:MOST_OPTIONS], 0)


def _extreme(kind: str, items: Sequence[Named], place: int) -> Iterator[Draft]:
    relation = Relation.LAST if place % 2 and kind else Relation.FIRST
    ordered = list(reversed(items)) if relation is Relation.LAST else list(items)
    if len(ordered) > 1:
        right, *others = ordered
        wrong = [item for item in others if abs(item.t0 - right.t0) >= APART]
        if kind:
            wrong = unlike(wrong, [item.choice.text for item in wrong], [right.choice.text], MOST_OPTIONS - 1)
        yield Draft(relation, _ask(relation, kind), (), right.choice, tuple(item.choice for item in wrong))


def _at(material: Material) -> Iterator[Draft]:
    """What is said, what stands on screen at a moment?"""
    for kind in (AnchorKind.SUBTITLE, AnchorKind.SCREEN_TEXT):
        items = material.families.get(kind, [])
        for item in evenly([item for item in items if item.lasts >= LEAST_STAY], CANDIDATES):
            time = round((item.anchor.t0 + item.anchor.t1) / 2, 1)
            absent = [one for one in items if one.anchor.t1 <= time - APART or one.t0 >= time + APART]
            yield Draft(Relation.AT, _ask(Relation.AT, kind, time), (), item.choice, _around(absent, item), time)


def _when(material: Material) -> Iterator[Draft]:
    """When is it said, shown, done?"""
    for kind in material.families:
        lasting = kind == AnchorKind.SCREEN_TEXT
        yield from _moments(kind, [item for item in material.of(kind) if not lasting or item.lasts >= LEAST_STAY])
    for items in material.numbered.values():
        yield from _moments("", items)


def _moments(kind: str, items: Sequence[Named]) -> Iterator[Draft]:
    for item in items:
        right = Choice(span_words(item.fact), item.fact)
        pool = [other for other in items if abs(other.t0 - item.t0) >= APART]
        near = sorted(pool, key=lambda other: (abs(other.t0 - item.t0), other.t0))
        wrong = {span_words(other.fact): other.fact for other in reversed(near) if span_words(other.fact) != right.text}
        choices = tuple(Choice(text, fact) for text, fact in reversed(wrong.items()))
        yield Draft(Relation.WHEN, _ask(Relation.WHEN, kind, item.name), (item.fact,), right, choices)


def _how_many(material: Material) -> Iterator[Draft]:
    """How many of one kind, in all and between two lines?"""
    lines = material.of(AnchorKind.SUBTITLE)
    for noun, kinds in NOUNS.items():
        total = material.begins(kinds, 0.0, float("inf"))
        if set(kinds) & set(FAMILIES) or not total or len(material.numbered.get(noun, ())) != total:
            continue
        if total > 1:
            yield _counted(f"How many {plural(noun)} are there in the whole recording?", (), total)
        for first, last in zip(lines, lines[3:], strict=False):
            number = material.begins(kinds, first.t0, last.t0)
            if number and not any(material.begins(kinds, edge.t0 - APART, edge.t0 + APART) for edge in (first, last)):
                question = (
                    f"How many {plural(noun)} are there between the beginning of {first.name} and that of {last.name}?"
                )
                yield _counted(question, (first.fact, last.fact), number)


def _counted(question: str, asked: tuple[Fact, ...], number: int) -> Draft:
    low = max(0, number - chosen((0, 1, 2, 3), question))
    wrong = tuple(Choice(str(other)) for other in range(low, low + MOST_OPTIONS) if other != number)
    return Draft(Relation.COUNT, question, asked, Choice(str(number)), wrong)


def _camera(material: Material) -> Iterator[Draft]:
    """How does the camera move in a stretch?"""
    for motion in evenly(material.camera, CANDIDATES):
        fact = Fact(t0=motion.t0, t1=motion.t1, kind=str(motion.kind), content=motion.content)
        question = _ask(Relation.CAMERA, AnchorKind.CAMERA, motion.t0, motion.t1)
        others = [content for content in CAMERA_WORDS if content != motion.content]
        opposite = [content for content in others if content.split("_")[0] == motion.content.split("_")[0]]
        rest = [content for content in others if content not in opposite]
        first = chosen(range(len(rest)), question)
        wrong = [*opposite, *rest[first:], *rest[:first]][: MOST_OPTIONS - 1]
        right = Choice(camera_words(motion.content), fact)
        yield Draft(Relation.CAMERA, question, (), right, tuple(Choice(camera_words(content)) for content in wrong))

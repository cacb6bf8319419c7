"""screen_qa: what stands on a screen, where, what changed and what was clicked, each answer proved by what was read."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise, zip_longest
from typing import Any, ClassVar

from pydantic import BaseModel

from schemas.anchor import AnchorKind, FactualAnchor
from schemas.constraints import Difficulty
from schemas.errors import UnsuitedError
from schemas.geometry import Box, Point
from schemas.outputs.screen_qa import ScreenFact, ScreenQA, ScreenQuestion, ScreenQuestionType
from schemas.score import Claim, ClaimKind
from schemas.stream import Domain, Stream, TrackKind
from synthesis.agents.choices import alike, chosen
from synthesis.agents.passages import ended_once, evenly, spread
from synthesis.agents.proofs import during, labelled_box, proved, refused, stream_of
from synthesis.agents.screen_lines import in_reading_order, readable, sensible
from synthesis.base import Evidence, GroundedAgent, Recognition
from synthesis.intent.words import ANY_QUESTIONS
from synthesis.verification.check import EPSILON, TOLERANCE, normalise, stands_in
from synthesis.verification.mentions import find, quoted

MOST_QUESTIONS = 12
CANDIDATES = 48
"""Lines, spread over the stream, that are asked for."""
LEAST_STAY = 0.5
"""Seconds that a line stands before it is asked for."""
LOOK = 1.0
"""Seconds after a line comes at which its frame is taken, if it stands as long."""
MOST_NEW = 3
"""So many texts that are new at most make a question."""
LONGEST_CHANGE = 5.0
"""Seconds from one screen to the next within which something is new."""
LEAST_LETTERS = 3
LONGEST_TEXT = 15
CLEAR = 0.03
"""Of the frame: a middle closer to the border of two regions is in neither."""

_TYPES = ScreenQuestionType
_ASKS: Mapping[ScreenQuestionType, tuple[str, ...]] = {
    _TYPES.WHERE: (
        "Where on the screen is {}?",
        "In which part of the screen does {} stand?",
        "Where would you look for {}?",
    ),
    _TYPES.PRESENT: ("Does {} stand on this screen?", "Is {} on the screen?", "Can {} be read on this screen?"),
    _TYPES.APPEARED: (
        "What text is new on the screen at {:.1f} s, compared with {:.1f} s?",
        "What can be read on the screen at {:.1f} s that was not there at {:.1f} s?",
    ),
    _TYPES.CLICKED: ("What is clicked at {:.1f} s?", "Which element is clicked at {:.1f} s?"),
    _TYPES.TAPPED: ("Which text is tapped at {:.1f} s?",),
    _TYPES.TYPED: ("What is typed at {:.1f} s?", "Which text is entered at {:.1f} s?"),
}
_ASKING: Mapping[ScreenQuestionType, tuple[str, str]] = {
    _TYPES.WHERE: (r"\bwhere\b|\bwhich part\b", r"\bclick|\btapp?|\btype"),
    _TYPES.PRESENT: (r"^(?:does|is|can)\b", r"\bnot\b|\bno\b"),
    _TYPES.APPEARED: (r"\bnew\b|\bnot there\b|\bappear", r"\bgone\b|\bno longer\b|\bdisappear"),
    _TYPES.CLICKED: (r"\bclick", r"\bwhere\b|\bnot\b"),
    _TYPES.TAPPED: (r"\btap", r"\bwhere\b|\bnot\b"),
    _TYPES.TYPED: (r"\btype[ds]?\b|\benter", r"\bwhere\b|\bnot\b"),
}
"""What a question of a type says, and what it does not say."""
_ELEMENTS = (AnchorKind.CLICK, AnchorKind.DOUBLE_CLICK, AnchorKind.RIGHT_CLICK)
_KINDS: Mapping[ScreenQuestionType, tuple[str, ...]] = {
    _TYPES.CLICKED: _ELEMENTS,
    _TYPES.TYPED: (AnchorKind.TYPING,),
}
_REGION = re.compile(
    r"\b(?:at the (?P<edge>top|bottom)(?: (?P<corner>left|right))?|on the (?P<side>left|right)|in the middle)\b"
)
_ASKED = re.compile(r"/questions/\d+/question")
_QUOTE = re.compile(r"\"[^\"]*\"|“[^”]*”")


class ScreenQAAgent(GroundedAgent):
    """Asks about lines read with certainty, named clicks, taps on a line, and typing."""

    task_type: ClassVar[str] = "screen_qa"
    version: ClassVar[str] = "2"
    domains: ClassVar[frozenset[Domain]] = frozenset({Domain.GUI, Domain.EDUCATION})
    output: ClassVar[type[BaseModel]] = ScreenQA
    parts: ClassVar[dict[str, str]] = {"questions": "questions", "samples": "questions"}
    recognition: ClassVar[Recognition] = Recognition(
        instruction="Write questions on what stands on the screen at a moment and where, what changed between two "
        "screens and what was clicked or typed, each with its answer, its frame and the boxes that prove it.",
        names=(
            r"(?:screen(?:shot)?s?|ui|gui|interface|app)[- ](?:q ?(?:&|/|and|\+)? ?as?|vqa|questions?|understanding"
            r"|comprehension)(?: (?:questions?|qa|data))?",
            *ANY_QUESTIONS,
            r"screen(?:shot)?[- ](?:q ?(?:&|/|and|\+)? ?a|vqa|questions?|question[- ]answering|understanding)",
            r"(?:gui|ui)[- ](?:qa|vqa|questions?|question[- ]answering|understanding)",
            r"questions? (?:on|about) (?:the |this |these |a )?(?:screens?|screenshots?|ui|interface)",
            r"(?:ocr|text)[- ](?:vqa|qa)",
        ),
        hints=(
            r"screen\w*",
            r"buttons?",
            r"menus?",
            r"windows?",
            r"dialogs?",
            r"(?:user )?interfaces?|ui|gui",
            r"apps?",
            r"written|displayed|text",
            r"on[- ]screen",
            r"read(?:ing)?",
            r"boxes",
        ),
        examples=(
            "Make questions and answers about the screen of this app.",
            "Which button is shown, which text is in the window? Ask such questions.",
            "Screen understanding data for a GUI model.",
            "Question answering over screenshots.",
            "Ask what the interface displays after each step.",
            "Teach a vision language model to read user interfaces.",
            "Make questions and answers about the screenshots of this session.",
            "I need screen question answering data: which text is there, where it is, what was clicked.",
            "Ask what changed between two screens and answer with the words on them.",
            "Build a UI understanding data set from this screen recording.",
            "Write text-VQA samples with boxes from these screens.",
            "Generate screen reading questions for a GUI model.",
        ),
        prior={Domain.GUI: 0.3},
        needs=frozenset({TrackKind.VIDEO, TrackKind.IMAGES}),
    )

    def compose(self, evidence: Evidence) -> ScreenQA:
        stream = evidence.streams[0]
        questions = _questions(evidence, stream.sha256)
        if not questions:
            raise UnsuitedError(
                stream.uri,
                "no line that was read on its screens with certainty, and nothing clicked or typed, can be asked for "
                f"({len(evidence.of(AnchorKind.SCREEN_TEXT))} lines were read)",
                "Choose the expert `ocr`, or a recording of screens with text on them.",
            )
        return proved(self, ScreenQA(questions=tuple(questions)), evidence)

    def claims(self, output: Any, streams: Sequence[Stream]) -> list[Claim]:
        """What the marks say, and of each question: that what it names is meant alone, that the answer says what the
        evidence says, and that the wording fits."""
        stream = stream_of(streams)
        # A question may name a text that does not stand in its frame: whether it does is claimed below.
        found = [
            claim
            for claim in super().claims(output, streams)
            if claim.kind is not ClaimKind.QUOTE or not _ASKED.fullmatch(claim.path)
        ]
        for place, question in enumerate(output["questions"]):
            found += _Proof(question, f"/questions/{place}", stream).claims()
        return found

    def evidence_times(self, output: Any, streams: Sequence[Stream]) -> list[tuple[str, float]]:
        questions = spread(output["questions"])
        times = [question["frame_time"] for question in questions]
        times += [question["earlier_time"] for question in questions if question["earlier_time"] is not None]
        return list(dict.fromkeys((streams[0].sha256, time) for time in times))


def region_of(box: Box) -> str:
    """Which third of the screen the middle of a box is in, down and across, as answers tell it."""
    column = "left" if box.centre.x < 1 / 3 else "right" if box.centre.x > 2 / 3 else ""
    row = "top" if box.centre.y < 1 / 3 else "bottom" if box.centre.y > 2 / 3 else ""
    if row:
        return f"at the {row} {column}".strip()
    return f"on the {column}" if column else "in the middle"


def difficulty(type: ScreenQuestionType, evidence: int, answer: str) -> Difficulty:
    """How hard: to find a text or read what is clicked or typed is easy; to see that one is not there, or what is
    tapped or new, medium; to see all of several new ones hard."""
    if type is _TYPES.APPEARED and evidence > 1:
        return Difficulty.HARD
    absent = type is _TYPES.PRESENT and answer.lower().startswith("no")
    return Difficulty.MEDIUM if absent or type in (_TYPES.APPEARED, _TYPES.TAPPED) else Difficulty.EASY


class _Screens:
    """What was read on a stream's screens."""

    def __init__(self, evidence: Evidence, stream: str) -> None:
        self.evidence = evidence
        self.stream = stream
        self.read = evidence.of(AnchorKind.SCREEN_TEXT, stream=stream)
        self._contents = [normalise(line.content) for line in self.read]
        self._starts = [line.t0 for line in self.read]
        lines = [line for line in self.read if _fit(line) and line.t1 - line.t0 >= LEAST_STAY]
        different = set(self._contents)
        self.lines = [line for line in evenly(lines, CANDIDATES) if not _misread(normalise(line.content), different)]

    def frame(self, line: FactualAnchor) -> float:
        return round(line.t0 + min((line.t1 - line.t0) / 2, LOOK), 6)

    def times_read(self, content: str, until: float) -> int:
        """How often a text was read up to a time, also as a part of another line."""
        content = normalise(content)
        return sum(stands_in(content, other) for other in self._contents[: bisect_left(self._starts, until + EPSILON)])

    def times_read_at_all(self, content: str) -> int:
        return self.times_read(content, float("inf"))


def _questions(evidence: Evidence, stream: str) -> list[ScreenQuestion]:
    """At most MOST_QUESTIONS questions, of every type that the screens allow, in the order of their frames."""
    screens = _Screens(evidence, stream)
    writers = (_appeared, _clicked, _tapped, _where, _present, _typed)
    asked: dict[str, ScreenQuestion] = {}
    for round_ in zip_longest(*(evenly(list(writer(screens)), MOST_QUESTIONS) for writer in writers)):
        for question in round_:
            if question is not None and len(asked) < MOST_QUESTIONS:
                by_words = question.type in (_TYPES.WHERE, _TYPES.PRESENT)
                key = question.evidence[0].content if by_words else question.question
                asked.setdefault(key or question.question, question)
    return sorted(asked.values(), key=lambda question: (question.frame_time, question.question))


def _where(screens: _Screens) -> Iterator[ScreenQuestion]:
    for line in screens.lines[::2]:
        frame = screens.frame(line)
        if line.box is not None and _in_one_region(line.box) and screens.times_read(line.content, frame) == 1:
            answer = f"{quoted(line.content)} stands {region_of(line.box)}."
            yield _question(_TYPES.WHERE, frame, _ask(_TYPES.WHERE, line.content), answer, [line])


def _present(screens: _Screens) -> Iterator[ScreenQuestion]:
    """Now of a line that stands elsewhere in the recording only, now of one that stands there."""
    alone = [line for line in screens.lines[1::2] if screens.times_read_at_all(line.content) == 1]
    for place, line in enumerate(alone):
        if place % 2:
            answer = f"Yes, {quoted(line.content)} can be read {region_of(line.box)}." if line.box else "Yes."
            yield _question(_TYPES.PRESENT, screens.frame(line), _ask(_TYPES.PRESENT, line.content), answer, [line])
            continue
        shown = {screens.frame(other): other for other in screens.lines}
        away = [time for time in shown if time < line.t0 - 2 * TOLERANCE or time > line.t1 + 2 * TOLERANCE]
        if away:
            frame = min(away, key=lambda time: (abs(time - line.t0), time))
            instead = [line, shown[frame]]
            question = _ask(_TYPES.PRESENT, line.content)
            yield _question(_TYPES.PRESENT, frame, question, "No, this cannot be read there.", instead)


def _appeared(screens: _Screens) -> Iterator[ScreenQuestion]:
    """What is new from one still screen to the next, where all that is new was read well."""
    states = screens.evidence.of(AnchorKind.SCREEN, stream=screens.stream)
    for before, after in pairwise(states):
        earlier, frame = before.t1, max(after.t0, round((after.t0 + after.t1) / 2, 6))
        new = [line for line in screens.read if earlier + EPSILON < line.t0 <= frame]
        fit = [
            line for line in new if _fit(line) and line.t1 >= frame and not screens.times_read(line.content, earlier)
        ]
        if not 1 <= len(new) == len(fit) <= MOST_NEW or not 2 * TOLERANCE <= frame - earlier <= LONGEST_CHANGE:
            continue
        if f"{earlier:.1f}" == f"{frame:.1f}":
            continue
        lines = in_reading_order(fit)
        question = chosen(_ASKS[_TYPES.APPEARED], frame).format(frame, earlier)
        answer = f"{_listed([quoted(line.content) for line in lines])}."
        yield _question(_TYPES.APPEARED, frame, question, answer, lines, earlier)


def _clicked(screens: _Screens) -> Iterator[ScreenQuestion]:
    for click in screens.evidence.of(*_ELEMENTS, stream=screens.stream):
        if _named(click.content) and click.box is not None and sensible(click.box):
            question = chosen(_ASKS[_TYPES.CLICKED], click.t0).format(click.t0)
            answer = f"{quoted(click.content)}, {region_of(click.box)}."
            yield _question(_TYPES.CLICKED, click.t0, question, answer, [click])


def _tapped(screens: _Screens) -> Iterator[ScreenQuestion]:
    """The line under a tap, where there is one."""
    for tap in screens.evidence.of(AnchorKind.TAP, stream=screens.stream):
        under = [
            line
            for line in screens.read
            if line.box is not None
            and tap.point is not None
            and line.box.contains(tap.point)
            and line.t0 - EPSILON <= tap.t0 <= line.t1 + EPSILON
        ]
        if len(under) == 1 and _fit(under[0]):
            question = chosen(_ASKS[_TYPES.TAPPED], tap.t0).format(tap.t0)
            yield _question(_TYPES.TAPPED, tap.t0, question, f"{quoted(under[0].content)}.", [under[0], tap])


def _typed(screens: _Screens) -> Iterator[ScreenQuestion]:
    for typing in screens.evidence.of(AnchorKind.TYPING, stream=screens.stream):
        if _named(typing.content):
            question = chosen(_ASKS[_TYPES.TYPED], typing.t0).format(typing.t0)
            yield _question(_TYPES.TYPED, typing.t1, question, f"{quoted(typing.content)}.", [typing], typing.t0)


def _ask(type: ScreenQuestionType, content: str) -> str:
    return chosen(_ASKS[type], content).format(quoted(content))


def _question(
    type: ScreenQuestionType,
    frame: float,
    question: str,
    answer: str,
    anchors: Sequence[FactualAnchor],
    earlier: float | None = None,
) -> ScreenQuestion:
    return ScreenQuestion(
        type=type,
        difficulty=difficulty(type, len(anchors), answer),
        frame_time=frame,
        earlier_time=earlier,
        question=ended_once(question),
        answer=ended_once(answer),
        evidence=tuple(
            ScreenFact(
                t0=anchor.t0,
                t1=anchor.t1,
                kind=str(anchor.kind),
                content=anchor.content or None,
                box=anchor.box if anchor.content else None,
                point=anchor.point if anchor.kind in (AnchorKind.TAP, *_ELEMENTS) else None,
            )
            for anchor in anchors
        ),
    )


def _fit(line: FactualAnchor) -> bool:
    """Whether a line can be asked for: read with certainty, some letters and no clock, quoted whole."""
    return readable(line) and _named(line.content)


def _named(text: str) -> bool:
    content = normalise(text)
    letters = sum(character.isalpha() for character in content)
    quotes = [normalise(quote) for quote in find(quoted(text)).quotes]
    return letters >= LEAST_LETTERS and len(content.split()) <= LONGEST_TEXT and quotes == [content]


def _misread(content: str, contents: set[str]) -> bool:
    """Whether a line was also read a little differently: nobody knows then which reading is right."""
    return any(content != other and alike(content, other) for other in contents)


def _in_one_region(box: Box) -> bool:
    return all(abs(middle - border) >= CLEAR for middle in (box.centre.x, box.centre.y) for border in (1 / 3, 2 / 3))


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


class _Proof:
    """Reads one question back into claims."""

    def __init__(self, question: Any, at: str, stream: str | None) -> None:
        self.question = question
        self.type = ScreenQuestionType(question["type"])
        self.frame = question["frame_time"]
        self.earlier = question["earlier_time"]
        self.facts = question["evidence"]
        self.first = self.facts[0]
        self.at = at
        self.stream = stream

    def claims(self) -> Iterator[Claim]:
        yield from self._worded()
        yield from self._placed()
        if self.type is _TYPES.APPEARED:
            yield from self._new()
        elif self.type in (_TYPES.CLICKED, _TYPES.TYPED):
            yield from self._done()
        elif self.type is _TYPES.TAPPED:
            yield from self._under_tap()
        else:
            yield from self._standing()

    def _worded(self) -> Iterator[Claim]:
        """The wording fits the type, names what it asks for and no other time, and the answer quotes the evidence."""
        words = _QUOTE.sub('""', self.question["question"]).lower()
        asking, denying = _ASKING[self.type]
        if not re.search(asking, words) or (
            re.search(denying, words) and not (self.type is _TYPES.APPEARED and "not there" in words)
        ):
            yield self._not("/question", f"a question of the type {self.type}")
        named = find(self.question["question"])
        by_words = self.type in (_TYPES.WHERE, _TYPES.PRESENT)
        if [normalise(quote) for quote in named.quotes] != ([self._content(self.first)] if by_words else []):
            yield self._not("/question", "what it asks for")
        if len(named.times) != (0 if by_words else 2 if self.type is _TYPES.APPEARED else 1):
            yield self._not("/question", "the moment that it asks for")
        for time, edge in zip(named.times, self._moments(), strict=False):
            yield self._claim("/question", ClaimKind.TIME, t0=time, t1=time, items=(edge,))
        told = [self._content(fact) for fact in self.facts if fact["content"] is not None]
        if not self._absent() and [normalise(quote) for quote in find(self.question["answer"]).quotes] != told:
            yield self._not("/answer", "the words of its evidence")
        if self.question["difficulty"] != difficulty(self.type, len(self.facts), self.question["answer"]):
            yield self._not("/difficulty", f"that it is {self.question['difficulty']}")
        if (self.earlier is not None) != (self.type in (_TYPES.APPEARED, _TYPES.TYPED)):
            yield self._not("/earlier_time", "two frames")

    def _moments(self) -> tuple[float, ...]:
        """The moments that a question of this type names, in its order."""
        if self.type is _TYPES.TYPED:
            return (self.first["t0"],)
        return (self.frame,) if self.earlier is None else (self.frame, self.earlier)

    def _placed(self) -> Iterator[Claim]:
        """Each text was read at its box, and where the answer tells a part of the screen, it is that of the first."""
        for place, fact in enumerate(self.facts):
            if fact["box"] is not None and fact["content"] is not None:
                at = f"{self.at}/evidence/{place}/box"
                measured = Box.model_validate(fact["box"])
                yield labelled_box(at, self.stream, fact["t0"], fact["t1"], measured, fact["content"], fact["kind"])
        told = [match[0] for match in _REGION.finditer(_QUOTE.sub('""', self.question["answer"]))]
        wanted = self.type in (_TYPES.WHERE, _TYPES.CLICKED) or (self.type is _TYPES.PRESENT and not self._absent())
        box = None if self.first["box"] is None else Box.model_validate(self.first["box"])
        if told != ([region_of(box)] if wanted and box is not None else []) or (wanted and box is None):
            yield self._not("/answer", "where on the screen it is")

    def _standing(self) -> Iterator[Claim]:
        """The text stands there in the frame and was read once up to it; or it was read once in all, and not there."""
        fact, standing = self.first, self.facts[-1]
        if any(one["kind"] != AnchorKind.SCREEN_TEXT or one["content"] is None for one in self.facts):
            yield self._not("/evidence", "lines on the screen")
            return
        if len(self.facts) != 1 + self._absent():
            yield self._not("/evidence", "the line asked for and, where it is not there, one that is")
        if not standing["t0"] - EPSILON <= self.frame <= min(standing["t1"], standing["t0"] + LOOK) + EPSILON:
            yield self._not("/frame_time", "a frame soon after its line came")
        kinds = (AnchorKind.SCREEN_TEXT,)
        if self.type is _TYPES.PRESENT and not re.match(r"(?:yes|no)\b", self.question["answer"].lower()):
            yield self._not("/answer", "yes or no")
        if self._absent():
            if fact["t0"] - TOLERANCE < self.frame < fact["t1"] + TOLERANCE:
                yield self._not("/answer", "that it is not there")
            yield self._claim("/answer", ClaimKind.COUNT, kinds=kinds, text=fact["content"], count=1)
        else:
            until = self.frame + 2 * EPSILON
            yield self._claim("/question", ClaimKind.COUNT, kinds=kinds, text=fact["content"], t1=until, count=1)

    def _new(self) -> Iterator[Claim]:
        """The texts came after the earlier frame, none of them was there before, and nothing else came."""
        if (
            self.earlier is None
            or not self.earlier + TOLERANCE <= self.frame <= self.earlier + LONGEST_CHANGE + EPSILON
        ):
            yield self._not("/earlier_time", "a frame before the other")
            return
        kinds, after = (AnchorKind.SCREEN_TEXT,), self.earlier + 2 * EPSILON
        count = {"t0": after, "t1": self.frame + 2 * EPSILON, "count": len(self.facts)}
        yield self._claim("/evidence", ClaimKind.COUNT, kinds=kinds, **count)
        for time, edge in (("earlier_time", self.earlier), ("frame_time", self.frame)):
            yield during(f"{self.at}/{time}", self.stream, edge, AnchorKind.SCREEN)
        for place, fact in enumerate(self.facts):
            stands = self.earlier < fact["t0"] <= self.frame + EPSILON and self.frame <= fact["t1"] + EPSILON
            if not stands or fact["kind"] != AnchorKind.SCREEN_TEXT or fact["content"] is None:
                yield self._not(f"/evidence/{place}", "a line that is new in the later frame")
            yield self._claim(
                f"/evidence/{place}", ClaimKind.COUNT, kinds=kinds, text=fact["content"], t1=after, count=0
            )

    def _done(self) -> Iterator[Claim]:
        """It is done at the frame (or, typed, from the earlier to the later one)."""
        fact = self.first
        edges = (self.frame,) if self.type is _TYPES.CLICKED else (self.earlier, self.frame)
        mine = (fact["t0"],) if self.type is _TYPES.CLICKED else (fact["t0"], fact["t1"])
        if len(self.facts) != 1 or fact["kind"] not in _KINDS[self.type] or fact["content"] is None or edges != mine:
            yield self._not("/evidence", f"what is {self.type} at that frame")

    def _under_tap(self) -> Iterator[Claim]:
        """The text stands under the tap when it is tapped."""
        kinds = [fact["kind"] for fact in self.facts]
        if kinds != [AnchorKind.SCREEN_TEXT, AnchorKind.TAP] or self.facts[1]["point"] is None:
            yield self._not("/evidence", "a line and a tap")
            return
        line, tap = self.facts
        if line["box"] is None or not Box.model_validate(line["box"]).contains(Point.model_validate(tap["point"])):
            yield self._not("/evidence/1/point", "a point on the line")
        if tap["t0"] != self.frame or not line["t0"] - EPSILON <= self.frame <= line["t1"] + EPSILON:
            yield self._not("/frame_time", "the frame of the tap")

    def _absent(self) -> bool:
        return self.type is _TYPES.PRESENT and not self.question["answer"].lower().startswith("yes")

    def _content(self, fact: Any) -> str:
        return normalise(fact["content"] or "")

    def _not(self, at: str, what: str) -> Claim:
        return refused(self.at + at, what)

    def _claim(self, at: str, kind: ClaimKind, **fields: Any) -> Claim:
        return Claim(path=self.at + at, kind=kind, stream=self.stream, **fields)

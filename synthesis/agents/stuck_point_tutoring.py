"""stuck_point_tutoring: where a lesson pauses before its next line, a learner asks, and the lesson answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

from pydantic import BaseModel

from schemas.anchor import AnchorKind, FactualAnchor
from schemas.errors import UnsuitedError
from schemas.outputs.span import Line
from schemas.outputs.stuck_point_tutoring import Answer, Help, Known, Medium, Pause, StuckPointTutoring
from schemas.score import Claim, ClaimKind
from schemas.stream import Domain, Stream, TrackKind
from synthesis.agents.boards import board_lines
from synthesis.agents.choices import alike, chosen
from synthesis.agents.passages import ended_once, spoken
from synthesis.agents.proofs import edge, none_between, proved, refused, stream_of
from synthesis.base import Evidence, GroundedAgent, Recognition
from synthesis.verification.check import EPSILON, TOLERANCE, normalise, stands_in
from synthesis.verification.mentions import find, quoted

KIND = {Medium.BOARD: AnchorKind.SCREEN_TEXT, Medium.SPEECH: AnchorKind.SUBTITLE}
LEAST_PAUSE = {Medium.BOARD: 2.0, Medium.SPEECH: 1.0}
"""Seconds without anything new in which somebody may be stuck."""
BEFORE = 0.5
"""Seconds before the help at which the frame is taken where no still screen says when the board was last unchanged."""
LATEST = 2.0
"""Seconds before the help at which the frame may be taken at most."""
SHOWN_WITHIN = 2.0
"""Seconds after a step begins in which its frame is taken."""
MOST_KNOWN = 4
MOST_HELP = 3
"""Lines of the board in one step; of what is said to it as many."""
MOST_STEPS = 6
GOES_ON = 60.0
"""Seconds after the help within which steps belong to it."""
LONGEST_TEXT = 40

_QUESTIONS = {
    Medium.BOARD: (
        "So far I have read {known}. What is the next step?",
        "I have followed up to {last}. How does it go on from here?",
        "I understand {known}, but here I am stuck. What comes next?",
    ),
    Medium.SPEECH: (
        "So far I have heard {known}. What do I do next?",
        "I have followed up to {last}. How does it go on from here?",
        "I understand {known}, but here I am stuck. What comes next?",
    ),
}
_ASKED = " The question was {asked}, and I cannot answer it."
_ANSWERS = {
    Medium.BOARD: ("The next line is {lines}.", "Next comes {lines}."),
    Medium.SPEECH: ("What comes next is {lines}.", "It goes on with {lines}."),
}
_SAID = " It is explained with the words {said}."


@dataclass(frozen=True)
class _Bottleneck:
    """A pause before something new, with what was there before and what came."""

    medium: Medium
    t0: float
    t1: float
    known: tuple[FactualAnchor, ...]
    new: tuple[FactualAnchor, ...]

    @property
    def weight(self) -> tuple[float, int, float]:
        """The longest pause is the hardest place, one before a formula half as hard again; of equal ones that before
        the most writing, then the first."""
        formula = 1.5 if any("=" in line.content for line in self.new) else 1.0
        return formula * (self.t1 - self.t0), sum(len(line.content) for line in self.new), -self.t0


class StuckPointTutoringAgent(GroundedAgent):
    """Finds the longest pause before new writing (or, without a board, before the next words), asks with what was there
    up to then, and answers with what came."""

    task_type: ClassVar[str] = "stuck_point_tutoring"
    version: ClassVar[str] = "2"
    domains: ClassVar[frozenset[Domain]] = frozenset({Domain.EDUCATION, Domain.DAILY_LIFE, Domain.GUI})
    output: ClassVar[type[BaseModel]] = StuckPointTutoring
    parts: ClassVar[dict[str, str]] = {"steps": "steps"}
    instead: ClassVar[tuple[str, ...]] = ("tutorial",)
    recognition: ClassVar[Recognition] = Recognition(
        instruction="Find the moment of this lesson at which a learner is stuck, ask the learner's question with what "
        "is known up to then and nothing later, and answer it with the lines and frames that follow.",
        names=(
            r"(?:stuck|sticking)[- ]?points?",
            r"(?:gets?|getting|got) stuck",
            r"misconceptions?",
            r"struggl\w+",
            r"tutor(?:ing|ed|s)?(?: data| sessions?| dialogues?)?",
            r"(?:socratic|scaffold)\w*(?: \w+)? ?(?:tutoring|dialogues?|questions?|hints?)?",
            r"hints?",
            r"guiding questions?",
            r"stuck[- ]points?(?: tutoring)?",
            r"tutoring (?:data|dialogues?|questions?|samples?|pairs?)",
            r"bottlenecks?",
            r"where (?:a |the )?(?:learners?|students?|pupils?) (?:(?:is|are|gets?) stuck|struggles?)",
            r"socratic (?:tutoring|dialogues?|questions?)",
        ),
        hints=(
            r"worked[- ]solutions?",
            r"solutions?|solved|solv\w+",
            r"teach\w*",
            r"pupils?|students?|learners?",
            r"math\w*|proofs?|exercises?|problems?",
            r"stuck",
            r"tutor\w*",
            r"hints?",
            r"next step",
        ),
        examples=(
            "Build tutoring data from this worked solution.",
            "Where does a student get stuck, and which hint helps without giving the answer away?",
            "Find the difficult steps of the solution and write guiding questions for them.",
            "I train a math tutor that reacts to misconceptions.",
            "Dialogue between a tutor and a learner who does not understand a step.",
            "Help pupils over the hard steps of this exercise.",
            "This is a worked-solution teaching video. Please construct tutoring data from it.",
            "Find where a student would get stuck in this lesson and answer the question.",
            "Make tutoring samples: the board before the key step, the learner's question, the solution steps.",
            "I want data to train a math tutor from this recorded lecture.",
            "Show the frame before the bottleneck and explain how it is resolved, step by step.",
            "Turn this solution video into question and guided answer with board frames.",
        ),
        prior={Domain.EDUCATION: 0.4},
        needs=frozenset({TrackKind.VIDEO, TrackKind.IMAGES, TrackKind.SUBTITLES, TrackKind.STROKES}),
    )

    def compose(self, evidence: Evidence) -> StuckPointTutoring:
        stream = evidence.streams[0]
        lesson = _Lesson(evidence, stream.sha256)
        found = max(lesson.bottlenecks(), key=lambda place: place.weight, default=None)
        if found is None:
            raise UnsuitedError(
                stream.uri,
                "nobody is stuck in it: after no line that was said, or read on its board, comes a pause (of "
                f"{LEAST_PAUSE[Medium.SPEECH]:g} s in speech, {LEAST_PAUSE[Medium.BOARD]:g} s on the board) and then a "
                "line that is new",
                "Add subtitles beside it, or ask for a tutorial.",
            )
        return proved(self, lesson.tutoring(found), evidence)

    def claims(self, output: Any, streams: Sequence[Stream]) -> list[Claim]:
        """What the marks say; that nothing new comes in the pause; that the question rests on nothing later than its
        frame, and what the answer shows was not there before."""
        return super().claims(output, streams) + list(_proofs(output, stream_of(streams)))

    def evidence_times(self, output: Any, streams: Sequence[Stream]) -> list[tuple[str, float]]:
        times = [output["frame_time"], output["answer"]["frame_time"], *(s["frame_time"] for s in output["steps"])]
        return list(dict.fromkeys((streams[0].sha256, time) for time in times))


class _Lesson:
    """The lines of a lesson: those worth quoting, and all that say when something new was there."""

    def __init__(self, evidence: Evidence, stream: str) -> None:
        # What comes on the screen of a program is what it does, and no step of somebody's explanation.
        gui = next(one for one in evidence.streams if one.sha256 == stream).domain is Domain.GUI
        self._media = (Medium.SPEECH,) if gui else tuple(Medium)
        self._screens = evidence.of(AnchorKind.SCREEN, stream=stream)
        self._at: dict[float, list[FactualAnchor]] = {}
        for one in evidence.of(AnchorKind.SUBTITLE, AnchorKind.SCREEN_TEXT, AnchorKind.GIVEN_TEXT, stream=stream):
            self._at.setdefault(one.t0, []).append(one)
        self._all = {
            medium: sorted(evidence.of(kind, stream=stream), key=lambda line: line.t0) for medium, kind in KIND.items()
        }
        written, _ = board_lines(evidence, stream)
        self._lines = {
            Medium.BOARD: [line for line in written if _quotable(line) and not _is_printed(line)],
            Medium.SPEECH: [line for line in spoken(evidence, stream) if _quotable(line)],
        }

    def bottlenecks(self) -> Iterator[_Bottleneck]:
        """Pauses of the board; where it has none, of speech."""
        for medium in self._media:
            found = list(self._pauses(medium))
            yield from found
            if found:
                return

    def tutoring(self, place: _Bottleneck) -> StuckPointTutoring:
        frame = self._frame(place)
        asked = [line for line in self._lines[Medium.SPEECH] if place.t0 <= line.t0 and line.t1 <= frame]
        riddle = next((line for line in asked if line.content.rstrip().endswith("?") and self._once(line)), None)
        known = sorted({*place.known, *([riddle] if riddle else [])}, key=lambda line: (line.t0, line.content))
        first, *steps = self._helps(place)
        return StuckPointTutoring(
            medium=place.medium,
            pause=Pause(t0=place.t0, t1=place.t1),
            frame_time=frame,
            known=tuple(Known(time=line.t0, text=line.content) for line in known),
            question=_question(place, riddle),
            answer=Answer(**first.model_dump(), text=_answer(place.medium, first)),
            steps=tuple(steps),
        )

    def _pauses(self, medium: Medium) -> Iterator[_Bottleneck]:
        starts = list(dict.fromkeys(line.t0 for line in self._all[medium]))
        for before, after in pairwise(starts):
            begin = before
            if medium is Medium.SPEECH:
                begin = max(line.t1 for line in self._all[medium] if line.t0 <= before)
            if after - begin < LEAST_PAUSE[medium]:
                continue
            known = [line for line in self._lines[medium] if line.t0 <= before and self._once(line)]
            new = self._fresh([line for line in self._lines[medium] if line.t0 == after], medium, after)
            recent = _recent(known, after, medium)
            if recent and new:
                yield _Bottleneck(medium, begin, after, recent, tuple(new[:MOST_HELP]))

    def _frame(self, place: _Bottleneck) -> float:
        """The last moment at which the screen was seen without the help."""
        latest = [
            s.t1 for s in self._screens if place.t0 <= s.t1 and place.t1 - LATEST <= s.t1 <= place.t1 - BEFORE / 2
        ]
        return round(max(latest, default=place.t1 - BEFORE), 6)

    def _helps(self, place: _Bottleneck) -> list[Help]:
        """What came, and how it goes on: moments with new lines, each with what is said until the next one."""
        later = [line for line in self._lines[place.medium] if place.t1 <= line.t0 <= place.t1 + GOES_ON]
        fresh = self._fresh(later, place.medium, place.t1)
        moments = list(dict.fromkeys(line.t0 for line in fresh))
        ends = [*moments[1:], place.t1 + GOES_ON]
        return [
            self._help([line for line in fresh if line.t0 == moment], moment, end, place.medium)
            for moment, end in list(zip(moments, ends, strict=True))[: MOST_STEPS + 1]
        ]

    def _once(self, line: FactualAnchor) -> bool:
        """Whether the words of a line came once at its moment."""
        content = normalise(line.content)
        return sum(stands_in(content, normalise(one.content)) for one in self._at.get(line.t0, ())) == 1

    def _fresh(self, lines: Sequence[FactualAnchor], medium: Medium, time: float) -> list[FactualAnchor]:
        """The lines of which nothing was there before a time, not even misread."""
        old = {line.content for line in self._all[medium] if line.t0 < time} if lines else set()
        return [line for line in lines if not any(alike(line.content, one) for one in old)]

    def _help(self, lines: Sequence[FactualAnchor], begin: float, end: float, medium: Medium) -> Help:
        said: list[FactualAnchor] = []
        if medium is Medium.BOARD:
            said = [line for line in self._lines[Medium.SPEECH] if begin <= line.t0 < end][:MOST_HELP]
        frame = (
            begin if medium is Medium.BOARD else round(min((lines[0].t0 + lines[0].t1) / 2, begin + SHOWN_WITHIN), 6)
        )
        told = [*lines[:MOST_HELP], *said]
        return Help(
            time=begin,
            frame_time=frame,
            lines=tuple(Line(t0=line.t0, t1=line.t1, text=line.content) for line in told),
        )


def _quotable(line: FactualAnchor) -> bool:
    """Whether a line can be quoted whole, and is short enough to be."""
    content = normalise(line.content)
    quotes = [normalise(quote) for quote in find(quoted(line.content)).quotes]
    return quotes == [content] and len(content.split()) <= LONGEST_TEXT


def _is_printed(line: FactualAnchor) -> bool:
    """Whether a line is printed in capitals: a heading of the page, and no step."""
    return line.content.isupper() and "=" not in line.content and len(line.content.split()) > 1


def _recent(known: Sequence[FactualAnchor], time: float, medium: Medium) -> tuple[FactualAnchor, ...]:
    """Of the lines that still stand on a board the first one (the task, as a rule) and the last ones: a page that was
    turned is not what a learner looks at. Of what was said, of which nothing stands, the last ones."""
    standing = [line for line in known if line.t1 >= time - LATEST]
    lines = standing if standing or medium is Medium.BOARD else known[1 - MOST_KNOWN :]
    pool = list({normalise(line.content): line for line in lines}.values())
    return tuple(pool if len(pool) <= MOST_KNOWN else [pool[0], *pool[1 - MOST_KNOWN :]])


def _question(place: _Bottleneck, riddle: FactualAnchor | None) -> str:
    known = [quoted(line.content) for line in place.known]
    template = chosen(_QUESTIONS[place.medium], *known)
    question = ended_once(template.format(known=_listed(known), last=known[-1]))
    return question if riddle is None else question + _ASKED.format(asked=quoted(riddle.content))


def _answer(medium: Medium, help_: Help) -> str:
    """The new lines, and what is said to them: what is said begins with or after them, and stands behind them."""
    written = [line for line in help_.lines if line.t0 == help_.time]
    said = [line for line in help_.lines if line not in written]
    lines = _listed([quoted(line.text) for line in written])
    told = chosen(_ANSWERS[medium], lines).format(lines=lines)
    if said:
        told += _SAID.format(said=_listed([quoted(line.text) for line in said]))
    return ended_once(told)


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _proofs(output: Any, stream: str | None) -> Iterator[Claim]:
    kind = KIND[Medium(output["medium"])]
    pause, frame = output["pause"], output["frame_time"]
    yield edge("/pause/t0", stream, pause["t0"], kind)
    yield edge("/pause/t1", stream, pause["t1"], kind)
    yield none_between("/pause", stream, pause["t0"], pause["t1"], kind)
    if pause["t1"] - pause["t0"] < LEAST_PAUSE[Medium(output["medium"])] - EPSILON:
        yield refused("/pause", "a pause that long")
    if not max(pause["t0"], pause["t1"] - LATEST) - EPSILON <= frame <= pause["t1"] - TOLERANCE + EPSILON:
        yield refused("/frame_time", "the last moment before the pause ends")
    yield from _asked(output, stream)
    yield from _answered(output["answer"], output, kind, stream)
    for place, help_ in enumerate(output["steps"]):
        if help_["time"] <= output["answer"]["time"] + EPSILON:
            yield refused(f"/steps/{place}/time", "that it comes after the answer")
        yield from _shown(help_, f"/steps/{place}", stream)


def _asked(output: Any, stream: str | None) -> Iterator[Claim]:
    """The question quotes what is known, all of which came before its frame."""
    times = [known["time"] for known in output["known"]]
    if times != sorted(times):
        yield refused("/known", "the order of time")
    for place, known in enumerate(output["known"]):
        if known["time"] > output["frame_time"]:
            yield refused(f"/known/{place}/time", "that it came before the learner asks")
        yield edge(f"/known/{place}", stream, known["time"], "text.*", text=known["text"])
        begins = {"t0": known["time"], "t1": known["time"] + 2 * EPSILON, "text": known["text"], "count": 1}
        yield Claim(path=f"/known/{place}", kind=ClaimKind.COUNT, stream=stream, kinds=("text.*",), **begins)
    found = find(output["question"])
    if not found.quotes:
        yield refused("/question", "what the learner knows")
    for quote in found.quotes:
        if not any(stands_in(normalise(quote), normalise(known["text"])) for known in output["known"]):
            yield refused("/question", quote)
    if found.times or found.durations:
        yield refused("/question", "a time, which the learner does not know")


def _answered(answer: Any, output: Any, kind: str, stream: str | None) -> Iterator[Claim]:
    """The answer comes when the pause ends, quotes what comes then, and none of it was there before the frame."""
    if abs(answer["time"] - output["pause"]["t1"]) > EPSILON:
        yield refused("/answer/time", "the end of the pause")
    yield from _shown(answer, "/answer", stream)
    quotes = find(answer["text"]).quotes
    texts = [normalise(line["text"]) for line in answer["lines"]]
    if not quotes:
        yield refused("/answer/text", "what comes next")
    for quote in quotes:
        if not any(stands_in(normalise(quote), text) for text in texts):
            yield refused("/answer/text", quote)
    for place, line in enumerate(answer["lines"]):
        yield Claim(
            path=f"/answer/lines/{place}/text",
            kind=ClaimKind.COUNT,
            stream=stream,
            kinds=(kind,),
            text=line["text"],
            t1=output["frame_time"] + EPSILON,
            count=0,
        )


def _shown(help_: Any, at: str, stream: str | None) -> Iterator[Claim]:
    """The lines begin with the step or after it, one of them at its time, and the frame shows that one."""
    starts = [line["t0"] for line in help_["lines"]]
    if min(starts) < help_["time"] - EPSILON or help_["time"] not in starts:
        yield refused(f"{at}/time", "the beginning of its lines")
    newest = [line for line in help_["lines"] if line["t0"] == help_["time"]]
    ends = [min(line["t1"], line["t0"] + SHOWN_WITHIN) for line in newest]
    if not help_["time"] - EPSILON <= help_["frame_time"] <= max(ends, default=0.0) + EPSILON:
        yield refused(f"{at}/frame_time", "a frame that shows its first line")

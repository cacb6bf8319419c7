"""lesson_outline: a lesson cut where its pages, its writing, its shots or its pauses cut it, told in its own lines."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, ClassVar

from pydantic import BaseModel

from schemas.anchor import AnchorKind, FactualAnchor
from schemas.constraints import Constraints
from schemas.errors import UnsuitedError
from schemas.outputs.lesson_outline import Boundary, LessonOutline, Section
from schemas.outputs.span import Line
from schemas.score import Claim, Support
from schemas.stream import Domain, Stream, TrackKind
from synthesis.agents.boards import board_lines, turned_pages
from synthesis.agents.passages import evenly, spoken
from synthesis.agents.proofs import edge, none_between, proved, refused, stream_of
from synthesis.base import Evidence, GroundedAgent, Recognition
from synthesis.verification.check import EPSILON, TOLERANCE, normalise

LEAST_SECTION = 3.0
"""Seconds."""
MOST_SECTIONS = 12
MOST_POINTS = 6
PAUSE = 2.0
"""Seconds before a line in which none begins."""
LEAST_LETTERS = 6
LONGEST_HEADING = 12
"""Words; a longer line is a heading only where there is no shorter one."""
LOOK = 1.0
"""Seconds after a line begins at which its frame is taken."""

_WORDS = (AnchorKind.SUBTITLE, AnchorKind.SCREEN_TEXT)
_POINT = re.compile(r"/sections/(\d+)/points/(\d+)")


class LessonOutlineAgent(GroundedAgent):
    """Cuts at turned pages where there are any, otherwise at new writing, at shots, or at pauses in speech."""

    task_type: ClassVar[str] = "lesson_outline"
    version: ClassVar[str] = "1"
    domains: ClassVar[frozenset[Domain]] = frozenset({Domain.EDUCATION, Domain.DAILY_LIFE})
    output: ClassVar[type[BaseModel]] = LessonOutline
    parts: ClassVar[dict[str, str]] = {"sections": "sections", "chapters": "sections"}
    divisible: ClassVar[bool] = False
    recognition: ClassVar[Recognition] = Recognition(
        instruction="Write an outline of this lesson: a title and the sections that cover it in order, each with its "
        "span, its heading and its points, all in the lesson's own words.",
        names=(
            r"outlin(?:e|es|ing)",
            r"chapters?|chaptering",
            r"tables? of contents",
            r"syllab(?:us|i)",
            r"summar(?:y|ies|i[sz]\w+)",
            r"(?:lesson|lecture|course|topic) (?:structure|plans?|summary)",
            r"key (?:points|takeaways|concepts)",
            r"chapters?(?: markers?| titles?)?",
            r"lesson (?:plans?|structures?|sections?)",
            r"sections? (?:and|with) (?:headings?|titles?|points?)",
        ),
        hints=(
            r"sections?",
            r"topics?",
            r"titles?",
            r"lectures?",
            r"course",
            r"covered",
            r"taught",
            r"structure\w*",
            r"headings?",
            r"key points?",
            r"summar\w+",
        ),
        examples=(
            "Outline this lecture with sections and key points.",
            "Split the lesson into chapters with titles and time stamps.",
            "Summarise what is taught, topic by topic.",
            "A table of contents of the course video.",
            "Which topics are covered and in which order?",
            "Make an outline of this lecture with sections and key points.",
            "Give me chapters with titles and time spans for the video.",
            "Write a table of contents for this lesson.",
            "Structure the recording into sections, each with a heading and bullet points.",
            "I want lesson plans made from these teaching videos.",
            "Summarise the lesson as headings and points with timestamps.",
        ),
        prior={Domain.EDUCATION: 0.3},
        needs=frozenset({TrackKind.VIDEO, TrackKind.IMAGES, TrackKind.SUBTITLES}),
    )

    def compose(self, evidence: Evidence) -> LessonOutline:
        stream = evidence.streams[0]
        lesson = _Lesson(evidence, stream)
        sections = lesson.sections(self._most(evidence.spec.constraints))
        if len(sections) < 2:
            raise UnsuitedError(
                stream.uri,
                "an outline needs two sections with words in each, and no turned page, writing, shot or pause divides "
                f"the {len(lesson.lines)} lines read or heard in it",
                "Add subtitles beside it, or ask for a tutorial.",
            )
        title = lesson.name or sections[0].heading.text
        return proved(self, LessonOutline(title=title, sections=tuple(sections)), evidence)

    def claims(self, output: Any, streams: Sequence[Stream]) -> list[Claim]:
        """What the marks say; that sections follow each other without a gap over the lesson, begin where they say, and
        hold their lines in order."""
        duration = streams[0].duration if len(streams) == 1 else None
        return super().claims(output, streams) + list(_proofs(output["sections"], stream_of(streams), duration))

    def repair(self, output: BaseModel, unsupported: Sequence[Support], evidence: Evidence) -> LessonOutline | None:
        """Single points go. A section cannot: the others would no longer cover the lesson."""
        assert isinstance(output, LessonOutline)
        wrong: set[tuple[int, int]] = set()
        for support in unsupported:
            place = _POINT.match(support.path)
            if place is None:
                return None
            wrong.add((int(place[1]), int(place[2])))
        sections = tuple(
            section.model_copy(
                update={"points": tuple(point for two, point in enumerate(section.points) if (one, two) not in wrong)}
            )
            for one, section in enumerate(output.sections)
        )
        return output.model_copy(update={"sections": sections})

    def evidence_times(self, output: Any, streams: Sequence[Stream]) -> list[tuple[str, float]]:
        lines = [section["heading"] for section in output["sections"]]
        lines += [point for section in output["sections"] for point in section["points"]]
        times = [round(min((line["t0"] + line["t1"]) / 2, line["t0"] + LOOK), 6) for line in lines]
        return list(dict.fromkeys((streams[0].sha256, time) for time in times))

    def _most(self, constraints: Constraints) -> int:
        """Sections cannot be left out of a cover: fewer are asked for, so fewer are made."""
        counts = [count.most for count in constraints.counts if count.noun in self.parts and count.most is not None]
        return min([MOST_SECTIONS, *counts])


class _Lesson:
    """The lines of a lesson, and where it can be cut."""

    def __init__(self, evidence: Evidence, stream: Stream) -> None:
        self._evidence = evidence
        self._stream = stream
        self._speech = spoken(evidence, stream.sha256)
        self._board, frames = board_lines(evidence, stream.sha256)
        given = evidence.of(AnchorKind.GIVEN_TEXT, stream=stream.sha256)
        names = [text.content for text in (*given, *sorted(frames, key=lambda line: -len(line.content)))]
        self.name = next((name for name in names if normalise(name)), None)
        """The text that came with the lesson, or what stands over all its pages."""
        self.lines = sorted((*self._speech, *self._board), key=lambda line: (line.t0, line.kind, line.content))
        window = evidence.spec.constraints.window
        self._start = None if window is None or window.t0 <= EPSILON else window.t0
        self._end = None if window is None else window.t1

    def sections(self, most: int) -> list[Section]:
        """The sections by the first way of cutting that gives two or more; none where no way does."""
        for boundary in (Boundary.PAGE, Boundary.WRITING, Boundary.SHOT, Boundary.PAUSE):
            cuts = self._kept([(0.0, Boundary.START), *((time, boundary) for time in self._times(boundary))], most)
            if len(cuts) > 1:
                end = self._last_end()
                return [
                    self._section(t0, begins, t1) for (t0, begins), (t1, _) in pairwise([*cuts, (end, Boundary.START)])
                ]
        return []

    def _times(self, boundary: Boundary) -> list[float]:
        """Where the lesson can be cut in one way."""
        of, sha256 = self._evidence.of, self._stream.sha256
        if boundary is Boundary.PAGE:
            return turned_pages(self._evidence, sha256)
        if boundary is Boundary.WRITING:
            return list(dict.fromkeys(line.t0 for line in self._board))
        if boundary is Boundary.SHOT:
            return [shot.t0 for shot in of(AnchorKind.SHOT, stream=sha256)]
        cues = of(AnchorKind.SUBTITLE, stream=sha256)
        return [line.t0 for line in self._speech if not any(line.t0 - PAUSE < cue.t0 < line.t0 for cue in cues)]

    def _kept(self, cuts: Sequence[tuple[float, Boundary]], most: int) -> list[tuple[float, Boundary]]:
        """Cuts with words between them, some time apart, and no more than asked for."""
        if self._start is not None:
            cuts = [cut for cut in cuts if cut[0] >= self._start and cut[1] is not Boundary.START]
        kept: list[tuple[float, Boundary]] = []
        for cut in cuts:
            if not kept or (cut[0] - kept[-1][0] >= LEAST_SECTION and self._between(kept[-1][0], cut[0])):
                kept.append(cut)
        while len(kept) > 1 and not self._between(kept[-1][0], self._last_end()):
            kept.pop()
        return kept[:1] + evenly(kept[1:], most - 1) if most > 1 else []

    def _last_end(self) -> float:
        """The end of the recording; of a part of one, the end of its last line."""
        return self._stream.duration if self._end is None else max((line.t1 for line in self.lines), default=0.0)

    def _between(self, t0: float, t1: float) -> list[FactualAnchor]:
        return [line for line in self.lines if t0 - EPSILON <= line.t0 < t1 - EPSILON]

    def _section(self, t0: float, begins: Boundary, t1: float) -> Section:
        lines = self._between(t0, t1)
        heading = self._heading([line for line in lines if begins is not Boundary.WRITING or line.t0 <= t0 + EPSILON])
        points = evenly([line for line in lines if line is not heading], MOST_POINTS)
        return Section(t0=t0, t1=t1, begins=begins, heading=_line(heading), points=tuple(map(_line, points)))

    def _heading(self, lines: Sequence[FactualAnchor]) -> FactualAnchor:
        """What is written comes before what is said, words before formulas and labels, short lines before long ones,
        then the first."""
        return min(
            lines,
            key=lambda line: (
                line.kind == AnchorKind.SUBTITLE,
                not _is_wordy(line.content),
                len(line.content.split()) > LONGEST_HEADING,
            ),
        )


def _is_wordy(text: str) -> bool:
    return text[:1].isalnum() and sum(map(str.isalpha, text)) >= LEAST_LETTERS


def _line(anchor: FactualAnchor) -> Line:
    return Line(t0=anchor.t0, t1=anchor.t1, text=anchor.content)


def _proofs(sections: Sequence[Any], stream: str | None, duration: float | None) -> Iterator[Claim]:
    for place, (before, after) in enumerate(pairwise(sections)):
        if abs(before["t1"] - after["t0"]) > EPSILON:
            yield refused(f"/sections/{place}/t1", "the beginning of the next section")
    last = sections[-1]
    if duration is None or abs(last["t1"] - duration) > TOLERANCE:
        # Of a part of a recording: it ends with its last line.
        yield edge(f"/sections/{len(sections) - 1}/t1", stream, last["t1"], *_WORDS)
        if all(abs(last["t1"] - line["t1"]) > EPSILON for section in sections for line in _lines(section)):
            yield refused(f"/sections/{len(sections) - 1}/t1", "the end of the lesson")
    for place, section in enumerate(sections):
        yield from _begins(section, f"/sections/{place}", stream)
        yield from _holds(section, f"/sections/{place}")


def _begins(section: Any, at: str, stream: str | None) -> Iterator[Claim]:
    """The section begins where its boundary was measured."""
    t0, begins = section["t0"], Boundary(section["begins"])
    kinds = {
        Boundary.PAGE: AnchorKind.SCREEN_CHANGE,
        Boundary.WRITING: AnchorKind.SCREEN_TEXT,
        Boundary.SHOT: AnchorKind.SHOT,
        Boundary.PAUSE: AnchorKind.SUBTITLE,
    }
    if begins is Boundary.START:
        if t0 > EPSILON:
            yield refused(f"{at}/t0", "the beginning of the recording")
        return
    yield edge(f"{at}/t0", stream, t0, kinds[begins])
    if begins in (Boundary.WRITING, Boundary.PAUSE) and all(abs(line["t0"] - t0) > EPSILON for line in _lines(section)):
        yield refused(f"{at}/t0", "the beginning of its first line")
    if begins is Boundary.WRITING:
        yield edge(f"{at}/begins", stream, t0, AnchorKind.SCREEN_TEXT, text=section["heading"]["text"])
    if begins is Boundary.PAUSE:
        yield none_between(f"{at}/begins", stream, max(0.0, t0 - PAUSE), t0, AnchorKind.SUBTITLE)


def _holds(section: Any, at: str) -> Iterator[Claim]:
    """Its lines begin in it; its points stand in order, and none twice."""
    for line in _lines(section):
        if not section["t0"] - EPSILON <= line["t0"] < section["t1"]:
            yield refused(at, f'that "{line["text"]}" begins in it')
    times = [point["t0"] for point in section["points"]]
    if times != sorted(times):
        yield refused(f"{at}/points", "the order of time")
    told = [(line["t0"], line["text"]) for line in _lines(section)]
    if len(set(told)) < len(told):
        yield refused(f"{at}/points", "each line once")


def _lines(section: Any) -> list[Any]:
    return [section["heading"], *section["points"]]

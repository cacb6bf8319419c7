"""video_qa: questions with options, and the claims that prove the right one right and the wrong ones wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from pydantic import BaseModel

from schemas.anchor import AnchorKind
from schemas.constraints import AnswerForm
from schemas.errors import UnsuitedError
from schemas.outputs.video_qa import Relation, VideoQA, VideoQuestion
from schemas.score import Claim, ClaimKind
from schemas.stream import Domain, Stream
from synthesis.agents.camera_words import moves_in
from synthesis.agents.choices import alike
from synthesis.agents.passages import spread
from synthesis.agents.proofs import proved, refused, stream_of
from synthesis.agents.temporal_words import Reference, kinds_of, named
from synthesis.agents.video_questions import APART, FAMILIES, difficulty, video_questions
from synthesis.base import Evidence, GroundedAgent, Recognition
from synthesis.intent.words import ANY_QUESTIONS
from synthesis.verification.check import EPSILON, TOLERANCE, normalise, stands_in
from synthesis.verification.mentions import find

_QUOTE = re.compile(r"\"[^\"]*\"|“[^”]*”")
_ASKING = {
    Relation.AFTER: (r"\b(?:after|next|follow\w*)\b", r"\b(?:before|preced\w*|previous\w*|last)\b"),
    Relation.BEFORE: (r"\b(?:before|preced\w*|previous\w*)\b", r"\b(?:after|next|follow\w*|first)\b"),
    Relation.FIRST: (r"\b(?:first|earliest)\b", r"\b(?:last|latest|after|before)\b"),
    Relation.LAST: (r"\b(?:last|latest)\b", r"\b(?:first|earliest|after|before)\b"),
    Relation.AT: (r"\bat\b", r"\b(?:after|before|first|last)\b"),
    Relation.WHEN: (r"\b(?:when|what time|which moment)\b", r"\bhow many\b"),
    Relation.COUNT: (r"\bhow many\b", r"\bwhen\b"),
    Relation.CAMERA: (r"\bcamera\b", r"\bhow many\b"),
}
"""What a question of a relation says, and what it does not say."""
_SPOKEN_OF = {
    AnchorKind.SUBTITLE: r"\b(?:said|says?|saying|spoken|heard|lines?|words)\b",
    AnchorKind.SCREEN_TEXT: r"\b(?:screen|shown|board|read|written)\b",
    AnchorKind.CLICK: r"\bclick\w*\b",
    AnchorKind.TYPING: r"\btyp(?:ed?|es|ing)\b",
}


class VideoQAAgent(GroundedAgent):
    """Asks what comes next, what came before, what is first or last, when, how many, and how the camera moves. Wrong
    options are other facts of the same recording."""

    task_type: ClassVar[str] = "video_qa"
    version: ClassVar[str] = "2"
    domains: ClassVar[frozenset[Domain]] = frozenset(Domain)
    output: ClassVar[type[BaseModel]] = VideoQA
    parts: ClassVar[dict[str, str]] = {"questions": "questions", "quizzes": "questions", "samples": "questions"}
    answers: ClassVar[frozenset[AnswerForm]] = frozenset(AnswerForm)
    recognition: ClassVar[Recognition] = Recognition(
        instruction="Write questions on what is said, shown and done in this recording, each with its answer, the "
        "spans that prove it and, unless open answers are asked for, options taken from the same recording.",
        names=(
            r"video[- ](?:q ?(?:&|/|and|\+)? ?as?|vqa|question[- ](?:and[- ])?answer(?:ing|s)?|questions?|quiz(?:zes)?)"
            r"(?: pairs?)?",
            r"(?:multiple[- ]choice|mcq)s?(?: questions?)?",
            r"questions? with (?:\w+ )?(?:options|choices|distractors)",
            r"(?:video understanding|comprehension) (?:questions?|data|benchmark)",
            r"open[- ]ended questions?",
            *ANY_QUESTIONS,
        ),
        hints=(r"options?", r"choices?", r"distractors?", r"video understanding", r"compre?hension", r"what happens"),
        examples=(
            "Make multiple-choice questions about this video with plausible wrong options.",
            "I need video question answering data with options A to D.",
            "Ask what is said and shown in the film, and give the answers with their evidence.",
            "Write a quiz that checks whether a model has watched the clip.",
            "Generate open-ended questions and answers about this recording.",
            "Build a video understanding benchmark: what happens after this, what happened before that.",
            "Create VideoQA pairs for instruction tuning of a video language model.",
        ),
        prior={
            Domain.DAILY_LIFE: 0.4,
            Domain.EDUCATION: 0.25,
            Domain.AIGC: 0.15,
            Domain.GUI: 0.1,
            Domain.EMBODIED: 0.1,
        },
    )

    def compose(self, evidence: Evidence) -> VideoQA:
        stream = evidence.streams[0]
        form = evidence.spec.constraints.answers or AnswerForm.MULTIPLE_CHOICE
        questions = video_questions(evidence, stream.sha256, form)
        if not questions:
            raise UnsuitedError(
                stream.uri,
                f"it has too few facts that a question could name: {len(evidence.anchors)} were measured, and no two "
                "lines, events or camera motions among them can be told apart by their words or numbers",
                "Add subtitles beside it, or choose experts that see what changes in it (shots, motion, ocr).",
            )
        return proved(self, VideoQA(questions=tuple(questions)), evidence)

    def claims(self, output: Any, streams: Sequence[Stream]) -> list[Claim]:
        """What the marks say, and of each question: that it names the facts it asks about, that the answer follows
        from them, that no other option does, and that it is as hard as it says."""
        stream = stream_of(streams)
        proofs = [
            claim
            for place, question in enumerate(output["questions"])
            for claim in _Proof(question, f"/questions/{place}", stream).claims()
        ]
        return super().claims(output, streams) + proofs

    def evidence_times(self, output: Any, streams: Sequence[Stream]) -> list[tuple[str, float]]:
        """The middle of what each answer rests on, spread over the questions; then of what they ask about."""
        questions = spread(output["questions"])
        facts = [fact for part in ("evidence", "asked") for question in questions for fact in question[part]]
        times = [round((fact["t0"] + fact["t1"]) / 2, 6) for fact in facts]
        return list(dict.fromkeys((streams[0].sha256, time) for time in times))


class _Proof:
    """Reads one question back into claims."""

    def __init__(self, question: Any, at: str, stream: str | None) -> None:
        self.question = question
        self.relation = Relation(question["relation"])
        self.asked = question["asked"]
        self.answer = question["evidence"][0] if question["evidence"] else None
        self.at = at
        self.stream = stream

    def claims(self) -> Iterator[Claim]:
        yield from self._form()
        yield from self._named()
        if self.relation is Relation.COUNT:
            yield from self._number()
        elif self.answer is None:
            yield self._not("/evidence", "what the answer rests on")
        else:
            yield from self._right(self.answer)
            yield from self._wrong(self.answer)

    def _form(self) -> Iterator[Claim]:
        """The letter is that of the answer, the options differ, the words fit the relation, the level is earned."""
        question = self.question
        options = {option["letter"]: option for option in question["options"]}
        texts = [normalise(option["text"]).lower() for option in question["options"]]
        if len(set(texts)) < len(texts):
            yield self._not("/options", "an option only once")
        if options:
            right = options[question["letter"]]
            if right["text"] != question["answer"]:
                yield self._not("/letter", question["answer"])
            if right["fact"] is not None and right["fact"] != self.answer:
                yield self._not("/letter", "the evidence of the answer")
        words = _QUOTE.sub('""', question["question"]).lower()
        asking, denying = _ASKING[self.relation]
        if not re.search(asking, words) or re.search(denying, words):
            yield self._not("/question", f"a question of the kind {self.relation}")
        if question["moment"] is not None and self.relation is not Relation.AT:
            yield self._not("/moment", "that the question asks for a moment")
        if question["difficulty"] != difficulty(VideoQuestion.model_validate(question)):
            yield self._not("/difficulty", f"that it is {question['difficulty']}")

    def _named(self) -> Iterator[Claim]:
        """What the question names, and nothing else, is asked about; it is one thing and no other."""
        references = named(self.question["question"])
        if len(references) != len(self.asked):
            yield self._not("/question", "what it asks about")
        for reference, fact in zip(references, self.asked, strict=False):
            yield self._names(reference, fact, "/question")
        for place, fact in enumerate(self.asked):
            if fact["content"] is not None:
                yield self._alone(fact, f"/asked/{place}")

    def _right(self, answer: Any) -> Iterator[Claim]:
        """That the answer is right."""
        words = _QUOTE.sub('""', self.question["question"]).lower()
        if not re.search(_SPOKEN_OF.get(answer["kind"], ""), words):
            yield self._not("/question", f"that it asks for {answer['kind']}")
        yield from self._says(self.question["answer"], answer, "/answer")
        if self.relation in (Relation.AFTER, Relation.BEFORE):
            yield from self._next(answer)
        elif self.relation is Relation.WHEN:
            if self.asked != [answer]:
                yield self._not("/evidence", "what is asked about")
        elif self.relation is Relation.CAMERA:
            yield from self._moves(answer)
        elif self.relation is Relation.AT:
            yield from self._stands(answer)
        elif not self.question["options"]:
            yield self._not("/question", "what there is to choose from")

    def _next(self, answer: Any) -> Iterator[Claim]:
        """Nothing of the answer's kind begins between it and what is asked about."""
        if len(self.asked) != 1:
            yield self._not("/asked", "what comes before or after the answer")
            return
        fact = self.asked[0]
        first, last = (fact, answer) if self.relation is Relation.AFTER else (answer, fact)
        yield self._claim("/evidence", ClaimKind.ORDER, items=(first["t0"], last["t0"]))
        # The window holds its first edge and not its last one.
        within = int(first["kind"] == answer["kind"])
        window = {"t0": first["t0"], "t1": last["t0"]}
        yield self._claim("/evidence", ClaimKind.COUNT, kinds=(answer["kind"],), count=within, **window)

    def _stands(self, answer: Any) -> Iterator[Claim]:
        """The question names one moment, well inside the answer."""
        time = self.question["moment"]
        if (
            find(self.question["question"]).times != (time,)
            or not answer["t0"] + TOLERANCE < time < answer["t1"] - TOLERANCE
        ):
            yield self._not("/question", "a moment inside the answer")
        else:
            inside = {"t0": time, "t1": time, "kinds": (answer["kind"],), "text": answer["content"]}
            yield self._claim("/question", ClaimKind.TIME, **inside)

    def _moves(self, answer: Any) -> Iterator[Claim]:
        """The question names the stretch in which the camera moves so, and only so."""
        times = find(self.question["question"]).times
        for edge, place in (("t0", 0), ("t1", 1)):
            time = times[place] if len(times) == 2 else None
            yield self._claim(
                "/question", ClaimKind.TIME, t0=time, t1=time, items=(answer[edge],), text=None if time else "a stretch"
            )
        window = {"t0": max(0.0, answer["t0"] - TOLERANCE), "t1": answer["t1"] + TOLERANCE}
        yield self._claim("/evidence", ClaimKind.COUNT, kinds=(AnchorKind.CAMERA,), count=1, **window)

    def _wrong(self, answer: Any) -> Iterator[Claim]:
        """That every other option is wrong."""
        for place, option in enumerate(self.question["options"]):
            if option["letter"] == self.question["letter"]:
                if self.relation in (Relation.FIRST, Relation.LAST) and answer["content"] is not None:
                    yield self._alone(answer, f"/options/{place}")
                continue
            at, fact = f"/options/{place}", option["fact"]
            if self.relation is Relation.CAMERA:
                yield from self._moves_not(option, answer, at)
            elif fact is None or abs(fact["t0"] - answer["t0"]) < APART - EPSILON:
                yield self._not(at, "that it is another moment than the answer")
            else:
                yield from self._says(option["text"], fact, f"{at}/text")
                yield from self._is_not(fact, answer, at)

    def _is_not(self, fact: Any, answer: Any, at: str) -> Iterator[Claim]:
        """That what a wrong option stands for is not at the answer's place."""
        if self.relation is Relation.WHEN:
            if answer["content"] is not None:
                window = {"t0": max(0.0, fact["t0"] - TOLERANCE), "t1": fact["t0"] + TOLERANCE}
                yield self._claim(
                    at, ClaimKind.COUNT, kinds=(answer["kind"],), text=answer["content"], count=0, **window
                )
            return
        if fact["content"] is not None and answer["content"] is not None:
            if fact["kind"] != answer["kind"] or alike(fact["content"], answer["content"]):
                yield self._not(at, "that it differs from the answer")
            yield self._alone(fact, at)
        elif (fact["content"] is None) != (answer["content"] is None):
            yield self._not(at, "that it is of the answer's kind")
        if self.relation is Relation.AT:
            time = self.question["moment"]
            if time is None or fact["t0"] - TOLERANCE < time < fact["t1"] + TOLERANCE:
                yield self._not(at, "that it is not there at the moment asked for")
        if self.relation in (Relation.FIRST, Relation.LAST):
            items = (answer["t0"], fact["t0"]) if self.relation is Relation.FIRST else (fact["t0"], answer["t0"])
            yield self._claim(at, ClaimKind.ORDER, items=items)

    def _moves_not(self, option: Any, answer: Any, at: str) -> Iterator[Claim]:
        motion = _motion(option["text"])
        if option["fact"] is not None or motion is None:
            yield self._not(at, "a way the camera moves")
            return
        window = {"t0": max(0.0, answer["t0"] - TOLERANCE), "t1": answer["t1"] + TOLERANCE}
        yield self._claim(at, ClaimKind.COUNT, kinds=(AnchorKind.CAMERA,), text=motion, count=0, **window)

    def _number(self) -> Iterator[Claim]:
        """So many there are, in all or between the two facts asked about; every other number is wrong."""
        words = _QUOTE.sub('""', self.question["question"])
        kinds = kinds_of(words)
        number = self.question["answer"]
        if not kinds or not number.isdecimal() or self.question["evidence"] or len(self.asked) not in (0, 2):
            yield self._not("/answer", "a number of something")
            return
        if ("between" in words) != bool(self.asked):
            yield self._not("/question", "in which stretch to count")
        window = {"t0": self.asked[0]["t0"], "t1": self.asked[1]["t0"]} if self.asked else {}
        if self.asked:
            yield self._claim("/asked", ClaimKind.ORDER, items=(window["t0"], window["t1"]))
        yield self._claim("/answer", ClaimKind.COUNT, kinds=kinds, count=min(int(number), 10**6), **window)
        for place, option in enumerate(self.question["options"]):
            if not re.fullmatch(r"0|[1-9]\d{0,5}", option["text"]) or option["fact"] is not None:
                yield self._not(f"/options/{place}", "a number")

    def _says(self, text: str, fact: Any, at: str) -> Iterator[Claim]:
        """That words stand for a fact: its own words, its times, the way the camera moves, its noun and number."""
        if self.relation is Relation.WHEN:
            yield from self._tells_times(text, fact, at)
        elif self.relation is Relation.CAMERA:
            if fact["content"] is None or _motion(text) != fact["content"]:
                yield self._not(at, f"that {text}")
        elif fact["content"] is not None:
            if normalise(text) != normalise(fact["content"]):
                yield self._not(at, text)
        else:
            references = named(text)
            yield self._names(references[0], fact, at) if len(references) == 1 else self._not(at, text)

    def _tells_times(self, text: str, fact: Any, at: str) -> Iterator[Claim]:
        times, edges = find(text).times, list(dict.fromkeys((fact["t0"], fact["t1"])))
        lasting = [edge for edge in edges if f"{edge:.1f}" != f"{edges[0]:.1f}" or edge == edges[0]]
        if len(times) != len(lasting) or find(text).quotes:
            yield self._not(at, "the times of what is asked about")
        for time, edge in zip(times, lasting, strict=False):
            yield self._claim(at, ClaimKind.TIME, t0=time, t1=time, kinds=(fact["kind"],), items=(edge,))

    def _names(self, reference: Reference, fact: Any, at: str) -> Claim:
        """That a reference names this very fact: by its words, or by its number among its kind."""
        if reference.quote is not None:
            content = fact["content"]
            if content is None or fact["kind"] not in FAMILIES:
                return self._not(at, reference.quote)
            if not stands_in(normalise(reference.quote), normalise(content)):
                return self._not(at, reference.quote)
            window = {"t0": fact["t0"], "t1": fact["t1"], "kinds": (fact["kind"],)}
            return self._claim(at, ClaimKind.QUOTE, text=reference.quote, **window)
        if fact["kind"] not in reference.kinds or fact["content"] is not None:
            return self._not(at, f"{reference.noun} number {reference.number}")
        count = max(reference.number or 0, 0) - 1
        return self._claim(at, ClaimKind.COUNT, kinds=reference.kinds, t1=fact["t0"], count=count)

    def _alone(self, fact: Any, at: str) -> Claim:
        """That the words of a fact stand nowhere else, so that they single it out."""
        return self._claim(at, ClaimKind.COUNT, kinds=(fact["kind"],), text=fact["content"], count=1)

    def _not(self, at: str, what: str) -> Claim:
        """A claim that nothing supports."""
        return refused(self.at + at, what)

    def _claim(self, at: str, kind: ClaimKind, **fields: Any) -> Claim:
        return Claim(path=self.at + at, kind=kind, stream=self.stream, **fields)


def _motion(text: str) -> str | None:
    """The one way of moving that a text names."""
    found = moves_in(text)
    return found[0] if len(found) == 1 else None

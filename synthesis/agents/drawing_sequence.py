"""drawing_sequence: every stroke of a drawing in its order, and the page after each group of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from pydantic import BaseModel

from schemas.anchor import AnchorKind, FactualAnchor
from schemas.errors import UnsuitedError
from schemas.geometry import Point
from schemas.outputs.drawing_sequence import Course, DrawingSequence, DrawnStroke, Stage
from schemas.score import Claim, ClaimKind
from schemas.stream import Domain, Stream, TrackKind
from synthesis.agents.proofs import proved, refused, stream_of
from synthesis.base import Evidence, GroundedAgent, Recognition

MOST_STAGES = 12
_DOT = 0.02
"""Frame widths below which a stroke goes nowhere."""
_BACK = 0.15
"""Of its length: a stroke that ends so near its start goes round."""
_STRAIGHT = 0.95
"""Of its length: a stroke whose ends lie so far apart is straight."""
_COURSES = (
    Course.RIGHT,
    Course.DOWN_RIGHT,
    Course.DOWN,
    Course.DOWN_LEFT,
    Course.LEFT,
    Course.UP_LEFT,
    Course.UP,
    Course.UP_RIGHT,
)
"""By eighths of a turn, y downwards."""
_TOLD = 6
"""Strokes that a prompt tells one by one."""
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth")


class DrawingSequenceAgent(GroundedAgent):
    """Tells all strokes: a drawing that lacks one is another drawing."""

    task_type: ClassVar[str] = "drawing_sequence"
    version: ClassVar[str] = "1"
    domains: ClassVar[frozenset[Domain]] = frozenset({Domain.AIGC})
    output: ClassVar[type[BaseModel]] = DrawingSequence
    parts: ClassVar[dict[str, str]] = {"stages": "stages", "frames": "stages", "pages": "stages"}
    recognition: ClassVar[Recognition] = Recognition(
        instruction="Write how this drawing comes to be: a prompt, every stroke in order with where it begins, goes "
        "and ends, and the page after each stage.",
        names=(
            r"drawing(?: (?:sequences?|data|order|steps?))?",
            r"(?:pen )?strokes?(?:[- ](?:order|sequences?|by[- ]stroke|data))?",
            r"sketch(?:es|ing)?(?: (?:generation|data|sequences?))?",
            r"drawn|draws?",
            r"(?:drawing|sketch(?:ing)?|painting|handwriting) (?:sequences?|process(?:es)?|trajector(?:y|ies)|orders?)",
            r"(?:pen |brush )?strokes?(?:[- ]by[- ]strokes?)?(?: (?:order|sequences?|data|generation))?",
            r"(?:step[- ]by[- ]step|staged|progressive) (?:drawings?|sketch(?:es)?|paintings?)",
            r"sketch(?:es|ing)? generation",
            r"(?:learn|teach|train)\w* (?:\w+ ){0,3}to (?:draw|sketch|write by hand)",
        ),
        hints=(
            r"lines?",
            r"pens?",
            r"order",
            r"characters?",
            r"pictures?",
            r"draw\w*",
            r"sketch\w*",
            r"stages?",
            r"canvas",
        ),
        examples=(
            "Make a stroke sequence of this drawing.",
            "In which order were the lines drawn?",
            "Teach a model to sketch, stroke after stroke.",
            "Vector drawing data with pen movements.",
            "Give me the strokes of each character in the order in which they are drawn.",
            "I want to teach a model to draw step by step.",
            "Turn these sketches into stroke sequences with intermediate canvases.",
            "Make data for generating handwriting stroke by stroke.",
            "How does each drawing come to be? Build training data from it.",
            "Create staged drawing data: what is added, where, and the page after it.",
        ),
        prior={Domain.AIGC: 0.3},
        needs=frozenset({TrackKind.STROKES}),
    )

    def compose(self, evidence: Evidence) -> DrawingSequence:
        stream = evidence.streams[0]
        drawn = [anchor for anchor in evidence.of(AnchorKind.STROKE, stream=stream.sha256) if _whole(anchor)]
        if not drawn:
            raise UnsuitedError(
                stream.uri,
                "no stroke of a pen was measured in it",
                "Give a drawing with its strokes (npz of stroke-3), or choose a model backend that tells pictures.",
            )
        strokes = tuple(_stroke(index, anchor) for index, anchor in enumerate(drawn, 1))
        given = evidence.of(AnchorKind.GIVEN_TEXT, stream=stream.sha256)
        prompt = next((text.content for text in given if text.content.strip()), None)
        step = math.ceil(len(strokes) / MOST_STAGES)
        ends = sorted({*range(step, len(strokes) + 1, step), len(strokes)})
        return proved(
            self,
            DrawingSequence(
                prompt=prompt or _prompt([(stroke.course, stroke.straight) for stroke in strokes]),
                strokes=strokes,
                stages=tuple(Stage(time=strokes[end - 1].t1, strokes=end) for end in ends),
            ),
            evidence,
        )

    def claims(self, output: Any, streams: Sequence[Stream]) -> list[Claim]:
        stream = stream_of(streams)
        strokes, prompt = output["strokes"], output["prompt"]
        found = super().claims(output, streams)
        found.append(
            Claim(path="/strokes", kind=ClaimKind.COUNT, stream=stream, kinds=(AnchorKind.STROKE,), count=len(strokes))
        )
        if prompt != _prompt([(Course(stroke["course"]), stroke["straight"]) for stroke in strokes]):
            kinds = (AnchorKind.GIVEN_TEXT,)
            found.append(Claim(path="/prompt", kind=ClaimKind.QUOTE, stream=stream, text=prompt, kinds=kinds))
        for place, stroke in enumerate(strokes):
            found += _stroke_claims(stroke, place, stream)
        for place, stage in enumerate(output["stages"]):
            found.append(
                Claim(
                    path=f"/stages/{place}/strokes",
                    kind=ClaimKind.COUNT,
                    stream=stream,
                    t1=stage["time"],
                    count=stage["strokes"],
                    kinds=(AnchorKind.STROKE,),
                )
            )
        return found

    def evidence_times(self, output: Any, streams: Sequence[Stream]) -> list[tuple[str, float]]:
        """The finished page, then those on the way to it."""
        times = [float(stage["time"]) for stage in output["stages"]]
        return [(streams[0].sha256, time) for time in [*times[-1:], *times[:-1]]]


def _whole(anchor: FactualAnchor) -> bool:
    return None not in (anchor.box, anchor.point, anchor.end_point, anchor.value)


def _stroke(index: int, anchor: FactualAnchor) -> DrawnStroke:
    assert anchor.box is not None
    assert anchor.point is not None
    assert anchor.end_point is not None
    length = anchor.value or 0.0
    return DrawnStroke(
        t0=anchor.t0,
        t1=anchor.t1,
        index=index,
        box=anchor.box,
        start=anchor.point,
        end=anchor.end_point,
        length=length,
        course=_course(anchor.point, anchor.end_point, length),
        straight=_is_straight(anchor.point, anchor.end_point, length),
    )


def _course(start: Point, end: Point, length: float) -> Course:
    """The direction from one point to another; none where they are as good as one."""
    right, down = end.x - start.x, end.y - start.y
    if length < _DOT:
        return Course.DOT
    if math.hypot(right, down) <= _BACK * length:
        return Course.ROUND
    return _COURSES[round(math.atan2(down, right) / (math.pi / 4)) % len(_COURSES)]


def _is_straight(start: Point, end: Point, length: float) -> bool:
    return math.hypot(end.x - start.x, end.y - start.y) >= _STRAIGHT * length


def _prompt(strokes: Sequence[tuple[Course, bool]]) -> str:
    """What to draw, told by where each stroke goes and whether it is straight."""
    count = "one stroke" if len(strokes) == 1 else f"{len(strokes)} strokes"
    if len(strokes) > _TOLD:
        return f"Draw it with {count}, one after the other."
    if len(strokes) == 1:
        return f"Draw it with {count} that {_goes(*strokes[0])}."
    told = [f"the {_ORDINALS[place]} {_goes(*stroke)}" for place, stroke in enumerate(strokes)]
    return f"Draw it with {count}: {', '.join(told)}."


def _goes(course: Course, straight: bool) -> str:
    if course is Course.DOT:
        return "is a dot"
    return f"goes {course}" if straight or course is Course.ROUND else f"goes {course} with a bend"


def _stroke_claims(stroke: Mapping[str, Any], place: int, stream: str | None) -> Iterator[Claim]:
    """The pen goes down and lifts at its ends, and its course follows from them."""
    path = f"/strokes/{place}"
    start, end = Point.model_validate(stroke["start"]), Point.model_validate(stroke["end"])
    for name, point, time, kind in (
        ("start", start, stroke["t0"], AnchorKind.PEN_DOWN),
        ("end", end, stroke["t1"], AnchorKind.PEN_UP),
    ):
        yield Claim(
            path=f"{path}/{name}", kind=ClaimKind.BOX, stream=stream, t0=time, t1=time, point=point, kinds=(kind,)
        )
    if stroke["index"] != place + 1:
        yield refused(f"{path}/index", f"number {stroke['index']}, where {place + 1} stands")
    if stroke["course"] != _course(start, end, stroke["length"]):
        yield refused(f"{path}/course", str(stroke["course"]))
    if stroke["straight"] != _is_straight(start, end, stroke["length"]):
        yield refused(f"{path}/straight", str(stroke["straight"]))

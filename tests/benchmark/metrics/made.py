"""True outputs of every task type, made by rules from facts, each also of another stream."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

from facts import FILM, ROBOT, SCREENS, anchor, evidence, stream
from handled import ARM, DESK, OFFICE, PICK

from benchmark.metrics.score import Scorer, Truth
from schemas.anchor import AnchorKind, FactualAnchor
from schemas.geometry import Box, Point
from schemas.sample_score import SampleScore
from schemas.stream import Domain, Stream
from synthesis.agents.roster import TASKS, agent_for
from synthesis.backends.rules import RulesBackend

SCORER = Scorer()


def _stroke(t0: float, start: tuple[float, float], end: tuple[float, float]) -> list[FactualAnchor]:
    begin, lift = Point(x=start[0], y=start[1]), Point(x=end[0], y=end[1])
    box = Box.clipped(*start, *end)
    return [
        anchor(AnchorKind.STROKE, t0, t0 + 1.0, value=0.7, box=box, point=begin, end_point=lift),
        anchor(AnchorKind.PEN_DOWN, t0, point=begin),
        anchor(AnchorKind.PEN_UP, t0 + 1.0, point=lift),
    ]


HOUSE = [
    *_stroke(0.0, (0.2, 0.9), (0.2, 0.4)),
    *_stroke(1.0, (0.2, 0.4), (0.5, 0.1)),
    *_stroke(2.0, (0.5, 0.1), (0.8, 0.4)),
    *_stroke(3.0, (0.8, 0.4), (0.8, 0.9)),
]
EDIT = [
    anchor(AnchorKind.GIVEN_TEXT, 0.0, 1.0, "Put an owl on it."),
    anchor(AnchorKind.EDIT_REGION, 0.0, 1.0, value=0.03, box=Box(x0=0.1, y0=0.1, x1=0.4, y1=0.4)),
]
TO_AND_FRO = [
    anchor(AnchorKind.GIVEN_TEXT, 0.0, 20.0, "Fold the towel"),
    *(
        anchor(AnchorKind.REVERSAL, 2.0 + time, value=-0.9, box=Box(x0=0.3, y0=0.3, x1=0.6, y1=0.6))
        for time in range(6)
    ),
    anchor(AnchorKind.OSCILLATION, 2.0, 7.5, "same way back", value=6.0, box=Box(x0=0.3, y0=0.3, x1=0.6, y1=0.6)),
]
BOAT = [
    *_stroke(0.0, (0.1, 0.6), (0.9, 0.6)),
    *_stroke(1.0, (0.9, 0.6), (0.6, 0.8)),
    *_stroke(2.0, (0.5, 0.6), (0.5, 0.05)),
]
MATERIAL: dict[str, tuple[Sequence[FactualAnchor], Stream]] = {
    "film": (FILM, stream()),
    "screens": (FILM + SCREENS, stream()),
    "pick": (PICK, ARM),
    "fault": (ROBOT, ARM),
    "office": (OFFICE, DESK),
    "house": (HOUSE, stream(Domain.AIGC, "page", 6.0)),
    "edit": (EDIT, stream(Domain.AIGC, "owl", 1.0)),
}
CASES = [
    *((task, "film") for task in ("tutorial", "temporal_qa", "video_qa", "stuck_point_tutoring", "lesson_outline")),
    *((task, "film") for task in ("action_segments", "game_generation", "generation_clips")),
    *((task, "office") for task in ("screen_qa", "gui_trajectory", "grounding", "spatio_temporal_vqa")),
    *((task, "pick") for task in ("planning_decision", "world_model")),
    ("fault_recovery", "fault"),
    ("drawing_sequence", "house"),
    ("image_editing", "edit"),
]
assert {task for task, _ in CASES} | {"own_schema"} == set(TASKS.names)

_OTHER_WORDS = (
    "Tighten the bolts of the rear wheel",
    "Rivers carry sand to the sea",
    "Invoice 4711 is overdue",
    "Sing the second verse",
    "Our guide waits by the gate",
    "Water the tomatoes at dusk",
)


def _elsewhere(fact: FactualAnchor, number: int, end: float) -> FactualAnchor:
    """A fact of the same kind in another stream: from the end to the beginning and faster, in other words, by the other
    hand, on the other side of the frame."""
    changed: dict[str, Any] = {"content": fact.content.replace("right_", "left_")}
    if fact.t0 > 0 or fact.t1 < end:
        changed |= {"t0": 0.83 * (end - fact.t1), "t1": 0.83 * (end - fact.t0)}
    if " " in fact.content:
        changed["content"] = _OTHER_WORDS[number % len(_OTHER_WORDS)]
    if fact.box is not None:
        changed["box"] = Box.clipped(1 - fact.box.x0, 1 - fact.box.y0, 1 - fact.box.x1, 1 - fact.box.y1)
    if fact.kind == AnchorKind.EDIT_REGION:
        changed["value"] = 2 * fact.value
    for name in ("point", "end_point"):
        if (point := getattr(fact, name)) is not None:
            changed[name] = Point(x=1 - point.x, y=1 - point.y)
    return fact.model_copy(update=changed)


ELSEWHERE = {"fault": TO_AND_FRO, "house": BOAT}
"""Where the facts turned round would tell no story."""


@cache
def truth(task_type: str, material: str, elsewhere: bool = False) -> Truth:
    """What rules make of some material, or of the like of it in another stream."""
    anchors, of = MATERIAL[material]
    if elsewhere:
        turned = [_elsewhere(fact, number, of.duration) for number, fact in enumerate(anchors)]
        anchors = ELSEWHERE.get(material, turned)
    agent = agent_for(task_type)
    return Truth(
        sample=f"{task_type}/{material}",
        domain=of.domain,
        task_type=task_type,
        streams=(of.sha256,),
        output=RulesBackend().write(agent, evidence(task_type, anchors, of)),
        schema=agent.output_schema(),
    )


def score(true: Truth, got: Any) -> SampleScore:
    """The score of a text, or of a value as JSON."""
    return SCORER.score([true], [got if isinstance(got, str) else json.dumps(got)])[0]

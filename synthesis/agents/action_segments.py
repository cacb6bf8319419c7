"""action_segments: what happens when, as one list of labelled stretches."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel

from schemas.anchor import AnchorKind, FactualAnchor
from schemas.errors import UnsuitedError
from schemas.outputs.action_segments import ActionSegment, ActionSegments
from schemas.outputs.span import Line
from schemas.stream import Domain, TrackKind
from synthesis.base import Evidence, GroundedAgent, Recognition

# Of what has a body first (hands, things that move), then of the film itself.
_ACTIONS = (
    AnchorKind.GRIPPER_CLOSE,
    AnchorKind.GRIPPER_OPEN,
    AnchorKind.CONTACT,
    AnchorKind.MOTION,
    AnchorKind.STALL,
    AnchorKind.OSCILLATION,
    AnchorKind.CAMERA,
    AnchorKind.SCROLL,
    AnchorKind.TYPING,
    AnchorKind.DRAG,
)
_SHOTS = (AnchorKind.SHOT, AnchorKind.SCREEN)
MOST = 64
"""Segments of one output."""


class ActionSegmentsAgent(GroundedAgent):
    """Lists measured actions; where none was measured, the shots or screens."""

    task_type: ClassVar[str] = "action_segments"
    version: ClassVar[str] = "1"
    domains: ClassVar[frozenset[Domain]] = frozenset(Domain) - {Domain.AIGC}
    output: ClassVar[type[BaseModel]] = ActionSegments
    experts: ClassVar[tuple[str, ...]] = ("motion",)
    parts: ClassVar[dict[str, str]] = {"segments": "segments", "actions": "segments"}
    recognition: ClassVar[Recognition] = Recognition(
        instruction="Cut this recording into the stretches in which one thing happens, each with its span, its label "
        "and what is said or shown meanwhile.",
        names=(
            r"(?:temporal )?(?:action|activity|event) "
            r"(?:segment(?:s|ation)?|locali[sz]ation|detection|boundar(?:y|ies))",
            r"segment(?:s|ed|ation)?(?: (?:the|this|my) (?:video|recording|film|clip)s?)?",
            r"(?:timestamped|timed|dense) (?:\w+ )?(?:actions?|activit(?:y|ies)|captions?|events?)",
            r"labell?ed (?:\w+ )?(?:actions?|activit(?:y|ies)|intervals?|stretches|spans)",
        ),
        hints=(r"actions?", r"activit(?:y|ies)", r"start and (?:end|stop)", r"boundar\w+", r"spans?", r"label\w*"),
        examples=(
            "Cut the video into labelled actions with start and end times.",
            "Give me temporal action segmentation labels for this clip.",
            "I want to train an action detector: annotate when each action begins and ends.",
            "Split the recording into its activities.",
            "List what is being done in each interval of the video.",
            "When does each action start and stop?",
        ),
        prior={Domain.DAILY_LIFE: 0.3, Domain.EMBODIED: 0.2},
        needs=frozenset({TrackKind.VIDEO, TrackKind.IMAGES, TrackKind.SIGNALS, TrackKind.EVENTS}),
    )

    def compose(self, evidence: Evidence) -> ActionSegments:
        stream = evidence.streams[0]
        lines = evidence.of(AnchorKind.SUBTITLE, stream=stream.sha256)
        stretches = [
            anchor
            for kinds in (_ACTIONS, _SHOTS)
            for anchor in evidence.of(*kinds, stream=stream.sha256)
            if anchor.t1 > anchor.t0
        ]
        actions = [anchor for anchor in stretches if anchor.kind in _ACTIONS] or stretches
        if not actions:
            raise UnsuitedError(
                stream.uri,
                "nothing in it was measured to last: no motion, no shot, no gripper event",
                "Choose experts that see what moves in it (motion, shots, proprioception).",
            )
        longest = sorted(actions, key=lambda anchor: anchor.t0 - anchor.t1)[:MOST]
        return ActionSegments(segments=tuple(_segment(a, lines) for a in actions if a in longest))


def _segment(anchor: FactualAnchor, lines: list[FactualAnchor]) -> ActionSegment:
    named = anchor.kind not in _SHOTS and anchor.content
    return ActionSegment(
        t0=anchor.t0,
        t1=anchor.t1,
        label=anchor.kind.split(".")[1],
        detail=anchor.content if named else None,
        lines=tuple(
            Line(t0=line.t0, t1=line.t1, text=line.content) for line in lines if anchor.t0 <= line.t0 < anchor.t1
        ),
    )

"""When an anchor is what a label says: by the kind of anchor, never by the expert that made it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from benchmark.experts.labels.base import Label
from benchmark.experts.words import words
from schemas.anchor import AnchorKind, FactualAnchor
from schemas.geometry import Point

LEAST_IOU = 0.5
"""Of two boxes that are one place (PASCAL VOC, Everingham et al. 2010)."""
REACH = 0.02
"""Share of the frame within which two points are one place, as in claims (schemas/score.py)."""
_SLACK = 1e-6


class Timing(StrEnum):
    """What of the times must agree."""

    BEGIN = "begin"
    """Both begin within the tolerance of each other."""
    EDGES = "edges"
    """Both begin and both end within the tolerance of each other."""
    OVERLAP = "overlap"
    """They share a moment, or the gap between them is within the tolerance (gradual changes: Smeaton, Over and
    Doherty, "Video shot boundary detection: seven years of TRECVid activity", 2010)."""


class Text(StrEnum):
    """What of the contents must agree, where the label has one."""

    IGNORED = "ignored"
    WORDS = "words"
    """The same words in the same order, whatever the case, spaces and punctuation."""
    VERBATIM = "verbatim"


@dataclass(frozen=True)
class Rule:
    """How the anchors of a kind are compared with labels. Where a label has a box or a point, it must agree too."""

    timing: Timing
    tolerance: float
    """Seconds."""
    text: Text = Text.WORDS

    def meets(self, anchor: FactualAnchor, label: Label, tolerance: float) -> bool:
        """Whether the anchor is what the label says, with times compared within `tolerance` seconds."""
        return (
            self._timely(anchor, label, tolerance + _SLACK)
            and self._says(anchor.content, label.content)
            and _placed(anchor, label)
        )

    def _timely(self, anchor: FactualAnchor, label: Label, tolerance: float) -> bool:
        if self.timing is Timing.OVERLAP:
            return max(anchor.t0, label.t0) - min(anchor.t1, label.t1) <= tolerance
        begins = abs(anchor.t0 - label.t0) <= tolerance
        return begins and (self.timing is Timing.BEGIN or abs(anchor.t1 - label.t1) <= tolerance)

    def _says(self, found: str, wanted: str) -> bool:
        if not wanted or self.text is Text.IGNORED:
            return True
        return found == wanted if self.text is Text.VERBATIM else words(found) == words(wanted)


_FRAME = 0.5 + 0.1
"""Seconds: whole-frame experts look twice a second."""
_DEFAULT = Rule(Timing.OVERLAP, 0.25)

RULES: dict[str, Rule] = {
    AnchorKind.CUT: Rule(Timing.BEGIN, 0.1),
    AnchorKind.SHOT: Rule(Timing.EDGES, 0.1),
    AnchorKind.SUBTITLE: Rule(Timing.EDGES, 0.1, Text.VERBATIM),
    AnchorKind.GIVEN_TEXT: Rule(Timing.OVERLAP, 0.0, Text.VERBATIM),
    AnchorKind.SPEECH: Rule(Timing.OVERLAP, 0.5),
    AnchorKind.VOICE: Rule(Timing.OVERLAP, 0.0),
    AnchorKind.SCREEN_TEXT: Rule(Timing.OVERLAP, _FRAME),
    AnchorKind.CLOCK: Rule(Timing.OVERLAP, _FRAME, Text.VERBATIM),
    AnchorKind.ELEMENT: Rule(Timing.OVERLAP, _FRAME),
    AnchorKind.SCREEN: Rule(Timing.OVERLAP, _FRAME, Text.IGNORED),
    AnchorKind.SCREEN_CHANGE: Rule(Timing.BEGIN, _FRAME),
    AnchorKind.SCREEN_RETURN: Rule(Timing.BEGIN, _FRAME),
    AnchorKind.SCROLL: Rule(Timing.OVERLAP, _FRAME),
    AnchorKind.TAP: Rule(Timing.BEGIN, _FRAME),
    AnchorKind.SWIPE: Rule(Timing.BEGIN, _FRAME),
    AnchorKind.REVERSAL: Rule(Timing.BEGIN, 0.25),
    AnchorKind.JOINT_REVERSAL: Rule(Timing.BEGIN, 0.25, Text.IGNORED),
    AnchorKind.JOINT_STALL: Rule(Timing.OVERLAP, 0.25, Text.IGNORED),
    AnchorKind.GRIPPER_CLOSE: Rule(Timing.OVERLAP, 0.1, Text.IGNORED),
    AnchorKind.GRIPPER_OPEN: Rule(Timing.OVERLAP, 0.1, Text.IGNORED),
    AnchorKind.CLICK: Rule(Timing.BEGIN, 0.1),
    AnchorKind.DOUBLE_CLICK: Rule(Timing.BEGIN, 0.1),
    AnchorKind.RIGHT_CLICK: Rule(Timing.BEGIN, 0.1),
    AnchorKind.DRAG: Rule(Timing.BEGIN, 0.1),
    AnchorKind.WHEEL: Rule(Timing.BEGIN, 0.1),
    AnchorKind.TYPING: Rule(Timing.BEGIN, 0.1, Text.VERBATIM),
    AnchorKind.OBJECT_APPEAR: Rule(Timing.BEGIN, 0.5),
    AnchorKind.OBJECT_DISAPPEAR: Rule(Timing.BEGIN, 0.5),
}


def rule_for(kind: str) -> Rule:
    """The rule of a kind; a plugin's own kind is compared by overlap within a quarter of a second."""
    return RULES.get(kind, _DEFAULT)


def _placed(anchor: FactualAnchor, label: Label) -> bool:
    if label.box is not None:
        if anchor.box is not None:
            if anchor.box.iou(label.box) < LEAST_IOU:
                return False
        elif anchor.point is None or not label.box.contains(anchor.point):
            return False
    if label.end_point is not None and label.point is not None:
        # A mark that does not tell its direction has its ends in reading order.
        ways = ((label.point, label.end_point), (label.end_point, label.point))
        return any(_near(anchor.point, begin) and _near(anchor.end_point, end) for begin, end in ways)
    return label.point is None or _near(anchor.point, label.point)


def _near(one: Point | None, other: Point) -> bool:
    return one is not None and abs(one.x - other.x) <= REACH and abs(one.y - other.y) <= REACH

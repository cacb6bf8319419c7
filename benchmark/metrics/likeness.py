"""How alike two values of one field are, in [0, 1], by the comparison that its schema asks for."""

from __future__ import annotations

import math
from typing import Any

from benchmark.metrics.forms import Form, number_of, pair_of
from schemas.sample_score import Comparison
from synthesis.verification.grounding import box_of, point_of

TIME_TOLERANCE = 0.25
"""Seconds, as in verification."""
NUMBER_TOLERANCE = 0.05
"""Of the larger of both, as in verification."""
POINT_TOLERANCE = 0.02
"""Shares of the frame, as in verification."""
_FADES = 5
"""So many tolerances apart, nothing of the likeness is left."""
_EDGE = " \t\n.,;:!?…'\"“”‘’"
"""What may surround a label without making it another one."""


def closeness(distance: float, tolerance: float) -> float:
    """1 up to the tolerance, 0 from five tolerances on, linear in between.

    Example:
        0.2 s of 0.25 s: 1. 0.75 s: (1.25 - 0.75) / 1 = 0.5. 2 s: 0.
    """
    return min(1.0, max(0.0, (_FADES * tolerance - distance) / ((_FADES - 1) * tolerance)))


def likeness(comparison: Comparison, form: Form, true: Any, got: Any) -> tuple[float, str]:
    """How alike two values are, and what parts them (empty where nothing does). Texts are alike here only when they are
    equal: :mod:`benchmark.metrics.texts` compares the others."""
    if comparison is Comparison.TIME:
        return _apart(form.seconds(true), form.seconds(got), TIME_TOLERANCE, "s")
    if comparison is Comparison.NUMBER:
        return _numbers(number_of(true), number_of(got))
    if comparison is Comparison.SPAN:
        return _spans(pair_of(true), pair_of(got))
    if comparison is Comparison.BOX:
        return _boxes(true, got, form.layout)
    if comparison is Comparison.POINT:
        return _points(true, got)
    if comparison is Comparison.CHOICE:
        same = true == got and isinstance(true, bool) == isinstance(got, bool)
        return (1.0, "") if same else (0.0, "another choice")
    if not isinstance(got, str):
        return 0.0, "no text"
    if comparison is Comparison.QUOTE:
        return (1.0, "") if plain(true) == plain(got) else (0.0, "not verbatim")
    same = plain(true).strip(_EDGE) == plain(got).strip(_EDGE)
    return (1.0, "") if same else (0.0, "other words")


def plain(text: str) -> str:
    """A text without what is no part of its wording: case, and how white space is written."""
    return " ".join(text.casefold().split())


def _apart(true: float | None, got: float | None, tolerance: float, unit: str) -> tuple[float, str]:
    if true is None or got is None:
        return (0.0, "no time")
    distance = abs(true - got)
    if distance <= tolerance:
        return 1.0, ""
    return closeness(distance, tolerance), f"{distance:.6g} {unit} apart, tolerance {tolerance:g} {unit}"


def _numbers(true: float | None, got: float | None) -> tuple[float, str]:
    if true is None or got is None:
        return 0.0, "no number"
    if true == got:
        return 1.0, ""
    apart = abs(true - got) / max(abs(true), abs(got))
    if apart <= NUMBER_TOLERANCE:
        return 1.0, ""
    return closeness(apart, NUMBER_TOLERANCE), f"{apart:.0%} apart, tolerance {NUMBER_TOLERANCE:.0%}"


def _spans(true: tuple[float, float] | None, got: tuple[float, float] | None) -> tuple[float, str]:
    if true is None or got is None:
        return 0.0, "no stretch of time"
    edges = [_apart(one, other, TIME_TOLERANCE, "s") for one, other in zip(true, got, strict=True)]
    whys = [f"{name} {why}" for name, (_, why) in zip(("start", "end"), edges, strict=True) if why]
    return sum(score for score, _ in edges) / 2, "; ".join(whys)


def _boxes(true: Any, got: Any, layout: str | None) -> tuple[float, str]:
    one, other = box_of(true, layout), box_of(got, layout)
    if one is None or other is None:
        return 0.0, "no box"
    # Two equal boxes without an area (a line, a point) share nothing and are the same.
    iou = 1.0 if one == other else one.iou(other)
    return iou, "" if iou == 1.0 else f"IoU {iou:.2f}"


def _points(true: Any, got: Any) -> tuple[float, str]:
    one, other = point_of(true), point_of(got)
    if one is None or other is None:
        return 0.0, "no point"
    distance = math.dist((one.x, one.y), (other.x, other.y))
    if distance <= POINT_TOLERANCE:
        return 1.0, ""
    return closeness(distance, POINT_TOLERANCE), f"{distance:.2f} frames apart, tolerance {POINT_TOLERANCE}"

"""The figures: precision, recall, F1, word recall, IoU, distance in time. Counts add up; rates come of the sums."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import astuple, dataclass

from benchmark.experts.labels.base import Label, Labels
from benchmark.experts.matching import match
from benchmark.experts.rules import rule_for
from benchmark.experts.words import words
from schemas.anchor import FactualAnchor
from schemas.geometry import Box


@dataclass(frozen=True)
class Tally:
    """What was counted for one kind. Adding tallies of several streams micro-averages: every fact weighs the same."""

    labels: int = 0
    """Facts to be found, one anchor each."""
    matched: int = 0
    found: int = 0
    """Finds, where every fact is labelled: only there is one without a label a false one."""
    true: int = 0
    """Of `found`, those that were matched."""
    sought: int = 0
    """Labels where every fact is labelled: F1 is that of these streams."""
    words: int = 0
    read: int = 0
    """Of `words`, those that were read."""
    boxes: int = 0
    iou: float = 0.0
    """Sum over `boxes`."""
    spans: int = 0
    span_iou: float = 0.0
    """Sum over `spans`."""
    times: int = 0
    off: float = 0.0
    """Sum over `times` of the seconds between both beginnings."""

    def __add__(self, other: Tally) -> Tally:
        return Tally(*(one + two for one, two in zip(astuple(self), astuple(other), strict=True)))

    @property
    def precision(self) -> float | None:
        """True finds of all finds; None where nothing was found or false finds cannot be told."""
        return _share(self.true, self.found)

    @property
    def recall(self) -> float | None:
        """Matched labels of all labels; None where there is nothing to find."""
        return _share(self.matched, self.labels)

    @property
    def f1(self) -> float | None:
        """2 true / (found + sought), the harmonic mean of precision and recall, where every fact is labelled."""
        return _share(2 * self.true, self.found + self.sought)

    @property
    def word_recall(self) -> float | None:
        return _share(self.read, self.words)

    @property
    def mean_iou(self) -> float | None:
        return _share(self.iou, self.boxes)

    @property
    def mean_span_iou(self) -> float | None:
        return _share(self.span_iou, self.spans)

    @property
    def mean_off(self) -> float | None:
        return _share(self.off, self.times)


def tolerance_of(labels: Labels) -> float:
    """Seconds by which times may differ: those of the kind, or those that the source of the labels asks for."""
    return rule_for(labels.kind).tolerance if labels.tolerance is None else labels.tolerance


def score(labels: Labels, anchors: Sequence[FactualAnchor]) -> Tally:
    """Counts one expert's anchors of the labels' kind on one stream."""
    rule, tolerance = rule_for(labels.kind), tolerance_of(labels)
    finds = [anchor for anchor in anchors if _inside(anchor, labels.window, tolerance)]
    if labels.words_only:
        return _read(labels, finds, tolerance)
    edges = [
        sorted(
            (n for n, find in enumerate(finds) if rule.meets(find, label, tolerance)),
            key=lambda n: (abs(finds[n].t0 - label.t0), n),
        )
        for label in labels.members
    ]
    pairs = [(labels.members[one], finds[two]) for one, two in match(edges, len(finds))]
    boxes = [label.box.iou(find.box) for label, find in pairs if label.box is not None and find.box is not None]
    spans = [_span_iou(label, find) for label, find in _lasting(pairs)] if labels.timed else []
    texts = [label for label in labels.members if label.content]
    heard = _read(labels, finds, tolerance) if len(texts) == len(labels.members) else Tally()
    return Tally(
        labels=len(labels.members),
        matched=len(pairs),
        found=len(finds) if labels.complete else 0,
        true=len(pairs) if labels.complete else 0,
        sought=len(labels.members) if labels.complete else 0,
        words=heard.words,
        read=heard.read,
        boxes=len(boxes),
        iou=sum(boxes),
        spans=len(spans),
        span_iou=sum(spans),
        times=len(pairs) if labels.timed else 0,
        off=sum(abs(label.t0 - find.t0) for label, find in pairs) if labels.timed else 0.0,
    )


def _read(labels: Labels, finds: Sequence[FactualAnchor], tolerance: float) -> Tally:
    """Words of each label, as often as it has them, that stand in the finds at its time (and inside its box, by their
    centres). The box of a label is compared with the one around the finds inside it, where any word of it was read."""
    wanted = hit = boxes = 0
    iou = 0.0
    for label in labels.members:
        near = [
            find
            for find in finds
            if max(find.t0, label.t0) - min(find.t1, label.t1) <= tolerance + 1e-6
            and (label.box is None or (find.box is not None and label.box.contains(find.box.centre)))
        ]
        asked = Counter(words(label.content))
        got = asked & Counter(word for find in near for word in words(find.content))
        wanted += asked.total()
        hit += got.total()
        around = [find.box for find in near if find.box is not None and asked & Counter(words(find.content))]
        if labels.words_only and label.box is not None and around:
            boxes += 1
            iou += label.box.iou(_around(around))
    return Tally(words=wanted, read=hit, boxes=boxes, iou=iou)


def _around(boxes: Sequence[Box]) -> Box:
    return Box(
        x0=min(box.x0 for box in boxes),
        y0=min(box.y0 for box in boxes),
        x1=max(box.x1 for box in boxes),
        y1=max(box.y1 for box in boxes),
    )


def _inside(anchor: FactualAnchor, window: tuple[float, float] | None, tolerance: float) -> bool:
    return window is None or (anchor.t1 >= window[0] - tolerance and anchor.t0 < window[1])


def _lasting(pairs: Sequence[tuple[Label, FactualAnchor]]) -> list[tuple[Label, FactualAnchor]]:
    return [(label, find) for label, find in pairs if label.t1 > label.t0 and find.t1 > find.t0]


def _span_iou(label: Label, find: FactualAnchor) -> float:
    shared = min(label.t1, find.t1) - max(label.t0, find.t0)
    return max(shared, 0.0) / (max(label.t1, find.t1) - min(label.t0, find.t0))


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None

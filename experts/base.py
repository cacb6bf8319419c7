"""What an expert is: loaded once per worker, it makes an observer for each segment and later joins their anchors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from schemas.anchor import AnchorKind, FactualAnchor
from schemas.errors import Problem, unknown_name
from schemas.geometry import Box, Point
from schemas.recipe import Scalar
from schemas.segment import Segment
from schemas.stream import Domain, Stream, TrackKind
from sources.base import Recording
from sources.frame import Frame


class Observer(ABC):
    """Sees one segment. Frames arrive in order from the one decode pass that all experts share."""

    calls: int = 0
    """How often the costly part ran (an OCR read, a flow field): reported as the cost of the expert."""

    def observe(self, frame: Frame) -> None:
        """Takes the next frame. The frame is only valid now: keep what you need of it, small."""
        return

    @abstractmethod
    def finish(self) -> list[FactualAnchor]:
        """The anchors of the segment, in the order of t0."""


class Expert(ABC):
    """A member of the ensemble. Deterministic: equal pixels, tracks and parameters give equal anchors.

    `rate` is the frame rate it asks of the decode pass: None for every frame, 0 for no frames, "recipe" for the
    recipe's `sampling.frame_rate`. `lead` is how many seconds of frames before the segment it wants to see first, so
    that a segment border hides nothing; anchors that begin before the segment are dropped by the ensemble.
    """

    name: ClassVar[str]
    version: ClassVar[str]
    reads: ClassVar[frozenset[TrackKind]]
    """It works on a stream that has a track of any of these kinds."""
    domains: ClassVar[frozenset[Domain]] = frozenset()
    """The domains in which a plugin's expert looks without being named; built-in ones stand in the roster."""
    rate: ClassVar[float | str | None] = 0.0
    lead: ClassVar[float] = 0.0
    known: ClassVar[tuple[str, ...] | None] = None
    """Names of its parameters, to which a recipe is held; None where the expert sees to it itself."""
    takes_queries: ClassVar[bool] = False
    """It looks for the things named in its parameter `queries`; where a recipe names none, intents do."""

    def __init__(self, **parameters: Scalar) -> None:
        """Takes the recipe's parameters for this expert; loads models. Unknown names raise UsageError."""
        if self.known is not None:
            for name in sorted(parameters.keys() - set(self.known)):
                raise unknown_name(f"parameter of the expert {self.name}", name, self.known)
        self.parameters = parameters

    @classmethod
    def lacks(cls, **parameters: Scalar) -> list[Problem]:
        """What this machine lacks for the expert to run with these parameters (packages, weights). Loads no model."""
        return []

    @abstractmethod
    def start(self, recording: Recording, segment: Segment) -> Observer:
        """An observer for one segment of an open recording."""

    @classmethod
    def join(cls, stream: Stream, anchors: Sequence[FactualAnchor]) -> list[FactualAnchor]:
        """Joins this expert's anchors of all segments of a stream: merges what a segment border cut, numbers what is
        numbered through the stream. A class method: joining loads no model. The default keeps them as they are."""
        return list(anchors)

    def anchor(
        self,
        segment: Segment,
        kind: AnchorKind | str,
        t0: float,
        t1: float | None = None,
        *,
        content: str = "",
        value: float | None = None,
        box: Box | None = None,
        point: Point | None = None,
        end_point: Point | None = None,
        confidence: float,
    ) -> FactualAnchor:
        """An anchor signed by this expert. Times are rounded to microseconds, so that they survive every format."""
        return FactualAnchor(
            stream=segment.stream,
            t0=round(t0, 6),
            t1=round(t0 if t1 is None else t1, 6),
            kind=kind,
            content=content,
            value=value,
            box=box,
            point=point,
            end_point=end_point,
            expert=self.name,
            version=self.version,
            confidence=round(min(max(confidence, 0.0), 1.0), 4),
        )

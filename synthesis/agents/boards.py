"""What is written on a board or a page, apart from what frames it and what is still being written."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from schemas.anchor import AnchorKind, FactualAnchor
from synthesis.agents.passages import shown
from synthesis.agents.screen_lines import SURE
from synthesis.base import Evidence
from synthesis.verification.check import normalise

TURNED = 0.15
"""Share of the frame that changes when a page is turned or moved."""
TURNS_OF_FRAME = 3
"""A line that outlasts so many turned pages (a logo, a title bar) is no writing."""
_OPEN_ENDS = "=+-−×(,"


def turned_pages(evidence: Evidence, stream: str) -> list[float]:
    """The moments at which the screen changes in large part."""
    changes = evidence.of(AnchorKind.SCREEN_CHANGE, stream=stream)
    return sorted(change.t0 for change in changes if (change.value or 0.0) >= TURNED)


def board_lines(evidence: Evidence, stream: str) -> tuple[list[FactualAnchor], list[FactualAnchor]]:
    """Lines read with certainty, each where it came first, in the order of time: those written, and those that frame
    the pages."""
    turns = turned_pages(evidence, stream)
    lines = [line for line in shown(evidence, stream) if line.confidence >= SURE and not unfinished(line.content)]
    frames = [line for line in lines if _outlasts_pages(line, turns)]
    return [line for line in lines if line not in frames], frames


def unfinished(text: str) -> bool:
    """Whether a line ends with a sign: it is still being written."""
    content = normalise(text)
    return not content or content[-1] in _OPEN_ENDS


def _outlasts_pages(line: FactualAnchor, turns: Sequence[float]) -> bool:
    return bisect_left(turns, line.t1) - bisect_right(turns, line.t0) >= TURNS_OF_FRAME

"""Shot boundaries by frame number: `ground_truth_cuts.json`."""

from __future__ import annotations

import json
from collections.abc import Iterator

from benchmark.experts.labels.base import Label, Labels, folders_above, place_of
from schemas.anchor import AnchorKind
from schemas.stream import Stream

NAME = "ground_truth_cuts.json"
FRAMES = 2
"""Frames by which a cut may be off, as the file itself says."""
_ROUNDING = 1e-3
"""Seconds; containers such as WebM round times to milliseconds."""


def cut_labels(stream: Stream) -> Iterator[Labels]:
    """First frames of new shots, and gradual changes where the file names them: `{path: {fps, cuts, gradual}}`."""
    place, selector = place_of(stream)
    if selector:
        return
    for folder in folders_above(place):
        file = folder / NAME
        if not file.is_file():
            continue
        truth = json.loads(file.read_text(encoding="utf-8")).get(place.resolve().relative_to(folder).as_posix())
        if truth is None:
            continue
        rate = float(truth["fps"])
        tolerance = FRAMES / rate + _ROUNDING
        yield Labels(AnchorKind.CUT, _moments(truth["cuts"], rate), NAME, tolerance=tolerance)
        # A film without the key was not searched for gradual changes.
        if "gradual" in truth:
            yield Labels(AnchorKind.DISSOLVE, _moments(truth["gradual"], rate), NAME)
        return


def _moments(frames: list[int], rate: float) -> tuple[Label, ...]:
    return tuple(Label(frame / rate, frame / rate) for frame in frames)

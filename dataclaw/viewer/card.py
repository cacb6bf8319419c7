"""A triplet as a card: everything its template shows, worked out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dataclaw.text import shortened
from dataclaw.viewer.images import ImageFolder
from dataclaw.viewer.outputs import Figure, Frames, Marks, Rendered, pretty, rendered
from dataclaw.viewer.timeline import Timeline, span, timeline
from schemas.score import Support
from schemas.triplet import Triplet
from sources.cameras import episode_uri

MAX_CLAIMS = 200
"""Claims listed in a card; the row holds all."""
MAX_JSON = 200_000
"""Letters of raw JSON in a card; the row holds all."""


@dataclass(frozen=True)
class Verdict:
    """A claim with its support: the anchors that carry it in words, or why there are none."""

    support: Support
    anchors: tuple[str, ...]


@dataclass(frozen=True)
class Card:
    """What the template card.html shows of one row."""

    triplet: Triplet
    number: int
    timelines: tuple[Timeline, ...]
    evidence: tuple[Figure, ...]
    output: Rendered
    verdicts: tuple[Verdict, ...]
    json: str

    @property
    def claims(self) -> int:
        return len(self.triplet.score.supports)

    @property
    def supported(self) -> int:
        return self.claims - len(self.triplet.score.unsupported)


def card(triplet: Triplet, number: int, images: ImageFolder) -> Card:
    """Makes the card of a row and writes its pictures."""
    addresses = {(frame.stream, frame.time): images.add(frame.image.bytes) for frame in triplet.evidence}
    frames = Frames(triplet.streams, addresses)
    output = rendered(triplet.task_type, triplet.output, frames, triplet.spec.output_schema)
    names = {stream.sha256: stream.name for stream in triplet.streams}
    labels = dict(zip(names, frames.labels() if len(names) > 1 else [""], strict=True))
    first = triplet.streams[0].name
    evidence = [
        Figure(
            names.get(sha256, "?"),
            time,
            image,
            _marks_at(output, names.get(sha256), time, first),
            labels.get(sha256, "?"),
        )
        for (sha256, time), image in addresses.items()
    ]
    order = {stream.name: place for place, stream in enumerate(triplet.streams)}
    cameras = len({episode_uri(stream) for stream in triplet.streams}) == 1
    json = pretty(triplet.output)
    return Card(
        triplet=triplet,
        number=number,
        timelines=tuple(
            timeline(
                stream,
                [anchor for anchor in triplet.anchors if anchor.stream == stream.sha256],
                [time for sha256, time in addresses if sha256 == stream.sha256],
            )
            for stream in triplet.streams
        ),
        evidence=tuple(sorted(evidence, key=lambda one: _place(one, order, side_by_side=cameras))),
        output=output,
        verdicts=_verdicts(triplet),
        json=json if len(json) <= MAX_JSON else json[:MAX_JSON] + "\n… cut here; the row holds all",
    )


def _place(figure: Figure, order: Mapping[str, int], *, side_by_side: bool) -> tuple[float, float]:
    """Frames of one stream after those of the other; cameras of one episode moment by moment."""
    stream = float(order.get(figure.stream, 0))
    return (figure.time, stream) if side_by_side else (stream, figure.time)


def _marks_at(output: Rendered, stream: str | None, time: float, first: str) -> Marks:
    for (name, moment), marks in output.marks.items():
        if abs(moment - time) <= 1e-3 and (name or first) == stream:
            return marks
    return Marks()


def _verdicts(triplet: Triplet) -> tuple[Verdict, ...]:
    """Unsupported claims first: they are what a reader looks for."""
    words = {
        anchor.id: f"{anchor.kind} {span(anchor.t0, anchor.t1)}"
        + (f" “{shortened(anchor.content, 80)}”" if anchor.content else "")
        for anchor in triplet.anchors
    }
    ordered = sorted(triplet.score.supports, key=lambda support: support.supported)
    return tuple(
        Verdict(support, tuple(words.get(id, id) for id in support.anchors[:6])) for support in ordered[:MAX_CLAIMS]
    )

"""What a run of the benchmark of experts has to say, ready for a table, a page, a picture and a program."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from benchmark.experts.scores import Tally
from schemas.errors import Problem


class Standing(StrEnum):
    """How an expert came through."""

    SCORED = "scored"
    NO_LABELS = "no labels"
    NOT_HERE = "not here"
    """This machine lacks packages or weights for it."""
    FAILED = "failed"


@dataclass(frozen=True)
class StreamScore:
    """One expert's anchors of one kind on one stream."""

    stream: str
    kind: str
    source: str
    """Where the labels come from."""
    complete: bool
    """Every fact of the kind is labelled, so that precision can be told."""
    words_only: bool
    tolerance: float
    """Seconds by which times may differ."""
    tally: Tally


@dataclass(frozen=True)
class Measured:
    """What an expert cost on one stream, in seconds: its own wall and CPU time, and the decoding of frames apart."""

    stream: str
    seconds: float
    """Length of the stream."""
    wall: float
    cpu: float
    calls: int
    """How often its costly part ran, as the expert counts."""
    frames: int
    decode: float


@dataclass(frozen=True)
class Outcome:
    """One expert at one version."""

    expert: str
    version: str
    standing: Standing
    why: str = ""
    """For every standing but `scored`."""
    scores: tuple[StreamScore, ...] = ()
    measured: tuple[Measured, ...] = ()
    silent: tuple[str, ...] = ()
    """Kinds that are labelled and that it has found nowhere. They score 0."""
    load: float = 0.0
    """Seconds until it was loaded."""
    unlabelled: tuple[str, ...] = ()
    """Kinds that its code names and no stream that it looked at has labels of."""
    problems: tuple[Problem, ...] = ()

    @property
    def latency(self) -> float | None:
        """Seconds of the expert per second of stream; None where streams have no length."""
        seconds = sum(one.seconds for one in self.measured)
        return sum(one.wall for one in self.measured) / seconds if seconds else None

    @property
    def cpu(self) -> float | None:
        """Seconds of CPU time, of all threads, per second of stream: what a busy machine changes least."""
        seconds = sum(one.seconds for one in self.measured)
        return sum(one.cpu for one in self.measured) / seconds if seconds else None

    @property
    def per_call(self) -> float | None:
        """Seconds of the expert per run of its costly part; None where it counts none."""
        calls = sum(one.calls for one in self.measured)
        return sum(one.wall for one in self.measured) / calls if calls else None

    @property
    def decoding(self) -> float | None:
        """Seconds of decoding per second of stream."""
        seconds = sum(one.seconds for one in self.measured)
        return sum(one.decode for one in self.measured) / seconds if seconds else None


@dataclass(frozen=True)
class Row:
    """All streams of one expert and kind together; words looked for in another source are another figure."""

    expert: str
    version: str
    kind: str
    source: str
    """Where words alone are looked for; else empty."""
    streams: int
    tolerances: tuple[float, ...]
    """Seconds; several where the sources of labels ask for their own."""
    tally: Tally


@dataclass(frozen=True)
class Results:
    """A whole run."""

    outcomes: tuple[Outcome, ...]
    streams: int
    problems: tuple[Problem, ...] = ()
    """Inputs that could not be read, and labels that are none."""
    left_out: dict[str, int] = field(default_factory=dict)
    machine: str = ""

    @property
    def failed(self) -> bool:
        """Whether an expert broke on something, which is never meant to be."""
        return any(one.standing is Standing.FAILED or one.problems for one in self.outcomes)

    def rows(self) -> Iterator[Row]:
        """Scores added up over streams, by expert in the order of the roster and by kind."""
        for outcome in self.outcomes:
            for kind, source in sorted({_group(one) for one in outcome.scores}):
                mine = [one for one in outcome.scores if _group(one) == (kind, source)]
                total = sum((one.tally for one in mine), Tally())
                allowed = tuple(sorted({round(one.tolerance, 3) for one in mine}))
                yield Row(outcome.expert, outcome.version, kind, source, len(mine), allowed, total)

    def as_json(self) -> dict[str, Any]:
        """Everything, per stream too."""
        return {
            "machine": self.machine,
            "streams": self.streams,
            "scores": [
                {"expert": row.expert, "version": row.version, "kind": row.kind, "words_of": row.source}
                | {"streams": row.streams, "tolerances": row.tolerances}
                | figures(row.tally)
                for row in self.rows()
            ],
            "experts": [_outcome(one) for one in self.outcomes],
            "problems": [problem.model_dump() for problem in self.problems],
            "left_out": self.left_out,
        }


def _group(one: StreamScore) -> tuple[str, str]:
    return one.kind, one.source if one.words_only else ""


def figures(tally: Tally) -> dict[str, float | None]:
    """The rates of a tally and the counts behind them."""
    return {
        "precision": tally.precision,
        "recall": tally.recall,
        "f1": tally.f1,
        "word_recall": tally.word_recall,
        "iou": tally.mean_iou,
        "span_iou": tally.mean_span_iou,
        "off_seconds": tally.mean_off,
    } | asdict(tally)


def _outcome(one: Outcome) -> dict[str, Any]:
    return {
        "expert": one.expert,
        "version": one.version,
        "standing": one.standing.value,
        "why": one.why,
        "seconds_per_second": one.latency,
        "cpu_seconds_per_second": one.cpu,
        "seconds_per_call": one.per_call,
        "decoding_per_second": one.decoding,
        "load_seconds": one.load,
        "no_labels_for": list(one.unlabelled),
        "found_nowhere": list(one.silent),
        "problems": [problem.model_dump() for problem in one.problems],
        "streams": [
            {"stream": item.stream, "kind": item.kind, "labels_from": item.source, "complete": item.complete}
            | {"tolerance": item.tolerance}
            | figures(item.tally)
            for item in one.scores
        ],
        "costs": [asdict(item) for item in one.measured],
    }


def machine() -> str:
    """What the figures of time were measured on."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return f"{cpus} CPU{'s' if cpus != 1 else ''}, {platform.machine()}, Python {platform.python_version()}"

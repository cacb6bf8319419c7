"""The results as a table, as a Markdown page and as a picture."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from benchmark.experts.results import Results, Row, Standing
from schemas.base import canonical_json

COLUMNS = (
    "expert", "version", "kind", "streams", "labels",
    "precision", "recall", "F1", "words", "IoU", "span IoU", "off (s)", "tolerance (s)",
)  # fmt: skip
COSTS = (
    "expert", "version", "streams", "stream seconds",
    "s per s", "CPU s per s", "s per call", "calls", "decode s per s", "load s",
)  # fmt: skip
PAGE, PICTURE, DATA = "experts.md", "experts.svg", "experts.json"
_NOTHING = "–"


def score_cells(results: Results) -> list[tuple[str, ...]]:
    """A line for each expert and kind, under COLUMNS."""
    return [_cells(row) for row in results.rows()]


def _cells(row: Row) -> tuple[str, ...]:
    tally = row.tally
    count = str(tally.labels) if tally.labels or not tally.words else f"{tally.words} words"
    return (
        row.expert,
        row.version,
        _what(row),
        str(row.streams),
        count,
        _rate(tally.precision),
        _rate(tally.recall),
        _rate(tally.f1),
        _rate(tally.word_recall),
        _rate(tally.mean_iou),
        _rate(tally.mean_span_iou),
        _rate(tally.mean_off, 3),
        ", ".join(f"{seconds:g}" for seconds in row.tolerances),
    )


def _what(row: Row) -> str:
    return f"{row.kind} ({row.source})" if row.source else row.kind


def cost_cells(results: Results) -> list[tuple[str, ...]]:
    """A line for each expert that ran, under COSTS."""
    return [
        (
            one.expert,
            one.version,
            str(len(one.measured)),
            f"{sum(item.seconds for item in one.measured):.1f}",
            _rate(one.latency, 4),
            _rate(one.cpu, 4),
            _rate(one.per_call, 4),
            str(sum(item.calls for item in one.measured)),
            _rate(one.decoding, 4),
            f"{one.load:.2f}",
        )
        for one in results.outcomes
        if one.measured
    ]


def remarks(results: Results) -> Iterator[str]:
    """What the tables do not say: experts that are not here or have no labels, kinds without labels, what failed."""
    for one in results.outcomes:
        name = f"{one.expert} {one.version}"
        if one.standing is not Standing.SCORED:
            yield f"{name}: {one.standing.value}: {one.why}"
        if one.unlabelled and one.standing is Standing.SCORED:
            yield f"{name}: no labels for {', '.join(one.unlabelled)}"
        for kind in one.silent:
            yield f"{name}: found no {kind} anywhere: it is broken, needs a parameter for it, or does not look for it"
        for problem in one.problems:
            yield f"{name}: failed on {problem}"
    for data_set, count in results.left_out.items():
        yield f"{data_set}: {count} member{'s' if count != 1 else ''} of the data set left out"
    if results.problems:
        more = f", and {len(results.problems) - 1} more" if len(results.problems) > 1 else ""
        yield f"could not be read: {results.problems[0]}{more}"


def markdown(results: Results) -> str:
    """The page."""
    parts = [
        "# Experts against labelled streams",
        f"{results.streams} streams, on {results.machine}.",
        "## What they find",
        _table(COLUMNS, score_cells(results)),
        "Labels: facts to be found. Precision and F1 stand only where every fact is labelled. Times may differ by the "
        "tolerance. docs/benchmark-experts.md says how each kind is compared.",
        "## What they cost",
        _table(COSTS, cost_cells(results)),
        "Seconds of the expert alone, per second of stream and per run of its costly part; decoding stands apart.",
        "## What the tables do not say",
        "\n".join(f"- {_escaped(line)}" for line in remarks(results)) or "Nothing.",
    ]
    return "\n\n".join(parts) + "\n"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *([_escaped(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _escaped(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


@dataclass(frozen=True)
class Dot:
    """A figure on the axis from 0 to 1; `name` is its column."""

    name: str
    x: float


@dataclass(frozen=True)
class Line:
    """One line of the picture: its words, how far down it stands, its dots or the length of its bar."""

    label: str
    quiet: str
    y: float
    dots: tuple[Dot, ...] = ()
    bar: float = 0.0
    figure: str = ""
    begins: bool = False
    """The first line of its expert."""


_LEFT, _WIDTH, _STEP, _TOP = 330.0, 520.0, 22.0, 124.0
_FIRST = ("F1", "recall", "words")
"""Of these the first that is known is written out."""
_FASTEST, _SLOWEST = 1e-5, 10.0
"""Ends of the axis of costs, in seconds per second."""


def picture(results: Results) -> str:
    """An SVG: precision, recall, F1, words and IoU of every expert and kind on one axis; below it, what each costs."""
    scored, y = [], _TOP
    before = ""
    for row in results.rows():
        tally = row.tally
        values = {
            "precision": tally.precision,
            "recall": tally.recall,
            "F1": tally.f1,
            "words": tally.word_recall,
            "IoU": tally.mean_iou,
        }
        dots = tuple(Dot(name, _LEFT + _WIDTH * value) for name, value in values.items() if value is not None)
        best = next((f"{name} {_rate(values[name])}" for name in _FIRST if values[name] is not None), "nothing to find")
        name = f"{row.expert} {row.version}" if row.expert != before else ""
        scored.append(Line(_what(row), name, y, dots, figure=best, begins=bool(name)))
        before, y = row.expert, y + _STEP
    for one in results.outcomes:
        if not one.scores:
            scored.append(Line("", f"{one.expert} {one.version}", y, figure=one.standing.value, begins=True))
            y += _STEP
    split = y + 66.0
    y = split + 22.0
    costs = []
    for one in results.outcomes:
        if one.latency is not None:
            share = _log_share(one.latency)
            figure = f"{_milliseconds(one.latency)} ms per s"
            costs.append(Line(f"{one.expert} {one.version}", "", y, bar=_WIDTH * share, figure=figure))
            y += _STEP
    powers = range(round(math.log10(_FASTEST)), round(math.log10(_SLOWEST)) + 1)
    return _environment().get_template("plot.svg.html").render(
        scored=scored,
        costs=costs,
        left=_LEFT,
        width=_WIDTH,
        top=_TOP,
        split=split,
        height=y + 32.0,
        ticks=[(_LEFT + _WIDTH * part / 4, f"{part / 4:g}") for part in range(5)],
        powers=[(_LEFT + _WIDTH * _log_share(10.0**power), f"{1000 * 10.0**power:g}") for power in powers],
        machine=results.machine,
        streams=results.streams,
    )  # fmt: skip


def _milliseconds(seconds: float) -> str:
    value = 1000 * seconds
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _log_share(seconds: float) -> float:
    low, high = math.log10(_FASTEST), math.log10(_SLOWEST)
    return min(max((math.log10(max(seconds, _FASTEST)) - low) / (high - low), 0.0), 1.0)


def _environment() -> Environment:
    """Every value is escaped: names of plugins and files may hold anything."""
    loader = FileSystemLoader(Path(__file__).resolve().parent)
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def write(results: Results, folder: Path) -> list[Path]:
    """Writes the page, the picture and the data into a folder.

    Raises:
        OSError: it cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    texts = {
        PAGE: markdown(results) + f"\n![Scores and costs]({PICTURE})\n",
        PICTURE: picture(results),
        DATA: canonical_json(results.as_json()) + "\n",
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in texts]


def _rate(value: float | None, digits: int = 2) -> str:
    return _NOTHING if value is None else f"{value:.{digits}f}"

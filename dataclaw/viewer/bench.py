"""Writes the page of a benchmark: a table of models, comparisons of any two, and every sample with what was made of it.

One file that opens anywhere: pictures are in it, and nothing of a row, a model or an answer can act.
"""

from __future__ import annotations

import base64
import io
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from markupsafe import Markup
from PIL import Image

from benchmark.metrics.aggregate import paired
from benchmark.val.results import Result
from benchmark.val.run import FUZZY, OVERALL, acceptable, at, columns, rewards
from benchmark.val.store import Val
from dataclaw.viewer.gallery import environment
from dataclaw.viewer.published import PUBLISHED, SOURCE
from schemas.base import canonical_json
from schemas.sample_score import Estimate, Level, PairedDifference, SampleScore
from schemas.stream import Domain
from schemas.triplet import EvidenceFrame, Triplet
from schemas.usage import Usage
from schemas.val import AnswerState, Subset, ValRecord

COLUMNS = {
    str(Domain.GUI): "GUI",
    str(Domain.EMBODIED): "Embodied",
    str(Domain.AIGC): "AIGC",
    str(Domain.DAILY_LIFE): "Daily",
    str(Domain.EDUCATION): "Education",
    FUZZY: "Fuzzy",
    OVERALL: "Overall",
}
"""In the order of the paper's Table 1."""
LEVELS = {Level.JSON: "JSON", Level.FIELD: "Field", Level.SEMANTIC: "Semantic", Level.SEQUENCE: "Sequence"}
_SHORT = {"JSON": "JSON", "Field": "Field", "Semantic": "Sem.", "Sequence": "Seq."}
"""In the head of the table, which has seven times the four of them side by side."""
_HERE = Path(__file__).parent
_FACTS = 60
_PICTURES = 6
_SIDE = 220
"""Longer side of a picture in pixels."""
_LONGEST = 20_000
"""Characters of an output that are shown."""


@dataclass(frozen=True)
class Line:
    """A model in the table: its estimates by column and level."""

    result: Result
    cells: list[list[Estimate | None]]
    acceptable: float | None
    ends: Counter[AnswerState]
    usage: Usage
    seconds: float
    rewards: dict[str, float]


@dataclass(frozen=True)
class Comparison:
    """Two models, at each level and over all."""

    first: str
    second: str
    levels: list[tuple[str, PairedDifference | None]]


@dataclass(frozen=True)
class Got:
    """What one model made of a sample."""

    label: str
    record: ValRecord
    output: str
    scores: list[float | None]


@dataclass(frozen=True)
class Expected:
    """A true output."""

    task_type: str
    output: str
    written_by: str


@dataclass(frozen=True)
class Sample:
    """A sample with its input, what was expected, and what each model gave."""

    id: str
    number: int
    subset: Subset
    row: Triplet
    pictures: list[tuple[float, str]]
    facts: list[str]
    more_facts: int
    expected: list[Expected]
    got: list[Got]


def write_report(val: Val, results: Sequence[Result], file: Path) -> None:
    """Writes the page of these runs, which are over this set.

    Raises:
        OSError: the file cannot be written.
    """
    env = environment()
    env.filters |= {"percent": _percent, "whole": lambda share: f"{100 * share:.0f}", "points": _points}
    style = (_HERE / "bench.css").read_text(encoding="utf-8")
    labels = _labels(results)
    stream = env.get_template("bench.html").stream(
        val=val,
        own_style=Markup(style),
        columns=list(COLUMNS.values()),
        levels=list(LEVELS.values()),
        short=_SHORT,
        sizes=_sizes(val),
        published={label: [means.get(level) for level in LEVELS] for label, means in PUBLISHED.items()},
        published_by=SOURCE,
        lines=[(label, _line(result)) for label, result in zip(labels, results, strict=True)],
        comparisons=[_compared(one, other) for one, other in combinations(list(zip(labels, results, strict=True)), 2)],
        samples=_samples(val, labels, results),
        domains=Counter(str(row.domain) for row in (*val.clear, *(one.readings[0] for one in val.fuzzy))),
        subsets={subset: len(some) for subset, some in ((Subset.CLEAR, val.clear), (Subset.FUZZY, val.fuzzy)) if some},
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.parent / f".{file.name}.tmp"
    temporary.unlink(missing_ok=True)
    with temporary.open("x", encoding="utf-8") as page:
        for piece in stream:
            page.write(piece)
    temporary.replace(file)


def _labels(results: Sequence[Result]) -> list[str]:
    """What models are called; those that share a name with the beginning of their identity."""
    names = Counter(result.run.label for result in results)
    return [
        result.run.label if names[result.run.label] == 1 else f"{result.run.label} ({result.run.identity[:8]})"
        for result in results
    ]


def _sizes(val: Val) -> list[int]:
    """Samples of each column."""
    domains = Counter(str(row.domain) for row in val.clear)
    sizes = {**domains, FUZZY: len(val.fuzzy), OVERALL: len(val.clear) + len(val.fuzzy)}
    return [sizes.get(column, 0) for column in COLUMNS]


def _line(result: Result) -> Line:
    found = columns(result)
    return Line(
        result=result,
        cells=[[at(found[name], level) if name in found else None for level in LEVELS] for name in COLUMNS],
        acceptable=acceptable(result),
        ends=Counter(record.answer.state for record in result.records),
        usage=sum((record.answer.usage for record in result.records), Usage()),
        seconds=sum(record.answer.seconds for record in result.records),
        rewards=rewards(result),
    )


def _compared(one: tuple[str, Result], other: tuple[str, Result]) -> Comparison:
    first, second = (_scores(result) for _, result in (one, other))
    levels = [(name, paired(first, second, level)) for level, name in LEVELS.items()]
    return Comparison(one[0], other[0], [*levels, ("Mean", paired(first, second))])


def _scores(result: Result) -> list[SampleScore]:
    return [record.score for record in result.records]


def _samples(val: Val, labels: Sequence[str], results: Sequence[Result]) -> Iterator[Sample]:
    """One after the other: pictures of all at once would not fit everywhere."""
    records = [{record.score.sample: record for record in result.records} for result in results]
    asked: list[tuple[Subset, str, tuple[Triplet, ...]]] = [
        *((Subset.CLEAR, row.id, (row,)) for row in val.clear),
        *((Subset.FUZZY, request.id, request.readings) for request in val.fuzzy),
    ]
    for number, (subset, name, rows) in enumerate(asked, 1):
        row = rows[0]
        yield Sample(
            id=name,
            number=number,
            subset=subset,
            row=row,
            pictures=[(frame.time, address) for frame in row.evidence[:_PICTURES] if (address := picture(frame))],
            facts=[_fact(anchor.model_dump()) for anchor in row.anchors[:_FACTS]],
            more_facts=max(0, len(row.anchors) - _FACTS),
            expected=[
                Expected(one.task_type, _pretty(one.output), one.provenance.model or one.provenance.backend)
                for one in rows
            ],
            got=[_got(label, some[name]) for label, some in zip(labels, records, strict=True)],
        )


def _got(label: str, record: ValRecord) -> Got:
    scores = [record.score.level(level) for level in LEVELS]
    return Got(label, record, _pretty(record.answer.output), scores)


def picture(frame: EvidenceFrame) -> str | None:
    """A frame as an address that holds it, encoded anew: what a browser reads is ours. None for what is no picture."""
    sink = io.BytesIO()
    try:
        with Image.open(io.BytesIO(frame.image.bytes), formats=("JPEG", "PNG")) as image:
            small = image.convert("RGB")
            small.thumbnail((_SIDE, _SIDE))
            small.save(sink, "JPEG", quality=70)
    except (OSError, ValueError, Image.DecompressionBombError):
        return None
    return f"data:image/jpeg;base64,{base64.b64encode(sink.getvalue()).decode()}"


def _fact(anchor: dict[str, Any]) -> str:
    place = anchor["box"] or anchor["point"]
    where = "" if place is None else " at " + ", ".join(f"{edge:.2f}" for edge in place.values())
    value = "" if anchor["value"] is None else f" {anchor['value']:.4g}"
    content = f" {canonical_json(anchor['content'])}" if anchor["content"] else ""
    return f"{anchor['t0']:.2f}-{anchor['t1']:.2f} s  {anchor['kind']}{content}{value}{where}"


def _pretty(output: str) -> str:
    """JSON for eyes; what is none stays as it came."""
    try:
        text = json.dumps(json.loads(output), indent=1, ensure_ascii=False, sort_keys=True)
    except (ValueError, RecursionError):
        text = output
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text) - _LONGEST:,} more characters)"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f}"


def _points(difference: float | None) -> str:
    return "–" if difference is None else f"{100 * difference:+.1f}"

"""Stage report: how every input ended, in sums that add up, for the catalog and for people."""

from __future__ import annotations

import base64
import re
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise

from prefect import task
from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_table_artifact,
)
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from schemas.errors import Problem
from schemas.manifest import Manifest
from schemas.outcome import InputOutcome, Outcome, RunReport, RunState
from schemas.stream import Stream
from storage.catalog.records import Quarantined, SnapshotRecord
from tasks.discover import Discovery
from tasks.plan import Plan
from tasks.remarks import alike, named, remarks, said, why
from tasks.run import Run
from tasks.tailor import Tailored
from tasks.telling import telling
from tasks.words import count

_NOT_MADE = (Outcome.FILTERED, Outcome.FAILED)
_SHOWN = 50
"""Rejects and quarantined inputs shown in an artifact; the catalog holds all."""
_STOPPED = "Stopped by budget"
"""The state of a run that left units for the next one. Not one of the catalog's: what was done is complete."""
_RENEW = "`dataclaw view CORPUS --out FOLDER` writes it anew."
_INPUT = re.compile(r"""^(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"): """)
"""How the words of a :class:`schemas.errors.Problem` begin."""
_WIDTH, _HEIGHT, _MARGIN = 640, 240, 72
"""Of the picture of growth, in pixels."""
_DRAWN, _TOLD = 400, 10
"""Newest snapshots in the picture of growth, and in the table below it."""


@task(name="report", cache_policy=NO_CACHE)
def report_run(run: Run, found: Discovery, plan: Plan, done: Tailored, manifest: Manifest | None) -> RunReport:
    """Ends the run in the catalog and shows its result in the Prefect UI."""
    inputs = tuple(input_outcomes(found, plan, done))
    counts = done.counts()
    report = RunReport(
        run=run.id,
        name=run.recipe.name,
        corpus=run.recipe.corpus,
        recipe_hash=run.recipe.hash,
        state=_state(inputs, plan, done),
        started=run.started,
        ended=datetime.now(UTC),
        inputs=inputs,
        inputs_settled=found.settled,
        units_done=counts[Outcome.DONE],
        units_filtered=counts[Outcome.FILTERED],
        units_failed=counts[Outcome.FAILED],
        units_postponed=counts[Outcome.POSTPONED],
        units_known=len(plan.ended) - len(plan.held) + found.units_settled,
        segments_extracted=plan.segments_new,
        segments_known=plan.segments_known,
        stream_seconds=plan.stream_seconds,
        snapshot=None if manifest is None else manifest.number,
        rows=0 if manifest is None else manifest.statistics.rows,
        costs=done.costs(),
        usage=plan.usage + done.usage,
        ambiguous={text: tuple(sorted(plan.ambiguous[text])) for text in sorted(plan.ambiguous)},
        message=_message(found, plan, counts[Outcome.POSTPONED]),
    )
    with run.catalog() as catalog:
        catalog.quarantine(run.id, _broken(inputs, done))
        catalog.end_run(run.id, report.state, report)
        history, aside = catalog.snapshots(), catalog.quarantined(_SHOWN + 1)
    with telling("the result is not shown"):
        _show(run, report, done, history, aside)
    return report


def final_state(report: RunReport, *, sent: bool) -> State[RunReport]:
    """The state in which a flow run that got this far ends, by a name that tells people what became of the inputs.
    A run that fails gets its state from its error.

    Args:
        sent: the run is a server's, and nobody reads its report: one that could use no input fails, as the command
            exits with 1. A source that is not there any more is no green night.
    """
    if sent and not report.usable:
        first = next((reason for item in report.inputs for reason in item.reasons), report.message)
        return Failed(message=f"nothing could be made of any input: {first}\n{headline(report)}", data=report)
    name = _STOPPED if report.units_postponed else str(report.state).capitalize()
    message = f"{headline(report)} {report.message}".strip()
    return Completed(name=name, message=message, data=report)


def _show(
    run: Run, report: RunReport, done: Tailored, history: Sequence[SnapshotRecord], aside: Sequence[Quarantined]
) -> None:
    """What operators see of a run."""
    title = f"{report.name}: {headline(report)}"
    create_table_artifact(table=_table(report), key="build-result", description=title)
    create_markdown_artifact(markdown=rejects_markdown(report, done), key="build-rejects", description=title)
    create_table_artifact(
        table=_quarantine(aside), key="build-quarantine", description=_quarantine_words(report, aside)
    )
    if report.usage.requests:
        create_table_artifact(table=_usage(report), key="model-usage", description=_usage_words(report))
    if history:
        words = f"Rows of {report.corpus}: {history[-1].rows:,} in snapshot {history[-1].number}."
        create_markdown_artifact(markdown=growth_markdown(history), key="corpus-growth", description=words)
    if gallery := run.recipe.placement.gallery:
        create_link_artifact(link=gallery, link_text=f"Gallery of {report.name}", key="gallery", description=_RENEW)


def _state(inputs: Sequence[InputOutcome], plan: Plan, done: Tailored) -> RunState:
    """Whether everything asked for became data, in this run or an earlier one: a run that finds nothing new to do says
    the same as the one that did the work."""
    units = [*(known.outcome for known in plan.ended.values()), *(outcome for outcome, _ in done.ended.values())]
    ends = {*units, *(item.outcome for item in inputs)} - {Outcome.POSTPONED}
    return RunState.COMPLETED if ends <= {Outcome.DONE} else RunState.COMPLETED_WITH_REJECTS


def _message(found: Discovery, plan: Plan, postponed: int) -> str:
    if plan.held:
        others = ", ".join(sorted(set(plan.held.values())))
        return f"{count(len(plan.held), 'unit')} left to another run that is at work on them: {others}"
    if postponed:
        return f"the budget is met: {count(postponed, 'unit')} left for the next run"
    if plan.work:
        return ""
    if plan.ended or found.settled:
        return "nothing new: every unit was known from earlier runs and no expert ran"
    return "nothing to do: no input led to a unit of work"


def headline(report: RunReport) -> str:
    """One line that a person reads first."""
    ends = ", ".join(f"{number} {outcome}" for outcome, number in report.ends.items())
    snapshot = f"snapshot {report.snapshot} with {count(report.rows, 'row')}" if report.snapshot else "no new snapshot"
    return f"{count(report.inputs_found, 'input')}: {ends}; {snapshot}."


def input_outcomes(found: Discovery, plan: Plan, done: Tailored) -> list[InputOutcome]:
    """The end of every input. A stream is done when any of its units is, failed when it could not be read or a unit
    broke, and filtered otherwise; units of earlier runs count as they ended then. Of its reasons the first is the one
    that matters most, and what is merely worth knowing comes last."""
    ends: dict[str, list[tuple[Outcome, str]]] = {}
    for unit, members in plan.streams_of.items():
        known = plan.ended.get(unit)
        end = (known.outcome, known.reason) if known else done.ended[unit]
        for sha256 in members:
            ends.setdefault(sha256, []).append(end)
    unsuited = {item.sha256 for item in plan.unsuited}
    outcomes = [*found.ended, *plan.unsuited]
    for _, streams in found.sources:
        for stream in streams:
            if stream.sha256 not in unsuited:
                outcomes.append(_end_of(stream, ends.get(stream.sha256, []), done))
    return outcomes


def _end_of(stream: Stream, ends: list[tuple[Outcome, str]], done: Tailored) -> InputOutcome:
    problems = tuple(done.problems.get(stream.uri, ()))
    seen = {outcome for outcome, _ in ends}
    if stream.sha256 in done.failed_streams:
        outcome = Outcome.FAILED
    else:
        first = (Outcome.DONE, Outcome.FAILED, Outcome.FILTERED, Outcome.POSTPONED)
        outcome = next((o for o in first if o in seen), Outcome.FAILED)
    reasons = [reason for end, reason in ends if reason and end is not Outcome.DONE]
    return InputOutcome(
        uri=stream.uri,
        sha256=stream.sha256,
        outcome=outcome,
        reasons=tuple(dict.fromkeys((*problems, *reasons, *stream.notes))),
    )


def _broken(inputs: Sequence[InputOutcome], done: Tailored) -> list[tuple[str, str | None, Problem]]:
    """Inputs that broke on the way, for the quarantine; those that failed at the door are there already, and what only
    shared a unit with a broken one is sound."""
    return [
        (
            item.uri,
            item.sha256,
            Problem(
                input=item.uri,
                cause=why(item) or "could not be read",
                remedy="Mend or remove it; the next run tries it again",
            ),
        )
        for item in inputs
        if item.outcome is Outcome.FAILED and (item.sha256 in done.failed_streams or item.uri in done.problems)
    ]


def growth_markdown(history: Sequence[SnapshotRecord]) -> str:
    """Growth as a picture, and the newest snapshots in figures. The picture is inside: an artifact of the image type
    would show its address, which is all of it, beside it."""
    svg = base64.b64encode(growth_picture(history[-_DRAWN:]).encode()).decode()
    lines = [f"![rows by time](data:image/svg+xml;base64,{svg})", "", "| snapshot | published (UTC) | rows | more |"]
    lines.append("|---|---|---|---|")
    more = {later.number: later.rows - earlier.rows for earlier, later in pairwise(history)}
    lines += [
        f"| {item.number} | {item.created:%Y-%m-%d %H:%M} | {item.rows:,} | {more.get(item.number, item.rows):+,} |"
        for item in reversed(history[-_TOLD:])
    ]
    return "\n".join(lines)


def growth_picture(history: Sequence[SnapshotRecord]) -> str:
    """Rows of every snapshot over time, as SVG. A snapshot is a step: between two of them nothing grows."""
    history = sorted(history, key=lambda snapshot: snapshot.created)
    first, last = history[0].created, history[-1].created
    span = max((last - first).total_seconds(), 1.0)
    most = max(max(snapshot.rows for snapshot in history), 1)
    right, bottom = _WIDTH - _MARGIN, _HEIGHT - _MARGIN / 2
    points: list[str] = []
    dots = []
    for number, snapshot in enumerate(history):
        share = (snapshot.created - first).total_seconds() / span if len(history) > 1 else 0.5
        x = _MARGIN + share * (right - _MARGIN)
        y = bottom - snapshot.rows / most * (bottom - _MARGIN / 2)
        if number:
            points.append(f"{x:.1f},{points[-1].partition(',')[2]}")
        points.append(f"{x:.1f},{y:.1f}")
        dots.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3"><title>{snapshot.number}: {snapshot.rows:,}</title></circle>'
        )
    begun = f"{first:%Y-%m-%d %H:%M}" if len(history) > 1 else ""
    text = 'font-family="sans-serif" font-size="12" fill="#555"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}">'
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>'
        f'<path d="M{_MARGIN} {_MARGIN / 2}V{bottom}H{right}" fill="none" stroke="#999"/>'
        f'<text x="{_MARGIN - 6}" y="{_MARGIN / 2 + 4}" text-anchor="end" {text}>{most:,}</text>'
        f'<text x="{_MARGIN - 6}" y="{bottom + 4}" text-anchor="end" {text}>0</text>'
        f'<text x="{_MARGIN}" y="{bottom + 20}" {text}>{begun}</text>'
        f'<text x="{right}" y="{bottom + 20}" text-anchor="end" {text}>{last:%Y-%m-%d %H:%M} UTC</text>'
        f'<polyline points="{" ".join(points)}" fill="none" stroke="#2563eb" stroke-width="2"/>'
        f'<g fill="#2563eb">{"".join(dots)}</g></svg>'
    )


def _quarantine(aside: Sequence[Quarantined]) -> list[dict[str, object]]:
    groups = alike(aside[:_SHOWN], lambda item: item.uri, lambda item: item.problem.words)
    return [
        {
            "input": named([item.uri for item in group]),
            "cause": said([item.problem.cause for item in group]),
            "what to do": group[0].problem.remedy,
            "since": f"{min(item.since for item in group):%Y-%m-%d %H:%M} UTC",
        }
        for group in groups
    ]


def _quarantine_words(report: RunReport, aside: Sequence[Quarantined]) -> str:
    if not aside:
        return "The quarantine is empty."
    if len(aside) > _SHOWN:
        return f"The newest {_SHOWN} inputs that no run could read: `dataclaw quarantine {report.corpus}` lists all."
    return f"{count(len(aside), 'input')} that could not be read, and since when. The next build tries again."


def _usage(report: RunReport) -> list[dict[str, object]]:
    """What a run asked of its model, in all and for each row it made."""
    made = report.units_done
    return [
        {"what": name.replace("_", " "), "of this run": value, "for each row": round(value / made, 1) if made else ""}
        for name, value in {**report.usage.model_dump(), "tokens": report.usage.tokens}.items()
    ]


def _usage_words(report: RunReport) -> str:
    asked = count(report.usage.requests, "request")
    return f"{asked} and {count(report.usage.tokens, 'token')} for {count(report.units_done, 'row')} of this run."


def _table(report: RunReport) -> list[dict[str, object]]:
    rows: list[tuple[str, object]] = [
        ("inputs", report.inputs_found),
        *((f"inputs {outcome}", number) for outcome, number in report.ends.items()),
        ("triplets made", report.units_done),
        ("units filtered", report.units_filtered),
        ("units failed", report.units_failed),
        ("units postponed by the budget", report.units_postponed),
        ("units known from earlier runs", report.units_known),
        ("segments looked at", report.segments_extracted),
        ("segments with known anchors", report.segments_known),
        ("stream seconds looked at", round(report.stream_seconds, 1)),
        ("snapshot", report.snapshot or "unchanged"),
        ("rows in the corpus", report.rows or "unchanged"),
    ]
    if report.usage.requests:
        rows += [(f"model {name.replace('_', ' ')}", value) for name, value in report.usage.model_dump().items()]
    rows += [(f"CPU seconds: {cost.stage}", round(cost.cpu, 2)) for cost in report.costs]
    return [{"what": what, "figure": figure} for what, figure in rows]


def rejects_markdown(report: RunReport, done: Tailored) -> str:
    """Why things were filtered or failed: the commonest reasons first, then the inputs, alike ones together. Lists,
    since Prefect cuts off what is wide in a table."""
    lines = []
    causes = Counter(_cause(reason) for outcome, reason in done.ended.values() if outcome in _NOT_MADE)
    if causes:
        lines += ["### Units by reason", ""]
        lines += [f"- **{count(units, 'unit')}**: {_item(cause)}" for cause, units in causes.most_common(_SHOWN)]
    groups = remarks(report)
    if groups:
        lines += ["", "### Inputs", ""]
        lines += [
            f"- **{group[0].outcome}** {_item(named([item.uri for item in group]))}: "
            f"{_item(said([why(item) for item in group]))}"
            for group in groups[:_SHOWN]
        ]
    if left := sum(len(group) for group in groups[_SHOWN:]):
        lines.append(f"\n{left} more: `dataclaw quarantine` and `dataclaw rejects` list all.")
    return "\n".join(lines) or "Nothing was filtered and nothing failed."


def _cause(reason: str) -> str:
    """A reason without the input that it begins with: units with the same one are counted together."""
    return _INPUT.sub("", reason)


def _item(text: str) -> str:
    """Text that may hold anything (a file name, a word from a stream) as part of one item of a Markdown list."""
    return text.replace("\\", "\\\\").replace("\n", " ").replace("<", "&lt;")

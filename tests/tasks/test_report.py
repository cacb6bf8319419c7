"""The end of a run: how every input ended, why, and what the run is called for it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree

import pytest

from schemas.outcome import InputOutcome, Outcome, RunReport, RunState
from schemas.recipe import SourceSpec
from schemas.stream import Domain, Stream, StreamPart, Track, TrackKind
from storage.catalog.records import SnapshotRecord
from tasks.discover import Discovery
from tasks.plan import Ended, Plan
from tasks.report import _broken, _state, final_state, growth_markdown, growth_picture, input_outcomes, rejects_markdown
from tasks.tailor import Tailored


def stream(name: str, *notes: str) -> Stream:
    sha256 = name * 64
    return Stream(
        sha256=sha256,
        uri=f"/raw/{name}",
        name=name,
        domain=Domain.DAILY_LIFE,
        format="video",
        parts=(StreamPart(role="video", uri=f"/raw/{name}", sha256=sha256, size=1),),
        tracks=(Track(kind=TrackKind.VIDEO, name="video"),),
        duration=1.0,
        notes=notes,
    )


def report_of(state: RunState, inputs: tuple[InputOutcome, ...] = (), units_postponed: int = 0) -> RunReport:
    return RunReport(
        run="r",
        name="n",
        corpus="c",
        recipe_hash="h",
        state=state,
        started=datetime.now(UTC),
        inputs=inputs,
        units_postponed=units_postponed,
    )


@pytest.fixture
def found() -> Discovery:
    return Discovery(sources=[(SourceSpec(uri="/raw"), [stream("a", "nominal time"), stream("b")])])


def test_the_cause_comes_before_notes_and_is_told_once(found: Discovery) -> None:
    plan = Plan(streams_of={"u": ("a" * 64,), "v": ("b" * 64,)})
    cause = "'/raw/a': damaged at 10 s. Copy it again"
    done = Tailored(ended={"u": (Outcome.FAILED, cause), "v": (Outcome.DONE, "")}, problems={"/raw/a": [cause]})
    first, second = input_outcomes(found, plan, done)
    assert first.reasons == (cause, "nominal time")
    assert second.reasons == ()
    ((uri, _, problem),) = _broken([first, second], done)
    assert uri == "/raw/a"
    assert problem.cause == "damaged at 10 s. Copy it again; nominal time"


def test_a_sound_input_that_shared_a_unit_with_a_broken_one_is_not_set_aside(found: Discovery) -> None:
    plan = Plan(streams_of={"u": ("a" * 64, "b" * 64)})
    done = Tailored(ended={"u": (Outcome.FAILED, "cut off")}, problems={"/raw/a": ["cut off"]})
    inputs = input_outcomes(found, plan, done)
    assert [item.outcome for item in inputs] == [Outcome.FAILED, Outcome.FAILED]
    assert [uri for uri, _, _ in _broken(inputs, done)] == ["/raw/a"]


@pytest.mark.parametrize(
    ("end", "state"),
    [(Outcome.DONE, RunState.COMPLETED), (Outcome.FILTERED, RunState.COMPLETED_WITH_REJECTS)],
)
def test_a_run_that_finds_all_known_is_called_as_the_run_that_did_the_work(
    found: Discovery, end: Outcome, state: RunState
) -> None:
    streams_of = {"u": ("a" * 64,), "v": ("b" * 64,)}
    work = Tailored(ended={"u": (Outcome.DONE, ""), "v": (end, "")})
    known = Plan(streams_of=streams_of, ended={unit: Ended(*ended) for unit, ended in work.ended.items()})
    for plan, done in ((Plan(streams_of=streams_of), work), (known, Tailored())):
        assert _state(input_outcomes(found, plan, done), plan, done) is state


@pytest.mark.parametrize(
    ("state", "postponed", "name"),
    [
        (RunState.COMPLETED, 0, "Completed"),
        (RunState.COMPLETED_WITH_REJECTS, 0, "Completed with rejects"),
        (RunState.COMPLETED, 2, "Stopped by budget"),
        (RunState.COMPLETED_WITH_REJECTS, 2, "Stopped by budget"),
    ],
)
def test_the_name_of_the_end_tells_what_became_of_the_inputs(state: RunState, postponed: int, name: str) -> None:
    report = report_of(state, units_postponed=postponed)
    ended = final_state(report, sent=False)
    assert ended.name == name
    assert ended.is_completed()
    assert ended.data == report


@pytest.mark.parametrize("sent", [True, False])
def test_a_night_that_could_use_no_input_fails_where_nobody_reads_its_exit_code(sent: bool) -> None:
    lost = InputOutcome(uri="raw", sha256=None, outcome=Outcome.FAILED, reasons=("raw: there is no such folder",))
    ended = final_state(report_of(RunState.COMPLETED_WITH_REJECTS, inputs=(lost,)), sent=sent)
    assert ended.is_failed() is sent
    if sent:
        assert ended.message is not None
        assert ended.message.startswith("nothing could be made of any input: raw: there is no such folder\n")


def grown(*rows: int) -> list[SnapshotRecord]:
    first = datetime(2026, 11, 1, tzinfo=UTC)
    return [
        SnapshotRecord(number=i + 1, parent=i or None, run="r", created=first + timedelta(days=i), shards=1, rows=n)
        for i, n in enumerate(rows)
    ]


@pytest.mark.parametrize("rows", [(5,), (0,), (5, 5), (3, 12_000, 11_000)])
def test_growth_is_a_picture_with_a_dot_for_each_snapshot(rows: tuple[int, ...]) -> None:
    picture = ElementTree.fromstring(growth_picture(grown(*rows)))
    dots = picture.findall(".//{*}circle")
    assert len(dots) == len(rows)
    heights = [float(dot.get("cy", "")) for dot in dots]
    assert sorted(range(len(rows)), key=lambda i: -heights[i]) == sorted(range(len(rows)), key=lambda i: rows[i])
    assert all(0 <= height <= float(picture.get("height", "")) for height in heights)


def test_growth_in_figures_tells_what_each_snapshot_brought() -> None:
    lines = growth_markdown(grown(3, 12_000, 11_000)).splitlines()
    assert lines[-3:] == [
        "| 3 | 2026-11-03 00:00 | 11,000 | -1,000 |",
        "| 2 | 2026-11-02 00:00 | 12,000 | +11,997 |",
        "| 1 | 2026-11-01 00:00 | 3 | +3 |",
    ]


def test_reasons_are_counted_whatever_input_they_are_said_of_and_nothing_of_an_input_becomes_markup() -> None:
    ends = {
        "u": (Outcome.FILTERED, "'/raw/it\\'s: a.mp4': no shot was measured in it. Choose `shots`"),
        "v": (Outcome.FILTERED, '"/raw/b\'s.mp4": no shot was measured in it. Choose `shots`'),
        "w": (Outcome.FAILED, "cut off"),
    }
    item = InputOutcome(uri="/raw/<b>\n# a", sha256=None, outcome=Outcome.FAILED, reasons=("is | text",))
    report = report_of(RunState.COMPLETED, inputs=(item,))
    assert rejects_markdown(report, Tailored(ended=ends)).splitlines() == [
        "### Units by reason",
        "",
        "- **2 units**: no shot was measured in it. Choose `shots`",
        "- **1 unit**: cut off",
        "",
        "### Inputs",
        "",
        "- **failed** /raw/&lt;b> # a: is | text",
    ]

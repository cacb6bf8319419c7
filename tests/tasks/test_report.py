"""The end of a run: how every input ended, why, and what the run is called for it."""

from __future__ import annotations

import pytest

from schemas.outcome import Outcome, RunState
from schemas.recipe import SourceSpec
from schemas.stream import Domain, Stream, StreamPart, Track, TrackKind
from tasks.discover import Discovery
from tasks.plan import Ended, Plan
from tasks.report import _broken, _state, input_outcomes
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

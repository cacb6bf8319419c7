"""Remarks on inputs: the worst first, alike ones together, nothing lost."""

from __future__ import annotations

from datetime import UTC, datetime

from schemas.outcome import InputOutcome, Outcome, RunReport, RunState
from tasks.remarks import named, remarks, said, why


def missing(number: int) -> InputOutcome:
    uri = f"/raw/robots#{number}"
    reason = f"{uri!r}: episode {number} is missing. Copy it."
    return InputOutcome(uri=uri, sha256=None, outcome=Outcome.FAILED, reasons=(reason,))


def report(*inputs: InputOutcome) -> RunReport:
    return RunReport(
        run="r",
        name="n",
        corpus="c",
        recipe_hash="h",
        state=RunState.COMPLETED,
        started=datetime.now(UTC),
        inputs=inputs,
    )


def test_members_of_one_data_set_with_one_cause_are_one_remark() -> None:
    ((*group,),) = remarks(report(*(missing(number) for number in (10, 2, 1, 0))))
    assert named([item.uri for item in group]) == "/raw/robots: #0, #1, #2 and 1 more"
    assert said([why(item) for item in group]) == "for example: episode 0 is missing. Copy it"


def test_failed_inputs_come_first_and_those_without_remarks_not_at_all() -> None:
    done = InputOutcome(uri="a", sha256="1", outcome=Outcome.DONE)
    noted = InputOutcome(uri="b", sha256="2", outcome=Outcome.DONE, reasons=("nominal time",))
    filtered = InputOutcome(uri="c", sha256="3", outcome=Outcome.FILTERED, reasons=("no fault",))
    assert remarks(report(done, noted, filtered, missing(0))) == [[missing(0)], [filtered], [noted]]


def test_other_causes_other_ends_and_files_of_their_own_stay_apart() -> None:
    other = InputOutcome(uri="/raw/robots#8", sha256=None, outcome=Outcome.FAILED, reasons=("cut off",))
    aside = InputOutcome(uri="/raw/robots#9", sha256=None, outcome=Outcome.FILTERED, reasons=("cut off",))
    files = [
        InputOutcome(uri=f"/raw/{name}.mp4", sha256=None, outcome=Outcome.FAILED, reasons=("cut off",)) for name in "ab"
    ]
    assert len(remarks(report(missing(0), other, aside, *files))) == 5


def test_an_input_given_twice_is_named_once() -> None:
    assert named(["a.mp4", "a.mp4"]) == "a.mp4"

"""How often the resolver is right on the labelled intents. The table goes to `artifacts/intents.md`."""

from __future__ import annotations

from pathlib import Path

import pytest
from labelled import Measured, input_named, labelled, measure

from synthesis.agents.roster import TASKS
from synthesis.intent.constraints import ClashError, read_wishes
from synthesis.intent.wording import one_line

REPORT = Path(__file__).resolve().parents[3] / "artifacts" / "intents.md"
KINDS = ("clear", "vague", "mixed", "contradictory", "nonsense", "foreign")


@pytest.fixture(scope="module")
def measured() -> dict[str, Measured]:
    found = {split: measure(labelled(split)) for split in ("test", "dev")}
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(report(found), encoding="utf-8")
    return found


def report(found: dict[str, Measured]) -> str:
    lines = ["# Intents: accuracy and confusion", "", "| kind | test | dev |", "|---|---|---|"]
    for kind in KINDS:
        cells = [f"{m.right[kind]}/{m.total[kind]} ({m.accuracy(kind):.3f})" for m in found.values()]
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    for split, m in found.items():
        wanted = sorted({pair[0] for pair in m.confusion})
        taken = sorted({pair[1] for pair in m.confusion})
        lines += ["", f"## Clear intents of {split}: wanted (rows), taken for (columns)", ""]
        lines += [f"| | {' | '.join(taken)} |", f"|---|{'---|' * len(taken)}"]
        lines += [
            f"| {row} | {' | '.join(str(m.confusion[row, column] or '') for column in taken)} |" for row in wanted
        ]
    return "\n".join(lines) + "\n"


def test_there_are_enough_of_them():
    entries = [entry for split in ("test", "dev") for entry in labelled(split)]
    assert len(entries) >= 150
    assert {entry.kind for entry in entries} == set(KINDS)
    assert {name for entry in entries for name in entry.wanted} == {*TASKS.built_in} - {"own_schema"}


@pytest.mark.parametrize(
    ("kind", "least"),
    [("clear", 0.9), ("vague", 0.95), ("mixed", 0.8), ("contradictory", 0.9), ("nonsense", 1.0), ("foreign", 1.0)],
)
def test_the_put_aside_half_is_read_rightly(measured, kind, least):
    assert measured["test"].accuracy(kind) >= least, REPORT.read_text(encoding="utf-8")


def test_a_clear_intent_builds_one_form(measured):
    assert measured["test"].overbuilt <= 0.05 * measured["test"].total["clear"]


def test_the_confusion_table_is_an_artifact(measured):
    assert "wanted (rows)" in REPORT.read_text(encoding="utf-8")


@pytest.mark.parametrize("split", ["test", "dev"])
def test_constraints_are_read_from_them(split):
    entries = [e for e in labelled(split) if e.kind not in ("contradictory", "foreign")]
    right = sum(_bounds(entry.text, input_named(entry.input).duration) == entry.asks for entry in entries)
    assert right >= 0.95 * len(entries)


def _bounds(text: str, duration: float) -> str:
    try:
        return str(read_wishes(one_line(text), duration).constraints)
    except ClashError as clash:
        return f"clash: {clash}"

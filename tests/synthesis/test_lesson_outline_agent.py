"""lesson_outline: sections cover the lesson in order, in its own words, and no changed value passes."""

from __future__ import annotations

from typing import Any

import pytest
from facts import FILM, LINES, anchor, evidence, spec, stream
from handled import changed_that_pass, compose, line, measured, scored
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.anchor import AnchorKind, FactualAnchor
from schemas.constraints import Constraints, Count, Window
from schemas.errors import UnsuitedError
from schemas.score import ClaimKind, Support
from schemas.stream import Domain
from synthesis.agents.roster import agent_for
from synthesis.base import Evidence, GroundedAgent
from synthesis.verification.verify import passes

TASK = "lesson_outline"
CLASS = stream(Domain.EDUCATION, "equation", 24.0)
LESSON = [
    line(1.0, 23.6, "Solve 3x + 5 = 20", 0.1, 0.1),
    line(5.0, 23.6, "Subtract 5 from both sides", 0.1, 0.2),
    line(8.0, 23.6, "3x = 15", 0.1, 0.3),
    line(15.0, 23.6, "Divide both sides by 3", 0.1, 0.4),
    anchor(AnchorKind.SUBTITLE, 1.2, 4.4, "Which number is x?"),
    anchor(AnchorKind.SUBTITLE, 15.2, 17.6, "Divide both sides by three."),
    anchor(AnchorKind.SUBTITLE, 18.5, 21.0, "That is all."),
]
PAGES = [
    *LESSON,
    anchor(AnchorKind.SCREEN_CHANGE, 7.5, value=0.6),
    anchor(AnchorKind.GIVEN_TEXT, 0.0, 24.0, "Linear equations"),
]


def told(anchors: list[FactualAnchor], constraints: Constraints | None = None) -> list[tuple[str, float, float]]:
    task = spec(TASK).model_copy(update={"constraints": constraints or Constraints()})
    ordered = sorted(anchors, key=lambda a: (a.t0, a.t1, a.kind))
    output = agent_for(TASK).compose(Evidence(streams=(CLASS,), anchors=tuple(ordered), spec=task))
    return [(section.begins, section.t0, section.t1) for section in output.sections]


def test_a_board_is_cut_at_its_writing_and_what_is_said_are_points() -> None:
    output = compose(TASK, LESSON, CLASS)
    assert output["title"] == "Solve 3x + 5 = 20"
    assert [section["heading"]["text"] for section in output["sections"]] == [
        "Solve 3x + 5 = 20",
        "Subtract 5 from both sides",
        "3x = 15",
        "Divide both sides by 3",
    ]
    assert [point["text"] for point in output["sections"][3]["points"]] == [
        "Divide both sides by three.",
        "That is all.",
    ]


def test_sections_follow_each_other_over_the_whole_lesson() -> None:
    for anchors in (LESSON, PAGES):
        sections = told(anchors)
        assert (sections[0][1], sections[-1][2]) == (0.0, 24.0)
        assert [end for *_, end in sections[:-1]] == [begin for _, begin, _ in sections[1:]]


def test_turned_pages_come_before_writing_and_shots_before_pauses() -> None:
    assert told(PAGES) == [("start", 0.0, 7.5), ("page", 7.5, 24.0)]
    assert compose(TASK, PAGES, CLASS)["title"] == "Linear equations"
    assert {section["begins"] for section in compose(TASK, FILM, stream())["sections"]} == {"start", "shot"}
    assert {section["begins"] for section in compose(TASK, LINES, stream())["sections"]} == {"start", "pause"}


def test_fewer_sections_are_made_where_fewer_are_asked_for() -> None:
    assert len(told(LESSON, Constraints(counts=(Count(noun="sections", most=2),)))) == 2
    inner = told(LESSON, Constraints(window=Window(t0=4.5, t1=24.0)))
    assert inner[0][:2] == ("writing", 5.0)


@pytest.mark.parametrize("anchors", [LESSON, PAGES, FILM, LINES], ids=["writing", "pages", "shots", "pauses"])
def test_no_changed_value_passes(anchors: list[FactualAnchor]) -> None:
    assert changed_that_pass(TASK, anchors, CLASS if anchors[0] is LESSON[0] else stream()) == []


def test_a_gap_and_another_boundary_do_not_pass() -> None:
    output = compose(TASK, LESSON, CLASS)
    assert passes(scored(TASK, output, LESSON, CLASS))
    without = output | {"sections": [output["sections"][0], *output["sections"][2:]]}
    assert not passes(scored(TASK, without, LESSON, CLASS))
    for begins in ("start", "page", "shot", "pause"):
        second = output["sections"][1] | {"begins": begins}
        changed = output | {"sections": [output["sections"][0], second, *output["sections"][2:]]}
        assert not passes(scored(TASK, changed, LESSON, CLASS))


def test_lines_that_nothing_divides_make_no_outline() -> None:
    with pytest.raises(UnsuitedError, match=r"an outline needs two sections .* divides the 1 lines"):
        compose(TASK, LESSON[4:5], CLASS)


def test_its_frames_are_those_of_headings_then_of_points() -> None:
    output = agent_for(TASK).compose(evidence(TASK, LESSON, CLASS)).model_dump(mode="json")
    times = [time for _, time in agent_for(TASK).evidence_times(output, (CLASS,))]
    assert times[:4] == [2.0, 6.0, 9.0, 16.0]


def test_a_point_without_support_goes_and_the_lesson_stays_covered() -> None:
    output = compose(TASK, LESSON, CLASS)
    output["sections"][3]["points"][0]["text"] = "Divide both sides by seven."
    mended = _mended(output)
    assert mended is not None
    assert [len(section["points"]) for section in mended["sections"]] == [1, 0, 0, 1]
    assert passes(scored(TASK, mended, LESSON, CLASS))


def test_a_section_without_support_is_not_taken_out_of_the_others() -> None:
    output = compose(TASK, LESSON, CLASS)
    output["sections"][1]["heading"]["text"] = "Add 5 to both sides"
    assert not passes(scored(TASK, output, LESSON, CLASS))
    assert _mended(output) is None


def test_items_that_stand_only_together_are_never_taken_out_one_by_one() -> None:
    agent = agent_for(TASK)
    output = agent.output.model_validate(compose(TASK, LESSON, CLASS))
    support = Support(path="/sections/1", kind=ClaimKind.TIME, supported=False)
    assert GroundedAgent.repair(agent, output, [support], evidence(TASK, LESSON, CLASS)) is None  # type: ignore[arg-type]


def _mended(output: Any) -> Any:
    agent = agent_for(TASK)
    wrong = scored(TASK, output, LESSON, CLASS).unsupported
    mended = agent.repair(agent.output.model_validate(output), wrong, evidence(TASK, LESSON, CLASS))
    return None if mended is None else mended.model_dump(mode="json")


KINDS = ("text.subtitle", "text.screen", "screen.change", "video.shot", "text.given")
WORDS = ["Now add three.", "x = 3", "x = 3 + 1", 'He said "go" twice', "at 3.0 s", "", "A heading of four words"]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(measured(KINDS, WORDS), max_size=16))
def test_whatever_was_measured_what_is_written_is_supported(anchors: list[FactualAnchor]) -> None:
    try:
        output = compose(TASK, anchors, CLASS)
    except UnsuitedError:
        return
    score = scored(TASK, output, anchors, CLASS)
    assert (score.format_errors, score.unsupported) == ((), ())
    assert passes(score)

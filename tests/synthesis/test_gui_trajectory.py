"""A log of inputs or a recording becomes steps, each with the frame before it; what is changed by hand is found out."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from drawn_phone import Page, Session, measure, page

from experts.ocr import OCR
from experts.screen import Screen
from schemas.anchor import AnchorKind, FactualAnchor
from schemas.errors import UnsuitedError
from schemas.geometry import Box, Point
from schemas.outputs.gui_trajectory import ActionType, GuiTrajectory
from schemas.stream import Domain, Stream, Track, TrackKind
from schemas.task_spec import Intent, TaskSpec
from synthesis.agents.gui_trajectory import GuiTrajectoryAgent, minutes
from synthesis.base import Evidence
from synthesis.verification.check import AnchorIndex, check

AGENT = GuiTrajectoryAgent()
SHA = "c" * 64
LOG = Stream(
    sha256=SHA,
    uri="memory://log",
    name="episode",
    domain=Domain.GUI,
    format="agentnet",
    parts=(),
    tracks=(
        Track(kind=TrackKind.VIDEO, name="video", width=1280, height=720),
        Track(kind=TrackKind.EVENTS, name="events"),
    ),
    duration=40.0,
)
BUTTON = Box(x0=0.4, y0=0.4, x1=0.5, y1=0.45)


def evidence(streams: Sequence[Stream], anchors: Sequence[FactualAnchor]) -> Evidence:
    spec = TaskSpec(
        task_type="gui_trajectory",
        instruction="Tell the steps.",
        intent=Intent(text="Tell the steps."),
        output_schema=AGENT.output_schema(),
        confidence=1.0,
    )
    place = {stream.sha256: number for number, stream in enumerate(streams)}
    ordered = sorted(anchors, key=lambda a: (place[a.stream], a.t0, a.t1, a.kind))
    return Evidence(tuple(streams), tuple(ordered), spec)


def against(output: Any, given: Evidence) -> list[str]:
    """What verification says against an output."""
    parsed = json.loads(output.model_dump_json()) if isinstance(output, GuiTrajectory) else output
    verdicts = check(AGENT.claims(parsed, given.streams), AnchorIndex(given.anchors))
    return [f"{verdict.path}: {verdict.reason}" for verdict in verdicts if not verdict.supported]


def fact(kind: AnchorKind, t0: float, t1: float | None = None, content: str = "", **rest: Any) -> FactualAnchor:
    fields: dict[str, Any] = {"stream": SHA, "expert": "test", "version": "1", "confidence": 1.0} | rest
    return FactualAnchor(kind=kind, t0=t0, t1=t0 if t1 is None else t1, content=content, **fields)


def screens(*starts: float) -> list[FactualAnchor]:
    """Still screens from each time to the next sample but one, and the changes between them."""
    found = []
    for number, (begin, end) in enumerate(zip(starts, [*starts[1:], 40.5], strict=True)):
        found.append(fact(AnchorKind.SCREEN, begin, end - 0.5, f"{number:0128x}", value=float(number)))
        if number:
            found.append(fact(AnchorKind.SCREEN_CHANGE, begin, value=0.4, box=Box(x0=0, y0=0, x1=1, y1=1)))
    return found


def press(time: float, name: str = "Save", x: float = 0.45, **rest: Any) -> FactualAnchor:
    fields: dict[str, Any] = {"point": Point(x=x, y=0.42), "box": BUTTON} | rest
    return fact(AnchorKind.CLICK, time, time + 0.1, name, **fields)


GIVEN = fact(AnchorKind.GIVEN_TEXT, 0.0, 40.0, "Save the file as a copy")


@pytest.fixture
def log() -> Evidence:
    """Clicks at 2.2, 6.2, 12.2 and 13.4 (the same again), typing at 17.1, a wheel at 22.3 without effect, a hotkey."""
    anchors = [
        GIVEN,
        *screens(0.0, 2.5, 6.5, 12.5, 13.5, 17.5),
        press(2.2),
        press(6.2, "Save as"),
        press(12.2, "Folder"),
        press(13.4, "Folder"),
        fact(AnchorKind.TYPING, 17.1, 18.0, "copy.txt"),
        fact(AnchorKind.WHEEL, 22.3, 23.0, "down", value=3.0, point=Point(x=0.5, y=0.5)),
        fact(AnchorKind.HOTKEY, 39.0, 39.0, "ctrl+alt+t"),
    ]
    return evidence([LOG], anchors)


def test_the_goal_is_the_text_that_was_given(log: Evidence) -> None:
    assert AGENT.compose(log).goal == GIVEN.content


def test_inputs_with_an_effect_become_steps_and_the_others_are_listed(log: Evidence) -> None:
    output = AGENT.compose(log)
    assert [(s.action.type, s.action_time) for s in output.steps] == [
        (ActionType.CLICK, 2.2),
        (ActionType.CLICK, 6.2),
        (ActionType.CLICK, 12.2),
        (ActionType.TYPE, 17.1),
    ]
    reasons = {item.time: item.reason for item in output.omitted}
    assert "repeats" in reasons[13.4]
    assert "no effect" in reasons[22.3]
    assert '"ctrl+alt+t"' in reasons[39.0]
    assert output.steps[3].action.text == "copy.txt"
    assert not against(output, log)


def test_nothing_of_the_future_is_in_the_frame_before_a_step(log: Evidence) -> None:
    for step in AGENT.compose(log).steps:
        assert step.observation_time < step.action_time
        changes = [c.t0 for c in log.of(AnchorKind.SCREEN_CHANGE)]
        assert not any(step.observation_time < change <= step.action_time for change in changes)


def test_a_target_has_the_name_and_the_box_of_its_element(log: Evidence) -> None:
    target = AGENT.compose(log).steps[0].target
    assert target is not None
    assert (target.text, target.box) == ("Save", BUTTON)


def test_a_line_under_the_pointer_names_what_the_tree_does_not() -> None:
    line = Box(x0=0.4, y0=0.4, x1=0.52, y1=0.44)
    anchors = [
        *screens(0.0, 2.5),
        press(2.2, "", box=None),
        fact(AnchorKind.SCREEN_TEXT, 0.0, 2.0, "Open file", box=line, confidence=0.99),
    ]
    given = evidence([LOG], anchors)
    output = AGENT.compose(given)
    assert output.steps[0].target is not None
    assert output.steps[0].target.text == "Open file"
    assert not against(output, given)


def change(output: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(output)
    *way, last = path.split(".")
    place: Any = changed
    for part in way:
        place = place[int(part) if part.isdigit() else part]
    place[int(last) if last.isdigit() else last] = value
    return changed


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("goal", "Delete the file"),
        ("steps.0.observation_time", 1.2),
        ("steps.1.observation_time", 6.6),
        ("steps.1.observation_time", 0.0),
        ("steps.1.action_time", 7.0),
        ("steps.0.action.point", {"x": 0.8, "y": 0.42}),
        ("steps.0.target.text", "Open"),
        ("steps.0.target.box", {"x0": 0.7, "y0": 0.4, "x1": 0.8, "y1": 0.45}),
        ("steps.3.action.text", "copy.txt.bak"),
        ("steps.0.action.type", "double_click"),
        ("steps.2.index", 1),
        ("steps.0.source", "another"),
        ("steps.0.reason", 'After clicking "Open", the screen has changed.'),
        ("omitted.0.time", 30.0),
        ("omitted.2.reason", 'The keys "ctrl+c" end the recording.'),
        ("source_order", ["another"]),
    ],
)
def test_a_change_by_hand_is_found_out(log: Evidence, path: str, value: Any) -> None:
    output = json.loads(AGENT.compose(log).model_dump_json())
    assert not against(output, log)
    assert against(change(output, path, value), log)


def test_steps_in_another_order_are_found_out(log: Evidence) -> None:
    output = json.loads(AGENT.compose(log).model_dump_json())
    output["steps"][0], output["steps"][1] = output["steps"][1], output["steps"][0]
    assert against(output, log)
    for index, step in enumerate(output["steps"]):
        step["index"] = index
    assert against(output, log)


def test_repair_takes_out_what_nothing_supports(log: Evidence) -> None:
    output = AGENT.compose(log)
    wrong = output.steps[1].model_copy(update={"action_time": 9.0})
    broken = output.model_copy(update={"steps": (output.steps[0], wrong, *output.steps[2:]), "goal": "Delete it"})
    claims = AGENT.claims(json.loads(broken.model_dump_json()), log.streams)
    unsupported = [verdict for verdict in check(claims, AnchorIndex(log.anchors)) if not verdict.supported]
    mended = AGENT.repair(broken, unsupported, log)
    assert mended is not None
    assert len(mended.steps) == len(output.steps) - 1
    assert mended.goal == GIVEN.content
    assert not against(mended, log)


def test_evidence_frames_are_those_before_the_steps(log: Evidence) -> None:
    output = AGENT.compose(log)
    moments = AGENT.evidence_times(json.loads(output.model_dump_json()), log.streams)
    assert set(moments) == {(SHA, step.observation_time) for step in output.steps}


def test_a_recording_without_screens_is_unsuited() -> None:
    with pytest.raises(UnsuitedError, match="no screen"):
        AGENT.compose(evidence([LOG], [press(2.2)]))


def test_a_recording_in_which_nothing_is_done_is_unsuited() -> None:
    with pytest.raises(UnsuitedError, match="nothing was done"):
        AGENT.compose(evidence([LOG], screens(0.0)))


@pytest.mark.parametrize(
    ("shown", "expected"), [("1:14", 74), ("13:05:22", 785), ("1:14 PM", 794), ("12:01 AM", 1), ("soon", None)]
)
def test_clock_readings_in_minutes(shown: str, expected: int | None) -> None:
    assert minutes(shown) == expected


# --- recordings of a phone -------------------------------------------------------------------------------------------

SHOP = page("Corner Shop", "Deals of the day", "Your orders", seed=2)
SEARCH = page("Search products", "Recent searches", "Garden hose", seed=3, keyboard=True)
TYPED = page("walnut desk lamp", "walnut desk lamp brass", "walnut desk lamp led", seed=3, keyboard=True)
RESULTS = page("walnut desk lamp", "Walnut Desk Lamp Dimmable", "Price low to high", seed=4)
BASKET = page("Your basket", "Added to basket", "Proceed to checkout", seed=6)


def at(shown: Page, row: int) -> tuple[int, int]:
    """The middle of a line's beginning."""
    x, y, _ = shown.lines[row]
    return x + 40, y + 12


def phone() -> Session:
    return (
        Session()
        .see(SHOP, "9:40", at(SHOP, 1))
        .see(SEARCH, "9:40", None)
        .see(TYPED, "9:40", (430, 760))
        .see(RESULTS, "9:41", at(RESULTS, 1))
        .rest(BASKET, "9:41")
    )


def check_phone(output: GuiTrajectory) -> None:
    told = [(s.action.type, s.target.text if s.target else None, s.action.text) for s in output.steps]
    assert told[0] == (ActionType.TAP, "Deals of the day", None)
    assert told[1] == (ActionType.TYPE, "Search products", "walnut desk lamp")
    assert told[2][0] == ActionType.TAP
    assert told[3] == (ActionType.TAP, "Walnut Desk Lamp Dimmable", None)
    assert len(told) == 4
    assert '"walnut desk lamp"' in output.goal
    assert "basket" in output.goal


def test_marks_and_text_tell_the_steps_of_a_recording() -> None:
    stream, anchors = measure("phone", phone())
    given = evidence([stream], anchors)
    output = AGENT.compose(given)
    check_phone(output)
    assert not against(output, given)


@pytest.mark.long
def test_steps_of_a_recording_as_it_is_really_read() -> None:
    stream, anchors = measure("phone", phone(), [Screen(), OCR()])
    given = evidence([stream], anchors)
    output = AGENT.compose(given)
    check_phone(output)
    assert not against(output, given)


@pytest.mark.parametrize(
    "tamper",
    [
        lambda o: o["source_order"].reverse(),
        lambda o: o["links"][0]["facts"][0].update(before="9:12"),
        lambda o: o["links"][0]["facts"][0].update(after_time=40.0),
        lambda o: o["links"].clear(),
        lambda o: o["links"][0].update(source="two", next_source="one"),
        lambda o: o["discarded"][0]["texts"].append("Garden hose for sale"),
        lambda o: o["discarded"].clear(),
        lambda o: o["discarded"][0].update(reason='It shows "Garden hose for sale".'),
        lambda o: o["steps"].reverse(),
    ],
)
def test_an_order_changed_by_hand_is_found_out(tamper: Callable[[dict[str, Any]], Any]) -> None:
    measured = [
        measure("one", Session().see(SHOP, "9:40").see(SEARCH, "9:40").rest(TYPED, "9:40")),
        measure("two", Session().see(RESULTS, "9:41").rest(BASKET, "9:42")),
        measure("foreign", Session().see(page("Anna Petrova", "See you soon", seed=12), "3:05").rest(SHOP, "3:05")),
    ]
    given = evidence([stream for stream, _ in measured], [anchor for _, found in measured for anchor in found])
    output = AGENT.compose(given)
    assert output.source_order == ("one", "two")
    assert not against(output, given)
    changed = json.loads(output.model_dump_json())
    tamper(changed)
    assert against(changed, given)


@pytest.mark.long
@pytest.mark.streams
def test_the_real_fragments_are_ordered_and_the_foreign_one_set_aside(streams: Path) -> None:
    from experts.ensemble import Ensemble, Stopwatch
    from schemas.recipe import Sampling
    from schemas.segment import cut_segments
    from sources.video import VideoRecording

    experts = [Screen(), OCR()]
    found: list[FactualAnchor] = []
    made = []
    for number, letter in enumerate("abcd"):
        path = streams / "gui" / "fragments_shopping" / f"fragment-{letter}.mp4"
        size = (720, 1280) if letter == "d" else (1080, 2400)
        stream = LOG.model_copy(
            update={
                "sha256": str(number) * 64,
                "name": path.stem,
                "tracks": (Track(kind=TrackKind.VIDEO, name="video", width=size[0], height=size[1]),),
                "duration": 9.5,
            }
        )
        made.append(stream)
        [segment] = cut_segments(stream, 300.0)
        with VideoRecording(str(path)) as recording:
            measured = Ensemble(experts, Sampling())(recording, segment, Stopwatch())
        for expert in experts:
            found += expert.join(stream, measured.anchors[expert.name])
    given = evidence(made, found)
    output = AGENT.compose(given)
    assert output.source_order == ("fragment-c", "fragment-b", "fragment-a")
    assert [item.source for item in output.discarded] == ["fragment-d"]
    assert {item.source for item in output.omitted} == {"fragment-a", "fragment-b", "fragment-c"}
    assert [s.action.text for s in output.steps if s.action.type is ActionType.TYPE] == ["Microsoft Xbox Series X"] * 2
    assert not against(output, given)

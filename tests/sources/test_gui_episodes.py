"""Recorded GUI episodes in every layout that is read, and what becomes of those that are wrong in places."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec import AbstractFileSystem
from PIL import Image

from experts.ensemble import Ensemble, Stopwatch
from experts.input_events import InputEvents
from schemas.anchor import AnchorKind, FactualAnchor
from schemas.errors import InputError, Problem
from schemas.recipe import Sampling, SourceSpec
from schemas.segment import cut_segments
from schemas.stream import Domain, Stream, TrackKind
from sources.base import Candidate
from sources.discovery import discover
from sources.gui_episodes import GuiEpisodeSource
from sources.gui_episodes_pyautogui import parse
from sources.identity import hash_parts

SOURCE = GuiEpisodeSource()
ROOT = "/gui_episodes"


@pytest.fixture
def fs() -> Iterator[AbstractFileSystem]:
    memory = fsspec.filesystem("memory")
    memory.makedirs(ROOT)
    yield memory
    memory.rm(ROOT, recursive=True)


def screenshot(shade: int, size: tuple[int, int] = (100, 200)) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", size, (shade, shade, shade)).save(data, "PNG")
    return data.getvalue()


def write(fs: AbstractFileSystem, name: str, content: bytes | str | object) -> None:
    if not isinstance(content, bytes | str):
        content = json.dumps(content)
    fs.makedirs(f"{ROOT}/{name}".rpartition("/")[0], exist_ok=True)
    fs.pipe_file(f"{ROOT}/{name}", content.encode() if isinstance(content, str) else content)


def pictures(fs: AbstractFileSystem, count: int, folder: str = "images") -> list[str]:
    for number in range(count):
        write(fs, f"{folder}/{number}.png", screenshot(20 * number))
    return [f"{number}.png" for number in range(count)]


def found(fs: AbstractFileSystem, root: str = ROOT) -> tuple[list[Candidate], list[Problem]]:
    assert SOURCE.claims(fs, root)
    items = list(SOURCE.find(fs, root))
    return [x for x in items if isinstance(x, Candidate)], [x for x in items if isinstance(x, Problem)]


def probed(candidate: Candidate, max_pixels: int = 10**8) -> Stream:
    return SOURCE.probe(candidate, hash_parts(candidate, {}), Domain.GUI, max_pixels)


def only(fs: AbstractFileSystem) -> Stream:
    (candidate,), problems = found(fs)
    assert not problems
    return probed(candidate)


def did(stream: Stream) -> list[FactualAnchor]:
    """What the expert makes of the recorded actions."""
    (segment,) = cut_segments(stream, 300.0)
    with SOURCE.open(stream) as recording:
        return Ensemble([InputEvents()], Sampling())(recording, segment, Stopwatch()).anchors["input_events"]


def told(stream: Stream) -> list[tuple[float, str, str]]:
    return [(anchor.t0, anchor.kind, anchor.content) for anchor in did(stream)]


def bench(*codes: str, box: list[float] | None = None) -> dict[str, Any]:
    """An AgentNetBench episode with one step for each piece of code."""
    return {
        "task_id": "t1",
        "user_task_description": "Save it",
        "high_level_task_description": "Open the menu and save.",
        "steps": [
            {
                "step_num": number,
                "image": f"{number}.png",
                "action": code,
                "inner_monologue": {"low_level_instruction": f"Do {number}."},
                "ground_truth_actions": [
                    {"type": "click", "params": {}, "metadata": {"bboxes": [{"rel_bbox": box}] if box else []}}
                ],
            }
            for number, code in enumerate(codes)
        ],
    }


CLICK = "pyautogui.click(x=0.5, y=0.25)"


def test_a_benchmark_episode_is_screenshots_actions_and_a_goal(fs: AbstractFileSystem) -> None:
    pictures(fs, 3)
    write(fs, "t1.json", bench(CLICK, "pyautogui.write(message='hi you')", "computer.terminate(status='success')"))
    stream = only(fs)
    assert (stream.name, stream.format, stream.duration) == ("t1", "gui_episodes", 15.0)
    assert stream.has(TrackKind.IMAGES)
    assert stream.has(TrackKind.EVENTS)
    assert any("nominal time" in note for note in stream.notes)
    assert any("evaluation" in note for note in stream.notes)
    assert told(stream) == [(1.0, AnchorKind.CLICK, ""), (6.0, AnchorKind.TYPING, "hi you")]
    with SOURCE.open(stream) as recording:
        assert recording.texts() == ("Open the menu and save.", "Save it")
        assert [(cue.t0, cue.t1, cue.text) for cue in recording.cues()][1] == (5.0, 10.0, "Do 1.")
        frames = list(recording.frames(0.0, 15.0, 2.0))
        assert [(frame.time, int(frame.rgb()[0, 0, 0])) for frame in frames] == [
            (0.0, 0), (4.5, 0), (5.0, 20), (9.5, 20), (10.0, 40), (14.5, 40),
        ]  # fmt: skip
        assert [int(frame.rgb()[0, 0, 0]) for frame in recording.frames_at([1.0, 6.0])] == [0, 20]


def test_the_box_of_the_right_answer_is_the_target_of_the_click(fs: AbstractFileSystem) -> None:
    pictures(fs, 1)
    write(fs, "t1.json", bench(CLICK, box=[0.4, 0.2, 0.2, 0.1]))
    stream = only(fs)
    with SOURCE.open(stream) as recording:
        (element,) = recording.elements()
        assert element.clicked
    (click,) = did(stream)
    assert click.box is not None
    assert (click.box.x0, click.box.y0) == (0.4, 0.2)


def agentnet(number: int, **changes: Any) -> dict[str, Any]:
    step = {"index": 0, "image": "0.png", "value": {"code": CLICK, "action": "Click.", "last_step_correct": True}}
    return {"task_id": f"task-{number}", "instruction": f"Do {number}", "traj": [step], **changes}


def test_each_line_of_agentnet_is_a_stream(fs: AbstractFileSystem) -> None:
    pictures(fs, 1, "ubuntu_images")
    wrong = {"code": CLICK, "last_step_correct": False, "last_step_redundant": True}
    second = agentnet(2, traj=[{"image": "0.png", "value": wrong}], task_completed=False)
    write(fs, "agentnet_5k.jsonl", "\n".join(json.dumps(row) for row in (agentnet(1), second)))
    candidates, problems = found(fs)
    assert not problems
    assert [(c.name, c.selector) for c in candidates] == [("task-1", "0"), ("task-2", "1")]
    one, two = map(probed, candidates)
    assert one.sha256 != two.sha256
    assert any("not completed" in note for note in two.notes)
    assert any("call wrong: 0" in note for note in two.notes)
    with SOURCE.open(two) as recording:
        assert recording.texts() == ("Do 2",)
    assert told(one) == [(1.0, AnchorKind.CLICK, "")]


def test_lines_are_selected_by_their_number(fs: AbstractFileSystem) -> None:
    pictures(fs, 1)
    write(fs, "a.jsonl", "\n".join(json.dumps(agentnet(number)) for number in range(5)))
    items = list(discover(SourceSpec(uri=f"memory:/{ROOT}/a.jsonl#1:3")))
    assert [item.name for item in items if isinstance(item, Candidate)] == ["task-1", "task-2"]


def test_a_changed_line_is_a_new_stream_and_its_neighbours_stay(fs: AbstractFileSystem) -> None:
    pictures(fs, 1)
    write(fs, "a.jsonl", "\n".join(json.dumps(agentnet(number)) for number in (1, 2)))
    before = [probed(candidate) for candidate in found(fs)[0]]
    write(fs, "a.jsonl", "\n".join(json.dumps(row) for row in (agentnet(1), agentnet(2, instruction="Else"))))
    after = [probed(candidate) for candidate in found(fs)[0]]
    assert before[0].sha256 == after[0].sha256
    assert before[1].sha256 != after[1].sha256
    with pytest.raises(InputError, match="another one now"):
        SOURCE.open(before[1])


def test_android_in_the_wild_as_a_list_of_steps(fs: AbstractFileSystem) -> None:
    """As AITZ writes it: numbers for action types, pairs (y, x) as text, boxes (y, x, height, width) in pixels."""
    write(fs, "G-1/G-1_0.png", screenshot(0)), write(fs, "G-1/G-1_1.png", screenshot(40))
    same = {"episode_id": "17", "instruction": "Turn off wifi", "coat_action_desc": "tap"}
    boxes = {"ui_positions": "[[40, 20, 20, 60]]", "ui_text": '["Wi-Fi"]', "ui_types": '["TEXT"]'}
    tap = {"result_action_type": 4, "result_touch_yx": "[0.25, 0.5]", "result_lift_yx": "[0.26, 0.5]"}
    swipe = {"result_action_type": 4, "result_touch_yx": "[0.8, 0.5]", "result_lift_yx": "[0.2, 0.5]"}
    typed = {"result_action_type": 3, "result_action_text": "abc", "result_touch_yx": "[-1.0, -1.0]"}
    steps = [
        {**same, **boxes, **tap, "image_path": "train/G-1/G-1_0.png"},
        {**same, **swipe, "image_path": "train/G-1/G-1_1.png"},
        {**same, **typed},
        {**same, "result_action_type": 5},
        {**same, "result_action_type": 10},
    ]
    write(fs, "G-1/G-1.json", steps)
    (candidate,), _ = found(fs, f"{ROOT}/G-1")
    stream = probed(candidate)
    assert (stream.name, stream.duration) == ("17", 25.0)
    assert "steps without a screenshot: 2, 3, 4" in stream.notes
    assert told(stream) == [
        (1.0, AnchorKind.CLICK, "Wi-Fi"),
        (6.0, AnchorKind.DRAG, ""),
        (11.0, AnchorKind.TYPING, "abc"),
        (16.0, AnchorKind.HOTKEY, "back"),
    ]
    click, drag = did(stream)[:2]
    assert click.box is not None
    assert (click.box.x0, click.box.y0, click.box.x1, click.box.y1) == (0.2, 0.2, 0.8, 0.3)
    assert drag.point is not None
    assert drag.end_point is not None
    assert (drag.point.y, drag.end_point.y) == (0.8, 0.2)
    with SOURCE.open(stream) as recording:
        assert recording.texts() == ("Turn off wifi",)


def test_android_in_the_wild_by_its_published_names(fs: AbstractFileSystem) -> None:
    pictures(fs, 2)
    step = {"image": "0.png", "results/action_type": 4, "results/yx_touch": [0.5, 0.1], "results/yx_lift": [0.5, 0.1]}
    boxes = {"image/ui_annotations_positions": [0.45, 0.0, 0.1, 0.2], "image/ui_annotations_text": ["Add"]}
    write(fs, "e.json", {"goal_info": "Add it", "steps": [{**step, **boxes}, {**step, "image": "1.png"}]})
    stream = only(fs)
    assert told(stream)[0] == (1.0, AnchorKind.CLICK, "Add")
    assert stream.name == "e"


def android_control(**changes: Any) -> dict[str, Any]:
    tree = [{"windows": [{"tree": {"nodes": [{"text": "OK", "boundsInScreen": {"right": 100, "bottom": 40}}]}}]}]
    return {
        "episode_id": 7,
        "goal": "Find it",
        "screenshots": [f"{number}.png" for number in range(6)],
        "screenshot_widths": [1000] * 6,
        "screenshot_heights": [2000] * 6,
        "accessibility_trees": tree,
        "actions": [
            {"action_type": "click", "x": 50, "y": 20},
            {"action_type": "scroll", "direction": "down"},
            {"action_type": "open_app", "app_name": "Clock"},
            {"action_type": "input_text", "text": "7:30"},
            {"action_type": "navigate_back"},
        ],
        "step_instructions": ["a", "b", "c", "d", "e"],
        **changes,
    }


def test_android_control_tells_places_in_pixels(fs: AbstractFileSystem) -> None:
    pictures(fs, 6, "screenshots")
    write(fs, "7.json", android_control())
    stream = only(fs)
    assert (stream.name, stream.duration) == ("7", 30.0)
    assert told(stream) == [
        (1.0, AnchorKind.CLICK, "OK"),
        (6.0, AnchorKind.WHEEL, "down"),
        (15.0, AnchorKind.WINDOW, "Clock"),
        (16.0, AnchorKind.TYPING, "7:30"),
        (21.0, AnchorKind.HOTKEY, "back"),
    ]
    click = did(stream)[0]
    assert click.point is not None
    assert (click.point.x, click.point.y) == (0.05, 0.01)


def test_without_a_size_pixels_are_measured_against_the_screenshot(fs: AbstractFileSystem) -> None:
    pictures(fs, 6)
    write(fs, "7.json", android_control(screenshot_widths=None, screenshot_heights=[], accessibility_trees=None))
    click = did(only(fs))[0]
    assert click.point is not None
    assert (click.point.x, click.point.y) == (0.5, 0.1)


def test_typing_and_scrolling_of_two_steps_do_not_run_together(fs: AbstractFileSystem) -> None:
    pictures(fs, 4)
    scroll = "pyautogui.scroll(-3)"
    write(fs, "t1.json", bench("pyautogui.write('one')", "pyautogui.write('two')", CLICK + "\n" + scroll, scroll))
    kinds = [(kind, content) for _, kind, content in told(only(fs))]
    assert kinds == [
        (AnchorKind.TYPING, "one"),
        (AnchorKind.TYPING, "two"),
        (AnchorKind.CLICK, ""),
        (AnchorKind.WHEEL, "down"),
        (AnchorKind.WHEEL, "down"),
    ]


@pytest.mark.parametrize(
    ("code", "kind", "content"),
    [
        ("pyautogui.hotkey(['ctrl', 'c'])", AnchorKind.HOTKEY, "ctrl+c"),
        ("pyautogui.hotkey('ctrl', 'shift', 't')", AnchorKind.HOTKEY, "ctrl+shift+t"),
        ("pyautogui.hotkey(args=['command', 'v'])", AnchorKind.HOTKEY, "cmd+v"),
        ("pyautogui.press('win')", AnchorKind.HOTKEY, "windows"),
        ("pyautogui.press(keys=['down', 'down'])", AnchorKind.HOTKEY, "down"),
        ("pyautogui.doubleClick(0.1, 0.2)", AnchorKind.DOUBLE_CLICK, ""),
        ("computer.triple_click(x=0.1, y=0.2)", AnchorKind.DOUBLE_CLICK, ""),
        ("pyautogui.rightClick(x=0.1, y=0.2)", AnchorKind.RIGHT_CLICK, ""),
        ("pyautogui.click(x=0.1, y=0.2, button='right')", AnchorKind.RIGHT_CLICK, ""),
        ("pyautogui.moveTo(0.1, 0.2)\npyautogui.dragTo(x=0.5, y=0.2, button='left')", AnchorKind.DRAG, ""),
        ("pyautogui.hscroll(5)", AnchorKind.WHEEL, "right"),
        ("import pyautogui\npyautogui.typewrite('x\\'y', interval=0.1)", AnchorKind.TYPING, "x'y"),
    ],
)
def test_pyautogui_calls_are_what_a_person_would_have_done(
    fs: AbstractFileSystem, code: str, kind: AnchorKind, content: str
) -> None:
    pictures(fs, 1)
    write(fs, "t1.json", bench(code))
    assert told(only(fs)) == [(pytest.approx(1.0, abs=0.6), kind, content)]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("pyautogui.juggle(3)", "the call pyautogui.juggle"),
        ("pyautogui.click(x=1/2, y=0.5)", "no literal"),
        ("pyautogui.click(x='left', y=0.5)", "not two numbers"),
        ("pyautogui.click(x=500, y=300)", "beyond the screen"),
        ("pyautogui.click()", "without a place"),
        ("pyautogui.write(open('/etc/passwd').read())", "no literal"),
        ("__import__('os').system('true')", "system"),
        ("x = 3", "no call"),
        ("click(", "not Python"),
        ("\0", "not Python"),
        ("(" * 5000, "not Python"),
        ("pyautogui.press([])", "no text or key"),
        ("pyautogui.scroll('far')", "how far"),
        ("pyautogui.click(*(0.1, 0.2))", "no literal"),
    ],
)
def test_what_is_not_understood_is_a_note_and_nothing_is_run(fs: AbstractFileSystem, code: str, said: str) -> None:
    pictures(fs, 2)
    write(fs, "t1.json", bench(code, CLICK))
    stream = only(fs)
    assert any(said in note for note in stream.notes if note.startswith("actions left out"))
    assert told(stream) == [(6.0, AnchorKind.CLICK, "")]


def test_a_very_long_text_is_typed_in_its_second() -> None:
    actions, left_out = parse(f"pyautogui.write({'word ' * 5000!r})")
    assert (len(actions), left_out) == (1, [])
    assert parse("#" * 100_000) == ([], ["code of more than 65536 characters"])


def test_a_missing_or_broken_screenshot_is_a_note_and_the_step_stays(fs: AbstractFileSystem) -> None:
    for number, content in enumerate((screenshot(0), b"text", None, screenshot(60), screenshot(0, (2000, 2000)))):
        if content is not None:
            write(fs, f"images/{number}.png", content)
    write(fs, "t1.json", bench(CLICK, CLICK, CLICK, CLICK, CLICK))
    (candidate,), _ = found(fs)
    stream = probed(candidate, max_pixels=1_000_000)
    assert "steps without a screenshot: 2" in stream.notes
    assert sum(note.startswith(("picture 1 left out", "picture 4 left out")) for note in stream.notes) == 2
    assert stream.tracks[0].items == 2
    assert [time for time, _, _ in told(stream)] == [1.0, 6.0, 11.0, 16.0, 21.0]
    with SOURCE.open(stream) as recording:
        assert [frame.time for frame in recording.frames(0.0, stream.duration, None)] == [0.0, 4.5, 15.0, 19.5]
    with pytest.raises(InputError, match="none of its screenshots"):
        probed(candidate, max_pixels=10)


@pytest.mark.parametrize("name", ["../secret.png", "/etc/secret.png", "https://example.com/a.png", "C:\\a.png"])
def test_a_path_that_leads_out_of_the_folder_is_refused(fs: AbstractFileSystem, name: str) -> None:
    pictures(fs, 1)
    rows = [agentnet(1), agentnet(2, traj=[{"image": name, "value": {"code": CLICK}}]), agentnet(3)]
    write(fs, "a.jsonl", "\n".join(json.dumps(row) for row in rows))
    candidates, (problem,) = found(fs)
    assert [candidate.name for candidate in candidates] == ["task-1", "task-3"]
    assert "outside its folder" in problem.cause
    assert problem.input.endswith("a.jsonl#1")


def test_a_link_that_leads_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(screenshot(0))
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "0.png").symlink_to(tmp_path / "secret.png")
    (folder / "a.jsonl").write_text(json.dumps(agentnet(1)))
    (problem,) = discover(SourceSpec(uri=str(folder)))
    assert isinstance(problem, Problem)
    assert "outside its folder" in problem.cause


def test_bad_episodes_are_problems_and_the_others_go_on(fs: AbstractFileSystem) -> None:
    pictures(fs, 1)
    rows = [agentnet(1), "{broken", [1], agentnet(4, traj=[]), agentnet(5, traj=[{"image": "gone.png"}]), agentnet(6)]
    write(fs, "a.jsonl", "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
    write(fs, "b.json", json.dumps(bench(CLICK))[:-5])
    write(fs, "c.json", "")
    write(fs, "splits.json", {"train": [1, 2]})
    candidates, problems = found(fs)
    assert [candidate.name for candidate in candidates] == ["task-1", "task-6"]
    assert [problem.input.rpartition("/")[2] for problem in problems] == [
        "a.jsonl#1", "a.jsonl#2", "a.jsonl#3", "a.jsonl#4", "b.json", "c.json",
    ]  # fmt: skip
    assert all(problem.cause and problem.remedy for problem in problems)


@pytest.mark.parametrize(
    "record",
    [
        {"steps": [None, 3, {}], "goal": "g", "ground_truth_actions": 1},
        {"goal": "g", "actions": [{"action_type": {"a": 1}}, None, {"action_type": "type"}], "screenshots": ["0.png"]},
        {"steps": [{"screenshot": "0.png", "action_type": "click", "x": "a", "touch": [1]}], "goal": {"x": 1}},
        {"steps": [{"screenshot": "0.png", "action": "fly", "ui_positions": "[[1,", "ui_text": 3}], "goal": "g"},
        {"task_id": [1], "traj": [{"image": "0.png", "value": {"code": 3}}, {"value": None}]},
    ],
)
def test_odd_values_never_crash(fs: AbstractFileSystem, record: object) -> None:
    pictures(fs, 1)
    write(fs, "odd.json", record)
    for candidate in SOURCE.find(fs, f"{ROOT}/odd.json"):
        if isinstance(candidate, Candidate):
            did(probed(candidate))


def test_folders_of_others_are_left_to_them(fs: AbstractFileSystem) -> None:
    write(fs, "pairs/pairs.json", [{"source": "a.png", "edited": "b.png", "instruction": "x"}])
    write(fs, "log/log.jsonl", {"prompt": "a cat", "image": "a.png"})
    write(fs, "plain/0.png", screenshot(0))
    for folder in ("", "/pairs", "/log", "/plain"):
        assert not SOURCE.claims(fs, ROOT + folder)


@pytest.mark.streams
def test_the_real_benchmark_episodes(streams: Path) -> None:
    items = list(discover(SourceSpec(uri=str(streams / "gui" / "agentnetbench"))))
    candidates = [item for item in items if isinstance(item, Candidate)]
    assert [candidate.name for candidate in candidates] == ["s_7f27a11115e596eb", "s_df0fd37049f470c2"]
    assert len(items) == 2
    one, two = map(probed, candidates)
    kinds = [anchor.kind for anchor in did(one)]
    assert kinds.count(AnchorKind.CLICK) == 7
    assert kinds.count(AnchorKind.TYPING) == 2
    assert kinds.count(AnchorKind.WHEEL) == 1
    assert [anchor.content for anchor in did(two) if anchor.kind == AnchorKind.TYPING] == ["george orwell"]
    assert sum(anchor.box is not None for anchor in did(two)) == 4

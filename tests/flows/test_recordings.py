"""The issue's evidence on real recordings: one build over all of them, and what must come out of each."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.dataset as ds
import pytest
import yaml

from schemas.manifest import Manifest

pytestmark = [pytest.mark.long, pytest.mark.streams, pytest.mark.timeout(1200)]

FRAGMENTS = (
    "These are my mobile interaction fragments. Use them to construct a more comprehensive long-horizon task "
    "trajectory from them."
)
ROBOT = "This is a robot manipulation video. Help me construct embodied decision and world-model training data from it."


@pytest.fixture(scope="module")
def built(streams: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, list[dict], Path]:
    """The report, the rows and the corpus of one build over the recordings."""
    folder = tmp_path_factory.mktemp("recordings")
    corpus = folder / "corpus"
    recipe = {
        "name": "recordings",
        "corpus": str(corpus),
        "sources": [
            {"uri": str(streams / "gui/fragments_shopping"), "domain": "gui", "intents": [FRAGMENTS]},
            {"uri": str(streams / "gui/agentnet_raw"), "domain": "gui", "intents": ["Make a GUI trajectory of it."]},
            {"uri": str(streams / "embodied"), "domain": "embodied", "intents": [ROBOT]},
            {
                "uri": str(streams / "daily_life/friday"),
                "domain": "daily_life",
                "intents": ["Make temporal questions and answers.", "Write a tutorial."],
            },
            {"uri": str(streams / "aigc/edit_pairs"), "domain": "aigc", "intents": ["Make image editing data."]},
        ],
    }
    file = folder / "recipe.yaml"
    file.write_text(yaml.safe_dump(recipe))
    done = subprocess.run(
        [sys.executable, "-m", "dataclaw.main", "build", str(file), "--json"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    manifest = Manifest.model_validate_json(max((corpus / "snapshots").glob("*.json")).read_text())
    rows = ds.dataset([str(corpus / shard.path) for shard in manifest.shards]).to_table().to_pylist()
    return json.loads(done.stdout), rows, corpus


def outputs(rows: list[dict], task_type: str, name: str = "") -> list[dict]:
    """Outputs of a task type, of streams whose name holds `name`."""
    return [
        json.loads(row["output"])
        for row in rows
        if row["task_type"] == task_type and any(name in stream["name"] for stream in row["streams"])
    ]


def test_every_claim_of_every_row_verifies(built: tuple[dict, list[dict], Path]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dataclaw.main", "verify", str(built[2])], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_inputs_add_up_and_missing_episodes_are_told(built: tuple[dict, list[dict], Path]) -> None:
    inputs = built[0]["inputs"]
    missing = [item for item in inputs if item["outcome"] == "failed"]
    assert len(missing) == 98, "of 100 listed episodes of the G1 set two are there"
    assert all("episode" in " ".join(item["reasons"]) for item in missing)
    there = {"fragments": 4, "desktop": 1, "robot clips": 3, "episodes": 5 + 2, "film": 1, "edits": 5}
    assert len(inputs) == sum(there.values()) + len(missing)


def test_fragments_are_ordered_and_the_foreign_one_is_discarded(built: tuple[dict, list[dict], Path]) -> None:
    (trajectory,) = outputs(built[1], "gui_trajectory", "fragment")
    assert [name[-1] for name in trajectory["source_order"]] == ["c", "b", "a"]
    assert [item["source"][-1] for item in trajectory["discarded"]] == ["d"]
    assert trajectory["discarded"][0]["reason"]
    assert all(link["facts"] for link in trajectory["links"])


def test_the_desktop_log_becomes_steps_a_person_recognises(built: tuple[dict, list[dict], Path]) -> None:
    (trajectory,) = [t for t in outputs(built[1], "gui_trajectory") if len(t["source_order"]) == 1]
    steps = trajectory["steps"]
    assert 10 <= len(steps) <= 20
    assert trajectory["goal"].startswith("Open the system display settings")
    kinds = {step["action"]["type"] for step in steps}
    assert {"click", "right_click", "drag", "scroll"} <= kinds
    assert all(step["observation_time"] < step["action_time"] for step in steps)
    named = [step for step in steps if step["action"]["type"] != "scroll" and step["target"]]
    assert len(named) >= 8
    texts = [step["target"]["text"] for step in named if step["target"]["text"]]
    assert any("Action Centre" in text for text in texts)
    assert any("125%" in text for text in texts)


@pytest.mark.parametrize(
    ("clip", "fault"),
    [("hesitate", "hesitation_loop"), ("unstable", "unstable_grasp"), ("stagnant", "early_stagnation")],
)
def test_the_fault_of_each_robot_clip_is_named(built: tuple[dict, list[dict], Path], clip: str, fault: str) -> None:
    (found,) = outputs(built[1], "fault_recovery", clip)
    assert found["fault"] == fault
    assert found["span"]["t0"] < found["span"]["t1"]
    assert found["recall_time"] <= found["span"]["t1"]
    assert found["corrected_continuation"]


def test_no_fault_is_seen_in_sound_episodes(built: tuple[dict, list[dict], Path]) -> None:
    episodes = [
        row for row in built[1] if row["task_type"] == "fault_recovery" and "episode" in row["streams"][0]["name"]
    ]
    assert episodes == []


def test_subtitles_are_quoted_verbatim_with_their_spans(built: tuple[dict, list[dict], Path]) -> None:
    (tutorial,) = outputs(built[1], "tutorial", "friday")
    quotes = {q["text"]: (q["t0"], q["t1"]) for block in tutorial["blocks"] for q in block.get("quotes", ())}
    assert quotes["Hildy!"] == (0.0, 0.999)
    assert quotes["Tell me, is the lord of the universe in?"] == (1.5, 2.999)
    (qa,) = outputs(built[1], "temporal_qa", "friday")
    asked = {event["quote"] for question in qa["questions"] for event in question["events"] if event["quote"]}
    assert {"Hildy!", "How are you?"} <= asked


def test_edits_carry_their_instruction_and_region(built: tuple[dict, list[dict], Path]) -> None:
    edits = outputs(built[1], "image_editing")
    assert {edit["instruction"] for edit in edits} >= {"Turn a zebra into a horse.", "Let the donut be complete."}
    assert all(edit["regions"] for edit in edits)

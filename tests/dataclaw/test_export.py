"""`dataclaw export`: what a person types to have a corpus as training data."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner
from typer.testing import Result as Done

from dataclaw.main import app

runner = CliRunner()


def export(*arguments: object) -> Done:
    return runner.invoke(app, ["export", *map(str, arguments)])


def test_it_says_what_was_written_and_what_was_left_out(gallery_corpus: Path, tmp_path: Path) -> None:
    done = export(gallery_corpus, "--format", "trl", "--out", tmp_path / "out")
    assert done.exit_code == 0
    assert done.stdout.splitlines() == [
        f"5 rows of snapshot 1 as trl: {tmp_path / 'out'}",
        "train\t5 rows, 13 pictures, 1 shard",
        "left out\t1 unknown task type  (listed in left_out/)",
    ]


def test_json_is_what_export_json_holds(gallery_corpus: Path, tmp_path: Path) -> None:
    done = export(gallery_corpus, "-f", "jsonl", "-o", tmp_path / "out", "--weights", "gui=2, aigc=0.5", "--json")
    said = json.loads(done.stdout)
    assert said.pop("out") == str(tmp_path / "out")
    assert said == json.loads((tmp_path / "out" / "export.json").read_text())
    assert said["options"]["weights"] == {"gui": 2.0, "aigc": 0.5}


def test_options_reach_the_question(gallery_corpus: Path, tmp_path: Path) -> None:
    options = ("--brief", "--frames", 0, "--anchor-tokens", 64)
    export(gallery_corpus, "-f", "jsonl", "-o", tmp_path / "brief", *options)
    export(gallery_corpus, "-f", "jsonl", "-o", tmp_path / "full")
    brief, full = (
        json.loads((tmp_path / name / "train" / "00000.jsonl").read_text().splitlines()[0])
        for name in ("brief", "full")
    )
    assert [message["role"] for message in brief["messages"]] == ["user", "assistant"]
    assert [message["role"] for message in full["messages"]] == ["system", "user", "assistant"]
    assert "images" not in brief
    assert len(brief["messages"][0]["content"]) < len(full["messages"][1]["content"][0]["text"])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("-f", "trk"), "Did you mean 'trl'?"),
        (("-f", "trl", "--weights", "guy=2"), "Did you mean 'gui'?"),
        (("-f", "trl", "--weights", "gui=0"), "gives no weight above 0"),
        (("-f", "trl", "--weights", "gui"), "gives no weight above 0"),
        (("-f", "trl", "--max-tokens", "100"), "Add --tokenizer"),
        (("-f", "trl", "--tokenizer", "."), "has no tokenizer.json"),
    ],
)
def test_bad_usage_is_told_and_nothing_is_written(
    gallery_corpus: Path, tmp_path: Path, arguments: tuple[str, ...], says: str
) -> None:
    done = export(gallery_corpus, "-o", tmp_path / "out", *arguments)
    assert done.exit_code == 2
    assert says in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_nothing_that_could_be_exported_is_a_failure(gallery_corpus: Path, tmp_path: Path) -> None:
    done = export(gallery_corpus, "-f", "trl", "-o", tmp_path / "out", "--split", "validation")
    assert done.exit_code == 1
    assert "no row of snapshot 1 could be exported" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.long
def test_a_pipe_gets_lines_and_a_terminal_a_bar(gallery_corpus: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "dataclaw", "export", str(gallery_corpus), "-f", "jsonl", "-o", tmp_path / "out"]
    piped = subprocess.run(command, capture_output=True, text=True, check=True)
    assert piped.stderr == "3 of 6 rows\n"
    master, terminal = pty.openpty()
    subprocess.run(command, stderr=terminal, stdout=subprocess.DEVNULL, check=True)
    os.close(terminal)
    shown = os.read(master, 1 << 16).decode()
    os.close(master)
    assert "6/6" in shown
    assert "━" in shown

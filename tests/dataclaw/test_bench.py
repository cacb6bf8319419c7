"""`dataclaw bench experts` as a person and a program run it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from dataclaw.main import app
from sources.samples import daily_life

ROOT = Path(__file__).resolve().parents[2]
QUICK = ["--expert", "shots", "--expert", "subtitles", "--expert", "edit_region"]


def dataclaw(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dataclaw", *map(str, words)], capture_output=True, text=True, cwd=ROOT
    )


@pytest.mark.long
def test_it_makes_samples_where_no_folder_is_named_and_writes_a_report(tmp_path: Path) -> None:
    done = dataclaw("bench", "experts", *QUICK, "--out", tmp_path / "report")
    assert done.returncode == 0, done.stderr
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    cut = next(line for line in lines if line[:3] == ["shots", "1", "video.cut"])
    assert cut[5:8] == ["1.00", "1.00", "1.00"]
    names = sorted(file.name for file in (tmp_path / "report").iterdir())
    assert names == ["experts.json", "experts.md", "experts.svg"]


@pytest.mark.long
def test_json_is_json_alone(tmp_path: Path) -> None:
    done = dataclaw("bench", "experts", "--expert", "edit_region", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert [row["kind"] for row in result["scores"]] == ["edit.region"]
    assert result["experts"][0]["seconds_per_second"] > 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nothere"], "no such folder"),
        (["--expert", "shot"], "Did you mean 'shots'?"),
        (["--members", "0"], "equal to 1"),
    ],
)
def test_bad_usage_is_one_line_and_exit_code_2(words: list[str], said: str) -> None:
    done = CliRunner().invoke(app, ["bench", "experts", *words])
    assert done.exit_code == 2
    assert said in done.output


def test_a_folder_without_streams_is_said(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["bench", "experts", str(tmp_path), "--expert", "shots"])
    assert done.exit_code == 0
    assert "the folder is empty" in done.output


def test_labels_that_are_none_are_told_with_their_line(tmp_path: Path) -> None:
    daily_life.make(tmp_path, 0)
    (tmp_path / "labels.jsonl").write_text('{"stream": "tyre.webm", "kind": "cut"}\n')
    done = CliRunner().invoke(app, ["bench", "experts", str(tmp_path), "--expert", "shots"])
    assert "labels.jsonl:1" in done.output


def test_every_option_is_documented() -> None:
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    section = page[page.index("## bench") :].partition("\n## ")[0]
    command = typer.main.get_command(app).commands["bench"].commands["experts"]  # type: ignore[attr-defined]
    for option in command.params:
        for name in option.opts:
            if name.startswith("--"):
                assert f"`{name}" in section

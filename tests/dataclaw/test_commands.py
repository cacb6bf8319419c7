"""The command line: what every command promises, and what it does when something is wrong."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import dataclaw.main
from dataclaw.commands.build import show_report
from dataclaw.main import app
from schemas.errors import InputError
from schemas.outcome import InputOutcome, Outcome, RunReport, RunState
from schemas.triplet import Triplet
from storage.catalog.catalog import Catalog
from storage.corpus import Corpus

COMMANDS = [
    "samples", "plan", "build", "verify", "replay", "bench experts", "status", "runs", "rejects", "quarantine", "view",
    "corpora maintain", "deploy", "doctor",
]  # fmt: skip
runner = CliRunner()


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys, dataclaw.main; from typer.testing import CliRunner; "
        "assert CliRunner().invoke(dataclaw.main.app, ['--help']).exit_code == 0; "
        "print([m for m in ('pydantic', 'pyarrow', 'ray', 'prefect', 'cv2', 'av', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example_and_json(command: str) -> None:
    done = runner.invoke(app, [*command.split(), "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"})
    assert done.exit_code == 0
    assert f"Example: dataclaw {command}" in done.output
    assert "--json" in done.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["build", "x.mp4", "--out", "c"], ["--intent"]),
        (["build", "x.mp4", "--out", "c", "--intent", " "], ["intent is empty"]),
        (["build", "x.mp4", "--intent", "Make a tutorial"], ["--out"]),
        (["build", "x.mp4", "--intent", "Make it", "--out", "c", "--domain", "guy"], ["'guy'", "Did you mean 'gui'?"]),
        (["build", "nothere.yaml"], ["nothere.yaml", "No such file"]),
        (["build", "nothere.yaml", "--out", "c"], ["--out cannot stand beside a recipe"]),
        (["plan", "--intent", "  "], ["intent is empty"]),
        (["plan", "--intent", "Make a tutorial", "--domain", "educaton"], ["Did you mean 'education'?"]),
        (["build"], ["Missing argument"]),
        (["build", "x", "--nonsense"], ["No such option"]),
        (["nonsense"], ["No such command"]),
    ],
)
def test_bad_usage_is_one_clear_line_and_exit_code_2(arguments: list[str], words: list[str]) -> None:
    done = runner.invoke(app, arguments)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr


@pytest.mark.parametrize("command", ["verify", "status", "runs", "rejects", "quarantine", "view"])
def test_a_question_about_no_corpus_fails_and_makes_none(command: str, tmp_path: Path) -> None:
    done = runner.invoke(app, [command, str(tmp_path / "none")])
    assert done.exit_code == 1
    assert done.stderr.startswith("dataclaw: ")
    assert "there is no corpus here" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (InputError("a\nb.mp4", "it is empty", "Remove it"), 1, r"a\nb.mp4: it is empty. Remove it"),
        (PermissionError(13, "Permission denied", "/x"), 1, "Permission denied"),
        (RuntimeError("boom"), 1, "unexpected RuntimeError: boom"),
        (KeyboardInterrupt(), 130, "run again goes on from there"),
    ],
)
def test_errors_are_one_line_without_a_traceback(
    error: BaseException, code: int, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("dataclaw.commands.build._recipe", fail)
    done = runner.invoke(app, ["build", "x"])
    assert done.exit_code == code
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr("dataclaw.commands.build._recipe", fail)
    monkeypatch.setenv(dataclaw.main.DEBUG, "1")
    done = runner.invoke(app, ["build", "x"])
    assert isinstance(done.exception, RuntimeError)


def test_version_is_the_installed_one() -> None:
    from importlib.metadata import version

    assert runner.invoke(app, ["--version"]).stdout.strip() == version("dataclaw-factory")


def test_doctor_finds_this_machine_fit_and_says_so_as_json() -> None:
    done = runner.invoke(app, ["doctor", "--json"])
    answer = json.loads(done.stdout)
    assert answer["ok"] is (done.exit_code == 0)
    assert {"Python", "codecs", "OCR weights", "Ray", "Prefect", "GPU"} <= {item["what"] for item in answer["findings"]}


def test_doctor_fails_where_a_build_would(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    done = runner.invoke(app, ["doctor", "--folder", str(tmp_path), "--json"])
    assert done.exit_code == 1
    (finding,) = [item for item in json.loads(done.stdout)["findings"] if item["what"] == "write access"]
    assert finding["state"] == "missing"
    assert finding["remedy"]


def test_verify_names_the_row_and_the_place_of_what_does_not_hold(gallery_corpus: Path) -> None:
    """The rows made by hand carry verdicts that were made up: verify recomputes and says so."""
    done = runner.invoke(app, ["verify", str(gallery_corpus), "--json"])
    assert done.exit_code == 1
    answer = json.loads(done.stdout)
    assert answer["rows"] == 6
    assert all(failure["row"] and failure["why"] for failure in answer["failures"])
    assert any("plugin_task" in failure["why"] for failure in answer["failures"])


def test_verify_sees_a_damaged_and_a_missing_file(
    tmp_path: Path, make_corpus: Callable[[Path, Sequence[Triplet]], Corpus], every_row: list[Triplet]
) -> None:
    make_corpus(tmp_path / "c", every_row)
    first, second = sorted((tmp_path / "c" / "data").glob("*.parquet"))
    first.write_bytes(first.read_bytes()[:-20])
    second.unlink()
    done = runner.invoke(app, ["verify", str(tmp_path / "c"), "--json"])
    assert done.exit_code == 1
    failures = json.loads(done.stdout)["failures"]
    for path in (first, second):
        assert any(path.name in failure["where"] for failure in failures)
    assert any("promises 6 rows, 0 could be read" in failure["why"] for failure in failures)


def test_tables_in_a_pipe_are_plain_lines_and_escape_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    from dataclaw.text import print_table

    print_table(["input", "why"], [["a\nb\x1b[31m", "[red]cut off[/red]"]])
    assert capsys.readouterr().out == "input\twhy\na\\nb\\x1b[31m\t[red]cut off[/red]\n"


def test_ray_lines_are_dropped_while_a_flow_runs_and_all_else_on_stderr_goes_through() -> None:
    code = """
import os, sys
from dataclaw.progress import stage_lines
with stage_lines():
    os.write(2, b"[2026-01-02 03:04:05,678 E 1 1] core_worker.cc:2465: Actor with class name\\n")
    os.write(2, b"[2026-01-02 03:04:05,678 C 1 1] core_worker.cc:99: a fatal error\\n")
    print("of Python", file=sys.stderr)
    os.write(2, b"of a native library, without an end")
os.write(2, b"\\nafterwards\\n")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert "2465" not in done.stderr
    for words in ("a fatal error", "of Python", "of a native library, without an end\nafterwards\n"):
        assert words in done.stderr
    assert "\0" not in done.stderr


@pytest.mark.parametrize("arguments", [["plan", "--intent", "Make a tutorial", "--show-schema"], ["--help"]])
def test_a_reader_that_has_enough_ends_a_command_quietly(arguments: list[str]) -> None:
    command = subprocess.Popen(
        [sys.executable, "-m", "dataclaw", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert command.stdout is not None
    command.stdout.close()
    assert command.communicate(timeout=60)[1] == b""


def run_report(**rest: Any) -> RunReport:
    now = datetime.now(UTC)
    return RunReport.model_validate(
        {
            "run": "r",
            "name": "mine",
            "corpus": "c",
            "recipe_hash": "h",
            "state": "completed",
            "started": now,
            "ended": now,
        }
        | rest
    )


def test_a_run_with_nothing_new_says_that_nothing_was_looked_at(capsys: pytest.CaptureFixture[str]) -> None:
    clip = InputOutcome(uri="a", sha256="1", outcome=Outcome.DONE)
    show_report(run_report(inputs=(clip,), units_known=1))
    told = capsys.readouterr().out
    assert "segments\tnone had to be looked at\n" in told
    assert "remarks" not in told
    assert "streams" not in told


@pytest.mark.parametrize(
    ("ends", "first", "gave"),
    [
        ((Outcome.DONE, Outcome.FILTERED), "mine: completed; some wishes could not be met (dataclaw rejects)", True),
        ((Outcome.FILTERED,), "mine: nothing was made; some wishes could not be met (dataclaw rejects)", False),
        ((Outcome.FAILED,), "mine: nothing was made; some inputs failed (unreadable ones: dataclaw quarantine)", False),
    ],
)
def test_a_build_of_which_nothing_came_is_not_called_complete(
    capsys: pytest.CaptureFixture[str], ends: tuple[Outcome, ...], first: str, gave: bool
) -> None:
    inputs = tuple(InputOutcome(uri=end, sha256=None, outcome=end) for end in ends)
    report = run_report(state=RunState.COMPLETED_WITH_REJECTS, inputs=inputs)
    assert report.usable is gave, "what the exit code says"
    show_report(report)
    told = capsys.readouterr().out
    assert first in told.splitlines()
    assert ("Next:" in told) is gave


def test_an_intent_with_several_readings_is_told_of(capsys: pytest.CaptureFixture[str]) -> None:
    show_report(run_report(ambiguous={"Something useful, isn't it": ("tutorial", "video_qa")}))
    told = capsys.readouterr().out
    assert "1 intent read in several ways and taken for tutorial, video_qa:" in told
    command = next(line for line in told.splitlines() if "dataclaw plan" in line).partition(" shows")[0]
    assert shlex.split(command) == ["dataclaw", "plan", "--intent", "Something useful, isn't it"]


def test_the_numbers_of_runs_have_words(tmp_path: Path) -> None:
    corpus = Corpus.open(tmp_path / "corpus", create=True)
    inputs = (InputOutcome(uri="a", sha256=None, outcome=Outcome.FILTERED),)
    with Catalog.open(corpus.catalog_url(), corpus) as catalog:
        catalog.begin_run("r", "mine", "h", "{}")
        catalog.end_run("r", RunState.COMPLETED_WITH_REJECTS, run_report(inputs=inputs))
    header, line = runner.invoke(app, ["runs", str(tmp_path / "corpus")]).stdout.splitlines()
    assert dict(zip(header.split("\t"), line.split("\t"), strict=False))["inputs"] == "0 done, 1 filtered, 0 failed"

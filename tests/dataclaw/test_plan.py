"""`dataclaw plan` says at a glance what an intent is taken to mean, and never builds a guess on nonsense."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dataclaw.main import app
from tests.models.faulty_server import FaultyServer, ok, status

runner = CliRunner()


def plan(*arguments: str):
    return runner.invoke(app, ["plan", *arguments])


def test_a_table_tells_the_readings_and_only_the_built_ones_are_told_in_full():
    done = plan("--intent", "A tutorial, at least 5 questions about it are welcome too", "--domain", "daily_life")
    assert done.exit_code == 0, done.output
    rows = [line.split("\t") for line in done.stdout.splitlines() if line[:1].isdigit() and "\t" in line]
    assert [row[0] for row in rows] == [str(number) for number in range(1, len(rows) + 1)]
    built = {row[1] for row in rows if row[3] == "built"}
    assert "tutorial" in built
    for row in rows:
        assert (f"\n{row[1]}: " in done.stdout) == (row[1] in built)


def test_constraints_stand_in_the_table_and_in_the_instruction():
    done = plan("--intent", "at least 5 questions, no multiple choice, answers in German", "--domain", "daily_life")
    first = next(line for line in done.stdout.splitlines() if line.startswith("1\t"))
    assert first.endswith("at least 5 questions; written in de; open answers")
    assert "Keep to this: at least 5 questions" in done.stdout


def test_what_was_understood_but_is_not_checked_is_told():
    done = plan("--intent", "A tutorial, at least 12 bananas", "--domain", "daily_life")
    assert "at least 12 bananas cannot be counted in tutorial" in done.stdout


def test_json_has_the_specs_with_their_schemas_and_what_is_built():
    done = plan("--intent", "make something useful", "--domain", "gui", "--json")
    specs = json.loads(done.stdout)
    assert [spec["built"] for spec in specs] == [True] + [False] * (len(specs) - 1)
    assert all(spec["output_schema"]["type"] == "object" for spec in specs)


def test_schemas_are_shown_when_asked_for():
    assert '"properties"' in plan("--intent", "Write a tutorial", "--show-schema").stdout
    assert '"properties"' not in plan("--intent", "Write a tutorial").stdout


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("asdf qwer", "was not understood"),
        ("Mach mir bitte ein Tutorial aus dieser Aufnahme", "German"),
        ("a tutorial, no tutorial", "asked for and refused"),
        ("at least 10 questions and at most 5 questions", "exclude each other"),
    ],
)
def test_what_cannot_be_built_is_an_error_that_says_why(text, words):
    done = plan("--intent", text)
    assert done.exit_code == 1
    assert done.stdout == ""
    assert words in done.stderr


def test_a_schema_of_ones_own_is_the_form_and_says_what_it_cannot_prove(tmp_path: Path):
    form = tmp_path / "form.json"
    form.write_text(
        '{"type": "object", "properties": {"lines": {"type": "array", "items": {"type": "object", "properties":'
        ' {"text": {"type": "string"}, "happy": {"type": "boolean"}}}}}}'
    )
    done = plan("--intent", "At most 3 lines", "--schema", str(form), "--json")
    (spec,) = json.loads(done.stdout)
    assert spec["task_type"] == "own_schema"
    assert spec["constraints"]["counts"] == [{"noun": "lines", "least": None, "most": 3}]
    assert any("/lines/*/happy" in reason for reason in spec["because"])


def test_what_rules_cannot_keep_is_said_before_a_build():
    done = plan("--intent", "A tutorial, written in German", "--domain", "education")
    assert "the rules backend writes en only: a build by rules rejects it" in done.stdout
    assert "rejects it" not in plan("--intent", "A tutorial", "--domain", "education").stdout


def test_a_required_field_that_nothing_gives_is_said_before_a_build(tmp_path: Path):
    form = tmp_path / "form.json"
    mood = '{"type": "object", "properties": {"mood": {"enum": ["calm", "tense"]}}, "required": ["mood"]}'
    form.write_text(mood)
    asked = ("--intent", "The mood", "--schema", str(form))
    assert "gives the required field /mood: a build by rules rejects it" in plan(*asked).stdout
    assert "rejects it" not in plan(*asked, "--backend", "vllm", "--model", "m").stdout


def test_the_server_reads_the_intent_as_in_a_build():
    reading = {"task_type": "video_qa", "confidence": 0.9, "because": ["Fragen"], "joins_streams": False}
    answer = json.dumps({"readings": [reading], "constraints": {"counts": [], "language": "de"}})
    with FaultyServer([ok(answer)], then=status(400)) as server:
        served = ("--backend", "openai", "--model", "m", "--base-url", server.base_url)
        done = plan("--intent", "Mach mir Fragen dazu.", *served)
        assert done.exit_code == 0, done.output
        assert "video_qa\t0.90\tbuilt\tFragen" in done.stdout
        assert "rejects it" not in done.stdout
        failed = plan("--intent", "Make a tutorial.", *served)
    assert "did not resolve 'Make a tutorial.'" in failed.stderr
    assert "tutorial\t" in failed.stdout


def test_a_model_without_its_backend_is_bad_usage():
    done = plan("--intent", "Make a tutorial.", "--base-url", "http://localhost:1/v1", "--model", "m")
    assert done.exit_code == 2
    assert "takes no model" in done.stderr

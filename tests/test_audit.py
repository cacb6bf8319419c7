"""The audit of pinned packages: what its answers mean, and what it says without one. No database is asked here."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import audit

KNOWN = {
    "dependencies": [
        {"name": "good", "version": "1.0", "vulns": []},
        {
            "name": "bad",
            "version": "2.0",
            "vulns": [{"id": "PYSEC-1", "aliases": ["CVE-2030-1"], "fix_versions": ["2.1"], "description": "d"}],
        },
        {"name": "skipped", "skip_reason": "not found"},
    ],
    "fixes": [],
}


@pytest.fixture
def pins(tmp_path: Path) -> Path:
    path = tmp_path / "constraints.txt"
    path.write_text("# pins\ngood==1.0\nbad[extra]==2.0+cpu  # why\n\n")
    return path


def answering(folder: Path, monkeypatch: pytest.MonkeyPatch, answer: Any, words: str = "", code: int = 0) -> Path:
    """Puts a pip-audit on the path that gives this answer, and notes what it was asked."""
    asked = folder / "asked"
    programs = folder / "bin"
    programs.mkdir()
    program = programs / "pip-audit"
    program.write_text(
        f"#!{sys.executable}\nimport sys\n"
        f"open({str(asked)!r}, 'w').write(' '.join(sys.argv) + chr(10) + open(sys.argv[2]).read())\n"
        f"sys.stdout.write({json.dumps(answer) if answer is not None else ''!r})\n"
        f"sys.stderr.write({words!r})\nsys.exit({code})\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    return asked


def test_a_known_weakness_fails(
    tmp_path: Path, pins: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = answering(tmp_path, monkeypatch, KNOWN, code=1)
    assert audit.main([str(pins)]) == 1
    assert "bad 2.0: PYSEC-1 (CVE-2030-1), mended in 2.1" in capsys.readouterr().out
    command, *packages = asked.read_text().splitlines()
    assert packages == ["good==1.0", "bad==2.0"]
    assert "--vulnerability-service osv" in command


@pytest.mark.parametrize("name", ["PYSEC-1", "CVE-2030-1"])
def test_one_that_was_accepted_does_not(tmp_path: Path, pins: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    answering(tmp_path, monkeypatch, KNOWN, code=1)
    monkeypatch.setitem(audit.ACCEPTED, name, "not reached")
    assert audit.main([str(pins)]) == 0


def test_an_acceptance_that_outlived_its_weakness_fails(
    tmp_path: Path, pins: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(tmp_path, monkeypatch, {"dependencies": KNOWN["dependencies"][:1]})
    assert audit.main([str(pins)]) == 0
    monkeypatch.setitem(audit.ACCEPTED, "CVE-2030-2", "not reached")
    assert audit.main([str(pins)]) == 1


def test_without_an_answer_it_says_so_and_fails_only_when_asked_to(
    tmp_path: Path, pins: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answering(tmp_path, monkeypatch, None, "ERROR: could not connect to the service\n", code=1)
    assert audit.main([str(pins)]) == 0
    assert "Not audited: ERROR: could not connect" in capsys.readouterr().err
    assert audit.main([str(pins), "--strict"]) == 3


def test_without_pip_audit_it_says_so(
    tmp_path: Path, pins: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert audit.main([str(pins), "--strict"]) == 3
    assert "pip install pip-audit" in capsys.readouterr().err


def test_every_pin_of_this_repository_is_asked_for() -> None:
    for name in audit.PINS:
        text = (audit.ROOT / name).read_text(encoding="utf-8")
        lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
        assert len(list(audit.pinned(text))) == len(lines)

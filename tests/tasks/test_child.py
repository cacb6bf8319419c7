"""Commands in processes of their own: what they print, how they end, and who may work in a folder."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from prefect.logging import disable_run_logger

from schemas.errors import DataClawError
from tasks.child import run_command


@pytest.fixture(autouse=True)
def _outside_of_flows() -> object:
    with disable_run_logger():
        yield


def test_what_a_command_prints_is_a_file_and_an_error_is_its_own(tmp_path: Path) -> None:
    run_command(["doctor", "--help"], tmp_path, "help")
    assert "doctor" in (tmp_path / "help").read_text()
    with pytest.raises(DataClawError, match=r"dataclaw train sft.*training\.yaml") as error:
        run_command(["train", "sft", "training.yaml", "corpus", "--out", str(tmp_path)], tmp_path, "result.json")
    assert "run this again" in error.value.problem.remedy
    assert not (tmp_path / "result.json").exists()


def test_a_command_that_is_killed_is_told_by_its_signal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    killed = tmp_path / "kills"
    killed.write_text(f"#!{sys.executable}\nimport os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    killed.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(killed))
    with pytest.raises(DataClawError, match="ended by SIGKILL"):
        run_command(["train", "sft"], tmp_path, "result.json")


def test_who_comes_while_a_command_lives_on_waits_for_its_end(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(tmp_path / "lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    done = threading.Event()

    def come() -> None:
        with disable_run_logger():
            run_command(["doctor", "--help"], tmp_path, "help")
        done.set()

    later = threading.Thread(target=come)
    later.start()
    assert not done.wait(1.0)
    holder.stdin.close()
    holder.wait()
    later.join(60)
    assert done.is_set()


_HOLD = """
import fcntl, sys
with open(sys.argv[1], "w") as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    print("held", flush=True)
    sys.stdin.read()
"""

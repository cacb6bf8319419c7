"""with-ray.sh: a command and its Ray node live and end together. Stand-ins for `ray` record what they were told."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "docker" / "with-ray.sh"
NODE = """#!/usr/bin/env bash
trap 'echo node ended >> "$SAID"; exit 0' TERM
echo "node $*" >> "$SAID"
echo up > "$READY"
while :; do sleep 0.05; done
"""


class Stage:
    """A folder with a stand-in for `ray`, and what was said on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said = folder / "said"
        self.ready = folder / "ready"
        os.mkfifo(self.ready)
        self.write("ray", NODE)

    def write(self, name: str, text: str) -> Path:
        file = self.folder / name
        file.write_text(text)
        file.chmod(0o755)
        return file

    def start(self, *command: str, **environment: str) -> subprocess.Popen[str]:
        place = {"PATH": f"{self.folder}:/usr/bin:/bin", "SAID": str(self.said), "READY": str(self.ready)}
        return subprocess.Popen(
            ["bash", str(SCRIPT), *command], env=place | environment, stderr=subprocess.PIPE, text=True
        )

    def lines(self) -> list[str]:
        return self.said.read_text().splitlines() if self.said.exists() else []


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def worker(stage: Stage, body: str) -> str:
    """A command that waits for the node before it does its part."""
    return str(
        stage.write("worker", f'#!/usr/bin/env bash\nread -r _ < "$READY"\necho "worker $*" >> "$SAID"\n{body}\n')
    )


def test_without_a_cluster_it_is_the_command_itself(stage: Stage) -> None:
    done = stage.start("bash", "-c", 'echo "alone $0" >> "$SAID"; exit 7', "a b")
    assert done.wait() == 7
    assert stage.lines() == ["alone a b"]


def test_a_node_without_cpus_joins_the_head_and_ends_with_the_command(stage: Stage) -> None:
    done = stage.start(worker(stage, "exit 3"), "start", "--pool", "p q", RAY_HEAD="head:6379")
    assert done.wait() == 3, "the end of the command is the end of all"
    node, command, ended = stage.lines()
    assert node == "node start --address=head:6379 --num-cpus=0 --num-gpus=0 --block"
    assert command == "worker start --pool p q"
    assert ended == "node ended"


def test_kuberays_own_command_makes_the_node(stage: Stage) -> None:
    start = "ray start --address=head-svc:6379 --labels='a=b c' --block"
    done = stage.start(worker(stage, ""), KUBERAY_GEN_RAY_START_CMD=start, RAY_HEAD="other:1")
    assert done.wait() == 0
    assert stage.lines()[0] == "node start --address=head-svc:6379 --labels=a=b c --block"


def test_told_to_stop_the_command_ends_first_and_then_its_node(stage: Stage) -> None:
    body = "trap 'echo worker ended >> \"$SAID\"; exit 0' TERM\nkill -TERM $PPID\nwhile :; do sleep 0.05; done"
    done = stage.start(worker(stage, body), RAY_HEAD="head:6379")
    assert done.wait() == 0
    assert stage.lines()[-2:] == ["worker ended", "node ended"]


@pytest.mark.parametrize(("code", "seen"), [(5, 5), (0, 1)])
def test_when_the_node_ends_the_command_is_ended_and_it_is_a_failure(stage: Stage, code: int, seen: int) -> None:
    stage.write("ray", f'#!/usr/bin/env bash\necho up > "$READY"\nread -r _ < "$READY"\nexit {code}\n')
    body = 'trap \'echo worker ended >> "$SAID"; exit 0\' TERM\necho go > "$READY"\nwhile :; do sleep 0.05; done'
    done = stage.start(worker(stage, body), RAY_HEAD="head:6379")
    assert done.wait() == seen
    assert done.stderr is not None
    assert f"the Ray node ended (exit code {code})" in done.stderr.read()
    assert stage.lines()[-1] == "worker ended"


def test_without_a_command_it_says_what_to_do(stage: Stage) -> None:
    done = stage.start(RAY_HEAD="head:6379")
    assert done.wait() == 2
    assert done.stderr is not None
    assert "with-ray.sh prefect worker start" in done.stderr.read()


def test_an_interrupt_from_a_terminal_ends_both(stage: Stage) -> None:
    body = "trap 'echo worker ended >> \"$SAID\"; exit 130' TERM\nkill -INT $PPID\nwhile :; do sleep 0.05; done"
    done = stage.start(worker(stage, body), RAY_HEAD="head:6379")
    assert done.wait() == 128 + signal.SIGINT
    assert stage.lines()[-2:] == ["worker ended", "node ended"]


def test_a_command_can_be_interrupted_as_prefects_worker_interrupts_itself(stage: Stage) -> None:
    body = "exec python3 -c 'import os, signal; os.kill(os.getpid(), signal.SIGINT); signal.pause()'"
    done = stage.start(worker(stage, body), RAY_HEAD="head:6379", PATH=f"{stage.folder}:{os.environ['PATH']}")
    assert done.wait() != 0
    assert stage.lines()[-1] == "node ended"

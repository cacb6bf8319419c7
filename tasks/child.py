"""Work that loads models, in a process of its own: what it took of a GPU comes back, and how it ends is told."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from prefect import get_run_logger

from schemas.errors import DataClawError

_SAID = "dataclaw: "
"""Before the line with which a command tells why it failed."""
_PATIENCE = 30.0
"""Seconds that a command has to end once it is told to."""
_AGAIN = "Mend it and run this again: what is done is kept"


def run_command(arguments: Sequence[str], folder: Path, result: str) -> None:
    """Runs a `dataclaw` command as a person would, its progress going to the log of this run.

    One at a time works in a folder. A command whose run was killed lives on: whoever comes next waits until it has
    ended, and finds what it did.

    Args:
        arguments: of the command.
        folder: that it works in.
        result: name of the file in it for what the command prints; it is there whole or not at all.

    Raises:
        DataClawError: it failed, or its process was ended.
    """
    part = folder / f"{result}.part"
    with _alone(folder) as lock, part.open("wb") as printed:
        child = subprocess.Popen(
            [sys.executable, "-m", "dataclaw", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=subprocess.PIPE,
            text=True,
            errors="backslashreplace",
            pass_fds=[lock],
        )
        try:
            last = _relay(child)
            code = child.wait()
        except BaseException:  # also when this run is cancelled
            _end(child)
            raise
    if code:
        raise _failure(arguments, code, last)
    os.replace(part, folder / result)


def _relay(child: subprocess.Popen[str]) -> list[str]:
    """Passes on what a command says, and gives its last lines."""
    log, last = get_run_logger(), deque[str](maxlen=20)
    assert child.stderr is not None
    for line in child.stderr:
        if said := line.strip():
            last.append(said)
            log.info("%s", said)
    return list(last)


def _failure(arguments: Sequence[str], code: int, last: Sequence[str]) -> DataClawError:
    command = " ".join(("dataclaw", *arguments[:2]))
    if code < 0:
        cause = f"its process was ended by {signal.Signals(-code).name}"
        return DataClawError(command, cause, f"{_AGAIN}. A kernel that is short of memory does so: `dmesg` tells")
    told = [line.removeprefix(_SAID) for line in last if line.startswith(_SAID)]
    return DataClawError(command, (told or list(last) or [f"it ended with {code}"])[-1], _AGAIN)


def _end(child: subprocess.Popen[str]) -> None:
    child.terminate()
    try:
        child.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


@contextmanager
def _alone(folder: Path) -> Iterator[int]:
    """Holds the lock of a folder, and gives its descriptor: a child that has it too holds the lock to its own end."""
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            get_run_logger().info("another process is at work in %s: this run waits for its end", folder)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()

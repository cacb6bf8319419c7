"""Trainings in processes of their own: what kills, starves or ends them is real, and leaves the tests alone.

A server process imports torch and TRL once; each run is a fork of it.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from schemas.errors import DataClawError
from schemas.training import Training
from training.examples import Example

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.training.preloaded"])
LIMIT = 240
"""Seconds after which a run that hangs is given up."""


@dataclass(frozen=True)
class Ended:
    """How a run ended: by itself with a result or an error, or by a signal (a negative code)."""

    code: int | None
    result: Any = None
    error: DataClawError | None = None


def train(
    stage: str,
    training: Training,
    rows: Sequence[Example],
    out: Path,
    die_at: int | None = None,
    spare: int | None = None,
) -> Ended:
    """Trains in a process of its own. `die_at`: it kills itself when this step was logged. `spare`: bytes of memory
    beyond what the process has when it begins."""
    receiving, sending = _CONTEXT.Pipe(duplex=False)
    process = _CONTEXT.Process(target=_run, args=(sending, stage, training, rows, out, die_at, spare))
    process.start()
    sending.close()
    try:
        result, error = receiving.recv() if receiving.poll(LIMIT) else (None, None)
    except EOFError:
        result, error = None, None
    process.join(LIMIT)
    if process.exitcode is None:
        process.kill()
        process.join()
    return Ended(process.exitcode, result, error)


def _run(
    sending: Connection,
    stage: str,
    training: Training,
    rows: Sequence[Example],
    out: Path,
    die_at: int | None,
    spare: int | None,
) -> None:
    import torch

    from training.grpo import train_grpo
    from training.sft import train_sft

    torch.set_num_threads(1)

    def tell(step: int, steps: int, figures: Mapping[str, float]) -> None:
        if step == die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    if spare is not None:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + spare, resource.RLIM_INFINITY))
    try:
        sending.send(((train_sft if stage == "sft" else train_grpo)(training, rows, out, tell), None))
    except DataClawError as error:
        sending.send((None, error))

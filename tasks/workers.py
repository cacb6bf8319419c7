"""What a worker on any node gets from its driver, and how what it says comes into the log of the flow run.

A stage logs as any Python code does and knows nothing of this. Its worker sends what our packages and plugins log at
INFO and above to an actor beside the driver, where a thread hands it to the log of the run. Both ends let through a
bounded number of lines; all of them, with their tracebacks, stand in the log of the worker itself, in the session of
Ray on its node.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any, TypeVar

import ray
from ray.actor import ActorHandle
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from schemas.redaction import redacted
from tasks.words import count

Stage = TypeVar("Stage")
Log = logging.Logger | logging.LoggerAdapter[logging.Logger]

PACKAGES = ("schemas", "storage", "sources", "experts", "synthesis")
"""What runs in workers, and is heard when it logs."""
_GROUPS = ("dataclaw.experts", "dataclaw.sources", "dataclaw.tasks", "dataclaw.backends")
_SETTINGS = re.compile(
    r"DATACLAW_(?!SECRET_)\w+"
    r"|AWS_((DEFAULT_)?REGION|ENDPOINT_URL\w*|MAX_ATTEMPTS|RETRY_MODE|ACCESS_KEY_ID|SECRET_ACCESS_KEY|SESSION_TOKEN)"
    r"|(HF_HUB|TRANSFORMERS)_OFFLINE|HF_ENDPOINT"
)
"""Variables of the driver that a worker needs as well. Folders of one machine (caches, profiles) are not among them."""
_OWN_ACCOUNT = ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_ROLE_ARN", "AWS_CONTAINER_CREDENTIALS_FULL_URI")
"""A node that has one of these is at the store under a name of its own, and gets no key of ours."""
_OF_WORKER = (20, 1.0)
"""Lines that a worker may send at once, and each second in the long run..."""
_OF_RUN = (200, 10.0)
"""...and those that the log of a run takes from all of them."""
_LAST_WORDS = 5.0
"""Seconds that the end of a run waits for what workers said last."""


@dataclass(frozen=True)
class Worker:
    """A process that carries out a stage. `actor` stays the same when Ray starts it again in another process."""

    stage: str
    pid: int
    node: str
    actor: str


@dataclass(frozen=True)
class Report:
    """A line of a worker's log. Without words: the worker is there."""

    worker: Worker
    level: int = logging.INFO
    words: str = ""
    left_out: int = 0
    """Lines before it that were too many to send."""


class Trickle:
    """Lets some things through at once, and so many a second in the long run. It counts the others."""

    def __init__(self, at_once: int, a_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._rate, self._clock = at_once, a_second, clock
        self._left, self._then = float(at_once), clock()
        self.held_back = 0

    def lets_through(self) -> bool:
        now = self._clock()
        self._left, self._then = min(self._most, self._left + (now - self._then) * self._rate), now
        if self._left < 1:
            self.held_back += 1
            return False
        self._left -= 1
        return True

    def take_held_back(self) -> int:
        """How many were held back since this was asked."""
        taken, self.held_back = self.held_back, 0
        return taken


def settings_of(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables of a driver that its workers need, credentials of the store among them."""
    return {name: value for name, value in environment.items() if _SETTINGS.fullmatch(name)}


@dataclass(frozen=True)
class Setup:
    """What a driver gives its workers. Travels as an argument, which Ray logs and shows nowhere."""

    settings: Mapping[str, str] = field(default_factory=dict, repr=False)
    reports: ActorHandle[Any] | None = None

    def install(self) -> None:
        """In a worker: puts settings where they are looked for. What its node has set stays."""
        own_account = any(os.environ.get(name) for name in _OWN_ACCOUNT)
        for name, value in self.settings.items():
            if not (own_account and name.startswith("AWS_") and name.endswith(("KEY", "KEY_ID", "TOKEN"))):
                os.environ.setdefault(name, value)

    def of(self, stage: type[Stage], unbound: bool = False) -> type[Stage]:
        """The stage, as a class whose worker is set up before the stage itself is made. Ray has a worker compute in as
        many threads as CPUs are set aside for it, at least one: not so an `unbound` one."""
        setup = self

        class SetUp(stage):  # type: ignore[misc, valid-type]
            def __init__(self, *args: Any, **kwargs: Any) -> None:
                setup.install()
                if unbound:
                    os.environ.pop("OMP_NUM_THREADS", None)
                if setup.reports is not None:
                    _report(stage.__name__, setup.reports)
                super().__init__(*args, **kwargs)

        SetUp.__name__ = SetUp.__qualname__ = stage.__name__  # Ray names its operators and processes after it
        return SetUp


def _report(stage: str, reports: ActorHandle[Any]) -> None:
    """In a worker: tells that it is there, and from now on what our packages log."""
    here = ray.get_runtime_context()
    worker = Worker(stage, os.getpid(), here.get_node_id(), here.get_actor_id() or "")
    reports.tell.remote(Report(worker))
    own = logging.StreamHandler(sys.stderr)
    own.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    sending = _Sending(worker, reports)
    for name in (*PACKAGES, *_plugins()):
        logger = logging.getLogger(name)
        logger.setLevel(logging.INFO)
        logger.propagate = False
        logger.handlers = [own, sending]


def _plugins() -> set[str]:
    """The packages of others that extend ours."""
    points = [point for group in _GROUPS for point in entry_points(group=group)]
    return {point.module.partition(".")[0] for point in points}


class _Sending(logging.Handler):
    """Sends records to the driver, at a bounded rate."""

    def __init__(self, worker: Worker, reports: ActorHandle[Any]) -> None:
        super().__init__(logging.INFO)
        self._worker, self._reports = worker, reports
        self._trickle = Trickle(*_OF_WORKER)

    def emit(self, record: logging.LogRecord) -> None:
        if not self._trickle.lets_through():
            return
        try:
            words = f"{record.name}: {record.getMessage()}{_raised(record)}"
            self._reports.tell.remote(Report(self._worker, record.levelno, words, self._trickle.take_held_back()))
        except Exception:
            self.handleError(record)


def _raised(record: logging.LogRecord) -> str:
    """The exception of a record in a line, with the place that raised it."""
    if not record.exc_info or record.exc_info[1] is None:
        return ""
    error, trace = record.exc_info[1:]
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f" ({trace.tb_frame.f_code.co_filename}:{trace.tb_lineno})" if trace is not None else ""
    return f": {type(error).__name__}: {error}{place}"


class _Reports:
    """An actor that keeps what workers say until the driver takes it."""

    def __init__(self) -> None:
        self._kept: list[Report] = []
        self._more = asyncio.Event()

    async def tell(self, report: Report) -> None:
        self._kept.append(report)
        self._more.set()

    async def take(self, seconds: float) -> list[Report]:
        """What was said since the last time; waits so long for something."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._more.wait(), seconds)
        self._more.clear()
        taken, self._kept = self._kept, []
        return taken


@contextmanager
def listening(log: Log, node_names: Callable[[], Mapping[str, str]]) -> Iterator[ActorHandle[Any]]:
    """While it is open, what workers report stands in a log. Yields the actor that they report to.

    Args:
        node_names: asks for the names of nodes by their ids; an empty one is left out.
    """
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    reports: ActorHandle[Any] = ray.remote(_Reports).options(num_cpus=0, scheduling_strategy=here).remote()  # type: ignore[assignment]
    ear, over = Ear(log, node_names), threading.Event()

    def listen() -> None:
        with suppress(RayError):  # without its node there is nobody to listen to; the run says what became of that
            while not over.is_set():
                ear.hear(ray.get(reports.take.remote(1.0)))

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    try:
        yield reports
    finally:
        over.set()
        thread.join(_LAST_WORDS)
        with suppress(RayError):
            ear.hear(ray.get(reports.take.remote(0.0), timeout=_LAST_WORDS))


class Ear:
    """Hands the reports of workers to a log, at a bounded rate, and notices when one takes the place of another."""

    def __init__(self, log: Log, node_names: Callable[[], Mapping[str, str]], trickle: Trickle | None = None) -> None:
        self._log, self._node_names = log, node_names
        self._names: Mapping[str, str] = {}
        self._processes: dict[str, Worker] = {}
        self._trickle = trickle or Trickle(*_OF_RUN)

    def hear(self, reports: list[Report]) -> None:
        for report in reports:
            worker = report.worker
            before = self._processes.get(worker.actor)
            self._processes[worker.actor] = worker
            if before is not None and before != worker:
                self._log.warning("worker %s died; %s is in its place", self._name(before), self._name(worker))
            if report.words:
                self._say(report)

    def _say(self, report: Report) -> None:
        if not self._trickle.lets_through():
            self._trickle.held_back += report.left_out
            return
        missing = report.left_out + self._trickle.take_held_back()
        before = f" (after {count(missing, 'line')} that stand in the logs of Ray alone)" if missing else ""
        self._log.log(report.level, "%s: %s%s", self._name(report.worker), redacted(report.words), before)

    def _name(self, worker: Worker) -> str:
        if worker.node not in self._names:
            self._names = {worker.node: "", **self._node_names()}
        node = self._names[worker.node]
        return f"{worker.stage} {worker.pid}" + (f" on {node}" if node else "")

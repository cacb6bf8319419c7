"""What a person sees while a flow runs: its own log lines, one line each on stderr, and nothing of the machinery."""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr, suppress
from typing import Any

_LOGGERS = ("prefect.flow_runs", "prefect.task_runs")
_CHATTER = ("ray.data._internal.progress", "ray._private.authentication.authentication_token_setup")
"""Loggers that warn of settings which are meant to be as they are."""
_RAY_LINE = re.compile(rb"\[[-\d]+ [:,\d]+ [IWE] \d+ \d+\] \S+\.cc:\d+: ")
"""How a line begins that Ray's native code logs. One of a fatal error has another letter."""
_END = b"\0\n"


def set_up_environment() -> None:
    """Settings that Prefect and Ray read when they are imported. What the user has set stays."""
    for name, value in {
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_LOGGING_LEVEL": "WARNING",
        "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
        "PREFECT_CLI_PROMPT": "false",
        "DO_NOT_TRACK": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    }.items():
        os.environ.setdefault(name, value)


@contextmanager
def stage_lines() -> Iterator[None]:
    """While it is open, log lines of flows and tasks appear as `seconds  stage  words`; Prefect's own do not.

    On a terminal a line that only updates the one before (progress of the same stage) replaces it.
    """
    with _without_ray_lines(), _log_lines():
        yield


@contextmanager
def _log_lines() -> Iterator[None]:
    import prefect.main  # sets the levels of loggers when it is imported, so it must come before ours are set

    own = _StageLines()
    machinery = os.path.dirname(prefect.__file__) + os.sep

    def wanted(record: logging.LogRecord) -> bool:
        # What the engine says of a failure (twice, with its own words) the command says once, at its end.
        return not record.pathname.startswith(machinery)

    own.addFilter(wanted)
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    before = [logger.propagate for logger in loggers]
    for logger in loggers:
        logger.addHandler(own)
        logger.setLevel(logging.INFO)
        logger.propagate = False
    for name in _CHATTER:
        logging.getLogger(name).setLevel(logging.ERROR)
    own.say("start", "Prefect and its server")
    try:
        with own.ticking():
            yield
    finally:
        own.close_line()
        for logger, propagate in zip(loggers, before, strict=True):
            logger.removeHandler(own)
            logger.propagate = propagate


@contextmanager
def _without_ray_lines() -> Iterator[None]:
    """While it is open, what Ray's native code logs to descriptor 2 of this process is dropped; all else goes through.

    Nothing is lost: Ray writes the same lines to the logs of its session. No setting of Ray's keeps it from doing both
    (with RAY_BACKEND_LOG_LEVEL it says that it has read it). Python's own lines keep the terminal.
    """
    if not _is_descriptor_2(sys.stderr):
        yield
        return
    sys.stderr.flush()
    ours = os.dup(2)
    receiving, sending = os.pipe()
    os.dup2(sending, 2)
    os.close(sending)
    reader = threading.Thread(target=_pass_on, args=(receiving, ours), daemon=True)
    reader.start()
    try:
        with open(ours, "w", buffering=1, errors=sys.stderr.errors, closefd=False) as kept, redirect_stderr(kept):
            yield
    finally:
        sys.stderr.flush()
        # The end is a word of our own: a child that still holds the pipe must not keep us waiting for its close.
        os.write(2, _END)
        reader.join()
        os.dup2(ours, 2)
        os.close(ours)


def _is_descriptor_2(stream: Any) -> bool:
    try:
        return bool(stream.fileno() == 2)
    except (OSError, ValueError):
        return False  # no file at all, as in tests


def _pass_on(source: int, target: int) -> None:
    with open(source, "rb") as lines:
        for line in lines:
            if not _RAY_LINE.match(line):
                with suppress(BrokenPipeError):  # nobody reads any more; the writers still must not be kept waiting
                    os.write(target, line.removesuffix(_END))
            if line.endswith(_END):
                return


class _StageLines(logging.Handler):
    """Writes records as lines; the last one of a stage stays on a terminal."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self._start = time.monotonic()
        self._stage: str | None = None
        self._words = ""
        self._live = sys.stderr.isatty()

    def emit(self, record: logging.LogRecord) -> None:
        stage = getattr(record, "task_name", None) or getattr(record, "flow_name", None) or ""
        try:
            self.say(str(stage), record.getMessage(), keep=record.levelno >= logging.WARNING)
        except Exception:
            self.handleError(record)

    def say(self, stage: str, words: str, keep: bool = False) -> None:
        """Writes a line; one to `keep` is not replaced by the next."""
        with self.lock or nullcontext():
            if not self._live:
                sys.stderr.write(self._line(stage, words) + "\n")
            elif keep:
                self.close_line()
                sys.stderr.write(self._line(stage, words) + "\n")
            else:
                if stage != self._stage:
                    self.close_line()
                self._stage, self._words = stage, words
                sys.stderr.write("\r\x1b[2K" + _cut(self._line(stage, words)))
            sys.stderr.flush()

    @contextmanager
    def ticking(self) -> Iterator[None]:
        """On a terminal, the seconds of the last line go on: a long stage is seen to be alive."""
        if not self._live:
            yield
            return
        ended = threading.Event()

        def tick() -> None:
            while not ended.wait(1.0):
                if self._stage is not None:
                    self.say(self._stage, self._words)

        thread = threading.Thread(target=tick, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def close_line(self) -> None:
        """Ends a line that might still have been replaced."""
        if self._live and self._stage is not None:
            sys.stderr.write("\n")
            self._stage = None

    def _line(self, stage: str, words: str) -> str:
        from dataclaw.text import plain

        return f"{time.monotonic() - self._start:6.1f} s  {plain(stage):<10}  {plain(words)}"


def _cut(line: str) -> str:
    """A line that the terminal does not wrap, since a wrapped line cannot be replaced."""
    import shutil

    width = shutil.get_terminal_size().columns - 1
    return line if len(line) <= width else line[: max(1, width - 1)] + "…"


@contextmanager
def counting(total: int, what: str, every: float | None = None) -> Iterator[Any]:
    """A progress bar on a terminal. In a pipe silent, or with `every` a line at first and whenever so many seconds have
    gone by. Yields a callable that takes the number done since."""
    if not sys.stderr.isatty():
        yield _lines(total, what, every) if every is not None else lambda done: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda done: progress.advance(task, done)


def _lines(total: int, what: str, every: float) -> Callable[[int], None]:
    through, told = 0, -every

    def advance(done: int) -> None:
        nonlocal through, told
        through += done
        if time.monotonic() - told >= every:
            told = time.monotonic()
            sys.stderr.write(f"{through:,} of {total:,} {what}\n")
            sys.stderr.flush()

    return advance

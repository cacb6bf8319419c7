"""Nights that can be killed at any step: `python -m tests.flows.nights RECIPE` reads orders, a line for builds that are
started at once, and answers with their ends. It builds RECIPE first, so that the others find everything loaded.

A build is the flow's own body with the stages' and workers' own code, one after the other in one process: without the
engines of Prefect and Ray it takes a part of a second. Each is a fork, so that it can be killed for good.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
import sqlite3
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import pyarrow as pa
from prefect.logging import disable_run_logger
from sqlalchemy import Engine, event
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

import flows.build_corpus as flow
import tasks.report
import tasks.tailor
from experts.extract import ExtractAnchors
from experts.gather import GatherGroups
from schemas.errors import DataClawError
from schemas.outcome import RunReport
from schemas.recipe import Recipe
from schemas.rows import WORK_SCHEMA, Work
from storage.write import WriteTriplets
from synthesis.synthesise import SynthesiseGroups
from tasks.pipeline import experts_of

_STAGES = ("preflight", "discover_streams", "plan_work", "tailor", "admit", "publish_snapshot", "report_run")
_SEGMENTS_AT_ONCE = 2


class _NoCluster:
    """This process alone, in place of a Ray cluster."""

    def cpus(self) -> int:
        return 1

    def watched(self) -> nullcontext[None]:
        return nullcontext()


class Fate:
    """Ends this process, or refuses it the storage, at its n-th step. A step lies before and after each call that
    changes a file or commits to the catalog."""

    def __init__(self, steps: int, refuse: bool) -> None:
        self._left = steps
        self._refuse = refuse

    def watch(self) -> None:
        for name in ("fsync", "link", "replace", "unlink"):
            setattr(os, name, self._stepping(getattr(os, name)))
        event.listen(Engine, "commit", lambda _: self._step(_full_database))
        event.listen(Session, "after_commit", lambda _: self._step(None))

    def _stepping(self, call: Any) -> Any:
        def stepped(*arguments: Any, **named: Any) -> Any:
            self._step(_full_disk)
            done = call(*arguments, **named)
            self._step(None)
            return done

        return stepped

    def _step(self, refusal: Any) -> None:
        self._left -= 1
        if self._left == 0 and not self._refuse:
            os.kill(os.getpid(), signal.SIGKILL)
        if self._left <= 0 and self._refuse and refusal is not None:  # a full disk stays full
            raise refusal()


def _full_disk() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _full_database() -> OperationalError:
    return OperationalError("COMMIT", None, sqlite3.OperationalError("database or disk is full"))


class Chain:
    """What tasks.pipeline assembles, without Ray."""

    def __init__(self, work: Sequence[Work], recipe: Recipe, run: str, *_: Any) -> None:
        self._work = work
        self._extract = ExtractAnchors(recipe.corpus, run, experts_of(recipe, work), recipe.sampling)
        self._gather = GatherGroups(recipe.corpus, run)
        self._synthesise = SynthesiseGroups(recipe, run)
        self._write = WriteTriplets(recipe.corpus, recipe.split)

    def iter_batches(self, **_: Any) -> Iterator[pa.Table]:
        for start in range(0, len(self._work), _SEGMENTS_AT_ONCE):
            rows = Work.to_table(self._work[start : start + _SEGMENTS_AT_ONCE], WORK_SCHEMA)
            yield self._write(asyncio.run(self._synthesise(self._gather(self._extract(rows)))))


@contextmanager
def without_engines() -> Iterator[None]:
    """In this process, stages are plain functions and nobody watches."""
    for name in _STAGES:
        setattr(flow, name, getattr(flow, name).fn)
    flow.announce = lambda *_: None  # type: ignore[assignment]
    tasks.tailor.assemble = Chain  # type: ignore[assignment]
    tasks.tailor.cluster = lambda _: nullcontext(_NoCluster())  # type: ignore[assignment]
    tasks.tailor._Progress = lambda *_: nullcontext(_Unseen())  # type: ignore[assignment,misc]
    tasks.report._show = lambda *_: None  # type: ignore[assignment]
    with disable_run_logger():
        yield


def carry_out(recipe: dict[str, Any]) -> RunReport:
    """The body of the flow."""
    state = flow.build_corpus.fn(Recipe.model_validate(recipe))
    report: RunReport = state.data  # type: ignore[attr-defined]
    return report


class _Unseen:
    def ended(self, _: object) -> None:
        """Nobody is told."""


def build(order: dict[str, Any], answer: int) -> None:
    """One build, to its end whatever it is; its report goes to the pipe `answer`, or the error that ended it."""
    if order["step"]:
        Fate(order["step"], order["refuse"]).watch()
    try:
        ended: dict[str, Any] = {"report": carry_out(order["recipe"]).model_dump(mode="json")}
    except DataClawError as error:
        ended = {"error": str(error)}
    with open(answer, "w") as pipe:
        json.dump(ended, pipe)


def night(orders: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Builds that are started at once, and how each ended; of one that was killed nothing is known."""
    started = []
    for order in orders:
        reading, writing = os.pipe()
        if (process := os.fork()) == 0:
            os.close(reading)
            code = 1
            try:
                build(order, writing)
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(code)
        os.close(writing)
        started.append((process, reading))
    ends = []
    for process, reading in started:
        with open(reading) as pipe:
            said = pipe.read()
        _, status = os.waitpid(process, 0)
        ends.append({"status": status, **(json.loads(said) if said else {})})
    return ends


if __name__ == "__main__":
    with without_engines():
        carry_out(json.loads(sys.argv[1]))
        for line in sys.stdin:
            print(json.dumps(night(json.loads(line))), flush=True)

"""What a night costs before any work, when nearly everything is known: listing, finding out what is settled, planning.

Not a test: machines are noisy, so nothing here passes or fails. Files are real and empty, since known ones are never
opened; what earlier nights left of them is written straight into the catalog. New ones are small pictures, which are
hashed and probed. Every catalog is measured in a process of its own, beside the floors of the same run.

The first night's work is not done: its traces are written. The second one is planned input by input, and remembers the
folders in which all is settled, the later one passes over these.

    python tests/perf/planning.py [--streams 1000000] [--new 1000] [--flat] [sqlite postgresql]
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image
from sqlalchemy import Connection, text

from schemas.recipe import Recipe, SourceSpec
from sources.discovery import discover
from storage.catalog.catalog import Catalog
from storage.catalog.engine import WRITE, connect
from storage.catalog.models import uri_key
from storage.corpus import Corpus
from tasks.discover import _Scope, find_streams
from tasks.plan import make_plan
from tests.storage.postgresql import Server, missing

INTENT = "Make video question answer data."
FOLDER = 1000
"""Files in a folder."""


@dataclass(frozen=True)
class Task:
    """One measurement, as its process is told of it."""

    raw: str
    corpus: str
    url: str
    streams: int
    new: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=1_000_000)
    parser.add_argument("--new", type=int, default=1_000)
    parser.add_argument("--flat", action="store_true", help="all known files in one folder")
    parser.add_argument("databases", nargs="*", default=["sqlite", "postgresql"])
    chosen = parser.parse_args()
    print(f"{os.cpu_count()} CPUs; {chosen.streams:,} known and {chosen.new:,} new streams", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make_files(root / "raw" / "known", chosen.streams, chosen.streams if chosen.flat else FOLDER)
        for database in chosen.databases:
            if database == "postgresql" and (reason := missing()):
                print(f"postgresql: {reason}")
                continue
            with Server() if database == "postgresql" else nullcontext() as server:
                url = server.url if server else f"sqlite:///{root}/catalog.db"
                task = Task(f"{root}/raw", f"{root}/{database}", url, chosen.streams, chosen.new)
                print(f"\n{database}", flush=True)
                for step in (fill, measure):
                    apart(step, task)


def apart(step: Callable[[Task], None], task: Task) -> None:
    """Runs a step in a process of its own: what it holds in memory is its own."""
    process = get_context("spawn").Process(target=step, args=(task,))
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(process.exitcode)


def recipe_of(task: Task) -> Recipe:
    return Recipe(name="planning", corpus=task.corpus, sources=(SourceSpec(uri=task.raw),), intents=(INTENT,))


def fill(task: Task) -> None:
    """Makes the catalog as earlier nights would have left it, as far as planning asks for it; then the new files."""
    recipe = recipe_of(task)
    new = Path(task.raw) / "new"
    shutil.rmtree(new, ignore_errors=True)  # those of the catalog before
    corpus = Corpus.open(task.corpus, create=True)
    with Catalog.open(task.url, corpus) as catalog:
        catalog.begin_run("earlier", recipe.name, recipe.hash, "{}")
    engine = connect(task.url)
    sqlite = engine.dialect.name == "sqlite"
    scope = _Scope(recipe, recipe.sources[0])
    now = datetime.now(UTC).isoformat(sep=" ")
    with engine.execution_options(**WRITE).begin() as connection:
        if sqlite:  # keys come in no order: what does not stay in memory is read and written again for every row
            connection.exec_driver_sql("PRAGMA cache_size = -3000000")
        inputs = scope.inputs()
        while keys := [scope.key(members) for members in islice(inputs, 100_000)]:
            named = sorted((uri_key(f"unit of {key}"), key, f"slot of {key}") for key in keys)
            write(
                connection,
                "slots",
                "corpus_id, slot_key, slot, unit, run_id",
                [(corpus.id, uri_key(slot), slot, unit, "earlier") for unit, _, slot in named],
            )
            write(
                connection,
                "units",
                "corpus_id, unit, slot_key, group_key, task_type, outcome, triplet, shard, domain, reward, run_id, "
                "ended",
                [
                    (corpus.id, unit, uri_key(slot), unit[:32], "video_qa", "done", unit, *of_row(unit), "earlier", now)
                    for unit, _, slot in named
                ],
            )
            write(
                connection,
                "inputs",
                "corpus_id, unit, key, slot_key, settled",
                [(corpus.id, unit, key, uri_key(slot), True) for unit, key, slot in named],
            )
    engine.dispose()
    if not sqlite:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE units, slots, inputs"))  # as its own housekeeping does over night


def of_row(unit: str) -> tuple[str, str, float]:
    """Where the row of a unit lies, its domain and its reward."""
    return f"data/{unit[:4]}.parquet", "daily_life", 0.9


def measure(task: Task) -> None:
    """The floors, and a night, stage by stage."""
    recipe = recipe_of(task)
    (source,) = recipe.sources
    corpus = Corpus.open(task.corpus)
    with Catalog.open(task.url, corpus) as catalog:
        meter = Meter(catalog)
        meter.stage("floor: every file listed and looked at by the system", lambda: walk(task.raw))
        meter.stage("floor: every row of inputs selected", lambda: select_all(catalog))
        scope = _Scope(recipe, source)
        meter.stage("listing", lambda: exhaust(discover(source)))
        meter.stage("listing, fingerprints and keys", lambda: exhaust(map(scope.key, scope.inputs())))
        meter.stage("sweep", catalog.sweep_inputs)
        catalog.begin_run("before", recipe.name, recipe.hash, "{}")
        meter.stage("discover: the second night, input by input", lambda: find_streams(recipe, catalog, "before"))
        make_pictures(Path(task.raw) / "new", task.new)
        catalog.begin_run("now", recipe.name, recipe.hash, "{}")
        before = reset_peak()
        found = meter.stage("discover: a later night", lambda: find_streams(recipe, catalog, "now"))
        plan = meter.stage("plan", lambda: make_plan(recipe, found, catalog, None, "now"))
        meter.stage("inputs recorded", lambda: catalog.record_inputs(plan.inputs))
        print(f"  peak memory from discover on: {peak()} MiB, of which held before: {before} MiB")
        assert found.settled == task.streams, found.settled
        assert len(plan.pending) == task.new, len(plan.pending)


class Meter:
    """Prints what stages take: wall time, what this process computed, and what the database server did."""

    def __init__(self, catalog: Catalog) -> None:
        self._server: psutil.Process | None = None
        if catalog._engine.dialect.name == "postgresql":
            with catalog._engine.connect() as connection:
                pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()
            self._server = psutil.Process(pid)

    def stage(self, what: str, work: Callable[[], Any]) -> Any:
        wall, cpu, server = time.perf_counter(), time.process_time(), self._server_time()
        result = work()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        server = self._server_time() - server
        beside = f", server {server:5.1f} s" if self._server else ""
        print(f"  {what:55} wall {wall:6.1f} s, CPU {cpu:6.1f} s{beside}; load {os.getloadavg()[0]:.1f}", flush=True)
        return result

    def _server_time(self) -> float:
        return sum(self._server.cpu_times()[:2]) if self._server else 0.0


def walk(folder: str) -> int:
    """As little as a program in Python can do to see what is there."""
    count = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                count += walk(entry.path)
            else:
                entry.stat()
                count += 1
    return count


def select_all(catalog: Catalog) -> None:
    with catalog._engine.connect() as connection:
        exhaust(connection.execution_options(yield_per=50_000).exec_driver_sql("SELECT key FROM inputs"))


def exhaust(items: Iterable[Any]) -> None:
    for _ in items:
        pass


def reset_peak() -> int:
    """Forgets the peak so far; returns the MiB that this process holds."""
    Path("/proc/self/clear_refs").write_text("5")
    return int(psutil.Process().memory_info().rss) >> 20


def peak() -> int:
    """The most MiB that this process held since the reset."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) >> 10


def make_files(root: Path, count: int, in_folder: int) -> None:
    for start in range(0, count, in_folder):
        folder = root / f"{start // in_folder:04d}"
        folder.mkdir(parents=True)
        for number in range(start, min(start + in_folder, count)):
            os.close(os.open(folder / f"take {number}.mp4", os.O_CREAT | os.O_WRONLY))


def make_pictures(root: Path, count: int) -> None:
    """Streams of one picture each."""
    for number in range(count):
        folder = root / f"{number:06d}"
        folder.mkdir(parents=True)
        colour = np.full((8, 8, 3), list(number.to_bytes(3, "big")), np.uint8)
        Image.fromarray(colour).save(folder / "picture.png")


def write(connection: Connection, table: str, columns: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """By the driver's shortest way: the ORM takes minutes for a million rows."""
    driver: Any = connection.connection.driver_connection
    if connection.dialect.name == "postgresql":
        with driver.cursor() as cursor, cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
    else:
        driver.executemany(f"INSERT INTO {table} ({columns}) VALUES ({', '.join('?' * len(rows[0]))})", rows)


if __name__ == "__main__":
    main()

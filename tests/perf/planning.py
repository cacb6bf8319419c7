"""How long planning takes when nearly everything is known, on SQLite and on a PostgreSQL of its own.

Not a test: machines are noisy, so nothing here passes or fails. Known streams are written straight into the catalog, as
earlier runs would have left them; no file is made or read.

    python tests/perf/planning.py [--known 1000000] [--new 1000] [--profile] [sqlite postgresql]
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import Connection, text

from schemas.recipe import Recipe, SourceSpec
from schemas.stream import Domain, Stream, StreamPart, Track, TrackKind
from storage.catalog.catalog import Catalog
from storage.catalog.engine import WRITE
from storage.catalog.models import uri_key
from storage.corpus import Corpus
from tasks.discover import Discovery
from tasks.plan import Plan, _asked, make_plan
from tests.storage.postgresql import Server, missing

TRACKS = (
    Track(kind=TrackKind.VIDEO, name="v", codec="h264", width=1280, height=720, rate=30.0),
    Track(kind=TrackKind.EVENTS, name="events", items=200),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--known", type=int, default=1_000_000)
    parser.add_argument("--new", type=int, default=1_000)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("databases", nargs="*", default=["sqlite", "postgresql"])
    chosen = parser.parse_args()
    print(f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f} before the start")
    for database in chosen.databases:
        if database == "postgresql" and (reason := missing()):
            print(f"postgresql: {reason}")
            continue
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            with Server() if database == "postgresql" else nullcontext() as server:
                url = server.url if server else f"sqlite:///{root}/catalog.db"
                measure(database, url, root, chosen.known, chosen.new, chosen.profile)


def measure(database: str, url: str, root: Path, known: int, new: int, profile: bool) -> None:
    corpus = Corpus.open(root / "corpus", create=True)
    source = SourceSpec(uri="/raw")
    recipe = Recipe(
        name="planning",
        corpus=corpus.uri,
        sources=(source,),
        intents=("Make a tutorial of what is done on the screen.",),
    )
    with Catalog.open(url, corpus) as catalog:
        catalog.begin_run("earlier", recipe.name, recipe.hash, "{}")
        with timed(f"{database}: {known} known streams written"):
            fill(catalog, corpus, recipe, source, known)
        catalog.begin_run("now", recipe.name, recipe.hash, "{}")
        before = resident()
        found = Discovery(sources=[(source, [stream(number) for number in range(known + new)])])
        print(f"  what the stage before hands over: {resident() - before} MiB")
        before = resident()
        profiler = cProfile.Profile()
        with timed(f"{database}: planned {known} known and {new} new streams"):
            if profile:
                profiler.enable()
            plan = make_plan(recipe, found, catalog, run="now")
            profiler.disable()
        print(f"  the plan: {resident() - before} MiB; load {os.getloadavg()[0]:.1f}")
        assert len(plan.ended) == known, len(plan.ended)
        assert len(plan.pending) == len(plan.work) == new, len(plan.pending)
        assert plan.known_slots == []
        if profile:
            pstats.Stats(profiler).sort_stats("cumulative").print_stats(25)
        catalog.record_streams(found.sources[0][1][:2560], "earlier")
        with timed(f"{database}: 2560 streams known again, as the stage before asks for and records them"):
            for start in range(0, 2560, 256):
                some = found.sources[0][1][start : start + 256]
                catalog.known_files([one.uri for one in some])
                catalog.known_streams([one.sha256 for one in some])
                catalog.record_streams(some, "now")


def stream(number: int) -> Stream:
    content = sha256(b"%d" % number).hexdigest()
    uri = f"/raw/{number // 1000}/{number}.mp4"
    return Stream.model_construct(
        sha256=content,
        uri=uri,
        name=f"{number // 1000}/{number}",
        domain=Domain.GUI,
        format="video",
        parts=(StreamPart.model_construct(role="video", uri=uri, sha256=content, size=1_000_000),),
        tracks=TRACKS,
        duration=10.0 + number % 50,
        notes=(),
    )


def fill(catalog: Catalog, corpus: Corpus, recipe: Recipe, source: SourceSpec, known: int) -> None:
    """What earlier runs leave of streams that became one row each, as far as planning asks for it."""
    now = datetime.now(UTC).isoformat(sep=" ")
    numbers = iter(range(known))
    if catalog._engine.dialect.name == "sqlite":
        # Keys come in no order: what does not stay in memory is read and written again for every row.
        with catalog._engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA cache_size = -3000000")  # of this pool's only connection
    with catalog._engine.execution_options(**WRITE).begin() as connection:
        while some := [stream(number) for number in islice(numbers, 50_000)]:
            units, slots = [], []
            for group in _asked(recipe, source, some, Plan(), None):
                for unit, asked in group.units:
                    slot = asked.slot(group.where)
                    key, short, task_type = uri_key(slot), unit[:32], asked.spec.task_type
                    shard = f"data/{unit[:4]}.parquet"
                    slots.append((corpus.id, key, slot, unit, "earlier"))
                    units.append(
                        (corpus.id, unit, key, short, task_type, "done", unit, shard, "gui", 0.9, "earlier", now)
                    )
            _write(connection, "slots", "corpus_id, slot_key, slot, unit, run_id", slots)
            columns = "corpus_id, unit, slot_key, group_key, task_type, outcome, triplet, shard, domain, reward"
            _write(connection, "units", f"{columns}, run_id, ended", units)
    if catalog._engine.dialect.name == "sqlite":
        catalog._engine.dispose()
    if catalog._engine.dialect.name == "postgresql":
        with catalog._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE units, slots"))  # as its own housekeeping does over night


def _write(connection: Connection, table: str, columns: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """By the driver's shortest way: the ORM takes minutes for a million rows."""
    driver: Any = connection.connection.driver_connection
    if connection.dialect.name == "postgresql":
        with driver.cursor() as cursor, cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
    else:
        driver.executemany(f"INSERT INTO {table} ({columns}) VALUES ({', '.join('?' * len(rows[0]))})", rows)


@contextmanager
def timed(what: str) -> Iterator[None]:
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"{what}: {wall:.1f} s, of which this process computed {cpu:.1f} s", flush=True)


def resident() -> int:
    """MiB of memory that this process has."""
    return int(psutil.Process().memory_info().rss) >> 20


if __name__ == "__main__":
    main()

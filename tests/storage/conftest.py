"""Small triplets and results to store, and an empty corpus with its catalog."""

from __future__ import annotations

import hashlib
import io
import json
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from PIL import Image
from sqlalchemy import create_engine, text

from schemas.anchor import FactualAnchor
from schemas.errors import Problem
from schemas.outcome import Outcome, UnitOutcome
from schemas.rows import RESULT_SCHEMA, Result, Written
from schemas.score import Score
from schemas.stream import Domain, Stream, StreamPart, Track, TrackKind
from schemas.task_spec import Intent, TaskSpec
from schemas.triplet import EncodedImage, EvidenceFrame, Provenance, Triplet, triplet_id
from storage.catalog.catalog import Catalog
from storage.corpus import Corpus
from storage.write import WriteTriplets
from tests.storage.postgresql import Server, missing

NASTY = "zwei Zeilen\nund # ein \t'Zitat' \"日本語\" 🎬"


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def png(colour: tuple[int, int, int]) -> bytes:
    sink = io.BytesIO()
    Image.new("RGB", (8, 6), colour).save(sink, "PNG")
    return sink.getvalue()


def make_stream(name: str = "a", domain: Domain = Domain.GUI) -> Stream:
    return Stream(
        sha256=sha(name),
        uri=f"/raw/{name} {NASTY}.mp4",
        name=name,
        domain=domain,
        format="video",
        parts=(StreamPart(role="video", uri=f"/raw/{name}.mp4", sha256=sha(name), size=10),),
        tracks=(Track(kind=TrackKind.VIDEO, name="v", width=8, height=6, rate=25.0),),
        duration=12.5,
    )


def make_anchor(stream: Stream, t0: float = 1.0, expert: str = "ocr") -> FactualAnchor:
    return FactualAnchor(
        stream=stream.sha256,
        t0=t0,
        t1=t0 + 1,
        kind="text.screen",
        content=NASTY,
        expert=expert,
        version="1",
        confidence=0.5,
    )


def make_triplet(
    unit: str,
    stream: Stream | None = None,
    output: str | None = None,
    reward: float = 0.9,
    task_type: str = "tutorial",
) -> Triplet:
    stream = stream or make_stream(unit)
    output = output or json.dumps({"steps": [f"Open {stream.sha256}"]})
    intent = Intent(text=NASTY, domain=stream.domain)
    spec = TaskSpec(task_type=task_type, instruction="Do it", intent=intent, output_schema="{}", confidence=1.0)
    anchors = (make_anchor(stream),)
    return Triplet(
        id=triplet_id((stream,), spec, anchors, output),
        unit=sha(unit),
        domain=stream.domain,
        task_type=task_type,
        streams=(stream,),
        intent=intent,
        spec=spec,
        anchors=anchors,
        evidence=(
            EvidenceFrame(
                stream=stream.sha256, time=1.5, image=EncodedImage(bytes=png((200, 30, 40)), path="frame-0.png")
            ),
        ),
        output=output,
        score=Score(format=1.0, anchor=1.0, efficiency=None, reward=reward),
        provenance=Provenance(
            run="run-1",
            recipe_hash=sha("recipe"),
            experts=(),
            backend="rules",
            model=None,
            agent_version="1",
            prompt_version=None,
            repairs=0,
            created=datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC),
        ),
    )


def done(unit: str, slot: str | None = None, **fields: object) -> Result:
    """A unit that made a triplet."""
    triplet = make_triplet(unit, **fields)  # type: ignore[arg-type]
    return Result(
        outcome=_outcome(unit, slot, Outcome.DONE).model_copy(
            update={"triplet": triplet.id, "streams": tuple(item.sha256 for item in triplet.streams)}
        ),
        triplet=triplet,
        failed_streams=(),
        problems=(),
        costs=(),
    )


def filtered(unit: str, slot: str | None = None) -> Result:
    """A unit whose output was not good enough."""
    outcome = _outcome(unit, slot, Outcome.FILTERED).model_copy(
        update={
            "problem": Problem(input=unit, cause="an unsupported claim", remedy="none"),
            "score": Score(format=1.0, anchor=0.5, efficiency=None, reward=0.5),
            "output": '{"claim": 1}',
        }
    )
    return Result(outcome=outcome, triplet=None, failed_streams=(), problems=(), costs=())


def failed(unit: str, slot: str | None = None) -> Result:
    """A unit that broke."""
    outcome = _outcome(unit, slot, Outcome.FAILED).model_copy(
        update={"problem": Problem(input=unit, cause="the backend broke", remedy="run again")}
    )
    return Result(outcome=outcome, triplet=None, failed_streams=(), problems=(), costs=())


def _outcome(unit: str, slot: str | None, outcome: Outcome) -> UnitOutcome:
    return UnitOutcome(
        unit=sha(unit),
        slot=slot or f"slot of {unit}",
        group="g",
        task_type="tutorial",
        outcome=outcome,
        streams=(sha(unit),),
    )


@pytest.fixture(scope="session")
def own_server() -> Iterator[Server]:
    """A PostgreSQL server of the tests' own, which a test may stop and start."""
    if reason := missing():
        pytest.skip(reason)
    with Server() as server:
        yield server


@pytest.fixture(scope="session")
def server_url(request: pytest.FixtureRequest) -> str:
    """A PostgreSQL server where databases may be made: the one that DATACLAW_TEST_POSTGRESQL names, or our own."""
    named = os.environ.get("DATACLAW_TEST_POSTGRESQL")
    if named:
        return named
    server: Server = request.getfixturevalue("own_server")
    return server.url


@contextmanager
def new_database(server_url: str) -> Iterator[str]:
    """The URL of an empty database, which is dropped again."""
    name = f"dataclaw_{uuid.uuid4().hex}"
    administration = create_engine(server_url, isolation_level="AUTOCOMMIT", pool_pre_ping=True)
    with administration.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield administration.url.set(database=name).render_as_string(hide_password=False)
    with administration.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    administration.dispose()


@pytest.fixture
def postgresql(server_url: str) -> Iterator[str]:
    """An empty database on PostgreSQL."""
    with new_database(server_url) as database:
        yield database


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A new database of each kind. PostgreSQL is tested where it is installed, or DATACLAW_TEST_POSTGRESQL names it."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/catalog.db"
    database: str = request.getfixturevalue("postgresql")
    return database


@pytest.fixture(params=["local", "memory"])
def corpus(request: pytest.FixtureRequest, tmp_path: Path) -> Corpus:
    """An empty corpus, on a disk under a nasty name and in memory: nothing may need a local path."""
    if request.param == "local":
        return Corpus.open(tmp_path / "my corpus # ?ü\n日本", create=True)
    return Corpus.open(f"memory://{uuid.uuid4().hex}/my corpus # ü", create=True)


@pytest.fixture
def catalog(corpus: Corpus, tmp_path: Path) -> Iterator[Catalog]:
    with Catalog.open(f"sqlite:///{tmp_path}/catalog.db", corpus) as opened:
        opened.begin_run("run-1", "recipe", sha("recipe"), "{}")
        yield opened


@pytest.fixture
def write(corpus: Corpus) -> Callable[..., list[Written]]:
    """Runs results through the writer, as one batch."""

    def run(*results: Result) -> list[Written]:
        return Written.from_table(WriteTriplets(corpus.uri)(Result.to_table(results, RESULT_SCHEMA)))

    return run


class Make:
    """What tests store."""

    sha = staticmethod(sha)
    png = staticmethod(png)
    stream = staticmethod(make_stream)
    anchor = staticmethod(make_anchor)
    triplet = staticmethod(make_triplet)
    done = staticmethod(done)
    filtered = staticmethod(filtered)
    failed = staticmethod(failed)


@pytest.fixture
def make() -> type[Make]:
    return Make

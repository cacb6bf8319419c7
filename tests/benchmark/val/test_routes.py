"""A set of experts is measured by its router, and by forced routes apart."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from benchmark.val.ask import Examiner
from benchmark.val.candidates import Candidate, candidate
from schemas.errors import UsageError
from schemas.recipe import Serving
from schemas.triplet import Triplet
from synthesis.backends.base import Backend
from synthesis.purse import Purse
from tests.models.faulty_server import FaultyServer, ok
from tests.training.rows import row
from tests.training.sets import Registered, without_weights


@pytest.fixture
def made(tmp_path: Path) -> Registered:
    return without_weights(tmp_path)


def by(made: Registered, route: str | None, base_url: str = "http://localhost:1/v1") -> Candidate:
    return candidate("model:experts@1", None, Serving(base_url=base_url), {}, made.corpus.catalog_url(), route)


def test_each_route_is_a_run_of_its_own(made: Registered) -> None:
    routes = [by(made, route) for route in (None, "omni", "wrong", "expert:gui")]
    assert [one.label for one in routes] == [
        "experts@1",
        "experts@1 by omni",
        "experts@1 by wrong",
        "experts@1 by expert:gui",
    ]
    assert len({one.identity for one in routes}) == 4
    assert by(made, "router").identity == by(made, None).identity
    with pytest.raises(UsageError, match="no such route"):
        by(made, "best")


def ask(backend: Backend, sample: Triplet) -> None:
    async def run() -> None:
        await Examiner(backend, Purse()).clear(sample)
        await backend.close()

    asyncio.run(run())


def test_the_expert_of_the_route_is_asked(made: Registered) -> None:
    """Of a sample of daily life, of which no expert is: the next domain in alphabetical order is the wrong one."""
    with FaultyServer([], then=ok("{}")) as server:
        for route, asked in (("omni", "tailor@4"), ("expert:embodied", "tailor@2"), ("wrong", "tailor@1")):
            ask(by(made, route, server.base_url).open(), row(1))
            assert server.requests[-1].body["model"] == asked

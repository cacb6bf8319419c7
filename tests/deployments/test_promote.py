"""A candidate that passed its rule waits for a person, who answers in the form of Prefect's UI."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from benchmark.val.card import data_card
from benchmark.val.results import beside, write_result
from benchmark.val.store import content_digest, freeze
from schemas.base import digest
from schemas.events import ModelPromoted
from schemas.model import ModelState
from schemas.recipe import ModelSpec
from schemas.sample_score import SampleScore
from schemas.training import Benchmarking, Promotion, Training
from schemas.triplet import Triplet
from schemas.val import Answer, AnswerState, Subset, ValManifest, ValRecord, ValRun
from storage.catalog.registry import Registry
from storage.corpus import Corpus
from storage.location import Location
from tests.deployments.conftest import REPOSITORY, Server
from tests.storage.made_models import entry

pytestmark = pytest.mark.long
GOOD = {"tailor@1": 0.4, "tailor@2": 0.6, "tailor@3": 0.7, "tailor@4": 0.3}
"""Semantic of each version, at every sample."""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """One with four versions of a model that were measured; the first is current."""
    folder = tmp_path_factory.mktemp("promote")
    corpus = Corpus.open(folder / "corpus", create=True)
    training = Training(
        name="tailor",
        model=ModelSpec(name="some/base"),
        benchmark=Benchmarking(val=str(folder / "val")),
        promotion=Promotion(approval=True),
    )
    with Registry.open(corpus.catalog_url(), create=True) as registry:
        for seed in range(len(GOOD)):
            registry.add(entry(seed, recipe=training.model_dump(mode="json")), lambda: True)
        registry.promote("tailor@1", None, "a test")
    manifest = an_empty_set(Location.of(folder / "val"))
    for label, value in GOOD.items():
        measured(Location.of(folder / "val"), manifest, label, value)
    return corpus


def an_empty_set(place: Location) -> ValManifest:
    """A set whose samples nobody reads here: what was answered to them is known."""
    none: tuple[Triplet, ...] = ()
    manifest = ValManifest(
        name="dataclaw-val",
        version="1",
        digest=content_digest(none, ()),
        seed=0,
        size=1,
        corpus="corpus",
        snapshot=1,
        files={},
        counts={Subset.CLEAR: {}, Subset.FUZZY: {}},
        written_by={},
        dataclaw_version="0",
    )
    return freeze(place, manifest, none, (), data_card(manifest, ()))


def measured(val: Location, manifest: ValManifest, label: str, value: float) -> None:
    """The results of a version that is equally good at six samples."""
    run = ValRun(
        label=label,
        identity=digest(label),
        backend=f"model:{label}",
        model="some/base",
        settings=None,
        prompt_version=None,
        val=manifest.title,
        val_digest=manifest.digest,
        ended=datetime.now(UTC),
        dataclaw_version="0",
        asked=6,
    )
    records = [
        ValRecord(
            subset=Subset.CLEAR,
            answer=Answer(sample=digest(number), state=AnswerState.ANSWERED),
            score=SampleScore(
                sample=digest(number),
                domain="gui",
                task_type="tutorial",
                streams=(digest(number),),
                json_valid=1.0,
                field=1.0,
                semantic=value,
                sequence=None,
            ),
            acceptable=None,
            verified=None,
        )
        for number in range(6)
    ]
    write_result(beside(val), run, records)


@pytest.fixture(scope="module")
def working(server: Server) -> Iterator[Server]:
    server.run("dataclaw", "deploy", "--file", str(REPOSITORY / "prefect.yaml"))
    with server.worker("dataclaw-cpu", DATACLAW_ROOTS=tempfile.gettempdir()):
        yield server


def paused(server: Server, corpus: Corpus, model: str) -> str:
    """A run of promote that waits for a person."""
    run = server.order("promote", parameters={"model": model, "corpus": corpus.uri})

    def waits() -> bool | None:
        state = server.state(run)
        assert state["type"] not in {"FAILED", "CRASHED", "COMPLETED"}, state
        return state["type"] == "PAUSED" or None

    server.until(waits, f"pause of {run}")
    return run


def answer(server: Server, run: str, **said: Any) -> dict[str, Any]:
    """The end of a run after a person's word, which is refused until the run has said what it wants to hear."""
    server.until(lambda: server.ask(f"flow_runs/{run}/resume", run_input=said)["status"] == "ACCEPT", f"ear of {run}")
    return server.ended(run)


def test_a_person_approves_or_refuses(working: Server, corpus: Corpus) -> None:
    refused = answer(working, paused(working, corpus, "tailor@2"), promote=False, why="it rambles")
    assert refused["name"] == "Not promoted"
    assert "a person refused: it rambles" in refused["message"]
    run = paused(working, corpus, "tailor@3")
    shown = working.ask("artifacts/filter", artifacts={"flow_run_id": {"any_": [run]}, "key": {"any_": ["comparison"]}})
    assert "mean difference +0.100" in shown[0]["data"], "it is there to be read before"
    approved = answer(working, run, promote=True)
    assert approved["name"] == "Completed"
    with Registry.open(corpus.catalog_url()) as registry:
        assert registry.get("tailor").reference == "tailor@3"
        assert registry.get("tailor@2").state is ModelState.CANDIDATE
    (event,) = working.until(lambda: working.events(ModelPromoted.name), "event of promotion")
    assert ModelPromoted.model_validate(event["payload"]).over == "tailor@1"


def test_what_does_not_pass_is_not_asked_about(working: Server, corpus: Corpus) -> None:
    run = working.order("promote", parameters={"model": "tailor@4", "corpus": corpus.uri})
    state = working.ended(run)
    assert state["name"] == "Not promoted"
    assert "above 0 wanted" in state["message"]


def test_what_is_current_already_stays_so(working: Server, corpus: Corpus) -> None:
    with Registry.open(corpus.catalog_url()) as registry:
        current = registry.get("tailor").reference
    state = working.ended(working.order("promote", parameters={"model": current, "corpus": corpus.uri}))
    assert state["name"] == "Completed"
    assert state["message"] == f"{current} is current: it was so already"

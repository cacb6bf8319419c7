"""The registry: numbers, states, and that of each name and kind one version at most is current, whoever promotes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any, TypeVar

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from schemas.errors import CorpusError, DataClawError, UsageError
from schemas.model import ModelKind, ModelState, ModelVersion, SnapshotRef
from schemas.outcome import RunState
from schemas.recipe import Recipe, SourceSpec, Synthesis
from schemas.rows import Written
from schemas.stream import Domain
from storage.catalog.catalog import Catalog
from storage.catalog.registry import OutrunError, Registry
from storage.corpus import Corpus
from storage.recipes import storable
from tests.storage.made_models import entry

T = TypeVar("T")


@pytest.fixture
def registry(url: str) -> Iterator[Registry]:
    with Registry.open(url, create=True) as opened:
        yield opened


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return Corpus.open(tmp_path / "corpus", create=True)


def add(registry: Registry, seed: int = 0, **rest: Any) -> ModelVersion:
    return registry.add(entry(seed, **rest), lambda: True)


def current(registry: Registry, kind: ModelKind = "omni") -> list[str]:
    return [
        model.reference for model in registry.versions() if model.kind == kind and model.state is ModelState.CURRENT
    ]


def states(registry: Registry) -> dict[int, str]:
    return {model.number: model.state.value for model in registry.versions("tailor")}


def at_once(works: list[Callable[[], T]]) -> list[T | DataClawError]:
    """The ends of works that begin at one moment."""
    together = Barrier(len(works))

    def run(work: Callable[[], T]) -> T | DataClawError:
        together.wait()
        try:
            return work()
        except DataClawError as error:
            return error

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(run, works))


# Versions


def test_a_version_is_read_as_it_was_registered(registry: Registry) -> None:
    parent = add(registry)
    given = entry(
        1,
        kind=Domain.GUI,
        snapshot=SnapshotRef(corpus="c", number=7),
        recipe={"lora": {"rank": 16}, "seed": 0},
        metrics={"val/semantic": 0.7},
        parents=(parent.reference,),
    )
    made = registry.add(given, lambda: True)
    assert (made.reference, made.state, made.promoted) == ("tailor@2", ModelState.CANDIDATE, None)
    assert made.model_dump(include=set(type(given).model_fields)) == given.model_dump()
    assert registry.versions() == [made, parent]


def test_the_same_weights_asked_in_the_same_way_are_one_version(registry: Registry) -> None:
    one = add(registry)
    assert add(registry, metrics={"loss": 1.0}).number == one.number
    asked_otherwise = entry(0).prompting.model_copy(update={"brief": False})
    assert add(registry, prompting=asked_otherwise).number == 2
    assert add(registry, kind=Domain.GUI).number == 3


def test_of_models_that_are_registered_at_once_each_has_a_number(registry: Registry) -> None:
    ends = at_once([lambda seed=seed: add(registry, seed) for seed in range(6)])
    assert sorted(end.number for end in ends if isinstance(end, ModelVersion)) == [1, 2, 3, 4, 5, 6]


def test_a_model_whose_files_are_gone_or_whose_parent_is_unknown_is_not_registered(registry: Registry) -> None:
    with pytest.raises(CorpusError, match="files of the model are not there"):
        registry.add(entry(), lambda: False)
    with pytest.raises(UsageError, match="no model is registered"):
        add(registry, parents=("other@1",))
    assert registry.versions() == []
    with pytest.raises(ValueError, match="names no version"):
        entry(parents=("tailor",))


def test_metrics_are_added_and_overwritten(registry: Registry) -> None:
    add(registry, metrics={"loss": 1.0, "semantic": 0.5})
    assert registry.measure("tailor@1", {"semantic": 0.6, "field": 0.9}).metrics == {
        "loss": 1.0, "semantic": 0.6, "field": 0.9,
    }  # fmt: skip


def test_a_name_stands_for_the_omni_model_or_for_the_only_one_that_is_current(registry: Registry) -> None:
    for seed, kind in enumerate(("omni", Domain.GUI, Domain.EDUCATION)):
        add(registry, seed, kind=kind)
    with pytest.raises(UsageError, match=r"no current version.*promote tailor@3"):
        registry.get("tailor")
    registry.promote("tailor@2", None, "a test")
    assert registry.get("tailor").number == 2
    registry.promote("tailor@3", None, "a test")
    with pytest.raises(UsageError, match="experts of education, gui are current, and no Omni"):
        registry.get("tailor")
    assert registry.get("tailor", Domain.GUI).number == 2
    registry.promote("tailor@1", None, "a test")
    assert registry.get("tailor").number == 1, "kinds are promoted apart"


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("tailer", "Did you mean 'tailor'"),
        ("tailor@9", r"no version 9.*Known: 1"),
        ("Tailor", "NAME or NAME@NUMBER"),
        ("tailor@0", "NAME or NAME@NUMBER"),
    ],
)
def test_a_model_that_is_not_there_is_told_with_those_that_are(registry: Registry, reference: str, says: str) -> None:
    add(registry)
    with pytest.raises(UsageError, match=says):
        registry.get(reference)


# Promotion


def test_a_promotion_retires_what_was_current_and_says_who_and_when(registry: Registry) -> None:
    add(registry)
    add(registry, 1)
    first = registry.promote("tailor@1", None, "ann")
    assert (first.state, first.promoted_by) == (ModelState.CURRENT, "ann")
    assert first.promoted is not None
    registry.promote("tailor@2", 1, "run-7")
    assert states(registry) == {1: "retired", 2: "current"}
    again = registry.promote("tailor@2", 1, "bob")
    assert again.promoted_by == "run-7", "what is done is not done again"


def test_a_promotion_that_was_decided_on_another_state_is_refused(registry: Registry) -> None:
    for seed in range(3):
        add(registry, seed)
    registry.promote("tailor@1", None, "ann")
    registry.promote("tailor@2", 1, "ann")
    with pytest.raises(OutrunError, match=r"tailor@1 was the current version.*tailor@2 is by now"):
        registry.promote("tailor@3", 1, "bob")
    assert states(registry) == {1: "retired", 2: "current", 3: "candidate"}


def test_of_promotions_at_once_one_wins(registry: Registry) -> None:
    for seed in range(7):
        add(registry, seed)
    registry.promote("tailor@1", None, "ann")
    ends = at_once([lambda n=n: registry.promote(f"tailor@{n}", 1, f"run-{n}") for n in range(2, 8)])
    won = [end for end in ends if isinstance(end, ModelVersion)]
    assert len(won) == 1
    assert all(isinstance(end, OutrunError) for end in ends if end not in won)
    assert current(registry) == [won[0].reference]
    assert registry.roll_back(won[0].reference, "ann").number == 1, "nothing of the others is left"


def test_a_retired_version_is_promoted_only_after_it_is_a_candidate_again(registry: Registry) -> None:
    add(registry)
    registry.retire("tailor@1")
    with pytest.raises(UsageError, match="retired"):
        registry.promote("tailor@1", None, "ann")
    registry.retire("tailor@1", undo=True)
    assert registry.promote("tailor@1", None, "ann").state is ModelState.CURRENT
    with pytest.raises(UsageError, match="is the current version"):
        registry.retire("tailor@1")


def test_the_database_itself_holds_no_two_current_versions(registry: Registry) -> None:
    add(registry)
    add(registry, 1)
    with registry._engine.connect() as connection, pytest.raises(IntegrityError):
        connection.execute(text("UPDATE model_versions SET state = 'current'"))


# Rollback


def test_a_rollback_goes_back_step_by_step(registry: Registry) -> None:
    for seed in range(3):
        add(registry, seed)
        registry.promote(f"tailor@{seed + 1}", seed or None, "ann")
    assert registry.roll_back("tailor@3", "bob").reference == "tailor@2"
    assert states(registry) == {1: "retired", 2: "current", 3: "retired"}
    assert registry.roll_back("tailor@3", "bob").reference == "tailor@2", "done again, it goes back no further"
    assert registry.roll_back("tailor@2", "bob").reference == "tailor@1"
    with pytest.raises(UsageError, match="replaced no version"):
        registry.roll_back("tailor@1", "bob")
    assert current(registry) == ["tailor@1"]
    assert registry.get("tailor@3").promoted is None, "its promotion no longer stands"


def test_rollbacks_at_once_go_back_one_step(registry: Registry) -> None:
    for seed in range(3):
        add(registry, seed)
        registry.promote(f"tailor@{seed + 1}", seed or None, "ann")
    ends = at_once([lambda: registry.roll_back("tailor@3", "bob")] * 4)
    assert {end.reference for end in ends if isinstance(end, ModelVersion)} == {"tailor@2"}
    assert current(registry) == ["tailor@2"]


def test_a_rollback_of_what_is_no_longer_current_is_refused(registry: Registry) -> None:
    for seed in range(3):
        add(registry, seed)
        registry.promote(f"tailor@{seed + 1}", seed or None, "ann")
    with pytest.raises(OutrunError, match="tailor@3 is by now"):
        registry.roll_back("tailor@2", "bob")
    assert current(registry) == ["tailor@3"]


def test_after_a_rollback_another_version_takes_the_place(registry: Registry) -> None:
    for seed in range(3):
        add(registry, seed)
    registry.promote("tailor@1", None, "ann")
    registry.promote("tailor@2", 1, "ann")
    registry.roll_back("tailor@2", "ann")
    registry.promote("tailor@3", 1, "ann")
    assert registry.roll_back("tailor@3", "ann").reference == "tailor@1"


# Deletion


def refused(registry: Registry, reference: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        registry.delete(reference, pytest.fail)
    assert registry.get(reference)


def test_what_is_needed_cannot_be_deleted(
    registry: Registry, url: str, corpus: Corpus, write: Callable[..., list[Written]], make: Any
) -> None:
    for seed in range(5):
        add(registry, seed)
    add(registry, 5, parents=("tailor@3",))
    refused(registry, "tailor@1", "a candidate version")
    registry.promote("tailor@1", None, "ann")
    refused(registry, "tailor@1", "the current version")
    registry.promote("tailor@2", 1, "ann")
    refused(registry, "tailor@1", "rollbacks may lead to it")
    registry.retire("tailor@3")
    refused(registry, "tailor@3", "tailor@6 was made from it")

    registry.retire("tailor@4")
    made_by = Synthesis(backend="model:tailor@4")
    recipe = Recipe(name="r", corpus="c", sources=(SourceSpec(uri="s"),), intents=("x",), synthesis=made_by)
    with Catalog.open(url, corpus) as catalog:
        catalog.begin_run("night", "r", "h", storable(recipe))
        refused(registry, "tailor@4", "triplets of run night")
        catalog.commit("night", write(make.done("a")))
        catalog.end_run("night", RunState.COMPLETED)
        refused(registry, "tailor@4", "triplets of run night")


def test_what_nothing_needs_is_deleted_with_its_files(registry: Registry, url: str, corpus: Corpus) -> None:
    asked_otherwise = entry(0).prompting.model_copy(update={"brief": False})
    first = add(registry)
    add(registry, prompting=asked_otherwise)
    with Catalog.open(url, corpus) as catalog:  # a run that made nothing needs nothing
        catalog.begin_run("night", "r", "h", '{"backend":"model:tailor@1"}')
        catalog.end_run("night", RunState.COMPLETED)
    removed: list[ModelVersion] = []
    registry.retire("tailor@1")
    registry.delete("tailor@1", removed.append)
    assert removed == [], "the other version has the same files"
    registry.retire("tailor@2")
    registry.delete("tailor@2", removed.append)
    assert [model.place for model in removed] == [first.place]
    assert registry.versions() == []
    assert add(registry, 1).number == 3, "no number is used again"


# Opening


def test_a_question_makes_no_catalog(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no catalog here"):
        Registry.open(f"sqlite:///{tmp_path}/catalog.db")
    assert list(tmp_path.iterdir()) == []


def test_models_beside_their_catalog_can_be_moved(tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    before.mkdir()
    with Registry.open(f"sqlite:///{before}/catalog.db", create=True) as registry:
        add(registry, place=f"{before}/models/tailor/abc")
        add(registry, 1, place="s3://bucket/models/tailor/abc")
    before.rename(after)
    with Registry.open(f"sqlite:///{after}/catalog.db") as registry:
        assert registry.get("tailor@1").place == f"{after}/models/tailor/abc"
        assert registry.get("tailor@2").place == "s3://bucket/models/tailor/abc"

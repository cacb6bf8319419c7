"""Inputs of which all that is asked is done are passed over: what a night costs grows with what is new."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import event, select, update

from schemas.errors import Problem
from schemas.outcome import Outcome, RunState
from schemas.recipe import Recipe, SourceSpec
from schemas.rows import UnitPlan
from schemas.stream import Stream
from schemas.task_spec import Intent, TaskSpec
from storage.catalog.catalog import Catalog
from storage.catalog.models import UnitRow, uri_key
from storage.corpus import Corpus
from tasks.discover import Discovery, _Scope, find_streams
from tasks.plan import Plan, make_plan
from tests.storage.conftest import new_database, own_server, server_url  # noqa: F401 - fixtures
from tests.tasks.test_plan import ended

INTENT = "Make video question answer data."
SPEC = TaskSpec(task_type="video_qa", instruction="i", intent=Intent(text=INTENT), output_schema="{}", confidence=1.0)


@pytest.fixture(params=["sqlite", "postgresql"])
def catalog(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Catalog]:
    corpus = Corpus.open(tmp_path / "corpus", create=True)
    if request.param == "sqlite":
        with Catalog.open(corpus.catalog_url(None), corpus) as opened:
            yield opened
        return
    with new_database(request.getfixturevalue("server_url")) as url, Catalog.open(url, corpus) as opened:
        yield opened


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A source with folders of pictures, each a stream."""
    for number in range(3):
        picture(tmp_path / "raw", number)
    return tmp_path / "raw"


def picture(raw: Path, number: int, name: str = "") -> Path:
    file = raw / (name or f"stream {number}") / "picture.png"
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8, 3), number, np.uint8)).save(file)
    return file


class Nights:
    """Runs over one recipe, but for the work itself: units end as they are told to."""

    def __init__(self, catalog: Catalog, raw: Path, **source: Any) -> None:
        self.catalog, self._run = catalog, 0
        self.recipe = Recipe(name="r", corpus="c", sources=(SourceSpec(uri=str(raw), **source),), intents=(INTENT,))

    def plan(self, recipe: Recipe | None = None) -> tuple[Discovery, Plan]:
        self.catalog.end_run(f"run-{self._run}", RunState.COMPLETED)
        self._run += 1
        run, recipe = f"run-{self._run}", recipe or self.recipe
        self.catalog.begin_run(run, "r", "h", "{}")
        found = find_streams(recipe, self.catalog, run)
        plan = make_plan(recipe, found, self.catalog, None, run)
        self.catalog.assign(run, plan.known_slots)
        self.catalog.record_inputs(plan.inputs)
        return found, plan

    def pass_by(self, end: Callable[[Stream], Outcome] = lambda _: Outcome.DONE) -> tuple[Discovery, Plan]:
        """A night to its end."""
        found, plan = self.plan()
        units: dict[str, tuple[UnitPlan, Stream]] = {u.unit: (u, work.stream) for work in plan.work for u in work.units}
        self.catalog.commit(f"run-{self._run}", [ended(unit, end(stream)) for unit, stream in units.values()])
        return found, plan


def looked_at(found: Discovery) -> list[str]:
    return [stream.name for _, streams in found.sources for stream in streams]


@pytest.fixture
def nights(catalog: Catalog, raw: Path) -> Nights:
    return Nights(catalog, raw)


def test_what_is_done_is_counted_and_passed_over_and_what_is_new_is_looked_at(nights: Nights, raw: Path) -> None:
    first, _ = nights.pass_by()
    assert (first.settled, len(looked_at(first))) == (0, 3)
    picture(raw, 7)
    found, plan = nights.plan()
    assert (found.settled, found.units_settled) == (3, 3)
    assert looked_at(found) == ["stream 7"]
    assert len(plan.pending) == 1
    assert not plan.ended


def test_what_is_not_done_is_looked_at_every_time(nights: Nights) -> None:
    ends = {"stream 0": Outcome.DONE, "stream 1": Outcome.FILTERED, "stream 2": Outcome.FAILED}
    nights.pass_by(lambda stream: ends[stream.name])
    for _ in range(2):
        found, plan = nights.plan()
        assert looked_at(found) == ["stream 1", "stream 2"]
        assert [one.outcome for one in plan.ended.values()] == [Outcome.FILTERED], "its reason is told every time"
        assert len(plan.pending) == 1


def test_changed_content_under_an_old_name_is_looked_at(nights: Nights, raw: Path) -> None:
    nights.pass_by()
    picture(raw, 99, "stream 1")
    assert looked_at(nights.pass_by()[0]) == ["stream 1"]
    picture(raw, 1, "stream 1")
    found, plan = nights.plan()
    assert looked_at(found) == ["stream 1"], "its slot holds another unit now"
    assert len(plan.known_slots) == 1, "its row is live again, without any work"
    assert not plan.pending
    assert nights.plan()[0].settled == 3


def test_another_recipe_asks_anew_and_the_first_one_stays_settled(nights: Nights) -> None:
    nights.pass_by()
    other = nights.recipe.model_copy(update={"intents": (INTENT, "Write a tutorial.")})
    assert len(looked_at(nights.plan(other)[0])) == 3
    assert nights.plan()[0].settled == 3


def test_a_unit_that_is_no_longer_done_is_looked_at_whoever_undid_it(nights: Nights) -> None:
    _, plan = nights.pass_by()
    assert nights.plan()[0].settled == 3
    undone = min(plan.pending)
    with nights.catalog._engine.begin() as connection:
        connection.execute(update(UnitRow).where(UnitRow.unit == undone).values(outcome=Outcome.FILTERED.value))
    found, plan = nights.plan()
    assert found.settled == 2
    assert list(plan.ended) == [undone]


def test_the_same_content_under_a_second_name_is_a_duplicate_of_the_settled_input(nights: Nights, raw: Path) -> None:
    nights.pass_by()
    picture(raw, 1, "another name")
    for _ in range(2):
        found, _ = nights.plan()
        assert not looked_at(found)
        (item,) = found.ended
        assert item.reasons == (f"same content as {raw / 'stream 1'}",)


def test_what_was_renamed_is_no_duplicate_of_the_name_that_is_gone(nights: Nights, raw: Path) -> None:
    nights.pass_by()
    (raw / "stream 1").rename(raw / "renamed")
    assert looked_at(nights.plan()[0]) == ["renamed"]


def test_what_was_set_aside_is_tried_again_though_it_was_done_before(nights: Nights, raw: Path) -> None:
    nights.pass_by()
    uri = str(raw / "stream 1")
    nights.catalog.quarantine("run-1", [(uri, None, Problem(input=uri, cause="the disk was away", remedy=""))])
    assert looked_at(nights.plan()[0]) == ["stream 1"]


def test_streams_that_belong_together_are_passed_over_together(catalog: Catalog, raw: Path) -> None:
    nights = Nights(catalog, raw, group_by=r"(stream|other)")
    nights.pass_by()
    assert nights.plan()[0].settled == 3
    picture(raw, 7)
    assert len(looked_at(nights.pass_by()[0])) == 4, "a fourth makes it another group"
    assert nights.plan()[0].settled == 4
    (raw / "stream 0" / "picture.png").unlink()
    (raw / "stream 0").rmdir()
    assert len(looked_at(nights.plan()[0])) == 3, "and so does one that is gone"


def test_a_sample_of_all_streams_is_made_of_all_whatever_is_done(catalog: Catalog, raw: Path) -> None:
    nights = Nights(catalog, raw, domain="gui", intents=("Merge all recordings into one long trajectory.",))
    _, plan = nights.pass_by()
    assert [len(members) for members in plan.streams_of.values()] == [3]
    found, plan = nights.plan()
    assert len(looked_at(found)) == 3
    assert [end.outcome for end in plan.ended.values()] == [Outcome.DONE]


def test_neither_questions_nor_memory_grow_with_what_is_settled(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chunks are made small, so that many of them are few files."""
    import tasks.discover

    monkeypatch.setattr(tasks.discover, "_CHUNK", 20)
    questions: list[str] = []
    event.listen(catalog._engine, "before_cursor_execute", lambda *a: questions.append(a[2]))

    def cost(count: int) -> tuple[int, int, int]:
        """Questions, bytes at the peak, and streams made, of a night that finds all but one known."""
        raw = tmp_path / str(count)
        for number in range(count):
            file = raw / f"{number // 20}" / f"{number}.mp4"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
        nights = Nights(catalog, raw)
        settle(nights)
        picture(raw, 5)
        questions.clear()
        tracemalloc.start()
        found, plan = nights.plan()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert (found.settled, len(plan.pending)) == (count, 1)
        return len(questions), peak, len(looked_at(found))

    cost(20)  # the first time, modules are loaded
    few, many = cost(100), cost(400)
    assert many[2] == few[2] == 1
    assert many[0] - few[0] <= 2 * (300 / 20), "a transaction with one question for each chunk"
    assert many[1] < 1.25 * few[1]


def settle(nights: Nights) -> None:
    """Enters every input as an earlier night would have left it, without reading any: its unit is done."""
    scope = _Scope(nights.recipe, nights.recipe.sources[0])
    keys = [scope.key(members) for members in scope.inputs()]
    units = {key: (f"slot of {key}", uri_key(f"unit of {key}")) for key in keys}
    nights.catalog.begin_run("earlier", "r", "h", "{}")
    nights.catalog.commit(
        "earlier", [ended(UnitPlan(unit=unit, slot=slot, spec=SPEC)) for slot, unit in units.values()]
    )
    nights.catalog.record_inputs({key: [asked] for key, asked in units.items()})


MANY = 70
"""Files, so that it is worth remembering what was found in their folder."""


@pytest.fixture
def full(tmp_path: Path) -> Path:
    """A folder of many drawings, each a stream."""
    return tmp_path / "full"


def draw(folder: Path, number: int, turn: int = 0) -> Path:
    folder.mkdir(exist_ok=True)
    file = folder / f"drawing {number}.gif"
    frames = [Image.fromarray(np.full((8, 8), 20 * shade + number + turn, np.uint8)) for shade in range(2)]
    frames[0].save(file, save_all=True, append_images=frames[1:])
    return file


@pytest.fixture
def crowded(catalog: Catalog, full: Path) -> Nights:
    """The third night of a folder of many streams: it was remembered in the second one."""
    for number in range(MANY):
        draw(full, number)
    nights = Nights(catalog, full)
    nights.pass_by()
    assert len(nights.catalog.settled_folders().known) == 0
    assert nights.plan()[0].settled == MANY
    assert [row.inputs for row in nights.catalog.settled_folders().known.values()] == [MANY]
    return nights


def asked_one_by_one(nights: Nights, monkeypatch: pytest.MonkeyPatch) -> int:
    """For how many inputs the next plan makes a key."""
    asked: list[str] = []
    ask = nights.catalog.settled_inputs
    monkeypatch.setattr(nights.catalog, "settled_inputs", lambda keys: ask(asked.extend(found := list(keys)) or found))
    found, _ = nights.plan()
    monkeypatch.undo()
    assert found.settled == found.units_settled, "one unit each"
    return len(asked)


def test_a_folder_of_settled_inputs_is_passed_over_whole(crowded: Nights, monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked_one_by_one(crowded, monkeypatch) == 0
    assert crowded.plan()[0].settled == MANY


@pytest.mark.parametrize("change", ["new", "changed", "gone", "renamed"])
def test_a_folder_with_another_listing_is_looked_into(crowded: Nights, full: Path, change: str) -> None:
    file = full / "drawing 3.gif"
    match change:
        case "new":
            draw(full, MANY)
        case "changed":
            draw(full, 3, turn=100)
        case "gone":
            file.unlink()
        case "renamed":
            file.rename(full / "of three.gif")
    found, _ = crowded.pass_by()
    looked = {"new": [f"drawing {MANY}"], "changed": ["drawing 3"], "gone": [], "renamed": ["of three"]}[change]
    assert looked_at(found) == looked
    crowded.plan()
    (folder,) = crowded.catalog.settled_folders().known.values()
    assert folder.inputs == {"new": MANY + 1, "gone": MANY - 1}.get(change, MANY), "it is remembered anew"
    assert crowded.plan()[0].settled == folder.inputs


def test_a_folder_in_which_a_unit_was_undone_is_looked_into(crowded: Nights) -> None:
    with crowded.catalog._engine.begin() as connection:
        (undone, *_) = connection.scalars(select(UnitRow.unit).order_by(UnitRow.unit))
        connection.execute(update(UnitRow).where(UnitRow.unit == undone).values(outcome=Outcome.FILTERED.value))
    found, plan = crowded.plan()
    assert found.settled == MANY - 1
    assert list(plan.ended) == [undone]
    assert not crowded.catalog.settled_folders().known


def test_what_was_set_aside_in_a_folder_is_tried_again(crowded: Nights, full: Path) -> None:
    uri = str(full / "drawing 5.gif")
    problem = Problem(input=uri, cause="its worker died", remedy="none")
    crowded.catalog.quarantine("run-1", [(uri, None, problem)])
    assert looked_at(crowded.plan()[0]) == ["drawing 5"]


def test_a_folder_that_somebody_unsettles_meanwhile_is_not_remembered(crowded: Nights) -> None:
    before = crowded.catalog.settled_folders()
    with crowded.catalog._engine.begin() as connection:
        connection.execute(update(UnitRow).values(outcome=Outcome.FILTERED.value))
    crowded.catalog.sweep_inputs()
    crowded.catalog.record_folders(before, before.known)
    assert not crowded.catalog.settled_folders().known


def test_links_lead_elsewhere_so_their_folder_is_looked_into(
    crowded: Nights, full: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (full / "linked.gif").symlink_to(draw(tmp_path / "elsewhere", 200))
    crowded.pass_by()
    crowded.plan()
    assert asked_one_by_one(crowded, monkeypatch) == MANY + 1


def test_another_recipe_asks_in_a_remembered_folder_too(crowded: Nights) -> None:
    other = crowded.recipe.model_copy(update={"intents": (INTENT, "Write a tutorial.")})
    assert len(looked_at(crowded.plan(other)[0])) == MANY
    assert crowded.plan()[0].settled == MANY

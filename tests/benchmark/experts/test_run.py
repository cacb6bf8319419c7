"""A run of the benchmark: what stands in its results, and what it does with experts that cannot run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import ClassVar
from xml.etree import ElementTree

import pytest

import benchmark.experts.run as run_module
from benchmark.experts.kinds import kinds_of
from benchmark.experts.report import COLUMNS, markdown, picture, remarks, score_cells, write
from benchmark.experts.results import Results, Standing
from benchmark.experts.run import plan, run
from experts.base import Expert, Observer
from experts.roster import EXPERTS, expert_class
from schemas.anchor import AnchorKind, FactualAnchor
from schemas.errors import Problem, UsageError
from schemas.recipe import Scalar
from schemas.segment import Segment
from schemas.stream import TrackKind
from sources.base import Recording
from sources.samples import make_samples


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("samples")
    make_samples(folder)
    return folder


@pytest.fixture(scope="module")
def quick(samples: Path) -> Results:
    return run(plan([samples], ["shots", "subtitles", "proprioception", "strokes"]))


class Blind(Expert):
    """Sees no cut at all, though it looks for them: AnchorKind.CUT."""

    name: ClassVar[str] = "blind"
    version: ClassVar[str] = "1"
    reads: ClassVar[frozenset[TrackKind]] = frozenset({TrackKind.VIDEO})

    def start(self, recording: Recording, segment: Segment) -> Observer:
        return Nothing(AnchorKind.CUT)


class Nothing(Observer):
    def __init__(self, kind: AnchorKind) -> None:
        self.kind = kind

    def finish(self) -> list[FactualAnchor]:
        return []


class Absent(Blind):
    name: ClassVar[str] = "absent"

    @classmethod
    def lacks(cls, **parameters: Scalar) -> list[Problem]:
        return [Problem(input="expert absent", cause="its weights are not here", remedy="Fetch them")]


class Broken(Blind):
    name: ClassVar[str] = "broken"

    def start(self, recording: Recording, segment: Segment) -> Observer:
        raise ValueError("no such layer")


class Puzzled(Blind):
    name: ClassVar[str] = "puzzled"

    @classmethod
    def lacks(cls, **parameters: Scalar) -> list[Problem]:
        raise ImportError("half installed")


class Unloadable(Blind):
    name: ClassVar[str] = "unloadable"

    def __init__(self, **parameters: Scalar) -> None:
        raise OSError("weights are cut off")


class Deaf(Blind):
    name: ClassVar[str] = "deaf"
    reads: ClassVar[frozenset[TrackKind]] = frozenset({TrackKind.AUDIO})


@pytest.fixture
def roster(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    own = {one.name: one for one in (Blind, Absent, Broken, Puzzled, Unloadable, Deaf)}

    def loaded(name: str) -> type[Expert]:
        if name == "uninstalled":
            raise UsageError("expert uninstalled", "uninstalled:It cannot be loaded", "Install what it needs")
        return own.get(name) or expert_class(name)

    monkeypatch.setattr(run_module, "expert_class", loaded)
    run_module.missing.cache_clear()
    yield
    run_module.missing.cache_clear()


def scored(results: Results, expert: str, kind: str) -> float | None:
    return next(row.tally.f1 for row in results.rows() if (row.expert, row.kind) == (expert, kind))


def test_samples_are_measured_right(quick: Results) -> None:
    for expert, kind in (
        ("shots", "video.cut"),
        ("shots", "video.dissolve"),
        ("subtitles", "text.subtitle"),
        ("proprioception", "proprio.gripper_close"),
        ("proprioception", "proprio.gripper_open"),
        ("strokes", "drawing.stroke"),
    ):
        assert scored(quick, expert, kind) == 1.0, (expert, kind)
    assert not quick.failed


def test_every_expert_of_the_roster_can_find_something() -> None:
    for name in EXPERTS.names:
        assert kinds_of(expert_class(name)), name


def test_an_expert_that_finds_nothing_any_more_is_scored_nought(samples: Path, roster: None) -> None:
    results = run(plan([samples / "daily_life"], ["blind"]))
    assert scored(results, "blind", "video.cut") == 0.0
    assert any("found no video.cut anywhere" in line for line in remarks(results))


def test_what_cannot_run_is_listed_with_its_reason_and_the_others_go_on(samples: Path, roster: None) -> None:
    names = ("absent", "uninstalled", "puzzled", "broken", "unloadable", "deaf", "shots")
    results = run(replace(plan([samples / "daily_life"]), experts=names))
    states = {one.expert: one.standing for one in results.outcomes}
    assert states == {
        "absent": Standing.NOT_HERE,
        "uninstalled": Standing.NOT_HERE,
        "puzzled": Standing.NOT_HERE,
        "broken": Standing.FAILED,
        "unloadable": Standing.FAILED,
        "deaf": Standing.NO_LABELS,
        "shots": Standing.SCORED,
    }
    said = "\n".join(remarks(results))
    for words in (
        "its weights are not here",
        "no such layer",
        "weights are cut off",
        "no stream has a track",
        "half installed",
    ):
        assert words in said
    assert results.failed


def test_progress_counts_every_look(samples: Path, roster: None) -> None:
    planned = plan([samples / "daily_life"], ["broken", "unloadable", "absent", "subtitles"])
    done: list[int] = []
    run(planned, done.append)
    assert sum(done) == planned.work == 6


def test_kinds_without_labels_are_said(quick: Results) -> None:
    assert any("no labels for" in line and "video.shot" in line for line in remarks(quick))


def test_costs_hold_decoding_apart(quick: Results) -> None:
    shots = next(one for one in quick.outcomes if one.expert == "shots")
    assert (shots.latency or 0) > 0
    assert (shots.decoding or 0) > 0
    assert all(one.frames > 0 for one in shots.measured)
    subtitles = next(one for one in quick.outcomes if one.expert == "subtitles")
    assert subtitles.decoding == 0.0


def test_a_run_says_the_same_as_page_picture_and_data(quick: Results, tmp_path: Path) -> None:
    page, svg, data = write(quick, tmp_path / "report")
    assert "| shots | 1 | video.cut | 2 | 3 | 1.00 | 1.00 | 1.00 |" in page.read_text(encoding="utf-8")
    assert page.read_text(encoding="utf-8").startswith(markdown(quick))
    root = ElementTree.fromstring(svg.read_text(encoding="utf-8"))
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "video.cut" in texts
    assert "F1 1.00" in texts
    read = json.loads(data.read_text(encoding="utf-8"))
    cut = next(row for row in read["scores"] if row["kind"] == "video.cut")
    assert (cut["labels"], cut["f1"]) == (3, 1.0)
    per_stream = [row for one in read["experts"] for row in one["streams"] if row["kind"] == "video.cut"]
    assert sum(row["labels"] for row in per_stream) == 3
    assert all(len(row) == len(COLUMNS) for row in score_cells(quick))


def test_dots_of_the_picture_lie_on_its_axis(quick: Results) -> None:
    root = ElementTree.fromstring(picture(quick))
    box = [float(side) for side in root.attrib["viewBox"].split()]
    for dot in root.iter("{http://www.w3.org/2000/svg}circle"):
        assert 0 <= float(dot.attrib["cx"]) <= box[2]
        assert 0 <= float(dot.attrib["cy"]) <= box[3]


def test_members_of_one_data_set_are_bounded_and_it_is_said(samples: Path) -> None:
    planned = plan([samples / "aigc"], ["strokes"], members=2)
    assert len(planned.streams) == 4  # two of three drawings, both edits
    results = run(planned)
    assert any("left out" in line and "1 member" in line for line in remarks(results))


def test_a_folder_that_is_not_there_is_bad_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        plan([tmp_path / "nothing"])


@pytest.mark.streams
def test_real_cuts_and_subtitles_are_found(streams: Path) -> None:
    results = run(plan([streams / "daily_life"], ["shots", "subtitles"]))
    cuts = scored(results, "shots", "video.cut")
    # All 31 hard cuts were found without a false one; two lost or invented would be a regression.
    assert (cuts or 0) > 0.96
    assert scored(results, "subtitles", "text.subtitle") == 1.0

"""The samples hold what their truth says, and the readers can read each of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from schemas.errors import Problem
from schemas.recipe import SourceSpec
from schemas.stream import Stream, TrackKind
from sources import discovery
from sources.identity import hash_parts
from sources.samples import make_samples

DOMAINS = ("aigc", "daily_life", "education", "embodied", "gui")

pytestmark = pytest.mark.long


@dataclass(frozen=True)
class Made:
    """The samples of a seed."""

    folder: Path
    seed: int


@pytest.fixture(scope="module", params=[0, 3])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("samples")
    make_samples(folder, request.param)
    return Made(folder, request.param)


@pytest.fixture(scope="module")
def samples(made: Made) -> Path:
    return made.folder


def streams(place: Path) -> list[Stream]:
    found = list(discovery.discover(SourceSpec(uri=str(place))))
    assert not [one for one in found if isinstance(one, Problem)]
    return [discovery.probe(one, hash_parts(one, {}), None, 10**9) for one in found if not isinstance(one, Problem)]


def truths(folder: Path) -> dict[str, object]:
    return {str(path.relative_to(folder)): json.loads(path.read_text()) for path in folder.rglob("*truth.json")}


def test_the_same_seed_tells_the_same_truth_and_another_one_another(made: Made, samples: Path, tmp_path: Path) -> None:
    again = make_samples(tmp_path, made.seed)
    assert [p.relative_to(tmp_path) for p in again] == sorted(
        p.relative_to(samples) for p in samples.rglob("*") if p.is_file()
    )
    assert truths(tmp_path) == truths(samples)
    make_samples(tmp_path / "other", 4)
    for domain in DOMAINS:
        assert truths(tmp_path / "other" / domain) != truths(samples / domain)


def test_every_domain_has_streams_with_truth_and_all_are_small(samples: Path) -> None:
    assert sorted(path.name for path in samples.iterdir()) == list(DOMAINS)
    for domain in DOMAINS:
        assert truths(samples / domain)
    assert sum(path.stat().st_size for path in samples.rglob("*") if path.is_file()) < 15_000_000


@pytest.mark.parametrize(
    ("domain", "count"), [("aigc", 5), ("daily_life", 2), ("education", 1), ("embodied", 4), ("gui", 5)]
)
def test_the_readers_read_every_stream_to_its_end(samples: Path, domain: str, count: int) -> None:
    found = streams(samples / domain)
    assert len(found) == count
    for stream in found:
        assert not any("cut off" in note or "malformed" in note for note in stream.notes)
        with discovery.open_recording(stream) as recording:
            assert sum(1 for _ in recording.frames(0.0, stream.duration, 1.0)) >= int(stream.duration)


@pytest.mark.parametrize("domain", ["daily_life", "education"])
def test_clips_with_speech_have_their_cues(samples: Path, domain: str) -> None:
    for stream in streams(samples / domain):
        with discovery.open_recording(stream) as recording:
            assert recording.cues()


def test_the_desktop_log_types_scrolls_and_drags(samples: Path) -> None:
    truth = json.loads((samples / "gui" / "truth.json").read_text())["notes_episode"]
    (stream,) = streams(samples / "gui" / "notes_episode")
    with discovery.open_recording(stream) as recording:
        events, elements = recording.events(), recording.elements()
        assert recording.texts() == (truth["task"],)
    typed = "".join({"space": " "}.get(e.key or "", e.key or "") for e in events if e.action == "key" and e.pressed)
    (typing,) = (action for action in truth["actions"] if action["action"] == "type")
    assert typed == typing["text"]
    (opened,) = (action["target"] for action in truth["actions"] if action["action"] == "double_click")
    assert sum(event.action == "wheel" for event in events) == 4
    assert sum(event.action == "button" and event.pressed is True for event in events) == 6
    assert {element.name for element in elements if element.clicked} >= {"Documents", opened, "Title", "Save"}


def test_fragments_join_where_one_ends_as_the_next_begins(samples: Path) -> None:
    truth = json.loads((samples / "gui" / "truth.json").read_text())["fragments"]
    by_name = {f"{stream.name.rpartition('/')[2]}.mp4": stream for stream in streams(samples / "gui" / "fragments")}
    assert truth["order"] != sorted(truth["order"])
    assert {*truth["order"], *truth["discarded"]} == set(by_name)

    def edge(name: str, end: bool) -> np.ndarray:
        with discovery.open_recording(by_name[name]) as recording:
            time = by_name[name].duration if end else 0.0
            return next(iter(recording.frames_at([time]))).gray().astype(float)

    for before, after in zip(truth["order"], truth["order"][1:], strict=False):
        assert np.abs(edge(before, True) - edge(after, False)).mean() < 1.0


def test_joints_tell_the_story_of_each_episode(samples: Path) -> None:
    truth = json.loads((samples / "embodied" / "truth.json").read_text())["pick_and_place"]
    closings = {None: 1, "hesitation_loop": 0, "unstable_grasp": 2, "early_stagnation": 0}
    for stream, known in zip(streams(samples / "embodied"), truth, strict=True):
        assert stream.has(TrackKind.SIGNALS)
        with discovery.open_recording(stream) as recording:
            signals = recording.signals()
        assert signals is not None
        assert signals.state is not None
        closed = signals.state[:, signals.names.index("right_gripper_width")] < 0.06
        assert int((np.diff(closed.astype(int)) == 1).sum()) == closings[known["fault"]]

"""Ground truth as it lies beside streams, read for what it says and no more."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmark.experts.labels import Labels, labels_of
from benchmark.experts.run import plan
from schemas.anchor import AnchorKind
from schemas.errors import InputError
from schemas.stream import Domain, Stream, Track, TrackKind
from sources.samples import make_samples


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Labels]]:
    """Labels of every sample, by the name of the stream and the kind."""
    folder = tmp_path_factory.mktemp("samples")
    make_samples(folder)
    return {one.stream.name: {labels.kind: labels for labels in one.labels} for one in plan([folder]).streams}


def test_every_sample_has_labels(samples: dict[str, dict[str, Labels]]) -> None:
    assert samples
    assert all(samples.values()), [name for name, labels in samples.items() if not labels]


def test_the_robot_closes_and_opens_when_its_poses_do(samples: dict[str, dict[str, Labels]]) -> None:
    clean = samples["embodied/pick_and_place/episode_000000"]
    assert [(one.t0, one.t1) for one in clean[AnchorKind.GRIPPER_CLOSE].members] == [(1.8, 2.3)]
    assert [(one.t0, one.t1) for one in clean[AnchorKind.GRIPPER_OPEN].members] == [(4.7, 5.1)]
    assert clean[AnchorKind.OSCILLATION].members == ()
    hesitates = samples["embodied/pick_and_place/episode_000001"]
    assert [(one.t0, one.t1) for one in hesitates[AnchorKind.OSCILLATION].members] == [(1.2, 6.0)]


def test_a_film_is_labelled_with_its_cuts_and_cues(samples: dict[str, dict[str, Labels]]) -> None:
    tea = samples["daily_life/making_tea"]
    assert [one.t0 for one in tea[AnchorKind.CUT].members] == [5.0, 10.0]
    assert tea[AnchorKind.SUBTITLE].members[0].content == "First, fill the kettle with cold water."


def film(path: Path, duration: float = 10.0, *kinds: TrackKind) -> Stream:
    path.touch()
    return Stream(
        sha256="a" * 64,
        uri=str(path),
        name=path.stem,
        domain=Domain.DAILY_LIFE,
        format="video",
        parts=(),
        tracks=tuple(Track(kind=kind, name=kind.value) for kind in kinds or (TrackKind.VIDEO,)),
        duration=duration,
    )


def write(folder: Path, *rows: object) -> None:
    (folder / "labels.jsonl").write_text("\n".join(json.dumps(row) for row in rows) + "\n", encoding="utf-8")


def test_own_labels_name_a_stream_by_its_path(tmp_path: Path) -> None:
    (tmp_path / "day").mkdir()
    write(
        tmp_path,
        {"stream": "day/film.mp4", "kind": "video.cut", "t0": 1.0},
        {"stream": "day/film", "kind": "object.appear", "t0": 2, "content": "cup", "box": [0.1, 0.2, 0.3, 0.4]},
        {"stream": "day/other.mp4", "kind": "video.cut", "t0": 5.0},
    )
    cut, cup = labels_of(film(tmp_path / "day" / "film.mp4"))
    assert [(one.t0, one.t1) for one in cut.members] == [(1.0, 1.0)]
    assert (cup.members[0].content, cup.members[0].box and cup.members[0].box.y1) == ("cup", 0.4)


def test_own_labels_say_how_far_they_reach(tmp_path: Path) -> None:
    write(
        tmp_path,
        {"stream": "film", "kind": "video.cut"},
        {"stream": "film", "kind": "hand.track", "complete": False, "window": [0, 5]},
        {"stream": "film", "kind": "hand.track", "t0": 1.0, "t1": 2.0},
    )
    cut, hand = labels_of(film(tmp_path / "film.mp4"))
    assert (cut.members, cut.complete) == ((), True)
    assert (len(hand.members), hand.complete, hand.window) == (1, False, (0.0, 5.0))


@pytest.mark.parametrize(
    "row",
    [
        {"stream": "film"},
        {"stream": "film", "kind": "cut", "t0": 1},
        {"stream": "film", "kind": "video.cut", "t0": 3, "t1": 1},
        {"stream": "film", "kind": "video.cut", "t0": 3, "bx": [0, 0, 1, 1]},
        ["film"],
    ],
)
def test_a_row_that_is_no_label_is_named_with_its_line(tmp_path: Path, row: object) -> None:
    write(tmp_path, {"stream": "film", "kind": "video.cut", "t0": 1}, row)
    with pytest.raises(InputError, match=r"labels\.jsonl:2"):
        labels_of(film(tmp_path / "film.mp4"))


def test_cuts_are_told_by_frame_and_gradual_ones_only_where_they_were_looked_for(tmp_path: Path) -> None:
    truth = {"film.mp4": {"fps": 25, "cuts": [50]}, "_note": "words"}
    (tmp_path / "ground_truth_cuts.json").write_text(json.dumps(truth))
    (labels,) = labels_of(film(tmp_path / "film.mp4"))
    assert (labels.kind, labels.members[0].t0, labels.tolerance) == (AnchorKind.CUT, 2.0, pytest.approx(0.081))


@pytest.mark.streams
def test_subtitles_of_real_recordings_are_read_apart_from_the_reader(streams: Path) -> None:
    found = plan([streams / "daily_life"]).streams
    known = {one.stream.name: {labels.kind: labels for labels in one.labels} for one in found}
    assert len(known["friday/friday"][AnchorKind.SUBTITLE].members) == 5
    assert known["friday/friday"][AnchorKind.SUBTITLE].members[2].content == "Tell me, is the lord of the universe in?"
    assert len(known["nasa/nasa_13013"][AnchorKind.SUBTITLE].members) == 4
    assert known["friday/friday"][AnchorKind.SPEECH].words_only
    assert not known["livestream/livestream"]


def test_a_mark_of_validity_is_no_text_that_came_with_a_robot(tmp_path: Path) -> None:
    (tmp_path / "meta").mkdir()
    row = {"episode_index": 3, "tasks": ["pick the pear", "valid"]}
    (tmp_path / "meta" / "episodes.jsonl").write_text(json.dumps(row) + "\n")
    stream = film(tmp_path / "episode").model_copy(update={"uri": f"{tmp_path}#3", "format": "lerobot"})
    (labels,) = labels_of(stream)
    assert [one.content for one in labels.members] == ["pick the pear"]

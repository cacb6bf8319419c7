"""Cameras of an episode that were asked for make one sample with it, and no near copies."""

from __future__ import annotations

from schemas.outcome import Outcome
from schemas.recipe import Recipe, SourceSpec
from schemas.stream import Domain, Stream, Track, TrackKind
from tasks.asking import Asking

SOURCE = SourceSpec(uri="/raw/set#@*")


def stream(episode: int, camera: str = "", duration: float = 9.0) -> Stream:
    kinds = [TrackKind.VIDEO] if camera else [TrackKind.VIDEO, TrackKind.SIGNALS]
    return Stream(
        sha256=f"{episode}{len(camera)}".ljust(64, "0"),
        uri=f"/raw/set#{episode}" + (f"@{camera}" if camera else ""),
        name=f"set-{episode}{camera}",
        domain=Domain.EMBODIED,
        format="lerobot",
        parts=(),
        tracks=tuple(Track(kind=kind, name=camera or kind) for kind in kinds),
        duration=duration,
    )


def planned(
    intent: str, streams: list[Stream], source: SourceSpec = SOURCE
) -> tuple[list[tuple[int, list[str]]], Asking]:
    recipe = Recipe(name="r", corpus="memory://c", sources=(source,), intents=(intent,))
    asking = Asking(recipe, source)
    groups = asking.groups(streams)
    return [(len(group.streams), [unit.spec.task_type for unit in group.units]) for group in groups], asking


def test_the_cameras_of_each_episode_are_one_group_without_group_by() -> None:
    streams = [stream(0), stream(0, "wrist"), stream(1), stream(1, "wrist")]
    groups, asking = planned("Make world model transitions.", streams)
    assert groups == [(2, ["world_model"]), (2, ["world_model"])]
    assert asking.unsuited == []


def test_a_form_that_does_not_join_is_made_of_the_episode_alone() -> None:
    groups, asking = planned("Make questions on where and when things move.", [stream(0), stream(0, "wrist")])
    assert groups == [(1, ["spatio_temporal_vqa"])]
    (left,) = asking.unsuited
    assert (left.uri, left.outcome) == ("/raw/set#0@wrist", Outcome.FILTERED)
    assert "further camera" in left.reasons[0]


def test_streams_that_cannot_be_cameras_of_one_episode_stay_apart() -> None:
    source = SourceSpec(uri="/raw", group_by="folder")
    groups, _ = planned("Make world model transitions.", [stream(0), stream(1, duration=30.0)], source)
    assert groups == [(1, ["world_model"]), (1, ["world_model"])]

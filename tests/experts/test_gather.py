"""Segments arrive in any order; a group goes on when its last one is there."""

from __future__ import annotations

import random

import pytest

from experts.gather import GatherGroups
from schemas.anchor import AnchorKind, FactualAnchor
from schemas.errors import Problem
from schemas.rows import ANCHORED_SCHEMA, Anchored, Group
from schemas.segment import cut_segments
from schemas.stream import Domain, Stream, StreamPart, Track, TrackKind


def stream(letter: str, seconds: float) -> Stream:
    part = StreamPart(role="video", uri=f"{letter}.mp4", sha256=letter * 64, size=1)
    return Stream(
        sha256=letter * 64,
        uri=f"{letter}.mp4",
        name=letter,
        domain=Domain.DAILY_LIFE,
        format="video",
        parts=(part,),
        tracks=(Track(kind=TrackKind.SUBTITLES, name="s"),),
        duration=seconds,
    )


def rows(group: str, streams: list[Stream], broken: str = "") -> list[Anchored]:
    segments = [(item, segment) for item in streams for segment in cut_segments(item, 10.0)]
    return [
        Anchored(
            group=group,
            group_segments=len(segments),
            stream=item,
            segment=segment,
            units=(),
            anchors=(
                FactualAnchor(
                    stream=item.sha256,
                    t0=segment.t0,
                    t1=segment.t0 + 1,
                    kind=AnchorKind.SUBTITLE,
                    content=f"{item.name} {segment.index}",
                    expert="subtitles",
                    version="1",
                    confidence=1.0,
                ),
            ),
            problem=Problem(input=item.uri, cause="broken", remedy="mend it") if item.name == broken else None,
            failed=item.name == broken,
            costs=(),
        )
        for item, segment in segments
    ]


@pytest.mark.parametrize("seed", range(5))
def test_groups_come_out_whole_and_once_whatever_the_order(seed: int) -> None:
    pool = rows("one", [stream("a", 35.0), stream("b", 5.0)]) + rows("two", [stream("c", 12.0)])
    random.Random(seed).shuffle(pool)
    gather = GatherGroups("memory://c", "run")
    groups: list[Group] = []
    while pool:
        batch, pool = pool[: seed + 1], pool[seed + 1 :]
        groups += Group.from_table(gather(Anchored.to_table(batch, ANCHORED_SCHEMA)))
    assert sorted(group.group for group in groups) == ["one", "two"]
    one = next(group for group in groups if group.group == "one")
    assert [item.name for item in one.streams] == ["a", "b"]
    assert [a.content for a in one.anchors] == ["a 0", "a 1", "a 2", "a 3", "b 0"]


def test_a_failed_stream_leaves_its_group_and_is_named() -> None:
    table = Anchored.to_table(rows("one", [stream("a", 25.0), stream("b", 5.0)], broken="a"), ANCHORED_SCHEMA)
    (group,) = Group.from_table(GatherGroups("memory://c", "run")(table))
    assert [item.name for item in group.streams] == ["b"]
    assert group.failed_streams == ("a" * 64,)
    assert {anchor.stream for anchor in group.anchors} == {"b" * 64}
    assert group.problems

"""Tracks of constructed detections: what comes, moves, stops, goes, crosses and touches, and what only flickers."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest

from experts.base import Expert, Observer
from experts.tracking import Detected, Look, anchors_of, follow, join_tracks, other_shot, touches
from schemas.anchor import AnchorKind, FactualAnchor
from schemas.geometry import Box
from schemas.segment import Segment
from schemas.stream import TrackKind
from sources.base import Recording

pytestmark = pytest.mark.models

RATE = 2.0
STREAM = "0" * 64


class Tracker(Expert):
    name, version = "tracker", "1"
    reads: ClassVar[frozenset[TrackKind]] = frozenset({TrackKind.VIDEO})

    def start(self, recording: Recording, segment: Segment) -> Observer:
        raise NotImplementedError


def at(label: str, x: float, y: float, side: float = 0.1, confidence: float = 0.8) -> Detected:
    """A square of `side` around (x, y)."""
    return Detected(label, Box.clipped(x - side / 2, y - side / 2, x + side / 2, y + side / 2), confidence)


def looks(*pictures: list[Detected], rate: float = RATE, cuts: tuple[int, ...] = ()) -> list[Look]:
    return [Look(number / rate, tuple(found), number in cuts) for number, found in enumerate(pictures)]


def whole(count: int, rate: float = RATE) -> Segment:
    return Segment(stream=STREAM, index=0, count=1, t0=0.0, t1=count / rate)


def facts(*pictures: list[Detected], rate: float = RATE, cuts: tuple[int, ...] = ()) -> list[FactualAnchor]:
    seen = looks(*pictures, rate=rate, cuts=cuts)
    return join_tracks(anchors_of(Tracker(), whole(len(seen), rate), seen, 1.0), 1.0)


def said(anchors: list[FactualAnchor]) -> list[tuple[str, str, float, float]]:
    return [(anchor.kind.removeprefix("object."), anchor.content, anchor.t0, anchor.t1) for anchor in anchors]


def only(anchors: list[FactualAnchor], kind: AnchorKind) -> FactualAnchor:
    (anchor,) = (anchor for anchor in anchors if anchor.kind == kind)
    return anchor


def test_what_enters_moves_stops_and_leaves_is_told_step_by_step():
    way = [0.2, 0.2, 0.2, 0.3, 0.4, 0.5, 0.6, 0.6, 0.6, 0.6]
    anchors = facts(*[[]] * 3, *([at("cup", x, 0.5)] for x in way), *[[]] * 4)
    assert said(anchors) == [
        ("appear", "cup", 1.5, 1.5),
        ("track", "cup", 1.5, 6.0),
        ("move", "cup", 2.5, 4.5),
        ("disappear", "cup", 6.5, 6.5),
    ]
    track, move = only(anchors, AnchorKind.OBJECT), only(anchors, AnchorKind.OBJECT_MOVE)
    assert (track.value, track.box, track.confidence) == (0.0, at("", 0.2, 0.5).box, 0.8)
    assert track.point == at("", 0.2, 0.5).box.centre
    assert track.end_point == at("", 0.6, 0.5).box.centre
    assert (move.point, move.end_point) == (track.point, track.end_point)
    assert move.value == pytest.approx(0.4)
    assert move.box == only(anchors, AnchorKind.OBJECT_DISAPPEAR).box == at("", 0.6, 0.5).box


def test_what_is_there_from_the_start_does_not_appear_and_at_the_end_does_not_disappear():
    assert said(facts(*[[at("cup", 0.5, 0.5)]] * 6)) == [("track", "cup", 0.0, 2.5)]


def test_what_is_missed_at_the_start_or_the_end_only_once_was_there_all_along():
    assert said(facts([], *[[at("cup", 0.5, 0.5)]] * 4, [])) == [("track", "cup", 0.5, 2.0)]


def test_a_tremble_is_no_move():
    tremble = [0.5, 0.51, 0.495, 0.507, 0.49, 0.512, 0.5, 0.505]
    assert said(facts(*([at("cup", x, 0.5)] for x in tremble))) == [("track", "cup", 0.0, 3.5)]


def test_slow_moves_count_as_moves():
    creep = [0.3] * 3 + [0.3 + 0.01 * step for step in range(1, 11)] + [0.4] * 3
    move = only(facts(*([at("cup", x, 0.5)] for x in creep)), AnchorKind.OBJECT_MOVE)
    assert move.value == pytest.approx(0.1, abs=0.03)
    assert 1.0 <= move.t0 <= 1.5
    assert 5.5 <= move.t1 <= 6.5


def test_a_pause_parts_two_moves():
    way = [0.1, 0.1, 0.2, 0.3, 0.3, 0.3, 0.4, 0.5, 0.5]
    moves = [a for a in facts(*([at("cup", x, 0.5)] for x in way)) if a.kind == AnchorKind.OBJECT_MOVE]
    assert [(move.t0, move.t1) for move in moves] == [(0.5, 1.5), (2.5, 3.5)]


def test_distance_counts_in_frame_widths():
    wide = looks(*([at("cup", 0.5, y)] for y in (0.2, 0.2, 0.4, 0.6, 0.6)))
    anchors = anchors_of(Tracker(), whole(5), wide, 0.5)
    assert only(anchors, AnchorKind.OBJECT_MOVE).value == pytest.approx(0.2)


def test_two_alike_that_cross_keep_their_ways():
    one, other = np.linspace(0.1, 0.9, 17), np.linspace(0.9, 0.1, 17)
    pictures = [[at("ball", x, 0.48), at("ball", z, 0.52)] for x, z in zip(one, other, strict=True)]
    tracks = follow(looks(*pictures, rate=8.0), 1.0)
    ends = [(track.sights[0][1].box.centre.x, track.sights[-1][1].box.centre.x) for track in tracks]
    assert [(round(first, 2), round(last, 2)) for first, last in ends] == [(0.1, 0.9), (0.9, 0.1)]
    assert all(len(track.sights) == 17 for track in tracks)


def test_labels_are_never_mixed():
    pictures = [[at("cup", 0.5, 0.5), at("bowl", 0.52, 0.5)]] * 4
    assert said(facts(*pictures)) == [("track", "bowl", 0.0, 1.5), ("track", "cup", 0.0, 1.5)]


def test_a_gap_of_one_picture_is_bridged_and_a_sight_in_one_picture_is_nothing():
    cup = [at("cup", 0.5, 0.5)]
    ghost = at("dog", 0.2, 0.2)
    anchors = facts(cup, cup, cup, [], cup, [*cup, ghost], cup, cup)
    assert said(anchors) == [("track", "cup", 0.0, 3.5)]


def test_an_absence_that_lasts_is_a_going_and_a_coming():
    cup = [at("cup", 0.5, 0.5)]
    assert said(facts(cup, cup, cup, *[[]] * 6, cup, cup, cup)) == [
        ("track", "cup", 0.0, 1.0),
        ("disappear", "cup", 1.5, 1.5),
        ("appear", "cup", 4.5, 4.5),
        ("track", "cup", 4.5, 5.5),
    ]


def test_over_a_cut_nothing_comes_or_goes_and_no_track_goes_on():
    cup, dog = [at("cup", 0.5, 0.5)], [at("dog", 0.5, 0.5)]
    pictures = [*[cup] * 4, *[dog] * 4, [], *[cup] * 3]
    assert said(facts(*pictures, cuts=(4, 8))) == [
        ("track", "cup", 0.0, 1.5),
        ("track", "dog", 2.0, 3.5),
        ("track", "cup", 4.5, 5.5),
    ]


def test_an_absence_takes_a_second_at_any_rate():
    cup = [at("cup", 0.5, 0.5)]
    assert said(facts(*[cup] * 10, *[[]] * 9, *[cup] * 10, rate=10.0)) == [("track", "cup", 0.0, 2.8)]
    gone = facts(*[cup] * 10, *[[]] * 15, *[cup] * 10, rate=10.0)
    assert [kind for kind, *_ in said(gone)] == ["track", "disappear", "appear", "track"]


def test_contact_begins_where_boxes_meet_and_ends_where_they_part():
    cup = at("cup", 0.5, 0.5)
    hand = [0.1, 0.2, 0.3, 0.41, 0.42, 0.39, 0.42, 0.3, 0.1]
    anchors = facts(*([cup, at("left hand", x, 0.5)] for x in hand))
    contact = only(anchors, AnchorKind.OBJECT_CONTACT)
    # At 0.39 the boxes are a hundredth of the frame apart: not enough to part, and not enough to meet.
    assert (contact.content, contact.t0, contact.t1) == ("cup", 1.5, 3.0)
    assert contact.box == cup.box
    assert contact.confidence <= 0.7
    near = facts(*([cup, at("left hand", x, 0.5)] for x in [0.1, 0.2, 0.39, 0.39, 0.39, 0.2]))
    assert AnchorKind.OBJECT_CONTACT not in [anchor.kind for anchor in near]


def test_two_hands_on_a_thing_are_one_contact_and_things_that_meet_none():
    cup, bowl = at("cup", 0.5, 0.5), at("bowl", 0.58, 0.5)
    left, right = at("hand", 0.42, 0.5), at("robot gripper", 0.5, 0.42)
    away = at("hand", 0.1, 0.9)
    pictures = [[cup, bowl, away]] * 2 + [[cup, bowl, left]] * 2 + [[cup, bowl, left, right]] * 2
    contacts = [a for a in facts(*pictures, rate=1.0) if a.kind == AnchorKind.OBJECT_CONTACT]
    assert [(a.content, a.t0, a.t1) for a in contacts if a.content == "cup"] == [("cup", 2.0, 5.0)]
    things = facts(*[[cup, bowl]] * 4)
    assert {anchor.kind for anchor in things} == {AnchorKind.OBJECT}


@pytest.mark.parametrize(
    ("label", "grasps"),
    [
        ("hand", True),
        ("robot gripper", True),
        ("a person", True),
        ("hand towel", False),
        ("handle", False),
        ("", False),
    ],
)
def test_hands_are_known_by_the_last_word(label: str, grasps: bool):
    assert touches(label) is grasps


def story(count: int = 40) -> list[list[Detected]]:
    """A hand comes at 2.5 s, is at the cup from 5 s on, carries it from 6 s to 15 s, and goes with it at 17 s."""
    pictures = []
    for number in range(count):
        found = [at("table", 0.5, 0.9, 0.2)]
        carried = 0.29 + 0.02 * min(max(number - 12, 0), 18)
        if number < 34:
            found.append(at("cup", carried, 0.5))
        if 5 <= number < 34:
            found.append(at("hand", min(0.05 + 0.03 * (number - 5), carried - 0.09), 0.5))
        pictures.append(found)
    return pictures


@pytest.mark.parametrize("border", [2.0, 2.5, 3.0, 5.0, 6.5, 7.0, 9.5, 13.0, 14.5, 16.5, 17.0, 17.5, 18.0, 19.0])
def test_a_segment_border_changes_nothing(border: float):
    seen = looks(*story())
    end = len(seen) / RATE
    uncut = join_tracks(anchors_of(Tracker(), whole(len(seen)), seen, 1.0), 1.0)
    kinds = {anchor.kind.removeprefix("object.") for anchor in uncut}
    assert kinds == {"track", "appear", "move", "disappear", "contact"}
    first = Segment(stream=STREAM, index=0, count=2, t0=0.0, t1=border)
    second = Segment(stream=STREAM, index=1, count=2, t0=border, t1=end)
    parts = [
        *anchors_of(Tracker(), first, [look for look in seen if look.time < border], 1.0),
        # The ensemble leaves out what begins before the segment.
        *(
            anchor
            for anchor in anchors_of(Tracker(), second, [look for look in seen if look.time >= border - 3.0], 1.0)
            if anchor.t0 >= border
        ),
    ]
    joined = join_tracks(parts, 1.0)
    events = ("track", "appear", "disappear")
    assert [row for row in said(joined) if row[0] in events] == [row for row in said(uncut) if row[0] in events]
    assert [a.value for a in joined if a.kind == AnchorKind.OBJECT] == [0.0, 1.0, 2.0]
    for kind in (AnchorKind.OBJECT_MOVE, AnchorKind.OBJECT_CONTACT):
        # What begins or ends within a second of the border may be seen a picture or two late, from one side only.
        ones = [(a.content, a.t0, a.t1) for a in joined if a.kind == kind]
        others = [(a.content, a.t0, a.t1) for a in uncut if a.kind == kind]
        assert [row[0] for row in ones] == [row[0] for row in others], kind
        for one, other in zip(ones, others, strict=True):
            assert one[1:] == pytest.approx(other[1:], abs=1.0)


def test_joining_is_stable():
    once = join_tracks(anchors_of(Tracker(), whole(40), looks(*story()), 1.0), 1.0)
    assert join_tracks(once, 1.0) == once


def test_another_shot_is_another_picture_not_a_moved_thing():
    rng = np.random.default_rng(0)
    room = rng.integers(0, 255, (36, 64), dtype=np.uint8)
    moved = room.copy()
    moved[5:25, 10:40] = 0
    assert not other_shot(room, room)
    assert not other_shot(room, moved)
    assert not other_shot(room, np.clip(room.astype(int) + 30, 0, 255).astype(np.uint8))
    assert other_shot(room, rng.integers(0, 255, (36, 64), dtype=np.uint8))
    assert other_shot(room, np.zeros((36, 64), np.uint8))
    assert other_shot(room, room[:, :40])

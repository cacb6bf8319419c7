"""Hands are told apart and followed, and touch what moves with them and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from experts.ensemble import Ensemble, Stopwatch
from experts.hands import (
    LANDMARK_WEIGHTS,
    PALM_WEIGHTS,
    Hand,
    Hands,
    Palm,
    Region,
    apart,
    camera_motion,
    contacts,
    decode_palms,
    merged,
    moved_along,
    paired,
    palm_places,
    region_of_hand,
    region_of_palm,
    views,
)
from schemas.anchor import FactualAnchor
from schemas.errors import UsageError
from schemas.geometry import Box
from schemas.recipe import Sampling
from schemas.segment import cut_segments
from schemas.stream import Domain, Stream
from sources.base import Recording
from sources.decoding import VideoDecoder
from tests.films import Film, Picture

RATE = 10.0

# A hand that points up, in sizes of itself: wrist below, thumb to the left.
UPRIGHT = np.array(
    [(0.5, 1.0)]
    + [(0.3 - 0.1 * k, 0.8 - 0.1 * k) for k in range(4)]
    + [(0.35 + 0.1 * finger, 0.5 - 0.15 * k) for finger in range(4) for k in range(4)]
)


def hand(x: float, y: float, size: float = 60.0, right: float = 0.9, presence: float = 0.95) -> Hand:
    """A hand with its middle at a place."""
    middle = (UPRIGHT.min(axis=0) + UPRIGHT.max(axis=0)) / 2
    return Hand((UPRIGHT - middle) * size + (x, y), presence, right)


# --- what the networks say -----------------------------------------------------------------------------------------


def test_the_palm_network_looks_at_2016_places():
    places = palm_places()
    assert places.shape == (2016, 2)
    assert places[0].tolist() == places[1].tolist() == [0.5 / 24, 0.5 / 24]
    assert places[2].tolist() == [1.5 / 24, 0.5 / 24]
    assert places[1152].tolist() == places[1157].tolist() == [0.5 / 12, 0.5 / 12]
    assert places[-1].tolist() == [11.5 / 12, 11.5 / 12]


def test_a_palm_lies_where_its_place_and_its_way_from_there_say():
    boxes, scores = np.zeros((2016, 18), np.float32), np.full(2016, -9.0, np.float32)
    # The place in the middle of row 6, column 3 of the 12 x 12; 19.2 pixels right, 48 wide, 24 high.
    number = 1152 + 6 * (6 * 12 + 3)
    boxes[number, :4] = 19.2, 0.0, 48.0, 24.0
    boxes[number, 4:6], boxes[number, 8:10] = (0.0, 96.0), (0.0, -96.0)
    scores[number] = 0.0
    (palm,) = decode_palms(boxes, scores, 0.5)
    x, y = 3.5 / 12 + 0.1, 6.5 / 12
    assert palm.box == pytest.approx([x - 0.125, y - 0.0625, x + 0.125, y + 0.0625])
    assert palm.points[0] == pytest.approx([3.5 / 12, y + 0.5])
    assert palm.points[2] == pytest.approx([3.5 / 12, y - 0.5])
    assert palm.score == 0.5
    assert decode_palms(boxes, scores, 0.51) == []


def palm(x0: float, y0: float, x1: float, y1: float, score: float = 0.9, turn: float = 0.0) -> Palm:
    middle = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
    points = np.zeros((7, 2))
    points[:] = middle
    points[0] = middle - 0.5 * np.array([np.sin(turn), -np.cos(turn)])
    points[2] = middle + 0.5 * np.array([np.sin(turn), -np.cos(turn)])
    return Palm(np.array([x0, y0, x1, y1], float), points, score)


def test_sightings_of_one_palm_are_one():
    one, again, other = palm(0, 0, 10, 10, 0.75), palm(2, 0, 12, 10, 0.25), palm(30, 0, 40, 10, 0.5)
    found = merged([other, again, one])
    assert [p.score for p in found] == [0.75, 0.5]
    assert found[0].box == pytest.approx([0.5, 0, 10.5, 10])


@pytest.mark.parametrize(
    ("turn", "x", "y"), [(0.0, 50, 45), (np.pi / 2, 55, 50), (np.pi, 50, 55), (-np.pi / 2, 45, 50)]
)
def test_the_region_of_a_palm_lies_half_a_palm_toward_the_fingers(turn, x, y):
    region = region_of_palm(palm(45, 45, 55, 55, turn=turn))
    assert (region.x, region.y, region.side) == pytest.approx((x, y, 26))
    # In the turned square the fingers point up: its upper middle lies where they point.
    tip = region.place(np.array([[0.5, 0.0]]))[0] - (region.x, region.y)
    assert tip == pytest.approx([13 * np.sin(turn), -13 * np.cos(turn)], abs=1e-9)


@pytest.mark.parametrize("turn", [0.0, 0.7, 2.0, -1.3])
def test_a_hand_is_looked_for_where_it_was_however_it_is_turned(turn):
    upright = region_of_hand(hand(100, 100).landmarks)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    turned = region_of_hand((hand(100, 100).landmarks - 100) @ rotation.T + 100)
    assert turned.side == pytest.approx(upright.side)
    assert np.angle(np.exp(1j * (turned.angle - upright.angle))) == pytest.approx(turn)
    assert [turned.x, turned.y] == pytest.approx(list(rotation @ (upright.x - 100, upright.y - 100) + 100))


def test_places_of_a_region_are_places_of_the_picture():
    corners = Region(10, 20, 4, 0.0).place(np.array([[0, 0], [1, 1], [0.5, 0.5]], float))
    assert corners.tolist() == [[8, 18], [12, 22], [10, 20]]
    assert Region(10, 20, 4, np.pi / 2).place(np.array([[0.5, 0.0]]))[0] == pytest.approx([12, 20])


def test_a_long_picture_is_looked_at_whole_and_at_both_ends():
    square, tall, wide = np.zeros((90, 100, 3), np.uint8), np.zeros((200, 100, 3), np.uint8), np.zeros((100, 160, 3))
    assert [view.shape[:2] for view, _ in views(square)] == [(90, 100)]
    assert [(view.shape[:2], tuple(corner)) for view, corner in views(tall)] == [
        ((200, 100), (0, 0)),
        ((100, 100), (0, 0)),
        ((100, 100), (0, 100)),
    ]
    assert [(view.shape[:2], tuple(corner)) for view, corner in views(wide.astype(np.uint8))][1:] == [
        ((100, 100), (0, 0)),
        ((100, 100), (60, 0)),
    ]


# --- hands from picture to picture ---------------------------------------------------------------------------------


def test_two_sightings_of_one_hand_are_one():
    sure, again, other = hand(100, 100, presence=0.9), hand(108, 100, presence=0.7), hand(200, 100, presence=0.8)
    assert apart([again, other, sure]) == [sure, other]


def test_hands_are_the_nearest_they_were():
    left, right, far = hand(100, 100), hand(150, 100), hand(500, 100)
    assert [number for number, _ in paired([left, right], [hand(145, 100), far, hand(105, 100)])] == [1, None, 0]
    assert [number for number, _ in paired([left], [hand(100, 100), hand(110, 100)])] == [0, None]


def test_a_contact_lasts_from_the_first_move_with_a_thing_to_the_last():
    box, other = Box(x0=0.1, y0=0.1, x1=0.2, y1=0.2), Box(x0=0.5, y0=0.5, x1=0.6, y1=0.6)
    moves = [(0.0, 0.1, None), (0.1, 0.2, box), (0.2, 0.3, None), (0.3, 0.4, other), (0.4, 0.5, box), (0.5, 0.6, None)]
    assert contacts(moves) == [(0.1, 0.5, box, 0.75)]
    assert contacts([(0.0, 0.1, box), (0.8, 0.9, other)]) == [(0.0, 0.1, box, 1.0), (0.8, 0.9, other, 1.0)]
    assert contacts([(0.0, 0.1, None)]) == []


# --- what moves with a hand ----------------------------------------------------------------------------------------


def cloth(seed: int, height: int, width: int, low: int, high: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    grain = cv2.GaussianBlur(rng.normal(0, 1, (height, width)).astype(np.float32), (0, 0), 2)
    return cv2.normalize(grain, None, low, high, cv2.NORM_MINMAX).astype(np.uint8)


WALL = cloth(1, 360, 640, 40, 150)
SKIN = cloth(2, 360, 640, 150, 230)
THING = cloth(3, 40, 90, 0, 255)


def draw(
    x: float, y: float, thing: tuple[int, int] | None = None, arm: bool = False, wall: np.ndarray = WALL
) -> np.ndarray:
    """A hand at a place before a wall; a thing of 90 x 40 with its top left corner at another."""
    picture = wall.copy()
    if thing is not None:
        left, top = thing
        picture[top : top + 40, left : left + 90] = THING
    shape = np.zeros(wall.shape, np.uint8)
    points = hand(x, y).landmarks
    cv2.fillConvexPoly(shape, cv2.convexHull(points.astype(np.float32)).round().astype(np.int32), 1)
    shape = cv2.dilate(shape, np.ones((7, 7), np.uint8))
    if arm:
        wrist = points[0].round().astype(int)
        shape[wrist[1] - 4 : wrist[1] + 120, wrist[0] - 14 : wrist[0] + 14] = 1
    skin = np.roll(SKIN, (round(y), round(x)), (0, 1))
    picture[shape > 0] = skin[shape > 0]
    return picture


STILL = np.zeros(2)


def test_a_thing_that_moves_with_the_fingers_is_touched():
    before, now = draw(300, 200, (255, 125)), draw(310, 200, (265, 125))
    found = moved_along(before, now, hand(300, 200), STILL)
    assert found is not None
    assert found.box is not None
    drawn = Box(x0=255 / 640, y0=125 / 360, x1=345 / 640, y1=165 / 360)
    assert found.box.iou(drawn) > 0.4


def test_a_thing_that_stays_behind_is_not_touched():
    found = moved_along(draw(300, 200, (255, 125)), draw(310, 200, (255, 125)), hand(300, 200), STILL)
    assert found is not None
    assert found.box is None


@pytest.mark.parametrize("way", [(10, 0), (0, -10), (-8, 6)])
def test_an_arm_is_no_thing(way):
    before, now = draw(300, 200, arm=True), draw(300 + way[0], 200 + way[1], arm=True)
    found = moved_along(before, now, hand(300, 200), STILL)
    assert found is not None
    assert found.box is None


def test_a_plain_wall_does_not_move_with_a_hand():
    wall = np.full_like(WALL, 90)
    found = moved_along(draw(300, 200, wall=wall), draw(310, 200, wall=wall), hand(300, 200), STILL)
    assert found is not None
    assert found.box is None


def test_a_thing_that_moves_another_way_is_not_touched():
    found = moved_along(draw(300, 200, (255, 125)), draw(310, 200, (245, 125)), hand(300, 200), STILL)
    assert found is not None
    assert found.box is None


def test_of_a_hand_that_stays_nothing_is_said():
    assert moved_along(draw(300, 200, (255, 125)), draw(300, 200, (265, 125)), hand(300, 200), STILL) is None


def test_a_camera_that_pans_moves_no_hand():
    before = draw(300, 200, (255, 125))
    now = np.roll(before, 10, axis=1)
    camera = camera_motion(before, now, [hand(300, 200)])
    assert camera == pytest.approx([10, 0], abs=1.0)
    assert moved_along(before, now, hand(300, 200), camera) is None


def test_where_everything_around_goes_along_nothing_is_said():
    # A body walks by: the whole surroundings move, the picture as a whole does not.
    before = draw(300, 200, (255, 125))
    assert moved_along(before, np.roll(before, 10, axis=1), hand(300, 200), STILL) is None


# --- through the ensemble ------------------------------------------------------------------------------------------


class ColourPicture(Picture):
    def rgb(self, max_side: int | None = None) -> np.ndarray:
        return np.repeat(self.gray(max_side)[..., None], 3, axis=2)


class ColourFilm(Film):
    def frames(self, t0, t1, rate, include_end=False):
        for picture in super().frames(t0, t1, rate, include_end):
            yield ColourPicture(picture.time, picture.pixels)


class Told(Hands):
    """In place of the networks: knows where the hands are from the first pixel of a picture, its number."""

    def __init__(self, hands: Sequence[list[Hand]]):
        self.parameters = {}
        self.hands = hands

    def find(self, picture, before):
        return list(self.hands[int(picture[0, 0, 0])])


class Clip(Recording):
    def __init__(self, path: Path):
        self.decoder = VideoDecoder(str(path))

    def close(self) -> None:
        self.decoder.close()

    def frames(self, t0, t1, rate, include_end=False):
        return self.decoder.frames(t0, t1, rate, include_end)


def look(expert: Hands, recording: Recording, duration: float, seconds: float = 300.0) -> list[FactualAnchor]:
    stream = Stream(
        sha256="0" * 64, uri="x", name="x", domain=Domain.EMBODIED, format="x", parts=(), tracks=(), duration=duration
    )
    found = []
    for segment in cut_segments(stream, seconds):
        found += Ensemble([expert], Sampling())(recording, segment, Stopwatch()).anchors["hands"]
    return Hands.join(stream, found)


def look_at(pictures: Sequence[np.ndarray], hands: Sequence[list[Hand]], seconds: float = 300.0):
    for count, picture in enumerate(pictures):
        picture[0, 0] = count
    return look(Told(hands), ColourFilm(pictures, RATE), len(pictures) / RATE, seconds)


def reach_and_lift() -> tuple[list[np.ndarray], list[list[Hand]]]:
    """For a second a hand goes down to a thing, rests for half a second, lifts it for a second and lets go of it."""
    ways = [(300, 150 + 5 * k) for k in range(11)] + [(300, 200)] * 5
    ways += [(300, 200 - 6 * k) for k in range(1, 11)] + [(300 + 8 * k, 140) for k in range(1, 11)]
    pictures, hands = [], []
    for number, (x, y) in enumerate(ways):
        top = 125 - 6 * min(max(number - 15, 0), 10)
        pictures.append(draw(x, y, (255, top)))
        hands.append([hand(x, y)])
    return pictures, hands


@pytest.mark.parametrize("seconds", [300.0, 2.0, 1.3])
def test_a_hand_that_lifts_a_thing_touches_it_while_it_does(seconds):
    anchors = look_at(*reach_and_lift(), seconds=seconds)
    (track,) = [a for a in anchors if a.kind == "hand.track"]
    (contact,) = [a for a in anchors if a.kind == "object.contact"]
    assert (track.t0, track.t1, track.content) == (0.0, 3.5, "right")
    assert track.point is not None
    assert track.end_point is not None
    assert (track.point.x, track.point.y) == pytest.approx((300 / 640, 150 / 360), abs=1e-3)
    assert (track.end_point.x, track.end_point.y) == pytest.approx((380 / 640, 140 / 360), abs=1e-3)
    assert 1.4 <= contact.t0 <= 1.6
    assert 2.4 <= contact.t1 <= 2.6
    assert contact.content == ""
    assert contact.box is not None
    assert contact.box.iou(Box(x0=255 / 640, y0=125 / 360, x1=345 / 640, y1=165 / 360)) > 0.3


def test_left_and_right_are_what_most_pictures_say():
    right = [0.9, 0.9, 0.2, 0.9, 0.9, 0.9]
    hands = [[hand(300, 200, right=value), hand(100, 200, right=0.1)] for value in right]
    anchors = look_at([draw(300, 200) for _ in right], hands)
    assert sorted((a.content, a.t0, a.t1) for a in anchors) == [("left", 0.0, 0.5), ("right", 0.0, 0.5)]


@pytest.mark.parametrize(("lost", "tracks"), [(3, 1), (8, 2)])
def test_a_hand_may_be_lost_for_half_a_second(lost, tracks):
    seen = [[hand(300, 200)]] * 5 + [[]] * lost + [[hand(302, 200)]] * 5
    assert len(look_at([draw(300, 200) for _ in seen], seen)) == tracks


def test_a_hand_seen_once_is_no_track():
    seen = [[]] * 3 + [[hand(300, 200)]] + [[]] * 3
    assert look_at([draw(300, 200) for _ in seen], seen) == []


@pytest.mark.parametrize("size", [(1, 1), (31, 400)])
def test_no_hand_is_looked_for_in_too_few_pixels(size):
    assert look_at([np.zeros(size, np.uint8) for _ in range(3)], []) == []


# --- parameters and weights ----------------------------------------------------------------------------------------


def test_an_unknown_parameter_is_refused():
    with pytest.raises(UsageError, match="Did you mean 'weights'"):
        Hands(weigths="x")


def test_it_says_which_weights_are_missing(tmp_path: Path):
    (tmp_path / PALM_WEIGHTS).touch()
    problem = Hands.lacks(weights=str(tmp_path))[-1]
    assert problem.cause == f"its weights {LANDMARK_WEIGHTS} are not in {tmp_path}"
    assert "mediapipe==0.10.14" in problem.remedy
    with pytest.raises(UsageError, match="hand_landmark_full"):
        Hands(weights=str(tmp_path))
    (tmp_path / LANDMARK_WEIGHTS).touch()
    assert not any("weights" in problem.cause for problem in Hands.lacks(weights=str(tmp_path)))


def test_it_says_that_its_packages_are_missing(monkeypatch):
    monkeypatch.setattr("experts.hands.find_spec", lambda name: None)
    causes = [problem.cause for problem in Hands.lacks()]
    assert len(causes) == 2
    assert "ai-edge-litert" in causes[0]
    assert "mediapipe" in causes[1]


@pytest.fixture(scope="module")
def networks() -> Hands:
    lacking = Hands.lacks()
    if lacking:
        pytest.skip("; ".join(str(problem) for problem in lacking))
    return Hands()


@pytest.mark.models
def test_the_networks_see_no_hand_where_none_is(networks: Hands):
    assert networks.find(np.repeat(WALL[..., None], 3, axis=2), []) == []
    assert networks.find(np.zeros((40, 300, 3), np.uint8), []) == []


@pytest.mark.models
@pytest.mark.streams
def test_the_hands_that_show_a_bag(streams: Path, networks: Hands):
    """Her left hand holds the bag by its rim and lifts it; the right one comes down beside it and takes the strap."""
    with Clip(streams / "daily_life/livestream/livestream.mp4") as recording:
        anchors = look(networks, recording, 3.96)
        assert look(networks, recording, 3.96) == anchors
    tracks = [a for a in anchors if a.kind == "hand.track"]
    left = max((a for a in tracks if a.content == "left"), key=lambda a: a.t1 - a.t0)
    right = max((a for a in tracks if a.content == "right"), key=lambda a: a.t1 - a.t0)
    assert left.t0 <= 0.2
    assert left.t1 >= 2.8
    assert right.t1 - right.t0 >= 2.5
    assert left.box is not None
    assert left.box.contains(Box(x0=0.58, y0=0.44, x1=0.64, y1=0.47).centre)
    assert right.end_point is not None
    assert abs(right.end_point.x - 0.43) < 0.03
    assert abs(right.end_point.y - 0.42) < 0.03
    assert any(a.kind == "object.contact" and a.t0 < 1.0 < a.t1 for a in anchors)

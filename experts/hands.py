"""Hands: where they are, which they are, and what moves with them.

Palms are found and 21 landmarks placed on each hand with the networks of MediaPipe Hands (Zhang et al., "MediaPipe
Hands: On-device Real-time Hand Tracking", 2020); a hand seen a moment ago is looked for where it was. Palms are looked
for in the whole picture and, when that is long, in the squares at both its ends, where small hands are larger.

Contact is measured in the pixels, not guessed from nearness. From one picture to the next a place beside the hand has
moved with it when
- dense flow there is the hand's own, against the camera's motion;
- and the picture says so: moved with the flow it is as before, moved with the camera it is not. Flow alone spreads
  from a hand over a plain wall.
A hand touches a thing while such places lie at its fingertips, outside the hand and on its side of the wrist: the arm
moves with the hand too. Where most of what is around goes along, a body walks or the view moves: that step says
nothing, neither for contact nor against it. What the thing is nobody knows here. A hand that holds a thing still
shows no contact, and clothes that follow a hand look like a thing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from experts.base import Expert, Observer
from schemas.anchor import AnchorKind, FactualAnchor
from schemas.errors import Problem, UsageError
from schemas.geometry import Box, Point
from schemas.recipe import Scalar
from schemas.segment import Segment
from schemas.stream import Stream, TrackKind
from sources.base import Recording
from sources.frame import Frame, Pixels

PALM_WEIGHTS, LANDMARK_WEIGHTS = "palm_detection_full.tflite", "hand_landmark_full.tflite"

_SIDE = 1280  # pixels; a hand a twentieth as long has 64
_PALM_SIDE = 192  # what the palm network sees
_HAND_SIDE = 224  # what the landmark network sees
_LONG = 1.2  # sides of a picture whose ends are looked at too
_PRESENT = 0.5  # what the landmark network must say of a hand
_SAME_PALM = 0.3  # intersection over union of two sightings of one palm
_SAME_HAND = 0.35  # distance of the centres of two sightings of one hand in a picture, in its size
_REACH = 1.0  # way of a hand from one picture to the next, in its size
_MOST = 8  # hands in a picture
_GAP = 0.5  # seconds for which a hand may be lost, and a contact unseen
_LEAST = 0.2  # seconds for which a hand must be seen
_LEAST_CONTACT = 0.3  # seconds that it must move a thing
_MOST_SURE = 0.7  # of any contact: clothes that follow a hand look like a thing
_SURE_CONTACT = 0.5  # share of the hand's moves in which the thing moves along
_NEAR = 0.12  # frame widths between the ends of a track that a border cut

_AROUND = 160  # pixels of the square around a hand that contact is looked for in
_WIDE = 3.0  # its side, in sizes of the hand
_MOVES = 0.03  # sizes of the hand by which it must move
_CHANGED = 6.0  # grey levels by which what moves changes
_EXPLAINED = 0.5  # of that change, beyond which nothing may be left when it is moved along
_LEFT = 8.0  # and grey levels, for what the hand uncovers differs from it more
_TEXTURE = 3.0  # grey levels by which a place must differ from those around it: a plain one fits anywhere
_ALIKE = 0.35  # of the hand's motion, by which what moves with it may differ
_SKIN = 0.15  # sizes of the hand around its landmarks that are hand
_TIP = 0.35  # sizes of the hand around a fingertip in which it touches
_MOST_ALONG = 0.5  # of what is around a hand, beyond which its motion says nothing of a thing
_THING = 0.1  # area of the hand that must move with it

_WRIST, _INDEX, _MIDDLE, _RING = 0, 5, 9, 13
_TIPS = (4, 8, 12, 16, 20)
_PALM = (0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18)

_Vectors = NDArray[np.float64]
_Field = NDArray[np.float32]


@dataclass(frozen=True)
class Palm:
    """A palm found: its box (x0, y0, x1, y1) and seven points (7, 2), the wrist first, the middle knuckle third."""

    box: _Vectors
    points: _Vectors
    score: float


@dataclass(frozen=True)
class Region:
    """A turned square around a hand whose fingers point up in it. `angle` in radians, clockwise."""

    x: float
    y: float
    side: float
    angle: float

    def place(self, points: _Vectors) -> _Vectors:
        """Points of the square, with (0, 0) its top left and (1, 1) its bottom right corner, in the picture."""
        turn = np.array([[np.cos(self.angle), -np.sin(self.angle)], [np.sin(self.angle), np.cos(self.angle)]])
        return np.asarray((points - 0.5) * self.side @ turn.T + (self.x, self.y))


@dataclass(frozen=True)
class Hand:
    """A hand in a picture. `landmarks` (21, 2) in pixels: wrist, then thumb, index, middle, ring and little finger
    with four points each, the tip last."""

    landmarks: _Vectors
    presence: float
    right: float
    """How far it is a right hand, in [0, 1]."""

    @property
    def size(self) -> float:
        """The longer side of its box, or twice the way from wrist to middle knuckle when it is a fist."""
        span = self.landmarks.max(axis=0) - self.landmarks.min(axis=0)
        return float(max(span.max(), 2 * np.hypot(*(self.landmarks[_MIDDLE] - self.landmarks[_WRIST])), 1.0))

    @property
    def centre(self) -> _Vectors:
        return np.asarray((self.landmarks.min(axis=0) + self.landmarks.max(axis=0)) / 2)

    def away(self, other: Hand) -> float:
        """Distance of the centres, in the larger one's size."""
        return float(np.hypot(*(self.centre - other.centre))) / max(self.size, other.size)


class Hands(Expert):
    """Finds `hand.track` and `object.contact` (with empty content: what is touched is not known).

    Parameters: `weights`, a folder with `palm_detection_full.tflite` and `hand_landmark_full.tflite` (default: those
    inside the package mediapipe up to 0.10.14); `threshold`, what the palm network must say (default 0.5).
    Left and right are the person's own, in a picture that is not mirrored.
    """

    name = "hands"
    version = "1"
    reads: ClassVar[frozenset[TrackKind]] = frozenset({TrackKind.VIDEO})
    rate = 10.0
    lead = 1.0

    known = ("threshold", "weights")

    def __init__(self, **parameters: Scalar) -> None:
        super().__init__(**parameters)
        self.threshold = float(parameters.get("threshold", 0.5))
        self._load(parameters.get("weights"))

    def _load(self, weights: Scalar | None) -> None:
        files, missing = _files(weights)
        if missing is not None:
            raise UsageError(missing.input, missing.cause, missing.remedy)
        self.palms = _Network(files[0])
        self.landmarks = _Network(files[1])

    @classmethod
    def lacks(cls, **parameters: Scalar) -> list[Problem]:
        problems = []
        if find_spec("ai_edge_litert") is None:
            cause = "the package ai-edge-litert, which runs its networks, is not installed"
            problems.append(Problem(input="expert hands", cause=cause, remedy="pip install ai-edge-litert"))
        missing = _files(parameters.get("weights"))[1]
        return problems if missing is None else [*problems, missing]

    def start(self, recording: Recording, segment: Segment) -> Observer:
        return _HandObserver(self, segment)

    def find(self, picture: Pixels, before: Sequence[Hand]) -> list[Hand]:
        """The hands in a picture (height, width, 3), the surest first; `before` are those of the picture before."""
        regions = [region_of_hand(hand.landmarks) for hand in before]
        regions += [region_of_palm(palm) for palm in self._palms(picture)]
        hands = [hand for hand in (self._hand(picture, region) for region in regions) if hand.presence >= _PRESENT]
        return apart(hands)[:_MOST]

    def _palms(self, picture: Pixels) -> list[Palm]:
        found = []
        for view, corner in views(picture):
            seen, scale, border = _framed(view)
            boxes, scores = self.palms(seen)[:2]
            for palm in decode_palms(boxes[0], scores[0, :, 0], self.threshold):
                box = (palm.box * _PALM_SIDE - np.tile(border, 2)) / scale + np.tile(corner, 2)
                found.append(Palm(box, (palm.points * _PALM_SIDE - border) / scale + corner, palm.score))
        return merged(found)[:_MOST]

    def _hand(self, picture: Pixels, region: Region) -> Hand:
        corners = region.place(np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])).astype(np.float32)
        target = np.array([[0, 0], [_HAND_SIDE, 0], [0, _HAND_SIDE]], np.float32)
        cut = cv2.warpAffine(picture, cv2.getAffineTransform(corners, target), (_HAND_SIDE, _HAND_SIDE))
        points, presence, right = self.landmarks(np.asarray(cut, np.float32) / np.float32(255))[:3]
        landmarks = region.place(points.reshape(21, 3)[:, :2].astype(np.float64) / _HAND_SIDE)
        return Hand(landmarks, float(presence.item()), float(right.item()))

    @classmethod
    def join(cls, stream: Stream, anchors: Sequence[FactualAnchor]) -> list[FactualAnchor]:
        """Puts tracks and contacts together that a border cut, and leaves out what was too short to be sure."""
        joined: list[FactualAnchor] = []
        for anchor in sorted(anchors, key=lambda a: (a.t0, a.t1, a.kind, a.content)):
            place = next((k for k, before in enumerate(joined) if _goes_on(before, anchor)), None)
            if place is None:
                joined.append(anchor)
            else:
                joined[place] = _together(joined[place], anchor)
        return [anchor for anchor in joined if _lasts(anchor)]


def _goes_on(one: FactualAnchor, other: FactualAnchor) -> bool:
    """Whether an anchor is the rest of another one."""
    if one.kind != other.kind or one.content != other.content or not one.t1 < other.t0 <= one.t1 + _GAP + 1e-6:
        return False
    if one.kind == AnchorKind.OBJECT_CONTACT:
        return one.box is not None and other.box is not None and one.box.iou(other.box) > 0
    if one.end_point is None or other.point is None:
        return False
    return bool(np.hypot(one.end_point.x - other.point.x, one.end_point.y - other.point.y) <= _NEAR)


def _together(one: FactualAnchor, other: FactualAnchor) -> FactualAnchor:
    first, second = one.t1 - one.t0 + 0.1, other.t1 - other.t0 + 0.1
    sure = (one.confidence * first + other.confidence * second) / (first + second)
    return one.model_copy(update={"t1": other.t1, "end_point": other.end_point, "confidence": round(sure, 4)})


def _lasts(anchor: FactualAnchor) -> bool:
    if anchor.kind == AnchorKind.OBJECT_CONTACT:
        return anchor.t1 - anchor.t0 >= _LEAST_CONTACT - 1e-6 and anchor.confidence >= _SURE_CONTACT
    return anchor.t1 - anchor.t0 >= _LEAST - 1e-6


@dataclass(frozen=True)
class _Sighting:
    time: float
    hand: Hand
    centre: Point
    box: Box


@dataclass(frozen=True)
class _Move:
    """A hand's way from one picture to the next; `box` is what moved with it."""

    t0: float
    t1: float
    box: Box | None


@dataclass
class _Track:
    sightings: list[_Sighting] = field(default_factory=list)
    moves: list[_Move] = field(default_factory=list)

    @property
    def last(self) -> _Sighting:
        return self.sightings[-1]


@dataclass
class _HandObserver(Observer):
    expert: Hands
    segment: Segment
    tracks: list[_Track] = field(default_factory=list)
    before: tuple[float, Pixels] | None = None
    """The picture before, in grey, and its time."""
    hands: list[Hand] = field(default_factory=list)
    """The hands in it."""

    def observe(self, frame: Frame) -> None:
        picture = frame.rgb(_SIDE)
        if min(picture.shape[:2]) < 32:
            return  # no hand can be seen in so few pixels
        gray = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8)
        if self.before is not None and self.before[1].shape != gray.shape:
            self.before, self.hands = None, []
        self.calls += 1
        hands = self.expert.find(picture, self.hands)
        open_tracks = [track for track in self.tracks if frame.time - track.last.time <= _GAP]
        camera: _Vectors | None = None
        for track, hand in paired([track.last.hand for track in open_tracks], hands):
            if track is None:
                self.tracks.append(_Track([_sighting(frame.time, hand, gray)]))
                continue
            known = open_tracks[track]
            if self.before is not None and known.last.time == self.before[0]:
                camera = camera_motion(self.before[1], gray, self.hands) if camera is None else camera
                move = moved_along(self.before[1], gray, known.last.hand, camera)
                if move is not None:
                    known.moves.append(_Move(self.before[0], frame.time, move.box))
            known.sightings.append(_sighting(frame.time, hand, gray))
        self.before, self.hands = (frame.time, gray), hands

    def finish(self) -> list[FactualAnchor]:
        expert, segment = self.expert, self.segment
        anchors = []
        for track in self.tracks:
            # What began in the lead goes on from the border here; join puts it together again.
            seen = [sighting for sighting in track.sightings if sighting.time >= segment.t0 - 1e-6]
            if not seen:
                continue
            right = float(np.mean([sighting.hand.right for sighting in track.sightings]))
            presence = float(np.mean([sighting.hand.presence for sighting in track.sightings]))
            anchors.append(
                expert.anchor(
                    segment, AnchorKind.HAND, seen[0].time, seen[-1].time,
                    content="right" if right >= 0.5 else "left", box=seen[0].box,
                    point=seen[0].centre, end_point=seen[-1].centre, confidence=presence * max(right, 1 - right),
                )
            )  # fmt: skip
            for t0, t1, box, share in contacts([(move.t0, move.t1, move.box) for move in track.moves]):
                if t1 > segment.t0 + 1e-6:
                    begin, sure = max(t0, segment.t0), min(share * presence, _MOST_SURE)
                    kind = AnchorKind.OBJECT_CONTACT
                    anchors.append(expert.anchor(segment, kind, begin, t1, box=box, confidence=sure))
        return sorted(anchors, key=lambda a: (a.t0, a.t1, a.kind))


def _sighting(time: float, hand: Hand, gray: Pixels) -> _Sighting:
    height, width = gray.shape
    low, high = hand.landmarks.min(axis=0) / (width, height), hand.landmarks.max(axis=0) / (width, height)
    box = Box.clipped(*(round(float(v), 4) for v in (*low, *high)))
    centre = Point(x=round(box.centre.x, 4), y=round(box.centre.y, 4))
    return _Sighting(time, hand, centre, box)


# --- hands in a picture --------------------------------------------------------------------------------------------


def views(picture: Pixels) -> list[tuple[Pixels, _Vectors]]:
    """The whole picture, and the squares at both ends of a long one, each with its corner (x, y)."""
    height, width = picture.shape[:2]
    side = min(height, width)
    found = [(picture, np.zeros(2))]
    if max(height, width) >= _LONG * side:
        found.append((picture[:side, :side], np.zeros(2)))
        found.append((picture[height - side :, width - side :], np.array([width - side, height - side], float)))
    return found


def _framed(view: Pixels) -> tuple[_Field, float, _Vectors]:
    """A view in the middle of the palm network's square, in [0, 1]; its scale, and the border (x, y) beside it."""
    height, width = view.shape[:2]
    scale = _PALM_SIDE / max(height, width)
    small = cv2.resize(
        view, (max(1, round(width * scale)), max(1, round(height * scale))), interpolation=cv2.INTER_AREA
    )
    y, x = (_PALM_SIDE - small.shape[0]) // 2, (_PALM_SIDE - small.shape[1]) // 2
    square = np.zeros((_PALM_SIDE, _PALM_SIDE, 3), np.float32)
    square[y : y + small.shape[0], x : x + small.shape[1]] = small.astype(np.float32) / 255
    return square, scale, np.array([x, y], float)


def palm_places() -> _Vectors:
    """Where the palm network looks (2016, 2), in [0, 1]: twice at each of 24 x 24 places, six times at 12 x 12."""
    rows = [
        ((x + 0.5) / count, (y + 0.5) / count)
        for count, each in ((24, 2), (12, 6))
        for y in range(count)
        for x in range(count)
        for _ in range(each)
    ]
    return np.array(rows)


_PLACES = palm_places()


def decode_palms(boxes: NDArray[np.float32], scores: NDArray[np.float32], least: float) -> list[Palm]:
    """Palms from what the palm network says: (2016, 18) of centre, size and seven points in its pixels, from each of
    its places; (2016,) logits. In [0, 1] of its square, the surest first."""
    sure = 1 / (1 + np.exp(-np.clip(scores.astype(np.float64), -100, 100)))
    found = []
    for place in np.argsort(-sure, kind="stable"):
        if sure[place] < least:
            break
        pairs = boxes[place].astype(np.float64).reshape(9, 2) / _PALM_SIDE
        centre, half = pairs[0] + _PLACES[place], pairs[1] / 2
        found.append(
            Palm(np.concatenate([centre - half, centre + half]), pairs[2:] + _PLACES[place], float(sure[place]))
        )
    return found


def merged(palms: Sequence[Palm]) -> list[Palm]:
    """One palm for each group of sightings that overlap, their mean by score; the surest first."""
    left = sorted(palms, key=lambda palm: -palm.score)
    found = []
    while left:
        group = [palm for palm in left if palm is left[0] or _overlap(palm.box, left[0].box) >= _SAME_PALM]
        left = [palm for palm in left if not any(palm is other for other in group)]
        weights = np.array([palm.score for palm in group])
        box = np.average([palm.box for palm in group], axis=0, weights=weights)
        points = np.average([palm.points for palm in group], axis=0, weights=weights)
        found.append(Palm(np.asarray(box), np.asarray(points), group[0].score))
    return found


def _overlap(one: _Vectors, other: _Vectors) -> float:
    """Intersection over union of two boxes (x0, y0, x1, y1)."""
    inside = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    if (inside <= 0).any():
        return 0.0
    shared = float(inside.prod())
    return shared / (float((one[2:] - one[:2]).prod()) + float((other[2:] - other[:2]).prod()) - shared)


def region_of_palm(palm: Palm) -> Region:
    """Where a hand is, from its palm: turned so that wrist to middle knuckle points up, half a palm further up, 2.6
    times as large (the constants of MediaPipe Hands)."""
    angle = _upright(palm.points[0], palm.points[2])
    (x, y), (width, height) = (palm.box[:2] + palm.box[2:]) / 2, palm.box[2:] - palm.box[:2]
    x, y = x + 0.5 * height * np.sin(angle), y - 0.5 * height * np.cos(angle)
    return Region(float(x), float(y), float(2.6 * max(width, height)), angle)


def region_of_hand(landmarks: _Vectors) -> Region:
    """Where a hand is, from where it was: around its palm, a tenth further up, twice as large (as in MediaPipe)."""
    knuckles = ((landmarks[_INDEX] + landmarks[_RING]) / 2 + landmarks[_MIDDLE]) / 2
    angle = _upright(landmarks[_WRIST], knuckles)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    upright = landmarks[list(_PALM)] @ turn
    low, high = upright.min(axis=0), upright.max(axis=0)
    width, height = high - low
    x, y = turn @ ((low + high) / 2 - (0.0, 0.1 * height))
    return Region(float(x), float(y), float(2 * max(width, height)), angle)


def _upright(wrist: _Vectors, knuckle: _Vectors) -> float:
    """The turn, in radians clockwise, after which a hand that pointed up points from wrist to knuckle."""
    x, y = knuckle - wrist
    return float(np.pi / 2 - np.arctan2(-y, x))


def apart(hands: Sequence[Hand]) -> list[Hand]:
    """The hands without second sightings of one, the surest first."""
    kept: list[Hand] = []
    for hand in sorted(hands, key=lambda hand: -hand.presence):
        if all(hand.away(other) >= _SAME_HAND for other in kept):
            kept.append(hand)
    return kept


def paired(before: Sequence[Hand], now: Sequence[Hand]) -> list[tuple[int | None, Hand]]:
    """For each hand of a picture, the number of the one it was before, or None: the nearest pairs first."""
    ways = sorted(
        (hand.away(other), abs(hand.right - other.right), number, place)
        for place, hand in enumerate(now)
        for number, other in enumerate(before)
    )
    was: dict[int, int] = {}
    for way, _, number, place in ways:
        if way <= _REACH and place not in was and number not in was.values():
            was[place] = number
    return [(was.get(place), hand) for place, hand in enumerate(now)]


# --- contact -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Along:
    """What moved along with a hand that moved: where, or None when nothing did."""

    box: Box | None


def camera_motion(before: Pixels, now: Pixels, hands: Sequence[Hand]) -> _Vectors:
    """The shift (x, y) of most of a picture outside the hands, in pixels."""
    height, width = before.shape
    scale = min(1.0, 192 / max(height, width))
    size = max(16, round(width * scale)), max(16, round(height * scale))
    small = [np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8) for picture in (before, now)]
    flow = _flow(small[0], small[1])
    rest = np.ones(flow.shape[:2], bool)
    for hand in hands:
        low = np.floor((hand.centre - hand.size / 2) * scale).astype(int).clip(0)
        high = np.ceil((hand.centre + hand.size / 2) * scale).astype(int).clip(0)
        rest[low[1] : high[1], low[0] : high[0]] = False
    vectors = flow[rest] if rest.any() else flow.reshape(-1, 2)
    return np.asarray(np.median(vectors, axis=0) / scale, np.float64)


def moved_along(before: Pixels, now: Pixels, hand: Hand, camera: _Vectors) -> Along | None:
    """What moves with a hand from one picture to the next; None when that cannot be told: the hand stays where it is,
    or nearly all around it goes along.

    Args:
        before, now: (height, width) luma.
        hand: where it is in `before`.
        camera: the shift of the picture itself, in pixels.
    """
    height, width = before.shape
    scale = _AROUND / (_WIDE * hand.size)
    corner = hand.centre - _WIDE * hand.size / 2
    cut = np.array([[scale, 0, -scale * corner[0]], [0, scale, -scale * corner[1]]])
    first, second, inside = (
        np.asarray(cv2.warpAffine(picture, cut, (_AROUND, _AROUND), flags=cv2.INTER_LINEAR), np.uint8)
        for picture in (before, now, np.full_like(before, 255))
    )
    flow = _flow(first, second)
    landmarks = (hand.landmarks - corner) * scale
    size, shift = hand.size * scale, (camera * scale).astype(np.float32)
    hull = np.zeros((_AROUND, _AROUND), np.uint8)
    cv2.fillConvexPoly(hull, cv2.convexHull(landmarks.astype(np.float32)).round().astype(np.int32), 1)
    if not hull.any():
        return None
    own = np.median(flow[hull > 0], axis=0)
    way = float(np.hypot(*(own - shift)))
    if way < max(_MOVES * size, 1.0):
        return None

    stays = _left_over(first, second, np.broadcast_to(shift, flow.shape))
    goes = _left_over(first, second, flow)
    alike = np.hypot(*np.moveaxis(flow - own, -1, 0)) <= _ALIKE * way + 0.7
    seen = inside > 250
    along = seen & alike & (stays > _CHANGED) & (goes < np.minimum(_EXPLAINED * stays, _LEFT))
    along &= _contrast(first) > _TEXTURE

    # The hand, and what it covers as it moves: nothing can be said of these places.
    element = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * round(_SKIN * size) + 1,) * 2)
    around = cv2.dilate(hull, element)
    x, y = own - shift
    moved = cv2.warpAffine(around, np.array([[1, 0, x], [0, 1, y]]), (_AROUND, _AROUND), flags=cv2.INTER_NEAREST)
    skin = np.maximum(around, moved)
    # What would look another way had it gone with the hand stays behind. Where more goes along than stays behind, a
    # whole body or the view moves, and that tells nothing of a thing.
    behind = seen & ~alike & (_left_over(first, second, np.broadcast_to(own, flow.shape)) > _CHANGED)
    with_it, without = int((along & (skin == 0)).sum()), int((behind & (skin == 0)).sum())
    if with_it > _MOST_ALONG * (with_it + without):
        return None

    rows, columns = np.mgrid[:_AROUND, :_AROUND]
    pointing = landmarks[_MIDDLE] - landmarks[_WRIST]
    pointing = pointing / max(float(np.hypot(*pointing)), 1e-6)
    ahead = (columns - landmarks[_WRIST][0]) * pointing[0] + (rows - landmarks[_WRIST][1]) * pointing[1]
    thing = (along & (skin == 0) & (ahead > 0)).astype(np.uint8)
    thing = cv2.morphologyEx(thing, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    thing[skin > 0] = 0

    tips = np.zeros((_AROUND, _AROUND), np.uint8)
    for tip in _TIPS:
        cv2.circle(tips, tuple(landmarks[tip].round().astype(int).tolist()), round(_TIP * size + way), 1, -1)
    count, labels = cv2.connectedComponents(thing, connectivity=8)
    touched = [label for label in range(1, count) if bool((tips[labels == label] > 0).any())]
    region = np.isin(labels, touched)
    if int(region.sum()) < _THING * int(hull.sum()):
        return Along(None)
    ys, xs = np.nonzero(region)
    low = (np.array([xs.min(), ys.min()]) / scale + corner) / (width, height)
    high = (np.array([xs.max() + 1, ys.max() + 1]) / scale + corner) / (width, height)
    return Along(Box.clipped(*(round(float(v), 4) for v in (*low, *high))))


def contacts(moves: Sequence[tuple[float, float, Box | None]]) -> list[tuple[float, float, Box, float]]:
    """Spans in which a hand moves something: from the first to the last move of a run with something moved along, its
    box at the first, and the share of the hand's moves in it that had something along. Moves are (t0, t1, box)."""
    runs: list[list[tuple[float, float, Box]]] = []
    for t0, t1, box in moves:
        if box is None:
            continue
        if runs and t0 - runs[-1][-1][1] <= _GAP + 1e-6:
            runs[-1].append((t0, t1, box))
        else:
            runs.append([(t0, t1, box)])
    found = []
    for run in runs:
        t0, t1 = run[0][0], run[-1][1]
        within = sum(t0 - 1e-6 <= begin and end <= t1 + 1e-6 for begin, end, _ in moves)
        found.append((t0, t1, run[0][2], len(run) / within))
    return found


def _flow(one: Pixels, other: Pixels) -> _Field:
    """Dense flow (height, width, 2) in pixels."""
    engine = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    return np.asarray(engine.calc(one, other, None), np.float32)  # type: ignore[call-overload]


def _contrast(picture: Pixels) -> _Field:
    """Standard deviation around each place, in grey levels."""
    values = picture.astype(np.float32)
    mean = cv2.blur(values, (5, 5))
    return np.asarray(np.sqrt(np.maximum(cv2.blur(values * values, (5, 5)) - mean * mean, 0.0)), np.float32)


def _left_over(one: Pixels, other: Pixels, flow: _Field) -> _Field:
    """What of the difference of two pictures is left when the second is moved back by a flow, in grey levels."""
    height, width = one.shape
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    back = cv2.remap(
        other, columns + flow[..., 0], rows + flow[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(cv2.blur(cv2.absdiff(one, back).astype(np.float32), (3, 3)), np.float32)


# --- weights -------------------------------------------------------------------------------------------------------


class _Network:
    """A .tflite network with one input picture. On one thread: an engine runs a worker on each CPU already."""

    def __init__(self, path: Path) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter: Any = Interpreter(str(path), num_threads=1)
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._outputs = [output["index"] for output in self._interpreter.get_output_details()]

    def __call__(self, picture: _Field) -> list[NDArray[np.float32]]:
        self._interpreter.set_tensor(self._input, picture[None])
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(output) for output in self._outputs]


def _files(weights: Scalar | None) -> tuple[list[Path], Problem | None]:
    """The files of both networks, or what is missing. The package mediapipe is only looked into, never imported: what
    it pins does not go with this environment."""
    remedy = (
        f"Run `pip install --no-deps mediapipe==0.10.14`, or give `weights` as a folder with {PALM_WEIGHTS} and "
        f"{LANDMARK_WEIGHTS}"
    )
    if weights is None:
        package = find_spec("mediapipe")
        if package is None or not package.submodule_search_locations:
            cause = "its weights are not here: the package mediapipe is not installed and no folder is given"
            return [], Problem(input="expert hands", cause=cause, remedy=remedy)
        folder = Path(package.submodule_search_locations[0]) / "modules"
    else:
        folder = Path(str(weights)).expanduser()
    found = []
    for name in (PALM_WEIGHTS, LANDMARK_WEIGHTS):
        # Flat, or in the folders that they have in the package.
        places = [folder / name, folder / name.removesuffix("_full.tflite") / name]
        path = next((place for place in places if place.is_file()), None)
        if path is None:
            cause = f"its weights {name} are not in {folder}"
            return [], Problem(input="expert hands", cause=cause, remedy=remedy)
        found.append(path)
    return found, None

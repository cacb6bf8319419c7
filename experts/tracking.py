"""From what was detected picture by picture to facts over time: tracks, and what they do.

Boxes are tied into tracks by norfair: a Kalman filter of constant velocity for the corners (Kalman, "A New Approach to
Linear Filtering and Prediction Problems", 1960), matched to the nearest detection of the same label. What follows is
measured on the sightings of a track, never on what the filter supposes between them.

An absence is only known where was looked. So an object appears when it was looked for in vain for a second, and at
least twice, since the stream began or cut to another shot; it disappears when it was looked for so long in vain before
the next cut or the end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from experts.base import Expert
from schemas.anchor import AnchorKind, FactualAnchor
from schemas.geometry import Box, Point
from schemas.segment import Segment
from sources.frame import Frame, Pixels

LEAD = 3.0
"""Seconds before a segment that an expert which tracks should see, so that a border hides nothing."""

_SAME_PLACE = 1e-6  # between what both sides of a border say of one sight
_PATIENCE = 1.0  # seconds that an object may go unseen and still be the same, and an absence takes to be one
_LEAST = 2  # looks that an absence takes, sights that make a track, looks that make a contact
_REACH, _SPEED = 0.1, 0.4  # frame widths from where the filter expects a track, and per second between looks
_TRUST = {"R": 1.0, "Q": 1.0}  # noise of boxes and of motion: boxes are right to a few pixels, hands turn at once
_MOVED, _MOVED_OF_SIDE = 0.03, 0.2  # frame widths, and sides of the object, that are a move; half of it is a rest
_REST = 0.5  # seconds in one place that end a move
_APART = 0.02  # frame widths between boxes that part again; they meet at 0

_PARTS = "hand hands finger fingers thumb palm fist arm arms gripper grippers claw effector manipulator robot robots"
_PEOPLE = "person people human man men woman women child children boy girl baby"
_TOUCHES = frozenset([*_PARTS.split(), *_PEOPLE.split()])

_SIDE = 64  # pixels of the thumbnails that shots are told apart by
_GREY, _CHANGED, _LIKE = 25, 0.5, 0.5  # grey levels; share of pixels that change by more; correlation of one shot


@dataclass(frozen=True)
class Detected:
    """One object in one picture."""

    label: str
    box: Box
    confidence: float


@dataclass(frozen=True)
class Look:
    """One picture that was searched. `cut`: it shows another shot than the one before."""

    time: float
    found: tuple[Detected, ...]
    cut: bool = False


@dataclass(frozen=True)
class Track:
    """One object over time: its sights as pairs of the look's place and what was seen there, in order."""

    label: str
    sights: tuple[tuple[int, Detected], ...]

    @property
    def first(self) -> int:
        return self.sights[0][0]

    @property
    def last(self) -> int:
        return self.sights[-1][0]

    @property
    def confidence(self) -> float:
        return sum(seen.confidence for _, seen in self.sights) / len(self.sights)


def thumbnail(frame: Frame) -> Pixels:
    """What is kept of a picture to tell whether the next one is of the same shot: some 2 kB."""
    return frame.gray(_SIDE)


def other_shot(before: Pixels, after: Pixels) -> bool:
    """Whether so much changed between two looks that what is new or gone may be so by a cut.

    Looks lie too far apart to tell a cut from a fast pan; of neither may it be said that an object came or went.
    """
    if before.shape != after.shape:
        return True
    one, other = before.astype(np.float32), after.astype(np.float32)
    if float(np.mean(np.abs(one - other) > _GREY)) <= _CHANGED:
        return False
    one, other = one - one.mean(), other - other.mean()
    spread = float(np.sqrt((one * one).sum() * (other * other).sum()))
    return spread == 0 or float((one * other).sum()) / spread < _LIKE


def follow(looks: Sequence[Look], aspect: float) -> list[Track]:
    """Ties detections into tracks, in the order of their first sight; those of a single sight are among them.

    `aspect` is height over width of the pictures. No track goes on over a cut.
    """
    tracks: list[Track] = []
    starts = [0, *(place for place, look in enumerate(looks) if look.cut and place > 0), len(looks)]
    for start, end in pairwise(starts):
        tracks += _follow_shot(looks, range(start, end), aspect, _step(looks))
    return tracks


def _follow_shot(looks: Sequence[Look], places: range, aspect: float, step: float) -> list[Track]:
    from norfair import Detection, OptimizedKalmanFilterFactory, Tracker

    scale = np.array([1.0, aspect])
    tracker = Tracker(
        distance_function="euclidean",
        distance_threshold=(_REACH + _SPEED * step) * 2**0.5,  # over two corners, each as far off as the centre
        hit_counter_max=_patience(step),
        initialization_delay=1,  # from the second sight on the whole patience
        filter_factory=OptimizedKalmanFilterFactory(**_TRUST),
        past_detections_length=0,
    )
    # A dead object leaves the tracker's list; its entry here keeps it alive, so that no identity is used twice.
    sights: dict[int, tuple[object, list[tuple[int, Detected]]]] = {}
    for place in places:
        # The surest first: among equals the tracker takes what comes first.
        found = sorted(looks[place].found, key=lambda one: (-one.confidence, one.label, one.box.x0, one.box.y0))
        tracker.update(
            [
                Detection(
                    np.array([[one.box.x0, one.box.y0], [one.box.x1, one.box.y1]]) * scale,
                    data=(place, one),
                    label=one.label,
                )
                for one in found
            ]
        )
        for tracked in tracker.tracked_objects:
            seen_at, seen = tracked.last_detection.data
            if seen_at == place:
                sights.setdefault(id(tracked), (tracked, []))[1].append((place, seen))
    tracks = [Track(seen[0][1].label, tuple(seen)) for _, seen in sights.values()]
    return sorted(tracks, key=lambda track: (track.first, track.label, track.sights[0][1].box.x0))


def _step(looks: Sequence[Look]) -> float:
    """Seconds from look to look."""
    return float(np.median([later.time - look.time for look, later in pairwise(looks)])) if len(looks) > 1 else 0.0


def _patience(step: float) -> int:
    """How many looks in a row may miss an object that is still the same."""
    return max(_LEAST, round(_PATIENCE / step)) if step > 0 else _LEAST


def anchors_of(expert: Expert, segment: Segment, looks: Sequence[Look], aspect: float) -> list[FactualAnchor]:
    """The facts of a segment in the order of t0. Looks may begin before the segment.

    What goes on from there begins at the border, in the place where it was last seen before; a move or a contact that
    goes on at the end of the segment ends at its border: so `join_tracks` knows them again.
    """
    return _Facts(expert, segment, looks, aspect).all() if looks else []


@dataclass
class _Facts:
    """What the tracks of one segment do."""

    expert: Expert
    segment: Segment
    looks: Sequence[Look]
    aspect: float
    tracks: list[Track] = field(init=False)

    def __post_init__(self) -> None:
        self.border = round(self.segment.t0, 6)
        self.patience = _patience(_step(self.looks))
        self.tracks = [
            track for track in follow(self.looks, self.aspect) if len(track.sights) >= _LEAST or self._may_go_on(track)
        ]

    def all(self) -> list[FactualAnchor]:
        anchors = [
            *self._spans(),
            *self._appearances(),
            *self._disappearances(),
            *(anchor for track in self.tracks for anchor in self._moves(track)),
            *self._contacts(),
        ]
        return sorted(anchors, key=order)

    def _may_go_on(self, track: Track) -> bool:
        """Whether a lone sight is so near the end of the segment that only the next one can tell what it is."""
        return not self.segment.last and track.last >= len(self.looks) - self.patience

    def _spans(self) -> Iterator[FactualAnchor]:
        number = 0
        for track in self.tracks:
            t0, t1 = self.looks[track.first].time, self.looks[track.last].time
            if round(t1, 6) < self.border:
                continue
            seen = self._last_before(track) if round(t0, 6) < self.border else track.sights[0][1]
            last = track.sights[-1][1]
            yield self.expert.anchor(
                self.segment,
                AnchorKind.OBJECT,
                max(t0, self.border),
                t1,
                content=track.label,
                value=float(number),
                box=seen.box,
                point=seen.box.centre,
                end_point=last.box.centre,
                confidence=track.confidence,
            )
            number += 1

    def _last_before(self, track: Track) -> Detected:
        """Where a track that begins before the segment was last seen there."""
        return [seen for place, seen in track.sights if round(self.looks[place].time, 6) < self.border][-1]

    def _shot_start(self, place: int) -> int:
        """The first look of the shot that a look belongs to."""
        return next((at for at in range(place, 0, -1) if self.looks[at].cut), 0)

    def _shot_end(self, place: int) -> int:
        """The look after the last one of the shot that a look belongs to."""
        return next((at for at in range(place + 1, len(self.looks)) if self.looks[at].cut), len(self.looks))

    def _appearances(self) -> Iterator[FactualAnchor]:
        for track in self.tracks:
            time = self.looks[track.first].time
            if track.first - self._shot_start(track.first) >= self.patience and round(time, 6) >= self.border:
                yield self._event(AnchorKind.OBJECT_APPEAR, track, time, track.sights[0][1].box)

    def _disappearances(self) -> Iterator[FactualAnchor]:
        for track in self.tracks:
            end = self._shot_end(track.last)
            missed = end - track.last - 1
            # At a border the next segment looks on: join takes back what turns out to go on there.
            unsure = end == len(self.looks) and not self.segment.last
            if missed < (1 if unsure else self.patience):
                continue
            time = self.looks[track.last + 1].time
            if round(time, 6) >= self.border:
                yield self._event(AnchorKind.OBJECT_DISAPPEAR, track, time, track.sights[-1][1].box)

    def _end(self, place: int) -> float:
        """When what was last so at a look is over: at the border when that was the last look before it."""
        on = place == len(self.looks) - 1 and not self.segment.last
        return self.segment.t1 if on else self.looks[place].time

    def _event(self, kind: AnchorKind, track: Track, time: float, box: Box) -> FactualAnchor:
        return self.expert.anchor(
            self.segment, kind, time, content=track.label, box=box, confidence=track.confidence * 0.95
        )

    # --- moves -----------------------------------------------------------------------------------------------------

    def _moves(self, track: Track) -> Iterator[FactualAnchor]:
        for first, last in self._moving(track):
            (begin, before), (end, after) = track.sights[first], track.sights[last]
            t0, t1 = self.looks[begin].time, self._end(end)
            if round(t1, 6) <= self.border:
                continue
            if round(t0, 6) < self.border:
                before = self._last_before(track)
            yield self.expert.anchor(
                self.segment,
                AnchorKind.OBJECT_MOVE,
                max(t0, self.border),
                t1,
                content=track.label,
                value=round(self._distance(before.box.centre, after.box.centre), 4),
                box=after.box,
                point=before.box.centre,
                end_point=after.box.centre,
                confidence=track.confidence * 0.9,
            )

    def _moving(self, track: Track) -> list[tuple[int, int]]:
        """Stretches of sights over which the centre leaves its place for another one.

        It must go far to have left (a box trembles by a share of its size), and stay near to have arrived. The move
        begins where it was last near its old place and ends where it is first near its new one.
        """
        sights = track.sights
        far = [max(_MOVED, _MOVED_OF_SIDE * self._side(seen.box)) for _, seen in sights]
        found: list[tuple[int, int]] = []
        rest = place = 0
        while place < len(sights):
            if self._between(sights, rest, place) <= far[place]:
                place += 1
                continue
            begin = next(
                at for at in range(place - 1, rest - 1, -1) if self._between(sights, rest, at) <= far[place] / 2
            )
            end = next(at for at in range(place, len(sights)) if self._stays(sights, at, far[at] / 2))
            if found and self._seconds(sights, found[-1][1], begin) <= _REST:
                begin = found.pop()[0]  # slow motion seems to stay between two looks
            found.append((begin, end))
            rest = place = end
        return found

    def _stays(self, sights: Sequence[tuple[int, Detected]], place: int, near: float) -> bool:
        """Whether it stays where it is for a while, as far as it can be seen."""
        for later in range(place + 1, len(sights)):
            if self._between(sights, place, later) > near:
                return False
            if self._seconds(sights, place, later) >= _REST - 1e-6:
                return True
        return True

    def _seconds(self, sights: Sequence[tuple[int, Detected]], one: int, other: int) -> float:
        return self.looks[sights[other][0]].time - self.looks[sights[one][0]].time

    def _between(self, sights: Sequence[tuple[int, Detected]], one: int, other: int) -> float:
        return self._distance(sights[one][1].box.centre, sights[other][1].box.centre)

    def _distance(self, one: Point, other: Point) -> float:
        """In frame widths."""
        return float(np.hypot(one.x - other.x, (one.y - other.y) * self.aspect))

    def _side(self, box: Box) -> float:
        """The side, in frame widths, of a square as large as the box."""
        return float((box.area * self.aspect) ** 0.5)

    # --- contact ---------------------------------------------------------------------------------------------------

    def _contacts(self) -> Iterator[FactualAnchor]:
        hands = [track for track in self.tracks if touches(track.label)]
        for track in self.tracks:
            if touches(track.label):
                continue
            spans = sorted(span for hand in hands for span in self._meetings(hand, track))
            for first, last, sure in _merged(spans):
                t0, t1 = self.looks[first].time, self._end(last)
                if round(t1, 6) < self.border:
                    continue
                thing = dict(track.sights)
                begin = self._last_before(track) if round(t0, 6) < self.border else thing[first]
                yield self.expert.anchor(
                    self.segment,
                    AnchorKind.OBJECT_CONTACT,
                    max(t0, self.border),
                    t1,
                    content=track.label,
                    box=begin.box,
                    point=begin.box.centre,
                    end_point=thing[last].box.centre,
                    confidence=sure,
                )

    def _meetings(self, hand: Track, thing: Track) -> Iterator[tuple[int, int, float]]:
        """Stretches of looks over which two boxes meet, and how sure that is. One look alone is a touch of noise."""
        other = dict(thing.sights)
        together = [(place, seen, other[place]) for place, seen in hand.sights if place in other]
        run: list[int] = []
        for place, one, two in together:
            gap = self._gap(one.box, two.box)
            if run and (gap > _APART or place - run[-1] > self.patience):
                yield from self._met(run, hand, thing)
                run = []
            # In between the thresholds contact that began goes on, and none begins.
            if gap <= 0 or (run and gap <= _APART):
                run.append(place)
        yield from self._met(run, hand, thing)

    @staticmethod
    def _met(run: list[int], hand: Track, thing: Track) -> Iterator[tuple[int, int, float]]:
        if len(run) >= _LEAST:
            # Boxes that meet in the picture may lie behind each other: never surer than this.
            yield run[0], run[-1], 0.7 * min(hand.confidence, thing.confidence)

    def _gap(self, one: Box, two: Box) -> float:
        """Distance between boxes in frame widths, 0 where they meet."""
        across = max(one.x0 - two.x1, two.x0 - one.x1, 0.0)
        down = max(one.y0 - two.y1, two.y0 - one.y1, 0.0)
        return float(np.hypot(across, down * self.aspect))


def touches(label: str) -> bool:
    """Whether what a query asks for can take hold of things: its last word is a hand, a gripper, a person..."""
    words = re.findall(r"[a-z]+", label.lower())
    return bool(words) and words[-1] in _TOUCHES


def _merged(spans: Sequence[tuple[int, int, float]]) -> list[tuple[int, int, float]]:
    """Overlapping stretches as one: two hands on a thing are one contact."""
    merged: list[tuple[int, int, float]] = []
    for first, last, sure in spans:
        if merged and first <= merged[-1][1]:
            begin, end, before = merged[-1]
            merged[-1] = begin, max(end, last), max(before, sure)
        else:
            merged.append((first, last, sure))
    return merged


def join_tracks(anchors: Sequence[FactualAnchor], aspect: float) -> list[FactualAnchor]:
    """Puts together what segment borders cut, and numbers the tracks through the stream.

    A track that was seen once only, and what was said of its coming, is dropped; so is a coming or a going within a
    track that turned out to go on.
    """
    joined: list[FactualAnchor] = []
    for anchor in sorted(anchors, key=order):
        place = next((at for at in range(len(joined) - 1, -1, -1) if _goes_on(joined[at], anchor)), None)
        if place is None:
            joined.append(anchor)
        else:
            joined[place] = _together(joined[place], anchor, aspect)
    tracks = [anchor for anchor in joined if anchor.kind == AnchorKind.OBJECT and anchor.t1 > anchor.t0]
    numbered = [track.model_copy(update={"value": float(number)}) for number, track in enumerate(tracks)]
    rest: list[FactualAnchor] = []
    for anchor in joined:
        own = next((track for track in tracks if _belongs(anchor, track)), None)
        if anchor.kind != AnchorKind.OBJECT and own is not None:
            # What was let go on to a border went on no longer than it was seen.
            goes = anchor.kind == AnchorKind.OBJECT_DISAPPEAR
            rest.append(anchor if goes else anchor.model_copy(update={"t1": min(anchor.t1, own.t1)}))
    return sorted([*numbered, *rest], key=order)


def order(anchor: FactualAnchor) -> tuple[float, float, str, str, float, float]:
    """By time, then by whatever else tells two anchors apart."""
    box = anchor.box
    return (anchor.t0, anchor.t1, anchor.kind, anchor.content, box.x0 if box else 0.0, box.y0 if box else 0.0)


def _goes_on(one: FactualAnchor, other: FactualAnchor) -> bool:
    """Whether `other` is what a border cut off from `one`."""
    if one.kind != other.kind or one.content != other.content:
        return False
    if one.end_point is None or other.point is None:  # a coming or a going is no stretch
        return False
    # A track may be missed on both sides of the border; the rest was let go on to it.
    gap = _PATIENCE + _SAME_PLACE if one.kind == AnchorKind.OBJECT else 0.0
    if not 0.0 <= other.t0 - one.t1 <= gap:
        return False
    return max(abs(one.end_point.x - other.point.x), abs(one.end_point.y - other.point.y)) <= _SAME_PLACE


def _together(one: FactualAnchor, other: FactualAnchor, aspect: float) -> FactualAnchor:
    update: dict[str, object] = {
        "t1": other.t1,
        "end_point": other.end_point,
        "confidence": min(one.confidence, other.confidence),
    }
    if one.kind == AnchorKind.OBJECT_MOVE:
        update["box"] = other.box
        if one.point is not None and other.end_point is not None:
            across, down = other.end_point.x - one.point.x, (other.end_point.y - one.point.y) * aspect
            update["value"] = round(float(np.hypot(across, down)), 4)
    return one.model_copy(update=update)


def _belongs(anchor: FactualAnchor, track: FactualAnchor) -> bool:
    """Whether a track bears out what is said of it: a coming at its begin, a going after its end, the rest within."""
    if anchor.content != track.content:
        return False
    if anchor.kind == AnchorKind.OBJECT_APPEAR:
        return anchor.t0 == track.t0 and anchor.box == track.box
    if anchor.kind == AnchorKind.OBJECT_DISAPPEAR:
        last = anchor.box.centre if anchor.box is not None else None
        return anchor.t0 > track.t1 and last == track.end_point
    return track.t0 <= anchor.t0 < track.t1

"""The factual anchor a_k = (t_k, p_k, c_k): when, where and what an expert measured in a stream."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Self

import pyarrow as pa
from pydantic import Field, model_validator

from schemas.base import Contract, digest
from schemas.geometry import BOX, POINT, Box, Point
from schemas.stream import Seconds, Sha256


class AnchorKind(StrEnum):
    """The vocabulary of the built-in experts. `content` and `value` of an anchor mean what is said here.

    A plugin may add kinds of its own; they are strings `group.word`.
    """

    SHOT = "video.shot"
    """One shot, t0 to t1. value: its number, from 0."""
    CUT = "video.cut"
    """A hard cut, at the first frame of the new shot. value: strength in [0, 1]."""
    DISSOLVE = "video.dissolve"
    """A gradual change of shot, over t0 to t1."""

    SUBTITLE = "text.subtitle"
    """A cue. content: its text verbatim, without markup."""
    SCREEN_TEXT = "text.screen"
    """A line read on screen while it stood at `box`, t0 (first seen) to t1 (last seen). content: the line verbatim."""
    GIVEN_TEXT = "text.given"
    """Text that came with the stream (a task name, an edit instruction). content: verbatim. Covers the stream."""

    SCREEN = "screen.state"
    """A still screen, t0 to t1. content: its signature (hex); value: number of the distinct screen, from 0;
    a return carries the number of the earlier visit."""
    SCREEN_CHANGE = "screen.change"
    """The screen changed at t0. value: share of the frame that changed; box: where."""
    SCREEN_RETURN = "screen.return"
    """A screen seen before came back at t0. value: number of that screen."""
    SCROLL = "screen.scroll"
    """Content moved by scrolling, t0 to t1. value: distance in frame heights, positive when content moves up;
    content: `up`, `down`, `left` or `right`, the direction in which content moved."""
    TAP = "screen.tap"
    """A tap or click mark drawn on screen. point: where."""
    SWIPE = "screen.swipe"
    """A swipe mark drawn on screen. point: where it begins; end_point: where it ends, when the mark tells."""
    CLOCK = "screen.clock"
    """The status bar clock. content: as shown (`1:14`); value: minutes since midnight as shown."""

    MOTION = "motion.activity"
    """Something moves, t0 to t1. value: mean speed in frame widths per second; box: where."""
    STALL = "motion.stall"
    """What moved stands still, t0 to t1. value: speed that remains, frame widths per second."""
    REVERSAL = "motion.reversal"
    """Motion turns back at t0. value: cosine of the turn, -1 for a full reversal; box: where."""
    OSCILLATION = "motion.oscillation"
    """Back-and-forth motion without progress, t0 to t1. value: number of reversals."""
    CAMERA = "motion.camera"
    """The camera pans, tilts or zooms, t0 to t1. content: `pan_left`, `pan_right`, `tilt_up`, `tilt_down`,
    `zoom_in` or `zoom_out`."""

    CLICK = "input.click"
    """point: pointer; content: name of the element under it (may be empty); box: the element."""
    DOUBLE_CLICK = "input.double_click"
    RIGHT_CLICK = "input.right_click"
    DRAG = "input.drag"
    """point: where the button went down; end_point: where it went up."""
    WHEEL = "input.scroll"
    """Wheel turns merged. content: `up`, `down`, `left`, `right`, or two of them joined by ` then `;
    value: number of turns."""
    TYPING = "input.type"
    """Typed characters merged. content: the text verbatim."""
    HOTKEY = "input.hotkey"
    """Keys pressed together or a single command key. content: `ctrl+alt+t`."""
    ELEMENT = "ui.element"
    """An element of the accessibility tree. content: its name; box: where."""
    WINDOW = "ui.window"
    """The window in front, t0 to t1. content: its name."""

    GRIPPER_CLOSE = "proprio.gripper_close"
    GRIPPER_OPEN = "proprio.gripper_open"
    """A hand or gripper opens or closes, t0 to t1. content: which one."""
    JOINT_STALL = "proprio.stall"
    """Commanded or earlier motion stands still, t0 to t1. content: which group of joints."""
    JOINT_REVERSAL = "proprio.reversal"
    """A group of joints turns back at t0. content: which; value: amplitude before the turn, in its range."""
    CONTACT = "proprio.contact"
    """Joint signals show contact (command and state part ways), t0 to t1. content: which group."""

    STROKE = "drawing.stroke"
    """A stroke of a pen, t0 to t1 (nominal). box: where it goes; point: where the pen goes down; end_point: where it
    lifts; value: the length of its way in frame widths."""
    PEN_DOWN = "drawing.pen_down"
    """The pen goes down at t0. point: where."""
    PEN_UP = "drawing.pen_up"
    """The pen lifts at t0. point: where."""

    EDIT_REGION = "edit.region"
    """What differs between two images, t0 (before) to t1 (after). box: where; value: share of pixels."""

    VOICE = "audio.voice"
    """Someone speaks, t0 to t1."""
    SPEECH = "text.speech"
    """What is said, t0 to t1, as speech recognition hears it. content: its words."""

    OBJECT = "object.track"
    """An object in view, t0 (first seen) to t1 (last seen). content: what was looked for and found; value: number of
    the track in the segment, from 0; box: where it is first seen; point, end_point: its centre first and last."""
    OBJECT_APPEAR = "object.appear"
    """An object comes into view at t0, not at a cut. content: what; box: where."""
    OBJECT_MOVE = "object.move"
    """An object moves in view, t0 to t1. content: what; value: distance between its ends in frame widths;
    point, end_point: its centre before and after; box: where it is at the end."""
    OBJECT_DISAPPEAR = "object.disappear"
    """An object goes out of view at t0, not at a cut. content: what; box: where it was last."""
    OBJECT_CONTACT = "object.contact"
    """A hand or another object touches an object, t0 to t1. content: what is touched; box: where."""
    HAND = "hand.track"
    """A hand in view, t0 to t1. content: `left` or `right`; box: where it is first seen; point, end_point: its centre
    first and last."""


AnchorId = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]


class FactualAnchor(Contract):
    """One measured fact. Times are seconds from the start of the stream, t0 <= t1; places are normalised.

    `confidence` is the expert's own in [0, 1]; `expert` and `version` say who measured.
    """

    stream: Sha256
    t0: Seconds
    t1: Seconds
    kind: Annotated[str, Field(pattern=r"^[a-z_]+\.[a-z_]+$")]
    content: str = ""
    value: float | None = None
    box: Box | None = None
    point: Point | None = None
    end_point: Point | None = None
    expert: str
    version: str
    confidence: Annotated[float, Field(ge=0.0, le=1.0)]

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.t0 > self.t1:
            raise ValueError("an anchor needs t0 <= t1")
        return self

    @property
    def id(self) -> str:
        """16 hex digits over everything measured: the name by which claims cite the anchor."""
        return digest(self)[:16]


ANCHOR_SCHEMA = pa.schema(
    [
        pa.field("stream", pa.string(), False),
        pa.field("t0", pa.float64(), False),
        pa.field("t1", pa.float64(), False),
        pa.field("kind", pa.string(), False),
        pa.field("content", pa.string(), False),
        pa.field("value", pa.float64()),
        pa.field("box", BOX),
        pa.field("point", POINT),
        pa.field("end_point", POINT),
        pa.field("expert", pa.string(), False),
        pa.field("version", pa.string(), False),
        pa.field("confidence", pa.float64(), False),
    ]
)

"""The evidence a row carries: the anchors its verdicts rest on, and the frames its output speaks of."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import cv2

from schemas.anchor import AnchorKind, FactualAnchor
from schemas.constraints import Window
from schemas.errors import InputError
from schemas.score import Claim
from schemas.stream import Domain, Stream, TrackKind
from schemas.triplet import EncodedImage, EvidenceFrame
from sources.discovery import open_recording
from sources.frame import Pixels
from synthesis.base import Agent
from synthesis.selection import thinned
from synthesis.verification.check import AnchorIndex, needed
from synthesis.verification.verify import evidence_moments

MAX_ANCHORS = 4000
"""So many anchors at most stand in one row."""
JPEG_QUALITY = 90


def select_anchors(
    anchors: Sequence[FactualAnchor], claims: Sequence[Claim], limit: int = MAX_ANCHORS
) -> tuple[FactualAnchor, ...]:
    """The anchors that go into the row, in their order: all that the verdicts on the claims rest on (for a count,
    everything that was counted over), then of the others, evenly over the stream, as many as there is room for."""
    if len(anchors) <= limit:
        return tuple(anchors)
    keep = set(needed(claims, AnchorIndex(anchors)))
    others = [position for position in range(len(anchors)) if position not in keep]
    room = max(0, limit - len(keep))
    keep.update(thinned(others, room))
    return tuple(anchors[position] for position in sorted(keep))


def within(
    anchors: Sequence[FactualAnchor], streams: Sequence[Stream], window: Window | None
) -> tuple[FactualAnchor, ...]:
    """The anchors inside a window, and those that speak of a stream as a whole (its name, its instruction)."""
    if window is None:
        return tuple(anchors)
    length = {stream.sha256: stream.duration for stream in streams}
    end = math.inf if window.t1 is None else window.t1
    return tuple(
        anchor
        for anchor in anchors
        if (window.t0 <= anchor.t0 and anchor.t1 <= end)
        or (anchor.kind == AnchorKind.GIVEN_TEXT and anchor.t0 <= 0.0 and anchor.t1 >= length[anchor.stream])
    )


def pick_frames(
    agent: Agent, value: Any, streams: Sequence[Stream], limit: int, side: int
) -> tuple[EvidenceFrame, ...]:
    """The frames an output rests on: of the moments that the agent names, the `limit` most important ones.

    A frame is the one on screen at its moment, and carries that moment as its time. Longer side at most `side` pixels.

    Raises:
        InputError: a frame cannot be decoded.
    """
    moments = evidence_moments(agent, value, streams)[:limit]
    frames: list[EvidenceFrame] = []
    for stream in streams:
        times = sorted(time for sha256, time in moments if sha256 == stream.sha256)
        if not times:
            continue
        with open_recording(stream) as recording:
            pictures = [encode(frame.rgb(side), stream) for frame in recording.frames_at(times)]
        if len(pictures) != len(times):
            raise InputError(
                stream.uri,
                f"{len(times) - len(pictures)} of {len(times)} evidence frames could not be decoded",
                "Check that the file is complete.",
            )
        frames += [
            EvidenceFrame(
                stream=stream.sha256,
                time=time,
                image=EncodedImage(bytes=data, path=f"{_file_name(stream.name)}_{time:.3f}.{suffix}"),
            )
            for time, (data, suffix) in zip(times, pictures, strict=True)
        ]
    return tuple(frames)


def encode(picture: Pixels, stream: Stream) -> tuple[bytes, str]:
    """A picture as JPEG; screens and drawings as PNG where that is smaller, since it keeps letters and lines sharp."""
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()
    if stream.domain is Domain.GUI or stream.has(TrackKind.STROKES):
        png = cv2.imencode(".png", bgr)[1].tobytes()
        if len(png) <= len(jpeg):
            return png, "png"
    return jpeg, "jpg"


def _file_name(name: str) -> str:
    """A stream's name without what file systems and archives stumble over."""
    return re.sub(r"[^\w.-]+", "_", name).strip("._") or "stream"

"""game_generation: the request that came with pictures or a video, and its frames in order."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from pydantic import BaseModel

from schemas.anchor import AnchorKind, FactualAnchor
from schemas.errors import UnsuitedError
from schemas.outputs.game_generation import FrameChange, GameGeneration, TargetFrame
from schemas.score import Claim
from schemas.stream import Domain, Stream, TrackKind
from sources.picture_parts import usable
from synthesis.agents.proofs import during, edge, proved, refused, stream_of
from synthesis.base import Evidence, GroundedAgent, Recognition
from synthesis.selection import thinned
from synthesis.verification.check import EPSILON

MOST_FRAMES = 64
MOST_CHANGES = 12
_LATER = 0.5
"""Seconds after the beginning of a frame at which its caption must still stand: the one before it may end with it."""
_LEFT_OUT = re.compile(r"picture ([0-9]+) left out ")


class GameGenerationAgent(GroundedAgent):
    """Quotes what was asked for; the frames are the pictures of the stream, or the first ones of a video's shots."""

    task_type: ClassVar[str] = "game_generation"
    version: ClassVar[str] = "1"
    domains: ClassVar[frozenset[Domain]] = frozenset({Domain.AIGC})
    output: ClassVar[type[BaseModel]] = GameGeneration
    parts: ClassVar[dict[str, str]] = {"frames": "frames", "images": "frames", "pictures": "frames"}
    recognition: ClassVar[Recognition] = Recognition(
        instruction="Give the request that led to these frames, verbatim, the frames in order with what belongs to "
        "each, and where they changed from one to the next as far as measured.",
        names=(
            r"(?:video )?games?(?:[- ](?:generation|worlds?|engines?|creation|data))*",
            r"playable(?: \w+)?",
            r"interactive (?:\w+ )?(?:games?|worlds?|environments?)",
            r"(?:video )?games?(?: (?:generation|frames?|worlds?|assets?|levels?|videos?|data))?",
            r"multi[- ]frame(?: (?:generation|targets?|sequences?|data))?",
            r"(?:frame|image|picture)[- ]sequence generation",
            r"(?:text|prompt|request)[- ]to[- ](?:frames|game|video|image[- ]sequence|multi[- ]?frame)",
            r"(?:story ?boards?|sprite sheets?|sprites?)(?: generation)?",
        ),
        hints=(
            r"controls?",
            r"keys?",
            r"players?",
            r"gameplay",
            r"levels?",
            r"interactive",
            r"frames?",
            r"generat\w+",
            r"prompts?",
            r"requests?",
            r"sequences?",
            r"sessions?",
            r"logs?",
        ),
        examples=(
            "Make game generation data from this session.",
            "Train a model that generates playable games.",
            "Frames and the player's controls for a neural game engine.",
            "Interactive world generation from gameplay.",
            "Make game generation data: a request and the frames that answer it.",
            "I train a model that draws several frames from one prompt.",
            "Turn these generation logs into request and multi-frame target pairs.",
            "Give me prompts with the picture sequences made from them.",
            "Build text-to-video pairs from the sessions, frame by frame with captions.",
            "Create data for generating consistent frames of a game from a description.",
        ),
        prior={Domain.AIGC: 0.25},
        needs=frozenset({TrackKind.IMAGES, TrackKind.VIDEO}),
    )

    def compose(self, evidence: Evidence) -> GameGeneration:
        stream = evidence.streams[0]
        request = _request(evidence)
        if request is None:
            raise UnsuitedError(
                stream.uri,
                "no request came with it: neither a text nor a prompt of its frames",
                "Put the prompt beside the pictures (a generation log), or choose a model backend, which can describe "
                "them.",
            )
        times = _frame_times(stream, evidence.of(AnchorKind.SHOT, stream=stream.sha256))
        if len(times) < 2:
            raise UnsuitedError(
                stream.uri,
                "a request and one frame are no sequence",
                "Give a session of several pictures, or a video with more than one shot (expert shots).",
            )
        cues = evidence.of(AnchorKind.SUBTITLE, stream=stream.sha256)
        frames = tuple(
            TargetFrame(time=time, caption=_caption(time, cues, request)) for time in thinned(times, MOST_FRAMES)
        )
        regions = evidence.of(AnchorKind.EDIT_REGION, stream=stream.sha256)
        output = GameGeneration(request=request, frames=frames, changes=tuple(_changes(regions, frames)))
        return proved(self, output, evidence)

    def claims(self, output: Any, streams: Sequence[Stream]) -> list[Claim]:
        found = super().claims(output, streams)
        for place, frame in enumerate(output["frames"]):
            found += _frame_claims(frame, output["request"], f"/frames/{place}", streams)
        times = [frame["time"] for frame in output["frames"]]
        for place, change in enumerate(output["changes"]):
            if not all(any(abs(change[name] - time) <= EPSILON for time in times) for name in ("t0", "t1")):
                found.append(refused(f"/changes/{place}", "a change between pictures that are no frames of it"))
        return found

    def evidence_times(self, output: Any, streams: Sequence[Stream]) -> list[tuple[str, float]]:
        """The frames, in order."""
        return [(streams[0].sha256, float(frame["time"])) for frame in output["frames"]]


def _request(evidence: Evidence) -> str | None:
    """The text of the whole, else the first prompt of a part."""
    stream = evidence.streams[0].sha256
    texts = [*evidence.of(AnchorKind.GIVEN_TEXT, stream=stream), *evidence.of(AnchorKind.SUBTITLE, stream=stream)]
    return next((text.content for text in texts if text.content.strip()), None)


def _frame_times(stream: Stream, shots: Sequence[FactualAnchor]) -> list[float]:
    """When each picture of a sequence comes on, or each shot of a video begins."""
    pictures = picture_times(stream)
    return pictures if pictures is not None else sorted({shot.t0 for shot in shots})


def picture_times(stream: Stream) -> list[float] | None:
    """When each picture comes on, on the nominal scale; None for a stream that is no sequence of pictures. Pictures
    that could not be read keep their place, and are left out."""
    track = next((track for track in stream.tracks if track.kind is TrackKind.IMAGES), None)
    if track is None or not track.rate or not track.items:
        return None
    places = [place for place, _ in usable(stream)]
    if not places:
        left_out = {int(found[1]) - 1 for note in stream.notes if (found := _LEFT_OUT.match(note))}
        places = [place for place in range(track.items + len(left_out)) if place not in left_out]
    return [place / track.rate for place in places]


def _caption(time: float, cues: Sequence[FactualAnchor], request: str) -> str | None:
    """The line that stands while a frame is shown, where it is another than the request."""
    shown = [cue.content for cue in cues if cue.t0 <= time + _LATER < cue.t1 and cue.content.strip()]
    return shown[-1] if shown and shown[-1] != request else None


def _changes(regions: Sequence[FactualAnchor], frames: Sequence[TargetFrame]) -> Iterator[FrameChange]:
    times = {frame.time for frame in frames}
    measured = [a for a in regions if {a.t0, a.t1} <= times and a.value is not None and 0 <= a.value <= 1]
    for anchor in sorted(measured, key=lambda a: (a.t0, -(a.value or 0.0)))[:MOST_CHANGES]:
        if anchor.box is not None:
            yield FrameChange(t0=anchor.t0, t1=anchor.t1, box=anchor.box, changed_share=anchor.value or 0.0)


def _frame_claims(frame: Mapping[str, Any], request: str, path: str, streams: Sequence[Stream]) -> Iterator[Claim]:
    """The frame is a picture of the stream, or the first of a shot; its caption stands while it is shown."""
    stream, time = stream_of(streams), frame["time"]
    pictures = picture_times(streams[0]) if streams else None
    if pictures is None:
        yield edge(f"{path}/time", stream, time, AnchorKind.SHOT)
    elif all(abs(time - other) > EPSILON for other in pictures):
        yield refused(f"{path}/time", f"a picture at {time:g} s")
    if frame["caption"] is not None:
        yield during(f"{path}/caption", stream, time + _LATER, AnchorKind.SUBTITLE, text=frame["caption"])
        if frame["caption"] == request:
            yield refused(f"{path}/caption", "a caption that is the request")

"""Structured outputs as people read them: some forms have a function of their own, others go by marks."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ValidationError

from dataclaw.viewer.reading import Reader
from schemas.geometry import Box, Point
from schemas.outputs.fault_recovery import FaultRecovery
from schemas.outputs.gui_trajectory import GuiTrajectory, Step
from schemas.outputs.image_editing import ImageEditing
from schemas.outputs.temporal_qa import TemporalQA
from schemas.outputs.tutorial import FrameBlock, Tutorial
from schemas.outputs.video_qa import VideoQA
from schemas.stream import Stream

_SAME = 1e-3
"""Seconds within which a frame is the frame an output names."""
_ONLY_A_TIME = re.compile(r"At [\d.]+ s\.?")


@dataclass(frozen=True)
class Marks:
    """What an output points at in a frame: boxes, points, and strokes from one point to another."""

    boxes: tuple[Box, ...] = ()
    points: tuple[Point, ...] = ()
    lines: tuple[tuple[Point, Point], ...] = ()


@dataclass(frozen=True)
class Figure:
    """A frame of a stream; `image` is its address, None when the row does not hold it."""

    stream: str
    time: float
    image: str | None
    marks: Marks = field(default=Marks())
    caption: str = ""


class Frames:
    """The evidence of a row, asked by stream name and time."""

    def __init__(self, streams: Iterable[Stream], images: dict[tuple[str, float], str | None]) -> None:
        self._streams = list(streams)
        self._images = images

    def figure(self, stream: str | None, time: float, marks: Marks = Marks(), caption: str = "") -> Figure:
        """The frame of a stream (None: of the first one) at a time."""
        found = next((item for item in self._streams if item.name == stream), self._streams[0])
        image = next(
            (
                image
                for (sha256, moment), image in self._images.items()
                if sha256 == found.sha256 and abs(moment - time) <= _SAME
            ),
            None,
        )
        return Figure(found.name, time, image, marks, caption)

    def all(self) -> list[Figure]:
        """Every frame the row holds, in the order of time."""
        names = {stream.sha256: stream.name for stream in self._streams}
        items = sorted(self._images.items(), key=lambda item: item[0][1])
        return [Figure(names.get(sha256, "?"), time, image) for (sha256, time), image in items]


@dataclass(frozen=True)
class Rendered:
    """An output ready for its template: what it shows, and the marks to draw on evidence, by stream name and time."""

    template: str
    view: dict[str, Any]
    marks: dict[tuple[str | None, float], Marks]
    shows_frames: bool = True
    """The frames stand inside the output already."""


def rendered(task_type: str, output: str, frames: Frames, schema: str = "{}") -> Rendered:
    """An output for its template: some forms have one of their own, all others are read by the marks in their schema,
    and what is no JSON object is shown as it is."""
    known = _KNOWN.get(task_type)
    if known is not None:
        model, render = known
        try:
            return render(model.model_validate_json(output), frames)
        except ValidationError:
            pass  # the user's own schema under a known task type
    try:
        value, root = json.loads(output), json.loads(schema)
    except ValueError:
        value, root = None, {}
    if not isinstance(value, dict):
        return Rendered("output_json.html", {"json": pretty(output)}, {}, shows_frames=False)
    reader = Reader(root, frames)
    part = reader.part(value, root)
    return Rendered("output_by_marks.html", {"part": part}, reader.marks, shows_frames=bool(reader.marks))


def pretty(output: str) -> str:
    """JSON laid out for reading; the text itself when it is none."""
    try:
        return json.dumps(json.loads(output), ensure_ascii=False, indent=2)
    except ValueError:
        return output


def _tutorial(output: Tutorial, frames: Frames) -> Rendered:
    blocks: list[dict[str, Any]] = []
    for block in output.blocks:
        if isinstance(block, FrameBlock):
            # The time stands under every frame anyway.
            caption = "" if _ONLY_A_TIME.fullmatch(block.caption) else block.caption
            figure = frames.figure(None, block.time, caption=caption)
            # Frames that follow one another stand side by side.
            if blocks and "figures" in blocks[-1]:
                blocks[-1]["figures"].append(figure)
            else:
                blocks.append({"figures": [figure]})
        else:
            blocks.append({"t0": block.t0, "t1": block.t1, "text": block.text})
    return Rendered("output_tutorial.html", {"title": output.title, "blocks": blocks}, {})


def _temporal_qa(output: TemporalQA, frames: Frames) -> Rendered:
    return Rendered("output_temporal_qa.html", {"questions": output.questions}, {}, shows_frames=False)


def _video_qa(output: VideoQA, frames: Frames) -> Rendered:
    return Rendered("output_video_qa.html", {"questions": output.questions}, {}, shows_frames=False)


def _gui_trajectory(output: GuiTrajectory, frames: Frames) -> Rendered:
    steps = [
        {
            "step": step,
            "figure": frames.figure(step.source, step.observation_time, _aim(step)),
            "action": _words(step),
        }
        for step in output.steps
    ]
    marks: dict[tuple[str | None, float], Marks] = {}
    for step in output.steps:
        key = (step.source, step.observation_time)
        old, new = marks.get(key, Marks()), _aim(step)
        marks[key] = Marks(old.boxes + new.boxes, old.points + new.points, old.lines + new.lines)
    return Rendered("output_gui_trajectory.html", {"output": output, "steps": steps}, marks)


def _aim(step: Step) -> Marks:
    action = step.action
    box = step.target.box if step.target else None
    line = ((action.point, action.end_point),) if action.point and action.end_point else ()
    return Marks(() if box is None else (box,), () if action.point is None else (action.point,), line)


def _words(step: Step) -> str:
    """`type`, `scroll up ×3`, `hotkey ctrl+c`: what was done, without its place."""
    action = step.action
    words = [action.type.replace("_", " ")]
    if action.direction:
        words.append(action.direction)
    if action.count and action.count > 1:
        words.append(f"×{action.count}")
    return " ".join(words)


def _fault_recovery(output: FaultRecovery, frames: Frames) -> Rendered:
    return Rendered("output_fault_recovery.html", {"output": output, "figures": frames.all()}, {})


def _image_editing(output: ImageEditing, frames: Frames) -> Rendered:
    marks = Marks(boxes=tuple(region.box for region in output.regions))
    view = {
        "output": output,
        "before": frames.figure(None, output.before_time, caption="before"),
        "after": frames.figure(None, output.after_time, marks, caption="after"),
    }
    return Rendered("output_image_editing.html", view, {(None, output.after_time): marks})


_KNOWN: dict[str, tuple[type[BaseModel], Callable[[Any, Frames], Rendered]]] = {
    "tutorial": (Tutorial, _tutorial),
    "temporal_qa": (TemporalQA, _temporal_qa),
    "video_qa": (VideoQA, _video_qa),
    "gui_trajectory": (GuiTrajectory, _gui_trajectory),
    "fault_recovery": (FaultRecovery, _fault_recovery),
    "image_editing": (ImageEditing, _image_editing),
}

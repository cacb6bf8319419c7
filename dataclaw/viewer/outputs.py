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
from schemas.outputs.planning_decision import PlanningDecision
from schemas.outputs.temporal_qa import TemporalQA
from schemas.outputs.tutorial import FrameBlock, Tutorial
from schemas.outputs.video_qa import VideoQA
from schemas.outputs.world_model import ActionType, MeasuredAction, State, StateFact, WorldModel
from schemas.stream import Stream, TrackKind
from sources.cameras import episode_uri, short

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

    def figures(self, stream: str | None, time: float, marks: Marks = Marks()) -> list[Figure]:
        """The frame of a stream at a time; of a moment that is nobody's own, every stream's frame side by side, each
        under its name."""
        if stream is not None or len(self._streams) == 1:
            return [self.figure(stream, time, marks)]
        named = [
            self.figure(item.name, time, marks, label) for item, label in zip(self._streams, self.labels(), strict=True)
        ]
        return [figure for figure in named if figure.image is not None]

    def labels(self) -> list[str]:
        """The streams as people tell them apart: cameras of one episode by their camera, others by their name."""
        if len({episode_uri(item) for item in self._streams}) > 1:
            return [item.name for item in self._streams]
        tracks = [next((t.name for t in item.tracks if t.kind is TrackKind.VIDEO), item.name) for item in self._streams]
        return [short(track) for track in tracks]

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
        """Every frame the row holds, in the order of time; several streams side by side, each under its name."""
        place = {stream.sha256: number for number, stream in enumerate(self._streams)}
        labels = self.labels() if len(self._streams) > 1 else ["" for _ in self._streams]
        items = sorted(self._images.items(), key=lambda item: (item[0][1], place.get(item[0][0], len(place))))
        return [
            Figure(self._streams[place[sha256]].name, time, image, caption=labels[place[sha256]])
            if sha256 in place
            else Figure("?", time, image)
            for (sha256, time), image in items
        ]


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


def _world_model(output: WorldModel, frames: Frames) -> Rendered:
    marks: dict[tuple[str | None, float], Marks] = {}
    rows: list[dict[str, Any]] = []
    for transition in output.transitions:
        action, before, after = transition.action, transition.state, transition.next_state
        line = ((action.point, action.end_point),) if action.point and action.end_point else ()
        aim = Marks(points=(action.point,) if action.point else (), lines=line)
        marks[None, before.time] = aim
        new = {line.text for line in after.lines} - {line.text for line in before.lines}
        gone = {line.text for line in before.lines} - {line.text for line in after.lines}
        rows.append(
            {
                "before": _state(before, frames, aim, gone),
                "action": action,
                "did": _did(action),
                "after": _state(after, frames, Marks(), new),
            }
        )
    kept = any(side["figures"] for row in rows for side in (row["before"], row["after"]))
    return Rendered("output_world_model.html", {"task": output.task, "transitions": rows}, marks, shows_frames=kept)


def _state(state: State, frames: Frames, marks: Marks, own: set[str]) -> dict[str, Any]:
    """A state with its frames; `own` are the lines that stand in it and not in the other one."""
    return {
        "time": state.time,
        "figures": [figure for figure in frames.figures(None, state.time, marks) if figure.image is not None],
        "facts": [_fact(fact) for fact in state.facts],
        "lines": [line.text for line in state.lines if line.text in own],
        "others": sum(line.text not in own for line in state.lines),
    }


def _planning_decision(output: PlanningDecision, frames: Frames) -> Rendered:
    decisions = [
        {
            "decision": decision,
            "figures": [figure for figure in frames.figures(None, decision.time) if figure.image is not None],
            "facts": [_fact(fact) for fact in decision.situation.facts],
            "history": [(action, _did(action)) for action in decision.situation.history],
            "plan": [(step, None if step.action is None else _did(step.action)) for step in decision.plan],
        }
        for decision in output.decisions
    ]
    kept = any(item["figures"] for item in decisions)
    return Rendered(
        "output_planning_decision.html", {"task": output.task, "decisions": decisions}, {}, shows_frames=kept
    )


def _fact(fact: StateFact) -> dict[str, Any]:
    """`right gripper closed`, and since when."""
    return {"words": f"{fact.subject} {fact.condition}".replace("_", " "), "since": fact.since}


def _did(action: MeasuredAction) -> str:
    """`close right gripper`, `move up left`, `click Open`, `scroll down ×3`: what was done, with or upon what."""
    words = [action.type.replace("_", " "), action.target or "", action.direction or ""]
    if action.type in (ActionType.CLOSE_GRIPPER, ActionType.OPEN_GRIPPER) and action.target:
        words = [action.type.partition("_")[0], action.target.replace("_", " ")]
    if action.count and action.count > 1:
        words.append(f"×{action.count}")
    return " ".join(word for word in words if word)


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
    "world_model": (WorldModel, _world_model),
    "planning_decision": (PlanningDecision, _planning_decision),
    "image_editing": (ImageEditing, _image_editing),
}

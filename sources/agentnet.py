"""Reader of AgentNet raw episodes: a screen recording with its raw mouse and key log, accessibility trees and windows.

The log used is events.jsonl, what the machine recorded; the reduced files beside it were made by people.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fsspec import AbstractFileSystem

from schemas.errors import InputError, Problem
from schemas.geometry import Box
from schemas.stream import Domain, Stream, StreamPart, Track, TrackKind
from sources.base import Candidate, InputEvent, Recording, UIElement, Window
from sources.decoding import VideoDecoder
from sources.identity import described
from sources.jsonfiles import read_json, read_jsonl
from sources.places import basename, to_uri
from sources.values import number, text
from sources.video import VideoRecording, describe

VIDEO = "screen.mp4"
FILES = {
    "metadata": "metadata.json",
    "events": "events.jsonl",
    "clicked": "element.jsonl",
    "trees": "a11y.jsonl",
    "windows": "top_window.jsonl",
    "task": "task_name.json",
}
_EDGE = 0.01
"""Share of the screen by which a pointer may stand beyond its edge and still be at the edge."""
_ACTIONS = {"move": "move", "click": "button", "scroll": "wheel", "press": "key", "release": "key"}


@dataclass(frozen=True)
class Clock:
    """How the logs map to the video: seconds at its start, and the size of the screen in the logs' pixels."""

    start: float
    width: float
    height: float


class AgentNetRecording(VideoRecording):
    """An open episode. Times count from the start of the video; what lies before it is left out."""

    def __init__(self, files: Mapping[str, str]) -> None:
        super().__init__(files["video"])
        self._log = Log(files)

    def texts(self) -> Sequence[str]:
        return self._log.texts()

    def events(self) -> Sequence[InputEvent]:
        return self._log.events()

    def elements(self) -> Sequence[UIElement]:
        return self._log.elements()

    def windows(self) -> Sequence[Window]:
        return self._log.windows()


class Log:
    """What lies beside the video. Reading never fails: what is wrong is a note."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self.notes: list[str] = []
        self._files = files
        self._clock = self._read_clock()

    def texts(self) -> tuple[str, ...]:
        if "task" not in self._files:
            self.notes.append(f"{FILES['task']}: the file is missing")
            return ()
        try:
            task = read_json(self._files["task"])
        except InputError as error:
            self.notes.append(f"{FILES['task']}: {error.problem.cause}")
            return ()
        values = [task.get("task_name"), task.get("description")] if isinstance(task, dict) else []
        said = tuple(text(value) for value in values if isinstance(value, str) and value.strip())
        if not said:
            self.notes.append(f"{FILES['task']}: names no task")
        return said

    def events(self) -> tuple[InputEvent, ...]:
        """The raw log. A pointer beyond the edge of the screen, as after a change of the display scaling, has no known
        place: x and y are None, and a note counts them."""
        found: list[InputEvent] = []
        unknown: Counter[str] = Counter()
        outside = 0
        for row, time in self._timed("events"):
            action = _ACTIONS.get(str(row.get("action")))
            if action is None:
                unknown[str(row.get("action"))] += 1
                continue
            x, y, beyond = self._place(row.get("x"), row.get("y"))
            outside += beyond
            key = row.get("name") or row.get("pynput_key")
            wheel = action == "wheel"
            found.append(
                InputEvent(
                    time=time,
                    action=action,
                    x=x,
                    y=y,
                    button=str(row["button"]) if row.get("button") else None,
                    pressed=_pressed(row),
                    dx=number(row.get("dx")) or 0.0 if wheel else 0.0,
                    dy=number(row.get("dy")) or 0.0 if wheel else 0.0,
                    key=text(key) if action == "key" and key is not None else None,
                )
            )
        if unknown:
            self.notes.append(f"{FILES['events']}: actions left out: {', '.join(sorted(unknown))}")
        if outside:
            self.notes.append(f"{FILES['events']}: {outside} of {len(found)} events lie beyond the screen: no place")
        return tuple(sorted(found, key=lambda event: event.time))

    def elements(self) -> tuple[UIElement, ...]:
        """The elements of all trees. Those with no area on the screen are left out, except under the pointer, where
        the name says something without a box."""
        found: list[UIElement] = []
        for row, time in self._timed("trees"):
            found += self._flat(row.get("axtree"), time, clicked=False)
        for row, time in self._timed("clicked"):
            found += self._flat(row.get("a11y_tree"), time, clicked=True)
        return tuple(sorted(found, key=lambda element: element.time))

    def windows(self) -> tuple[Window, ...]:
        return tuple(
            Window(time, text(row["top_window_name"]))
            for row, time in self._timed("windows", before=True)
            if row.get("top_window_name")
        )

    def _read_clock(self) -> Clock | None:
        try:
            metadata = read_json(self._files["metadata"]) if "metadata" in self._files else {}
            if "metadata" not in self._files:
                self.notes.append("metadata.json: the file is missing, so its logs have no place in the video")
                return None
            values = [number(metadata.get(n)) for n in ("video_start_timestamp", "screen_width", "screen_height")]
        except (InputError, AttributeError) as error:
            cause = error.problem.cause if isinstance(error, InputError) else "is not an object"
            self.notes.append(f"metadata.json: {cause}, so its logs have no place in the video")
            return None
        start, width, height = values
        if start is None or not width or not height or width < 0 or height < 0:
            self.notes.append("metadata.json: no start of the video or size of the screen, so its logs have no place")
            return None
        return Clock(start, width, height)

    def _timed(self, role: str, before: bool = False) -> Iterator[tuple[dict[str, Any], float]]:
        """Rows of a log with their time in the video, in seconds. `before`: keep earlier ones, at 0."""
        if self._clock is None:
            return
        if role not in self._files:
            self.notes.append(f"{FILES[role]}: the file is missing")
            return
        rows, problem = read_jsonl(self._files[role])
        if problem:
            self.notes.append(f"{FILES[role]}: {problem}")
        undated = early = 0
        for row in rows:
            stamp = number(row.get("time_stamp"))
            if stamp is None:
                undated += 1
                continue
            time = round(stamp - self._clock.start, 6)
            if time >= 0 or before:
                yield row, max(time, 0.0)
            else:
                early += 1
        if early:
            self.notes.append(f"{FILES[role]}: {early} rows from before the video left out")
        if undated:
            self.notes.append(f"{FILES[role]}: {undated} rows without a time left out")

    def _place(self, x: Any, y: Any) -> tuple[float | None, float | None, bool]:
        """Normalised pointer, and whether it lies beyond the screen."""
        across, down = number(x), number(y)
        if across is None or down is None or self._clock is None:
            return None, None, False
        across, down = across / self._clock.width, down / self._clock.height
        if not (-_EDGE <= across <= 1 + _EDGE and -_EDGE <= down <= 1 + _EDGE):
            return None, None, True
        return min(max(across, 0.0), 1.0), min(max(down, 0.0), 1.0), False

    def _flat(self, tree: Any, time: float, clicked: bool) -> Iterator[UIElement]:
        """A tree in reading order. Only the root of a `clicked` tree was under the pointer."""
        waiting: list[tuple[Any, int]] = [(tree, 0)]
        while waiting:
            node, depth = waiting.pop()
            if not isinstance(node, dict):
                continue
            box = self._box(node.get("BoundingRectangle"))
            under = clicked and depth == 0
            if box is not None or under:
                name, role = text(node.get("Name")), text(node.get("ControlType"))
                yield UIElement(time=time, name=name, role=role, box=box, depth=depth, clicked=under)
            children = node.get("Children")
            if isinstance(children, list):
                waiting += [(child, depth + 1) for child in reversed(children)]

    def _box(self, rectangle: Any) -> Box | None:
        if not isinstance(rectangle, dict) or self._clock is None:
            return None
        sides = [number(rectangle.get(side)) for side in ("left", "top", "right", "bottom")]
        left, top, right, bottom = sides
        if left is None or top is None or right is None or bottom is None or right <= left or bottom <= top:
            return None
        width, height = self._clock.width, self._clock.height
        box = Box.clipped(left / width, top / height, right / width, bottom / height)
        return box if box.area > 0 else None


class AgentNetSource:
    """AgentNet raw episodes, one folder each."""

    name = "agentnet"
    default_domain = Domain.GUI
    suffixes = ()

    def claims(self, fs: AbstractFileSystem, root: str) -> bool:
        has = {role: fs.isfile(f"{root}/{name}") for role, name in FILES.items() if role in ("metadata", "events")}
        if has["metadata"] and has["events"]:
            return True
        if not any(has.values()):
            return False
        return any(fs.isfile(f"{root}/{name}") for name in (VIDEO, FILES["task"]))

    def find(self, fs: AbstractFileSystem, root: str) -> Iterator[Candidate | Problem]:
        uri = to_uri(fs, root)
        if not fs.isfile(f"{root}/{VIDEO}"):
            yield Problem(input=uri, cause=f"its video {VIDEO} is missing", remedy="Copy the episode again")
            return
        parts = [("video", to_uri(fs, f"{root}/{VIDEO}"))]
        parts += [(role, to_uri(fs, f"{root}/{name}")) for role, name in FILES.items() if fs.isfile(f"{root}/{name}")]
        yield Candidate(basename(root), self.name, uri, tuple(parts))

    def probe(self, candidate: Candidate, parts: tuple[StreamPart, ...], domain: Domain, max_pixels: int) -> Stream:
        files = {part.role: part.uri for part in parts}
        decoder = VideoDecoder(files["video"], max_pixels)
        try:
            video, duration, notes = describe(decoder, "screen")
            audio = [
                Track(kind=TrackKind.AUDIO, name=f"audio {track.index}", codec=track.name)
                for track in decoder.container.streams.audio
            ]
        finally:
            decoder.close()
        log = Log(files)
        log.windows()  # no track of its own, but what is wrong with it is a note
        tracks = [video, *audio]
        for kind, name, items in (
            (TrackKind.EVENTS, "input log", len(log.events())),
            (TrackKind.ELEMENTS, "accessibility trees", len(log.elements())),
            (TrackKind.TEXT, "task", len(log.texts())),
        ):
            if items:
                tracks.append(Track(kind=kind, name=name, items=items))
        return described(candidate, parts, domain, tracks, duration, (*notes, *dict.fromkeys(log.notes)))

    def open(self, stream: Stream) -> Recording:
        return AgentNetRecording({part.role: part.uri for part in stream.parts})


def _pressed(row: Mapping[str, Any]) -> bool | None:
    if row.get("action") in ("press", "release"):
        return bool(row["action"] == "press")
    pressed = row.get("pressed")
    return pressed if isinstance(pressed, bool) else None

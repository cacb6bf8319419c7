"""The labelled intents, what they were asked of, and how often the resolver is right."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import yaml

from schemas.base import digest
from schemas.errors import UnsuitedError
from schemas.stream import Domain, Stream, StreamPart, Track, TrackKind
from schemas.task_spec import Intent, TaskSpec
from synthesis.intent.resolve import choose, resolve

_INPUTS = {
    "film": (Domain.DAILY_LIFE, 120.0, "video audio subtitles"),
    "long_film": (Domain.DAILY_LIFE, 600.0, "video audio subtitles"),
    "silent_film": (Domain.DAILY_LIFE, 120.0, "video"),
    "lesson": (Domain.EDUCATION, 300.0, "video audio subtitles"),
    "silent_lesson": (Domain.EDUCATION, 300.0, "video"),
    "phone": (Domain.GUI, 60.0, "video"),
    "desktop": (Domain.GUI, 120.0, "video events elements"),
    "robot": (Domain.EMBODIED, 60.0, "video signals"),
    "robot_video": (Domain.EMBODIED, 60.0, "video"),
    "edit_pair": (Domain.AIGC, 2.0, "images text"),
    "drawing": (Domain.AIGC, 10.0, "strokes images"),
    "generated": (Domain.AIGC, 30.0, "video text"),
    "gameplay": (Domain.AIGC, 60.0, "video events"),
}


def input_named(name: str) -> Stream:
    """One of the inputs that the labelled set speaks of."""
    domain, duration, kinds = _INPUTS[name]
    return Stream(
        sha256=digest(name),
        uri=f"file:///raw/{name}",
        name=name,
        domain=domain,
        format="video",
        parts=(StreamPart(role="video", uri=f"file:///raw/{name}", sha256=digest(name), size=1),),
        tracks=tuple(Track(kind=TrackKind(kind), name=kind) for kind in kinds.split()),
        duration=duration,
    )


@dataclass(frozen=True)
class Labelled:
    """One line of `intents.yaml`."""

    text: str
    kind: str
    input: str
    wanted: tuple[str, ...] = ()
    asks: str = ""

    def readings(self) -> list[TaskSpec]:
        """What the resolver makes of it; nothing where it refuses."""
        try:
            return resolve(Intent(text=self.text), [input_named(self.input)])
        except UnsuitedError:
            return []


def labelled(split: str) -> list[Labelled]:
    """A split of the set."""
    lines = yaml.safe_load(Path(__file__).with_name("intents.yaml").read_text(encoding="utf-8"))[split]
    return [Labelled(**line | {"wanted": tuple(line.get("wanted", ()))}) for line in lines]


def is_right(entry: Labelled, readings: list[TaskSpec]) -> bool:
    """Whether the readings are what the label wants, as its kind has it."""
    names = [spec.task_type for spec in readings]
    if entry.kind == "clear":
        return names[:1] == list(entry.wanted)
    if entry.kind == "vague":
        return bool(set(names[:3]) & set(entry.wanted))
    if entry.kind == "mixed":
        return set(entry.wanted) <= {spec.task_type for spec in choose(readings)}
    return not names


@dataclass
class Measured:
    """How often the resolver was right, by kind, and what it took for what."""

    right: Counter[str]
    total: Counter[str]
    confusion: Counter[tuple[str, str]]
    """(wanted, first reading) of the clear ones."""
    overbuilt: int
    """Clear ones of which more was built than the wanted form."""

    def accuracy(self, kind: str) -> float:
        return self.right[kind] / self.total[kind]


def measure(entries: list[Labelled]) -> Measured:
    """Resolves every entry and counts."""
    measured = Measured(Counter(), Counter(), Counter(), 0)
    for entry in entries:
        readings = entry.readings()
        measured.total[entry.kind] += 1
        measured.right[entry.kind] += is_right(entry, readings)
        if entry.kind == "clear":
            first = readings[0].task_type if readings else "refused"
            measured.confusion[entry.wanted[0], first] += 1
            measured.overbuilt += len(choose(readings)) > 1
    return measured

"""Rows to learn from: drawn frames, a few subtitles, and what the rules make of them."""

from __future__ import annotations

import hashlib
import io
import json
from datetime import UTC, datetime

from PIL import Image

from schemas.anchor import AnchorKind, FactualAnchor
from schemas.recipe import ModelSpec
from schemas.stream import Domain, Stream, Track, TrackKind
from schemas.task_spec import Intent, TaskSpec
from schemas.triplet import EncodedImage, EvidenceFrame, Provenance, Split, Triplet, triplet_id
from synthesis.agents.own_schema.agent import own_spec
from synthesis.agents.roster import agent_of
from synthesis.backends.rules import RulesBackend
from synthesis.base import Evidence
from synthesis.verification.verify import score_output
from training.examples import Example, example_of

WORDS = ("Good", "day", "well", "work", "time", "good", "state", "back", "down", "make")
FORM = {
    "type": "object",
    "properties": {
        "captions": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"text": {"type": "string"}},
                "required": ["text"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["captions"],
    "additionalProperties": False,
}


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def subtitles(stream: str, number: int, many: int = 1, words: int = 2) -> tuple[FactualAnchor, ...]:
    """Lines that are all different, every two seconds."""
    return tuple(
        FactualAnchor(
            stream=stream,
            t0=2.0 * place,
            t1=2.0 * place + 1,
            kind=AnchorKind.SUBTITLE,
            content=" ".join(_word(number + place * words + each) for each in range(words)),
            expert="subtitles",
            version="1",
            confidence=1.0,
        )
        for place in range(many)
    )


def _word(number: int) -> str:
    many = len(WORDS)
    return WORDS[number] if number < many else f"{WORDS[number % many]}{_word(number // many - 1)}"


def row(number: int, spec: TaskSpec | None = None, anchors: int = 1, words: int = 2, frames: int = 0) -> Triplet:
    """A row in a form of the user's own, or that of a task spec, written by the rules."""
    stream = Stream(
        sha256=sha(f"stream {number}"),
        uri=f"/raw/{number}.mp4",
        name=f"s{number}",
        domain=Domain.DAILY_LIFE,
        format="video",
        parts=(),
        tracks=(Track(kind=TrackKind.VIDEO, name="v"), Track(kind=TrackKind.SUBTITLES, name="en")),
        duration=2.0 * anchors,
    )
    spec = spec or own_spec(Intent(text="Use my form."), json.dumps(FORM))
    known = subtitles(stream.sha256, number, anchors, words)
    agent = agent_of(spec)
    output = RulesBackend().write(agent, Evidence(streams=(stream,), anchors=known, spec=spec))
    return Triplet(
        id=triplet_id((stream,), spec, known, output),
        unit=sha(f"unit {number}"),
        domain=stream.domain,
        task_type=spec.task_type,
        split=Split.TRAIN,
        streams=(stream,),
        intent=spec.intent,
        spec=spec,
        anchors=known,
        evidence=tuple(_frame(stream.sha256, place, number) for place in range(frames)),
        output=output,
        score=score_output(output, spec, (stream,), known),
        provenance=Provenance(
            run="run",
            recipe_hash=sha("recipe"),
            experts=(),
            backend="rules",
            model=None,
            agent_version="1",
            prompt_version=None,
            repairs=0,
            created=datetime(2026, 1, 2, tzinfo=UTC),
        ),
    )


def examples(model: ModelSpec, number: int = 8, frames: int = 0) -> list[Example]:
    return [example_of(row(place, frames=frames), model) for place in range(number)]


def _frame(stream: str, place: int, number: int) -> EvidenceFrame:
    sink = io.BytesIO()
    Image.new("RGB", (64, 48), (25 * number % 256, 40 * place % 256, 90)).save(sink, "PNG")
    image = EncodedImage(bytes=sink.getvalue(), path=f"frame-{place}.png")
    return EvidenceFrame(stream=stream, time=2.0 * place, image=image)

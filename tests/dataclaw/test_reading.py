"""Outputs without a page of their own are read by the marks in their schema."""

from __future__ import annotations

import json
from typing import Any

from dataclaw.viewer.outputs import Frames, rendered
from dataclaw.viewer.reading import Part
from schemas.geometry import Box
from schemas.outputs.grounded import KEYWORD
from schemas.stream import Domain, Stream

SHA = "a" * 64
STREAM = Stream(sha256=SHA, uri="x", name="clip", domain=Domain.GUI, format="video", parts=(), tracks=(), duration=10.0)


def mark(kind: str, role: str) -> dict[str, Any]:
    return {"type": kind, KEYWORD: {"role": role}}


SCHEMA = {
    "type": "object",
    "properties": {
        "pairs": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "box": mark("object", "box"),
                    "text": mark("string", "quote"),
                    "time": mark("number", "moment"),
                },
                "required": ["time", "text", "box"],
            },
        },
        "note": {"type": "string"},
        "sure": {"type": "boolean"},
    },
    "required": ["note", "pairs"],
}
BOX = {"x0": 0.1, "y0": 0.1, "x1": 0.2, "y1": 0.2}


def read(output: Any, images: dict[tuple[str, float], str | None]) -> tuple[Part, Any]:
    made = rendered("grounding", json.dumps(output), Frames([STREAM], images), json.dumps(SCHEMA))
    assert made.template == "output_by_marks.html"
    return made.view["part"], made


def test_fields_stand_in_the_order_of_the_form_with_their_times_quotes_and_places() -> None:
    output = {"sure": True, "note": "Look.", "pairs": [{"box": BOX, "text": "Open", "time": 2.0}]}
    part, made = read(output, {(SHA, 2.0): "frame.png"})
    assert [field.label for field in part.fields] == ["note", "pairs", "sure"]
    assert part.fields[2].words == "yes"
    (pair,) = part.fields[1].items
    assert pair.when == "2.0 s"
    assert [(field.label, field.words, field.quoted) for field in pair.fields] == [("text", "Open", True)]
    assert [(figure.image, figure.marks.boxes) for figure in pair.figures] == [("frame.png", (Box(**BOX),))]
    assert made.marks[(None, 2.0)].boxes == (Box(**BOX),)


def test_without_frames_the_words_stand_alone() -> None:
    part, made = read({"note": "Look.", "pairs": [{"box": BOX, "text": "Open", "time": 2.0}]}, {})
    assert part.fields[1].items[0].figures == ()
    assert not made.shows_frames


def test_what_is_no_object_is_shown_as_it_is() -> None:
    assert rendered("own_schema", "[1, 2]", Frames([STREAM], {}), "{}").template == "output_json.html"
    assert rendered("own_schema", "not json", Frames([STREAM], {}), "{}").template == "output_json.html"

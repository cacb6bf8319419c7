"""What both engines are asked in their tests: six schemas, a picture, and what a sound answer is."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

import jsonschema
from PIL import Image, ImageDraw

from synthesis.backends.chat import Finish, Message, Picture, Reply, Request, Sampling

TEXT = {"type": "string"}
SCHEMAS: dict[str, dict[str, Any]] = {
    "nested": {
        "type": "object",
        "properties": {
            "scene": {
                "type": "object",
                "properties": {"name": TEXT, "light": {"type": "boolean"}},
                "required": ["name", "light"],
            },
            "objects": {"type": "array", "items": {"type": "object", "properties": {"what": TEXT}}, "maxItems": 2},
        },
        "required": ["scene", "objects"],
    },
    "enum": {
        "type": "object",
        "properties": {"colour": {"enum": ["red", "green", "blue"]}, "sure": {"const": True}},
        "required": ["colour", "sure"],
    },
    "bounds": {
        "type": "object",
        "properties": {
            "count": {"type": "integer", "minimum": 3, "maximum": 17},
            "places": {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 2, "maxItems": 3},
        },
        "required": ["count", "places"],
    },
    "recursive": {
        "$defs": {
            "step": {
                "type": "object",
                "properties": {
                    "do": TEXT,
                    "then": {"type": "array", "items": {"$ref": "#/$defs/step"}, "maxItems": 1},
                },
                "required": ["do", "then"],
            }
        },
        "$ref": "#/$defs/step",
    },
    "either": {
        "type": "object",
        "properties": {"answer": {"anyOf": [{"type": "integer", "minimum": 0, "maximum": 9}, TEXT, {"type": "null"}]}},
        "required": ["answer"],
    },
    "pattern": {
        "type": "object",
        "properties": {"letter": {"type": "string", "pattern": "^[A-D]$"}, "at": {"type": "number", "minimum": 0}},
        "required": ["letter"],
    },
}
"""Their lists are bounded and the tiny model inclines to close strings, so that it comes to an end."""


def picture(colour: str = "steelblue", width: int = 320, height: int = 180) -> Picture:
    image = Image.new("RGB", (width, height), colour)
    ImageDraw.Draw(image).ellipse((40, 30, 140, 130), fill="gold")
    data = BytesIO()
    image.save(data, "JPEG")
    return Picture(data.getvalue(), "image/jpeg", width, height, (("0" * 64, 0.0),))


def question(*parts: str | Picture, schema: dict[str, Any] | None = None, **sampling: Any) -> Request:
    told = (Message("system", ("Answer with JSON.",)), Message("user", parts))
    text = None if schema is None else json.dumps(schema)
    return Request(told, text, Sampling(**({"max_tokens": 120} | sampling)))


def is_sound(reply: Reply, schema: dict[str, Any]) -> bool:
    """Whether a finished answer satisfies its schema; one that is cut off proves nothing."""
    if reply.finish is Finish.LENGTH:
        return True
    jsonschema.validate(json.loads(reply.text), schema)
    return True

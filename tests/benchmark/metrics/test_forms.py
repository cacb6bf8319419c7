"""What a field is follows from its schema: type, marks, and names where these say nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from benchmark.metrics.forms import form_of
from benchmark.metrics.likeness import likeness
from schemas.sample_score import Comparison
from schemas.task_spec import Intent
from synthesis.agents.own_schema.agent import own_spec
from synthesis.agents.roster import agent_for


def at(task_type: str, path: str) -> Any:
    form = form_of(agent_for(task_type).output_schema())
    for name in path.split("/"):
        form = form.item if name == "*" else form.property(name)
        assert form is not None
    return form


@pytest.mark.parametrize(
    ("task_type", "path", "value", "comparison"),
    [
        ("temporal_qa", "questions/*/type", "ordering", Comparison.CHOICE),
        ("temporal_qa", "questions/*/question", "When?", Comparison.TEXT),
        ("temporal_qa", "questions/*/events/*/t0", 1.5, Comparison.TIME),
        ("temporal_qa", "questions/*/count", 3, Comparison.CHOICE),
        ("video_qa", "questions/*/letter", "A", Comparison.CHOICE),
        ("video_qa", "questions/*/evidence/*/kind", "video.cut", Comparison.CHOICE),
        ("video_qa", "questions/*/evidence/*/content", "Hello.", Comparison.QUOTE),
        ("gui_trajectory", "steps/*/action_time", 2, Comparison.TIME),
        ("gui_trajectory", "steps/*/action/point", {"x": 0.1, "y": 0.2}, Comparison.POINT),
        ("gui_trajectory", "steps/*/target/box", {"x0": 0, "y0": 0, "x1": 1, "y1": 1}, Comparison.BOX),
        ("gui_trajectory", "steps/*/action/count", 2, Comparison.CHOICE),
        ("world_model", "transitions/*/state/facts/*/since", 0.5, Comparison.TIME),
        ("drawing_sequence", "strokes/*/length", 0.5, Comparison.NUMBER),
        ("drawing_sequence", "strokes/*/straight", True, Comparison.CHOICE),
        ("drawing_sequence", "strokes/*/start", {"x": 0, "y": 0}, Comparison.POINT),
        ("grounding", "pairs/*/others/*", {"x0": 0, "y0": 0, "x1": 1, "y1": 1}, Comparison.BOX),
        ("generation_clips", "clips/*/shot/number", 3.0, Comparison.CHOICE),
        ("tutorial", "blocks/*/type", "frame", Comparison.CHOICE),
        ("tutorial", "blocks/*/caption", "A pan", Comparison.TEXT),
        ("tutorial", "blocks/*/time", 3, Comparison.TIME),
        ("tutorial", "blocks", [], None),
        ("gui_trajectory", "goal", 7, None),
    ],
)
def test_fields_of_built_in_forms(task_type: str, path: str, value: Any, comparison: Comparison | None) -> None:
    assert at(task_type, path).comparison(value) is comparison


def test_fields_of_a_form_of_ones_own() -> None:
    number, text = {"type": "integer"}, {"type": "string"}
    item = {
        "type": "object",
        "properties": {
            "startMs": number,
            "endMs": number,
            "text": text,
            "bbox": {"type": "array", "items": {"type": "number"}, "minItems": 4, "maxItems": 4},
        },
    }
    schema = {"type": "object", "properties": {"captions": {"type": "array", "items": item}}}
    spec = own_spec(Intent(text="Captions."), json.dumps(schema))
    listing = form_of(spec.output_schema).property("captions")
    assert listing is not None
    caption = listing.item
    assert caption is not None
    value = {"startMs": 1000, "endMs": 2500, "text": "Hello.", "bbox": [0, 0, 0.5, 0.5]}
    found = {name: caption.property(name).comparison(value[name]) for name in value}  # type: ignore[union-attr]
    assert found == {
        "startMs": Comparison.TIME,
        "endMs": Comparison.TIME,
        "text": Comparison.QUOTE,
        "bbox": Comparison.BOX,
    }
    assert caption.span(value) == (1.0, 2.5)
    assert listing.is_sequence([value, value | {"startMs": 3000, "endMs": 4000}])
    assert not listing.is_sequence([value | {"startMs": 3000, "endMs": 4000}, value])
    start = caption.property("startMs")
    assert start is not None
    assert likeness(Comparison.TIME, start, 1000, 1750) == (0.5, "0.75 s apart, tolerance 0.25 s")


@pytest.mark.parametrize(
    ("task_type", "path", "items", "expected"),
    [
        ("gui_trajectory", "source_order", ["a", "b"], True),
        ("gui_trajectory", "steps", [{"action_time": 1.0}, {"action_time": 2.0}], True),
        ("fault_recovery", "corrected_continuation", [{"action": "a", "purpose": "b"}], True),
        ("temporal_qa", "questions", [{"question": "When?", "events": [{"t0": 1, "t1": 2}]}], False),
        ("image_editing", "regions", [{"changed_share": 0.1}], False),
        ("action_segments", "segments", [], True),
    ],
)
def test_which_lists_are_sequences(task_type: str, path: str, items: list[Any], expected: bool) -> None:
    assert at(task_type, path).is_sequence(items) is expected


def test_alternatives_are_taken_together_and_recursion_ends_with_the_value() -> None:
    node = {"type": "object", "properties": {"name": {"type": "string"}, "parts": {"$ref": "#/$defs/parts"}}}
    parts = {"anyOf": [{"type": "array", "items": {"$ref": "#/$defs/node"}}, {"type": "null"}]}
    form = form_of(json.dumps({"$ref": "#/$defs/node", "$defs": {"node": node, "parts": parts}}))
    for _ in range(5):
        inner = form.property("parts")
        assert inner is not None
        assert inner.item is not None
        form = inner.item
    name = form.property("name")
    assert name is not None
    assert name.comparison("x") is Comparison.TEXT
    assert name.typed("x")
    assert not name.typed(3)
    assert form.property("other") is None


def test_a_box_without_an_area_is_itself_and_nothing_else() -> None:
    form = at("grounding", "pairs/*/box")
    line = {"x0": 0.1, "y0": 0.5, "x1": 0.9, "y1": 0.5}
    assert likeness(Comparison.BOX, form, line, line) == (1.0, "")
    assert likeness(Comparison.BOX, form, line, line | {"y1": 0.6})[0] == 0.0
    assert likeness(Comparison.BOX, form, line, "left") == (0.0, "no box")


def test_a_truth_value_is_no_number() -> None:
    form = at("drawing_sequence", "strokes/*/index")
    assert likeness(Comparison.CHOICE, form, 1, True)[0] == 0.0
    assert likeness(Comparison.CHOICE, form, 1, 1.0)[0] == 1.0

"""Keys stand in the order that a schema declares, wherever it declares them."""

from __future__ import annotations

import json

from schemas.order import in_schema_order

SCHEMA = {
    "type": "object",
    "properties": {"b": {"$ref": "#/$defs/pair"}, "a": {"type": "array", "items": {"$ref": "#/$defs/pair"}}},
    "$defs": {"pair": {"properties": {"y": {}, "x": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/pair"}]}}}},
}


def test_objects_lists_references_and_alternatives_are_followed() -> None:
    given = {"a": [{"x": {"x": None, "y": 1}, "y": 2}], "b": {"x": None, "y": 3}}
    assert json.dumps(in_schema_order(given, SCHEMA)) == json.dumps(
        {"b": {"y": 3, "x": None}, "a": [{"y": 2, "x": {"y": 1, "x": None}}]}
    )


def test_what_is_not_declared_follows_sorted_and_nothing_is_lost() -> None:
    assert list(in_schema_order({"z": 1, "c": 2, "b": {}}, SCHEMA)) == ["b", "c", "z"]


def test_a_reference_that_leads_to_itself_ends() -> None:
    loop = {"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}
    assert in_schema_order({"b": 1, "a": 2}, loop) == {"a": 2, "b": 1}

"""The order of a value's keys as its schema declares them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def in_schema_order(value: Any, schema: Mapping[str, Any]) -> Any:
    """A value whose objects have their keys in the order in which the schema declares them.

    Engines that hold a model to a schema have it write keys in this order, so a model has to be trained on it; rows
    hold outputs with sorted keys. Keys that the schema does not name follow, sorted. Of the parts of `anyOf`, `oneOf`
    and `allOf` the first that names all keys of an object counts, or else the one that names most of them.

    Args:
        value: JSON as Python holds it.
        schema: a JSON Schema (2020-12) it satisfies, whose references lead into itself.
    """
    return _ordered(value, schema, schema)


def _ordered(value: Any, node: Any, root: Mapping[str, Any]) -> Any:
    if not isinstance(value, dict | list):
        return value
    part = _part(value, node, root)
    if isinstance(value, list):
        first = part.get("prefixItems", ())
        rest = part.get("items")
        return [_ordered(item, first[place] if place < len(first) else rest, root) for place, item in enumerate(value)]
    declared = part.get("properties", {})
    names = [name for name in declared if name in value] + sorted(value.keys() - declared.keys())
    return {name: _ordered(value[name], declared.get(name, part.get("additionalProperties")), root) for name in names}


def _part(value: dict[str, Any] | list[Any], node: Any, root: Mapping[str, Any]) -> Mapping[str, Any]:
    """The part of a schema that speaks of an object's keys or of a list's items."""
    parts = list(_parts(node, root))
    if isinstance(value, list):
        return next((part for part in parts if "items" in part or "prefixItems" in part), {})
    return max(parts, key=lambda part: len(value.keys() & part.get("properties", {}).keys()), default={})


def _parts(node: Any, root: Mapping[str, Any], depth: int = 0) -> list[Mapping[str, Any]]:
    if not isinstance(node, Mapping) or depth > _DEEPEST:
        return []
    found = [node]
    if isinstance(node.get("$ref"), str):
        found += _parts(_referred(node["$ref"], root), root, depth + 1)
    for name in ("anyOf", "oneOf", "allOf"):
        for part in node.get(name, ()):
            found += _parts(part, root, depth + 1)
    return found


def _referred(reference: str, root: Mapping[str, Any]) -> Any:
    node: Any = root
    for step in reference.removeprefix("#").split("/")[1:]:
        node = node.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(node, Mapping) else None
    return node


_DEEPEST = 32
"""References that lead to nothing but references end here."""

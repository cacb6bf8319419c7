"""Refuses a schema that is malformed or that no value satisfies, with the place that is wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from schemas.errors import UsageError
from synthesis.verification.format import pointer, validator_of
from synthesis.verification.grounding import located, resolved

_REMEDY = "Mend the schema there (JSON Schema 2020-12)"
_BOUNDS = (
    ("minimum", "maximum"),
    ("minLength", "maxLength"),
    ("minItems", "maxItems"),
    ("minProperties", "maxProperties"),
)
_APPLIES_TO = {
    "minimum": ("number", "integer"),
    "minLength": ("string",),
    "minItems": ("array",),
    "minProperties": ("object",),
}
Path = tuple[str | int, ...]


def sound(text: str, name: str = "output schema") -> dict[str, Any]:
    """A schema from its JSON text.

    Raises:
        UsageError: it is not JSON, not a JSON Schema, refers to what is not there, or no value satisfies it. The place
            stands in the message as a JSON pointer.
    """
    try:
        schema = json.loads(text)
    except ValueError as error:
        raise UsageError(name, f"not valid JSON ({error})", "Give a JSON Schema (2020-12)") from error
    if not isinstance(schema, dict):
        raise UsageError(name, "a schema is a JSON object", "Give a JSON Schema (2020-12)")
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise UsageError(f"{name}#{pointer(*error.absolute_path)}", error.message, _REMEDY) from error
    for path, cause in _broken(schema, schema, ()):
        raise UsageError(f"{name}#{pointer(*path)}", cause, _REMEDY)
    contradiction = _Satisfiable(schema).contradiction(schema, (), ())
    if contradiction is not None:
        raise UsageError(
            f"{name}#{pointer(*contradiction[0])}", f"no value can satisfy it: {contradiction[1]}", _REMEDY
        )
    return schema


def _broken(node: Any, root: Mapping[str, Any], path: Path) -> Iterator[tuple[Path, str]]:
    """References that lead nowhere."""
    if isinstance(node, list):
        for place, item in enumerate(node):
            yield from _broken(item, root, (*path, place))
    if not isinstance(node, dict):
        return
    ref = node.get("$ref")
    if isinstance(ref, str):
        if not ref.startswith("#"):
            yield (*path, "$ref"), f"{ref!r} lies outside of the schema; put it under $defs"
        elif located(root, ref) is None:
            yield (*path, "$ref"), f"{ref!r} leads nowhere"
    for key, item in node.items():
        if key not in ("enum", "const", "default", "examples"):
            yield from _broken(item, root, (*path, key))


class _Satisfiable:
    """Looks for a reason why no value satisfies a node. Sound where it finds one; it does not find all there are."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._validator = validator_of(root)

    def contradiction(self, node: Any, path: Path, above: tuple[str, ...]) -> tuple[Path, str] | None:
        """The place and the reason; None where values exist. `above` are the references being followed: one that
        demands itself again has no end."""
        if node is False:
            return path, "it is `false`"
        if not isinstance(node, Mapping):
            return None
        ref = node.get("$ref")
        if isinstance(ref, str):
            if ref in above:
                return path, f"{ref} demands itself without end"
            above = (*above, ref)
        flat = resolved(node, self._root)
        for branches in (flat.get("anyOf"), flat.get("oneOf")):
            if branches:
                found = [self.contradiction(item, (*path, place), above) for place, item in enumerate(branches)]
                if all(item is not None for item in found):
                    return found[0]
        return self._bounds(flat, path) or self._choices(flat, path) or self._parts(flat, path, above)

    def _bounds(self, node: Mapping[str, Any], path: Path) -> tuple[Path, str] | None:
        types = _types(node)
        for low, high in _BOUNDS:
            forced = types and set(types) <= set(_APPLIES_TO[low])
            if forced and node.get(low, 0) > node.get(high, float("inf")):
                return (*path, low), f"{low} {node[low]} is above {high} {node[high]}"
        if types and set(types) <= {"number", "integer"}:
            least = max(node.get("minimum", float("-inf")), node.get("exclusiveMinimum", float("-inf")))
            most = min(node.get("maximum", float("inf")), node.get("exclusiveMaximum", float("inf")))
            open_ = "exclusiveMinimum" in node or "exclusiveMaximum" in node
            if least > most or (least == most and open_):
                return path, f"no number lies between {least:g} and {most:g}"
        return None

    def _choices(self, node: Mapping[str, Any], path: Path) -> tuple[Path, str] | None:
        for word, values in (("enum", node.get("enum")), ("const", [node["const"]] if "const" in node else None)):
            if values is None:
                continue
            rest = {key: item for key, item in node.items() if key not in ("enum", "const")}
            validator = self._validator.evolve(schema=rest)
            if not any(validator.is_valid(value) for value in values):
                return (*path, word), "none of its values fits the rest of the schema"
        return None

    def _parts(self, node: Mapping[str, Any], path: Path, above: tuple[str, ...]) -> tuple[Path, str] | None:
        types = _types(node)
        if types == ("object",):
            known = node.get("properties", {})
            for name in node.get("required", ()):
                item = known.get(name, node.get("additionalProperties", {}))
                found = self.contradiction(item, (*path, "properties", name), above)
                if found is not None:
                    closed = name not in known and item is False
                    why = f"{name!r} is required, and additionalProperties forbids it" if closed else found[1]
                    return ((*path, "required") if closed else found[0]), why
        if types == ("array",) and node.get("minItems", 0) > len(node.get("prefixItems", ())) and "items" in node:
            return self.contradiction(node["items"], (*path, "items"), above)
        return None


def _types(node: Mapping[str, Any]) -> tuple[str, ...]:
    named = node.get("type", ())
    return (named,) if isinstance(named, str) else tuple(named)

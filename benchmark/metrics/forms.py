"""What a schema says of the places in an output: which hold one value, how it is compared, what holds sequences."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cached_property, lru_cache
from typing import Any

from schemas.outputs.grounded import Role
from schemas.sample_score import Comparison
from synthesis.verification.format import validator_of
from synthesis.verification.grounding import mark_of, resolved, role_of, schema_of, seconds

_BY_ROLE = {
    Role.START: Comparison.TIME,
    Role.END: Comparison.TIME,
    Role.MOMENT: Comparison.TIME,
    Role.INSTANT: Comparison.TIME,
    Role.DURATION: Comparison.TIME,
    Role.KIND: Comparison.CHOICE,
    Role.STREAM: Comparison.CHOICE,
    Role.QUOTE: Comparison.QUOTE,
    Role.CONTENT: Comparison.QUOTE,
    Role.BOX: Comparison.BOX,
    Role.POINT: Comparison.POINT,
}
_BY_CORNERS = {frozenset(("x0", "y0", "x1", "y1")): Comparison.BOX, frozenset("xy"): Comparison.POINT}
_EDGES = (Role.START, Role.END, Role.DURATION)
_EDGE_NAMES = {"t0": Role.START, "t1": Role.END}
_TIME = re.compile(r"t0|t1|time|since|.*_time")
"""Names of seconds where no mark tells them from other numbers."""
_ORDER = re.compile(r"(.*_)?(order|plan|continuation)")
"""Lists whose order tells something though nothing in them has a time."""


@lru_cache(maxsize=256)
def form_of(schema: str) -> Form:
    """The form that a schema (JSON text) describes, made once: it keeps what it finds out."""
    root = schema_of(schema)
    return Form(root, (root,), "")


class Form:
    """A place in an output, under the nodes of the schema that say what may stand there.

    Alternatives (`anyOf`, `oneOf`) are taken together: the properties of all objects among them count as declared.
    """

    def __init__(self, root: Mapping[str, Any], nodes: tuple[Any, ...], name: str) -> None:
        self._root = root
        self._name = name
        self._nodes = tuple(part for node in nodes for part in _alternatives(node, root))
        self._properties: dict[str, Form | None] = {}

    def comparison(self, value: Any) -> Comparison | None:
        """How a value here is compared as a whole; None for an object or list that is compared by its parts, and for
        what the schema does not allow here."""
        return self._comparisons.get(_json_type(value))

    def seconds(self, value: Any) -> float | None:
        """A time as this place writes it; None for what is none."""
        return seconds(value, self._mark) if number_of(value) is not None or isinstance(value, str) else None

    @property
    def layout(self) -> str | None:
        """How a box is written, where it is not by its corners."""
        layout = self._mark.get("form")
        return layout if isinstance(layout, str) else None

    def typed(self, value: Any) -> bool:
        """Whether a value satisfies the schema here."""
        return any(validator.is_valid(value) for validator in self._validators)

    def property(self, name: str) -> Form | None:
        """The form of a property; None when the schema does not declare it."""
        if name not in self._properties:
            nodes = [node["properties"][name] for node in self._nodes if name in node.get("properties", {})]
            others = [node.get("additionalProperties") for node in self._nodes]
            nodes = nodes or [other for other in others if isinstance(other, dict)]
            self._properties[name] = Form(self._root, tuple(nodes), name) if nodes else None
        return self._properties[name]

    @cached_property
    def item(self) -> Form | None:
        """The form of the items of a list."""
        nodes = [
            item
            for node in self._nodes
            for item in (node.get("items"), *node.get("prefixItems", ()))
            if isinstance(item, dict)
        ]
        return Form(self._root, tuple(nodes), self._name) if nodes else None

    def names(self, value: Mapping[str, Any]) -> list[str]:
        """The keys of an object as the schema declares them, others behind: whatever order they were written in."""
        return [*(name for name in self._declared if name in value), *sorted(value.keys() - self._declared.keys())]

    def is_sequence(self, items: list[Any]) -> bool:
        """Whether the order of a true list tells something: the schema or its name says so, its items are places of a
        track, or they carry times and stand in the order of these."""
        if self._role is Role.ORDERED or _ORDER.fullmatch(self._name):
            return True
        if self.item is None:
            return False
        if items and all(self.item.comparison(item) is Comparison.POINT for item in items):
            return True
        times = [time for item in items if (time := self.item.time(item)) is not None]
        return bool(items) and len(times) == len(items) and times == sorted(times)

    def span(self, value: Any) -> tuple[float, float] | None:
        """The stretch of time that an item of a sequence is about: its own, or that of the first object in it."""
        if self.comparison(value) is Comparison.SPAN:
            return pair_of(value)
        if not isinstance(value, dict) or self.comparison(value) is not None:
            return None
        parts = [(name, value[name], form) for name in self.names(value) if (form := self.property(name)) is not None]
        edges = {edge: time for name, item, form in parts for edge, time in form._edge(name, item)}
        if Role.START in edges and Role.DURATION in edges:
            edges.setdefault(Role.END, edges[Role.START] + edges[Role.DURATION])
        if Role.START in edges and Role.END in edges:
            return edges[Role.START], edges[Role.END]
        return next((span for _, item, form in parts if (span := form.span(item)) is not None), None)

    def time(self, value: Any) -> float | None:
        """When an item of a sequence is, or begins."""
        span = self.span(value)
        if span is not None:
            return span[0]
        if self.comparison(value) is Comparison.TIME:
            return self.seconds(value)
        if not isinstance(value, dict) or self.comparison(value) is not None:
            return None
        parts = ((self.property(name), value[name]) for name in self.names(value))
        return next((time for form, item in parts if form is not None and (time := form.time(item)) is not None), None)

    def _edge(self, name: str, value: Any) -> Iterator[tuple[Role, float]]:
        role = self._role if self._role in _EDGES else _EDGE_NAMES.get(name)
        time = self.seconds(value)
        if role is not None and time is not None:
            yield role, time

    @cached_property
    def _declared(self) -> dict[str, None]:
        return dict.fromkeys(name for node in self._nodes for name in node.get("properties", ()))

    @cached_property
    def _mark(self) -> Mapping[str, Any]:
        return next((mark for node in self._nodes if (mark := mark_of(node))), {})

    @cached_property
    def _role(self) -> Role | None:
        return next((role for node in self._nodes if (role := role_of(node)) is not None), None)

    @cached_property
    def _validators(self) -> tuple[Any, ...]:
        return tuple(validator_of(self._root).evolve(schema=node) for node in self._nodes)

    @cached_property
    def _comparisons(self) -> dict[str, Comparison]:
        """By the JSON type of the value."""
        found: dict[str, Comparison] = {}
        for node in self._nodes:
            for kind in _types(node) - {"null"}:
                comparison = self._compared(node, kind)
                if comparison is not None:
                    found.setdefault(kind, comparison)
        return found

    def _compared(self, node: Mapping[str, Any], kind: str) -> Comparison | None:
        role = role_of(node)
        if kind in ("object", "array"):
            if role in (Role.BOX, Role.POINT):
                return _BY_ROLE[role]
            if kind == "array":
                return Comparison.SPAN if role is Role.SPAN else None
            return _BY_CORNERS.get(frozenset(node.get("properties", ())))
        if kind == "boolean" or "enum" in node or "const" in node:
            return Comparison.CHOICE
        if role in _BY_ROLE:
            return _BY_ROLE[role]
        if kind == "string":
            return Comparison.CHOICE if "pattern" in node or "format" in node else Comparison.TEXT
        if "number" not in _declared(node):
            return Comparison.CHOICE
        return Comparison.TIME if role is not Role.VALUE and _TIME.fullmatch(self._name) else Comparison.NUMBER


def _alternatives(node: Any, root: Mapping[str, Any], depth: int = 0) -> Iterator[Mapping[str, Any]]:
    """The nodes that a value may satisfy, without references; what stands beside the alternatives holds for each."""
    found = resolved(node, root)
    branches = found.get("anyOf") or found.get("oneOf")
    if not branches or depth > _DEEPEST:
        yield found
        return
    beside = {key: item for key, item in found.items() if key not in ("anyOf", "oneOf", "default", "title")}
    for branch in branches:
        yield from _alternatives({**resolved(branch, root), **beside}, root, depth + 1)


_DEEPEST = 32


def _types(node: Mapping[str, Any]) -> frozenset[str]:
    """The JSON types of values that a node may allow: 3 is a number, and 3.0 an integer."""
    declared = _declared(node)
    return declared | {"integer", "number"} if declared & {"integer", "number"} else declared


def _declared(node: Mapping[str, Any]) -> frozenset[str]:
    """The types that a node names; all where it does not say."""
    named = node.get("type")
    if named is not None:
        return frozenset([named] if isinstance(named, str) else named)
    if "enum" in node or "const" in node:
        return frozenset(map(_json_type, node.get("enum", [node.get("const")])))
    return frozenset(("object",) if "properties" in node else ("string", "number", "boolean", "object", "array"))


def _json_type(value: Any) -> str:
    return _JSON_TYPES[type(value)]


_JSON_TYPES = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    dict: "object",
    list: "array",
    type(None): "null",
}


def number_of(value: Any) -> float | None:
    """A JSON number; None for anything else, and for an integer beyond all floats."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def pair_of(value: Any) -> tuple[float, float] | None:
    """A stretch written as [t0, t1]."""
    if not isinstance(value, list) or len(value) != 2:
        return None
    first, last = map(number_of, value)
    return None if first is None or last is None else (first, last)

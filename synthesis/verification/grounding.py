"""Reads the claims off an output by the marks in its schema (see `schemas/outputs/grounded.py`)."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from jsonschema import Draft202012Validator

from schemas.anchor import AnchorKind
from schemas.geometry import Box, Point
from schemas.outputs.grounded import KEYWORD, Role
from schemas.score import Claim, ClaimKind
from schemas.stream import Stream
from synthesis.verification.format import pointer
from synthesis.verification.mentions import claims_in

_DEEPEST = 64
"""Recursive schemas end with the value; this bounds one that refers to itself without taking anything of it."""
_NO_STREAM = "0" * 64
"""What a claim about a stream that is not there names: nothing can support it."""


@dataclass(frozen=True)
class _Scope:
    """What the fields around a value say: of which stream, over which stretch, under which kinds."""

    stream: str | None
    length: float
    """Seconds of the stream."""
    t0: float | None = None
    t1: float | None = None
    kinds: tuple[str, ...] = ()
    edges: tuple[float, ...] = ()
    """The times that a sentence here may name."""


def grounded_claims(value: Any, schema: Mapping[str, Any], streams: Sequence[Stream]) -> list[Claim]:
    """Every claim that a schema-valid output makes.

    Args:
        value: parsed JSON.
        schema: Phi, with its marks.
        streams: the streams of the group; with one, claims are about it unless a field names another.
    """
    reader = _Reader(schema, streams)
    only = streams[0] if len(streams) == 1 else None
    scope = _Scope(only.sha256 if only else None, max((stream.duration for stream in streams), default=0.0))
    return list(reader.claims(value, schema, scope, ()))


def times_of(value: Any, schema: Mapping[str, Any], streams: Sequence[Stream]) -> list[tuple[str, float]]:
    """The moments (stream SHA-256, seconds) that an output speaks of, in its order: the middle of what lasts."""
    found = []
    for claim in grounded_claims(value, schema, streams):
        stream = claim.stream or (streams[0].sha256 if streams else None)
        if stream is not None and stream != _NO_STREAM and claim.t0 is not None and claim.kind is not ClaimKind.COUNT:
            time = claim.t0 if claim.t1 is None else (claim.t0 + claim.t1) / 2
            found.append((stream, round(time, 6)))
    return list(dict.fromkeys(found))


def prose_of(value: Any, schema: Mapping[str, Any]) -> list[str]:
    """The sentences of an output: strings that are neither quoted nor labels."""
    return list(_Reader(schema, ()).prose(value, schema, 0))


def role_of(node: Mapping[str, Any]) -> Role | None:
    mark = node.get(KEYWORD)
    return Role(mark["role"]) if isinstance(mark, Mapping) and mark.get("role") in set(Role) else None


def resolved(node: Any, root: Mapping[str, Any]) -> Mapping[str, Any]:
    """A schema node without `$ref` (local ones) and `allOf`: what they say is merged into it; its own words win."""
    for _ in range(_DEEPEST):
        if not isinstance(node, Mapping):
            return {}
        if isinstance(ref := node.get("$ref"), str):
            node = {**_at(root, ref), **{key: item for key, item in node.items() if key != "$ref"}}
        elif isinstance(parts := node.get("allOf"), list):
            merged: dict[str, Any] = {}
            for part in parts:
                inner = resolved(part, root)
                merged |= {**inner, "properties": {**merged.get("properties", {}), **inner.get("properties", {})}}
            own = {key: item for key, item in node.items() if key != "allOf"}
            node = {**merged, **own, "properties": {**merged.get("properties", {}), **own.get("properties", {})}}
        else:
            return node
    return {}


def _at(root: Mapping[str, Any], ref: str) -> Mapping[str, Any]:
    node: Any = root
    for step in ref.removeprefix("#").split("/")[1:]:
        node = node.get(step.replace("~1", "/").replace("~0", "~"), {}) if isinstance(node, Mapping) else {}
    return node if isinstance(node, Mapping) else {}


class _Reader:
    """Walks a value along its schema."""

    def __init__(self, schema: Mapping[str, Any], streams: Sequence[Stream]) -> None:
        self._root = schema
        self._streams = {stream.name: stream for stream in streams}

    def claims(self, value: Any, node: Any, scope: _Scope, path: tuple[str | int, ...]) -> Iterator[Claim]:
        node = self._node(node, value)
        if value is None or len(path) > _DEEPEST:
            return
        mark = node.get(KEYWORD, {})
        kinds = tuple(mark.get("kinds", ())) if isinstance(mark, Mapping) else ()
        role = role_of(node)
        if role is Role.FREE:
            return
        if role in (Role.BOX, Role.POINT):
            yield self._place(value, role, scope, kinds, path)
        elif isinstance(value, dict):
            yield from self._object(value, node, role, scope, kinds, path)
        elif isinstance(value, list):
            yield from self._array(value, node, role, scope, path)
        elif isinstance(value, str):
            yield from self._string(value, role, scope, kinds, path)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield from self._number(float(value), role, scope, kinds, path)

    def prose(self, value: Any, node: Any, depth: int) -> Iterator[str]:
        node = self._node(node, value)
        if isinstance(value, str) and role_of(node) is None and "enum" not in node and "const" not in node:
            yield value
        elif isinstance(value, dict) and depth < _DEEPEST:
            for name, item in value.items():
                yield from self.prose(item, self._property(node, name), depth + 1)
        elif isinstance(value, list) and depth < _DEEPEST:
            for place, item in enumerate(value):
                yield from self.prose(item, self._item(node, place), depth + 1)

    def _node(self, node: Any, value: Any) -> Mapping[str, Any]:
        """The node without references, in the branch of anyOf or oneOf that the value takes."""
        found = resolved(node, self._root)
        for _ in range(_DEEPEST):
            branches = found.get("anyOf") or found.get("oneOf")
            if not branches:
                break
            taken: Any = next((branch for branch in branches if self._valid(branch, value)), {})
            rest = {key: item for key, item in found.items() if key not in ("anyOf", "oneOf")}
            found = resolved({**resolved(taken, self._root), **rest}, self._root)
        return found

    def _valid(self, branch: Any, value: Any) -> bool:
        if not isinstance(branch, Mapping):
            return branch is True
        definitions = {key: self._root[key] for key in ("$defs", "definitions") if key in self._root}
        return bool(Draft202012Validator({**definitions, **branch}).is_valid(value))

    def _object(
        self,
        value: dict[str, Any],
        node: Mapping[str, Any],
        role: Role | None,
        scope: _Scope,
        kinds: tuple[str, ...],
        path: tuple[str | int, ...],
    ) -> Iterator[Claim]:
        roles = {name: role_of(self._node(self._property(node, name), item)) for name, item in value.items()}
        for name, its in roles.items():
            if its is Role.STREAM:
                stream = self._streams.get(value[name])
                scope = replace(
                    scope, stream=stream.sha256 if stream else _NO_STREAM, length=stream.duration if stream else 0.0
                )
                if stream is None:
                    yield Claim(path=pointer(*path, name), kind=ClaimKind.TIME, stream=_NO_STREAM, text=value[name])
        edges = _edges(value, roles, role)
        if edges is not None and not 0 <= edges[0] <= edges[1]:
            stretch = f"a stretch from {edges[0]:g} s to {edges[1]:g} s"
            yield _claim(path, scope, ClaimKind.TIME, text=stretch)
        elif edges is not None:
            scope = replace(scope, t0=edges[0], t1=edges[1], kinds=kinds, edges=(*edges, *_numbers(value, roles)))
            if role is not Role.WINDOW:
                kinds = next((_kinds(value[name]) for name, its in roles.items() if its is Role.KIND), kinds)
                text = next((value[name] for name, its in roles.items() if its is Role.CONTENT), None)
                number = next((float(value[name]) for name, its in roles.items() if its is Role.VALUE), None)
                yield _claim(
                    path,
                    scope,
                    ClaimKind.TIME,
                    t0=edges[0],
                    t1=edges[1],
                    kinds=kinds,
                    text=text,
                    value=number,
                    whole=True,
                )
        elif moments := _numbers(value, roles):
            scope = replace(scope, t0=moments[0], t1=moments[0], kinds=kinds or scope.kinds, edges=tuple(moments))
        for name, item in value.items():
            if roles[name] in (Role.START, Role.END) or (edges is not None and name in ("t0", "t1")):
                continue
            yield from self.claims(item, self._property(node, name), scope, (*path, name))

    def _array(
        self, value: list[Any], node: Mapping[str, Any], role: Role | None, scope: _Scope, path: tuple[str | int, ...]
    ) -> Iterator[Claim]:
        inner = [list(self.claims(item, self._item(node, i), scope, (*path, i))) for i, item in enumerate(value)]
        for claims in inner:
            yield from claims
        if role is Role.ORDERED:
            firsts = [
                next(((c.t0, c.stream) for c in claims if c.t0 is not None and c.kind is ClaimKind.TIME), None)
                for claims in inner
            ]
            starts = [first for first in firsts if first is not None]
            if len(starts) > 1 and len({stream for _, stream in starts}) == 1:
                yield Claim(
                    path=pointer(*path),
                    kind=ClaimKind.ORDER,
                    stream=starts[0][1],
                    items=tuple(time for time, _ in starts if time is not None),
                )

    def _string(
        self, value: str, role: Role | None, scope: _Scope, kinds: tuple[str, ...], path: tuple[str | int, ...]
    ) -> Iterator[Claim]:
        if role is Role.QUOTE:
            yield _claim(path, scope, ClaimKind.QUOTE, text=value, t0=scope.t0, t1=scope.t1, kinds=kinds)
        elif role is Role.CONTENT:
            yield _claim(path, scope, ClaimKind.TIME, text=value, kinds=kinds or scope.kinds, **_around(scope))
        elif role is None:
            span = None if scope.t0 is None or scope.t1 is None else (scope.t0, scope.t1)
            yield from claims_in(value, pointer(*path), scope.stream, moments=scope.edges, span=span, window=span)

    def _number(
        self, value: float, role: Role | None, scope: _Scope, kinds: tuple[str, ...], path: tuple[str | int, ...]
    ) -> Iterator[Claim]:
        kinds = kinds or scope.kinds
        if role in (Role.MOMENT, Role.INSTANT) and (value < 0 or not math.isfinite(value)):
            yield _claim(path, scope, ClaimKind.TIME, text=f"{value:g} s")
        elif role is Role.MOMENT:
            yield _claim(path, scope, ClaimKind.TIME, t0=value, kinds=kinds)
        elif role is Role.INSTANT:
            yield _claim(path, scope, ClaimKind.TIME, t0=value, t1=value, kinds=kinds)
        elif role is Role.VALUE:
            yield _claim(path, scope, ClaimKind.TIME, value=value, kinds=kinds, **_around(scope))
        elif role is Role.COUNT:
            yield _claim(path, scope, ClaimKind.COUNT, count=int(value), t0=scope.t0, t1=scope.t1, kinds=kinds)
        elif role is Role.DURATION:
            length = scope.length if scope.t0 is None or scope.t1 is None else scope.t1 - scope.t0
            if abs(length - value) > max(0.05, 0.01 * length):
                yield _claim(path, scope, ClaimKind.TIME, text=f"a length of {value:g} s")

    def _place(
        self, value: Any, role: Role, scope: _Scope, kinds: tuple[str, ...], path: tuple[str | int, ...]
    ) -> Claim:
        place = _box(value) if role is Role.BOX else _point(value)
        return _claim(
            path, scope, ClaimKind.BOX, t0=scope.t0, t1=scope.t1, kinds=kinds or scope.kinds, **{role.value: place}
        )

    def _property(self, node: Mapping[str, Any], name: str) -> Any:
        found = node.get("properties", {})
        return found.get(name, node.get("additionalProperties", {}))

    def _item(self, node: Mapping[str, Any], place: int) -> Any:
        first = node.get("prefixItems", ())
        return first[place] if place < len(first) else node.get("items", {})


def _claim(path: tuple[str | int, ...], scope: _Scope, kind: ClaimKind, **fields: Any) -> Claim:
    return Claim(path=pointer(*path), kind=kind, stream=scope.stream, **fields)


def _around(scope: _Scope) -> dict[str, float]:
    """The stretch around a value, or the moment."""
    return {"t0": scope.t0 or 0.0, "t1": scope.t1 if scope.t1 is not None else scope.t0 or 0.0}


def _kinds(word: str) -> tuple[str, ...]:
    """The anchor kinds that a word names; the word itself, which no anchor has, when it names none."""
    return tuple(kind for kind in AnchorKind if word in (kind, kind.split(".")[1])) or (word,)


def _edges(value: Mapping[str, Any], roles: Mapping[str, Role | None], role: Role | None) -> tuple[float, float] | None:
    """The stretch that an object is about."""
    start = next((value[name] for name, its in roles.items() if its is Role.START), None)
    end = next((value[name] for name, its in roles.items() if its is Role.END), None)
    if start is None and end is None and role in (Role.SPAN, Role.WINDOW):
        start, end = value.get("t0"), value.get("t1")
    if not isinstance(start, int | float) or not isinstance(end, int | float):
        return None
    return float(start), float(end)


def _numbers(value: Mapping[str, Any], roles: Mapping[str, Role | None]) -> list[float]:
    named = [value[name] for name, its in roles.items() if its in (Role.MOMENT, Role.INSTANT)]
    return [float(number) for number in named if isinstance(number, int | float) and number >= 0]


def _box(value: Any) -> Box | None:
    """A box as {x0, y0, x1, y1} or [x0, y0, x1, y1], normalised; None for anything else, which nothing supports."""
    try:
        if isinstance(value, list):
            value = dict(zip(("x0", "y0", "x1", "y1"), value, strict=True))
        return Box.model_validate(value)
    except ValueError:
        return None


def _point(value: Any) -> Point | None:
    try:
        if isinstance(value, list):
            value = dict(zip(("x", "y"), value, strict=True))
        return Point.model_validate(value)
    except ValueError:
        return None


@lru_cache(maxsize=256)
def schema_of(text: str) -> Mapping[str, Any]:
    """A schema from its JSON text, parsed once."""
    parsed: Mapping[str, Any] = json.loads(text)
    return parsed

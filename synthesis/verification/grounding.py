"""Reads the claims off an output by the marks in its schema (see `schemas/outputs/grounded.py`)."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import groupby
from typing import Any, TypeGuard

from schemas.anchor import AnchorKind
from schemas.geometry import Box, Point
from schemas.outputs.grounded import KEYWORD, Role
from schemas.score import Claim, ClaimKind
from schemas.stream import Stream
from synthesis.verification.format import pointer, steps, validator_of
from synthesis.verification.mentions import claims_in

_DEEPEST = 64
"""Recursive schemas end with the value; this bounds one that refers to itself without taking anything of it."""
_ROLES = {role.value: role for role in Role}
_SAME = 0.05
"""Seconds by which two lengths may differ: outputs round."""
_CLOCK = re.compile(r"(?:(\d+):)?(\d+):(\d+(?:\.\d+)?)")
_BOX = {"x0", "y0", "x1", "y1"}
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
    text: str | None = None
    """What the places here hold."""

    @property
    def is_whole(self) -> bool:
        """The stretch is the recording itself, whose length is known without an anchor."""
        return self.t0 == 0.0 and self.t1 is not None and abs(self.t1 - self.length) <= _SAME


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
    named = mark_of(node).get("role")
    return _ROLES.get(named) if isinstance(named, str) else None


def mark_of(node: Mapping[str, Any]) -> Mapping[str, Any]:
    mark = node.get(KEYWORD, {})
    return mark if isinstance(mark, Mapping) else {}


def seconds(value: Any, mark: Mapping[str, Any]) -> float | None:
    """A time as a field writes it, in seconds; None for what is none."""
    if isinstance(value, str) and mark.get("form") == "clock":
        parts = _CLOCK.fullmatch(value.strip())
        if parts is None:
            return None
        hours, minutes, rest = (float(part or 0) for part in parts.groups())
        return hours * 3600 + minutes * 60 + rest
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) * float(mark.get("scale", 1.0))


def resolved(node: Any, root: Mapping[str, Any]) -> Mapping[str, Any]:
    """A schema node without `$ref` (local ones) and `allOf`: what they say is merged into it; its own words win."""
    for _ in range(_DEEPEST):
        if not isinstance(node, Mapping):
            return {}
        if isinstance(ref := node.get("$ref"), str):
            found = located(root, ref)
            inner = found if isinstance(found, Mapping) else {}
            node = {**inner, **{key: item for key, item in node.items() if key != "$ref"}}
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


def located(root: Mapping[str, Any], ref: str) -> Mapping[str, Any] | bool | None:
    """The schema that a local reference leads to; None when it leads nowhere."""
    node: Any = root
    for step in steps(ref):
        if isinstance(node, list) and step.isdigit() and int(step) < len(node):
            node = node[int(step)]
        elif isinstance(node, Mapping) and step in node:
            node = node[step]
        else:
            return None
    return node if isinstance(node, bool | Mapping) else None


@lru_cache(maxsize=256)
def holds_boxes(schema: str) -> bool:
    """Whether outputs of a schema hold boxes."""
    return _holds_boxes(schema_of(schema))


def _holds_boxes(node: Any) -> bool:
    if isinstance(node, list):
        return any(map(_holds_boxes, node))
    if not isinstance(node, Mapping):
        return False
    named = node.get("properties")
    if role_of(node) is Role.BOX or (isinstance(named, Mapping) and named.keys() >= _BOX):
        return True
    return any(map(_holds_boxes, node.values()))


class _Reader:
    """Walks a value along its schema."""

    def __init__(self, schema: Mapping[str, Any], streams: Sequence[Stream]) -> None:
        self._root = schema
        self._validator = validator_of(schema)
        self._streams = {stream.name: stream for stream in streams}

    def claims(self, value: Any, node: Any, scope: _Scope, path: tuple[str | int, ...]) -> Iterator[Claim]:
        node = self._node(node, value)
        if value is None or len(path) > _DEEPEST:
            return
        mark = mark_of(node)
        kinds = tuple(mark.get("kinds", ()))
        role = role_of(node)
        if role is Role.FREE:
            return
        if role in (Role.START, Role.END, Role.MOMENT, Role.INSTANT, Role.DURATION):
            yield from self._time(value, seconds(value, mark), role, scope, kinds, path)
        elif role in (Role.BOX, Role.POINT):
            yield self._place(value, role, scope, kinds, path, mark.get("form"))
        elif role is Role.SPAN and isinstance(value, list):
            yield self._span(_pair(value), scope, kinds, path)
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
        return bool(self._validator.evolve(schema=branch).is_valid(value))

    def _object(
        self,
        value: dict[str, Any],
        node: Mapping[str, Any],
        role: Role | None,
        scope: _Scope,
        kinds: tuple[str, ...],
        path: tuple[str | int, ...],
    ) -> Iterator[Claim]:
        nodes = {name: self._node(self._property(node, name), item) for name, item in value.items()}
        parts = _Parts(value, nodes, role)
        if (name := parts.named(Role.STREAM)) is not None:
            stream = self._streams.get(value[name])
            scope = replace(
                scope, stream=stream.sha256 if stream else _NO_STREAM, length=stream.duration if stream else 0.0
            )
            if stream is None:
                yield _claim((*path, name), scope, ClaimKind.TIME, text=str(value[name]))
        kinds = parts.kinds or kinds
        scope = replace(scope, text=parts.bound_text)
        if parts.edge_names and not parts.lasting:
            yield self._span(None, scope, kinds, path)
        elif parts.edges is not None:
            t0, t1 = parts.edges
            scope = replace(scope, t0=t0, t1=t1, kinds=kinds, edges=(t0, t1, *parts.moments))
            if role is not Role.WINDOW and not (scope.is_whole and parts.bare and not kinds):
                text, number = parts.value(Role.CONTENT), parts.value(Role.VALUE)
                yield self._span(parts.edges, scope, kinds, path, text=text, value=number)
        elif parts.moments:
            first = parts.moments[0]
            scope = replace(scope, t0=first, t1=first, kinds=kinds or scope.kinds, edges=parts.moments)
        elif parts.kinds:
            scope = replace(scope, kinds=kinds)
        for name, item in value.items():
            if name not in parts.edge_names:
                yield from self.claims(item, nodes[name], scope, (*path, name))

    def _span(
        self,
        edges: tuple[float, float] | None,
        scope: _Scope,
        kinds: tuple[str, ...],
        path: tuple[str | int, ...],
        **more: Any,
    ) -> Claim:
        """That something lasts over a stretch; about what is no stretch, a claim that nothing supports."""
        if not _lasting(edges):
            return _claim(path, scope, ClaimKind.TIME, text="a stretch that ends before it begins")
        return _claim(path, scope, ClaimKind.TIME, t0=edges[0], t1=edges[1], kinds=kinds, whole=True, **more)

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
            # Things that begin together stand in either order.
            starts = [first for first, _ in groupby(first for first in firsts if first is not None)]
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

    def _time(
        self,
        written: Any,
        time: float | None,
        role: Role,
        scope: _Scope,
        kinds: tuple[str, ...],
        path: tuple[str | int, ...],
    ) -> Iterator[Claim]:
        kinds = kinds or scope.kinds
        if time is None or time < 0 or not math.isfinite(time):
            yield _claim(path, scope, ClaimKind.TIME, text=f"the time {written}")
        elif role is Role.INSTANT:
            yield _claim(path, scope, ClaimKind.TIME, t0=time, t1=time, kinds=kinds)
        elif role is Role.DURATION:
            length = scope.length if scope.t0 is None or scope.t1 is None else scope.t1 - scope.t0
            if abs(length - time) > max(_SAME, 0.01 * length):
                yield _claim(path, scope, ClaimKind.TIME, text=f"a length of {time:g} s")
        else:
            yield _claim(path, scope, ClaimKind.TIME, t0=time, kinds=kinds)

    def _number(
        self, value: float, role: Role | None, scope: _Scope, kinds: tuple[str, ...], path: tuple[str | int, ...]
    ) -> Iterator[Claim]:
        kinds = kinds or scope.kinds
        if role is Role.VALUE:
            yield _claim(path, scope, ClaimKind.TIME, value=value, kinds=kinds, **_around(scope))
        elif role is Role.COUNT:
            # Beside a single moment a count is over the whole recording.
            t0, t1 = (scope.t0, scope.t1) if scope.t0 != scope.t1 else (None, None)
            yield _claim(path, scope, ClaimKind.COUNT, count=int(value), t0=t0, t1=t1, kinds=kinds)

    def _place(
        self,
        value: Any,
        role: Role,
        scope: _Scope,
        kinds: tuple[str, ...],
        path: tuple[str | int, ...],
        form: str | None,
    ) -> Claim:
        place = box_of(value, form) if role is Role.BOX else point_of(value)
        return _claim(
            path,
            scope,
            ClaimKind.BOX,
            t0=scope.t0,
            t1=scope.t1,
            text=scope.text,
            kinds=kinds or scope.kinds,
            **{role.value: place},
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


class _Parts:
    """What the fields of one object say together: its stretch, its moments, its kind."""

    def __init__(self, value: Mapping[str, Any], nodes: Mapping[str, Mapping[str, Any]], role: Role | None) -> None:
        self._value = value
        self._roles = {name: role_of(node) for name, node in nodes.items() if value[name] is not None}
        self._marks = {name: mark_of(node) for name, node in nodes.items()}
        self.edge_names: tuple[str, ...] = ()
        """The fields that give the stretch."""
        self.edges = self._edges(role)
        """The stretch in seconds; its ends may stand in the wrong order."""
        alone = () if self.edge_names else (Role.START, Role.END)
        times = [self._seconds(name) for name in self._all(Role.MOMENT, Role.INSTANT, *alone)]
        self.moments = tuple(time for time in times if time is not None and time >= 0)

    @property
    def lasting(self) -> bool:
        return _lasting(self.edges)

    @property
    def bare(self) -> bool:
        """No field says what it is that lasts."""
        return not self._all(Role.KIND, Role.CONTENT, Role.VALUE)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The anchor kinds that a field names; the word itself, which no anchor has, when it names none."""
        name = self.named(Role.KIND)
        if name is None:
            return ()
        word, names = self._value[name], self._marks[name].get("names")
        if names is not None:
            return tuple(names.get(word, ()))
        return tuple(kind for kind in AnchorKind if word in (kind, kind.split(".")[1])) or (str(word),)

    @property
    def bound_text(self) -> str | None:
        """The words that stand at the place beside them."""
        names = self._all(Role.CONTENT, Role.QUOTE)
        bound = [name for name in names if self._roles[name] is Role.CONTENT or self._marks[name].get("binds")]
        return str(self._value[bound[0]]) if bound else None

    def named(self, role: Role) -> str | None:
        """The first field of a role."""
        return next(iter(self._all(role)), None)

    def value(self, role: Role) -> Any:
        name = self.named(role)
        return None if name is None else self._value[name]

    def _all(self, *roles: Role) -> list[str]:
        return [name for name, role in self._roles.items() if role in roles]

    def _seconds(self, name: str) -> float | None:
        return seconds(self._value[name], self._marks[name])

    def _edges(self, role: Role | None) -> tuple[float, float] | None:
        start, end, span = self.named(Role.START), self.named(Role.END), self.named(Role.SPAN)
        if start is not None and end is not None:
            self.edge_names = (start, end)
            return _pair([self._seconds(start), self._seconds(end)])
        length = self.named(Role.DURATION)
        if start is not None and length is not None:
            self.edge_names = (start, length)
            first, lasting = self._seconds(start), self._seconds(length)
            return None if first is None or lasting is None else (first, first + lasting)
        if role in (Role.SPAN, Role.WINDOW):
            self.edge_names = ("t0", "t1")
            return _pair([self._value.get("t0"), self._value.get("t1")])
        if span is not None and isinstance(self._value[span], list):
            self.edge_names = (span,)
            return _pair(self._value[span])
        return None


def _lasting(edges: tuple[float, float] | None) -> TypeGuard[tuple[float, float]]:
    """Whether two edges are a stretch of time."""
    return edges is not None and 0 <= edges[0] <= edges[1] < math.inf


def _pair(value: Sequence[Any]) -> tuple[float, float] | None:
    """Two numbers; None for anything else."""
    if len(value) != 2 or any(isinstance(item, bool) or not isinstance(item, int | float) for item in value):
        return None
    return float(value[0]), float(value[1])


def box_of(value: Any, form: str | None) -> Box | None:
    """A normalised box as an object or a list of corners, or with the form `xywh` of corner, width and height; None for
    anything else, which nothing supports."""
    try:
        if isinstance(value, list):
            value = dict(zip(("x0", "y0", "x1", "y1"), value, strict=True))
            if form == "xywh":
                value |= {"x1": value["x0"] + value["x1"], "y1": value["y0"] + value["y1"]}
        return Box.model_validate(value)
    except (ValueError, TypeError):
        return None


def point_of(value: Any) -> Point | None:
    """A normalised point as an object or a list of coordinates; None for anything else."""
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

"""Fills a marked schema from evidence: every field gets what its mark asks for, or the schema is not filled."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from schemas.anchor import AnchorKind
from schemas.geometry import Box, Point
from schemas.outputs.grounded import Role
from synthesis.agents.own_schema.marks import kinds_named, types_of, words_of
from synthesis.agents.own_schema.records import PROVIDERS, Provider, Record, lines_in, records_of
from synthesis.base import Evidence
from synthesis.selection import thinned
from synthesis.verification.check import TOLERANCE
from synthesis.verification.format import pointer, validator_of
from synthesis.verification.grounding import mark_of, resolved, role_of, seconds
from synthesis.verification.mentions import quoted

MOST_ITEMS = 64
"""Items of a list that sets no bound itself."""
_DEEPEST = 8
_SUMMARY_LINES = 6
_LINES = (AnchorKind.SUBTITLE, AnchorKind.SCREEN_TEXT)
Path = tuple[str | int, ...]


class UnfillableError(Exception):
    """A field that must be there and that nothing measured gives."""

    def __init__(self, path: Path, why: str, hopeless: bool = False) -> None:
        super().__init__(why)
        self.hopeless = hopeless
        """No other record would give it either."""
        self.place = pointer(*path) or "/"
        self.why = why


@dataclass(frozen=True)
class _Here:
    """Where the filling is: the record that fields are about, its stretch, the names on the way."""

    record: Record
    name: str = ""
    path: Path = ()
    depth: int = 0
    paired: bool = False
    """Start and end stand side by side: together they are the record's stretch, not two moments."""
    stretch: tuple[float, float] | None = None
    """The times that the output itself gives around this place; None while it gives none."""

    def at(self, *steps: str | int, name: str | None = None) -> _Here:
        return replace(self, path=(*self.path, *steps), depth=self.depth + 1, name=self.name if name is None else name)


def fill(schema: Mapping[str, Any], evidence: Evidence) -> Any:
    """A value of a marked schema.

    Raises:
        UnfillableError: a required field cannot be filled from what was measured; names the first such place.
    """
    filler = _Filler(schema, evidence)
    value = filler.value(schema, _Here(filler.recording))
    lists = [item for item in value.values() if isinstance(item, list)] if isinstance(value, dict) else []
    if lists and not any(lists):
        raise UnfillableError((), "nothing was measured of what its lists ask for")
    return value


def unfillable(schema: str) -> list[str]:
    """Required fields of a marked schema (JSON text) that :func:`fill` can give nothing, whatever was measured: they
    end every unit. A field that some recordings fill and others do not is none of them."""
    root = json.loads(schema)
    return list(dict.fromkeys(_hopeless(root, root, (), 0)))


def _hopeless(node: Any, root: Mapping[str, Any], path: tuple[str, ...], depth: int) -> Iterator[str]:
    node = resolved(node, root)
    if depth > _DEEPEST or "const" in node or node.get("type") == "null":
        return
    if branches := node.get("oneOf") or node.get("anyOf"):
        # Any branch that can be filled is enough.
        found = [list(_hopeless(branch, root, path, depth + 1)) for branch in branches]
        yield from found[0] if all(found) else ()
        return
    types, role, mark = types_of(node), role_of(node), mark_of(node)
    if role in (Role.BOX, Role.POINT, Role.SPAN):
        return
    if "object" in types:
        properties = node.get("properties", {})
        for name in node.get("required", ()):
            yield from _hopeless(properties.get(name, {}), root, (*path, name), depth + 1)
    elif "array" in types:
        if len(path) == 1 or node.get("minItems", 0):  # others may be empty
            yield from _hopeless(node.get("items", {}), root, (*path, "*"), depth + 1)
    elif role in (None, Role.FREE) and "fill" not in mark and "default" not in node and len(node.get("enum", ())) != 1:
        yield pointer(*path)


def _whole(evidence: Evidence) -> Record:
    """The recording as a record."""
    given = evidence.of(AnchorKind.GIVEN_TEXT) or evidence.of(*_LINES)
    first = given[0] if given else None
    return Record(
        t0=0.0,
        t1=max(stream.duration for stream in evidence.streams),
        stream=evidence.streams[0].sha256 if len(evidence.streams) == 1 else None,
        kind=first.kind if first else "",
        content=first.content if first else "",
    )


class _Filler:
    def __init__(self, schema: Mapping[str, Any], evidence: Evidence) -> None:
        self._root = schema
        self._validator = validator_of(schema)
        self._evidence = evidence
        self._streams = {stream.sha256: stream for stream in evidence.streams}
        self.recording = _whole(evidence)
        self._edges = {time for anchor in evidence.anchors for time in (anchor.t0, anchor.t1)}
        self._asked = set(words_of(evidence.spec.intent.text))

    def value(self, node: Any, here: _Here) -> Any:
        node = resolved(node, self._root)
        if here.depth > _DEEPEST:
            raise UnfillableError(here.path, "the schema refers to itself deeper than anything measured reaches")
        if "const" in node:
            return node["const"]
        if branches := node.get("oneOf") or node.get("anyOf"):
            return self._branch(node, branches, here)
        types = types_of(node)
        role = role_of(node)
        if role is Role.BOX:
            return self._box(node, here)
        if role is Role.POINT:
            return self._point(node, here)
        if "array" in types and role is Role.SPAN:
            return [here.record.t0, here.record.t1]
        if "object" in types:
            return self._object(node, here)
        if "array" in types:
            return self._array(node, here)
        return self._checked(self._scalar(node, types, role, here), node, here)

    # --- objects and lists ---------------------------------------------------------------------------------------

    def _object(self, node: Mapping[str, Any], here: _Here) -> dict[str, Any]:
        required = set(node.get("required", ()))
        filled: dict[str, Any] = {}
        here = self._around(node, here)
        for name, item in node.get("properties", {}).items():
            try:
                filled[name] = self.value(item, here.at(name, name=name))
            except UnfillableError:
                if name in required:
                    raise
        if missing := sorted(required - filled.keys()):
            raise UnfillableError((*here.path, missing[0]), "the schema says nothing of it but that it is required")
        return filled

    def _around(self, node: Mapping[str, Any], here: _Here) -> _Here:
        """What the fields of an object speak of together: beside a single time, of that moment."""
        roles = {role for item in node.get("properties", {}).values() for role in self._roles(item)}
        if Role.SPAN in roles or (Role.START in roles and roles & {Role.END, Role.DURATION}):
            return replace(here, paired=True, stretch=(here.record.t0, here.record.t1))
        if not roles & {Role.START, Role.END, Role.MOMENT, Role.INSTANT}:
            return here
        record = here.record
        moment = record.t1 if roles & {Role.START, Role.END, Role.MOMENT, Role.INSTANT} == {Role.END} else record.t0
        if record is self.recording:  # what it says somewhere need not be there at this moment
            record = replace(record, kind="", content="")
        inside = replace(record, t0=moment, t1=moment)
        return replace(here, paired=False, record=inside, stretch=(moment, moment))

    def _roles(self, node: Any, depth: int = 0) -> set[Role | None]:
        """What a field may stand for, in any of its branches."""
        node = resolved(node, self._root)
        branches = node.get("oneOf") or node.get("anyOf") or ()
        if depth > _DEEPEST or not branches:
            return {role_of(node)}
        return set().union(*(self._roles(branch, depth + 1) for branch in branches))

    def _array(self, node: Mapping[str, Any], here: _Here) -> list[Any]:
        least, most = node.get("minItems", 0), min(node.get("maxItems", MOST_ITEMS), MOST_ITEMS)
        item = node.get("items", {})
        if kinds := mark_of(resolved(item, self._root)).get("kinds"):
            return self._family(item, records_of(kinds, self._evidence, here.record), here, least, most)
        best: list[Any] = []
        reason = UnfillableError(here.path, "nothing was measured that its items could hold")
        for provider in self._providers(node, here):
            records = provider.records(self._evidence, here.record)
            try:
                best = list(self._items(item, records, here, most))
            except UnfillableError as refused:
                reason = reason if reason.hopeless else refused
                continue
            if best:
                break
        if len(best) < max(least, 1 if here.depth == 1 else least):
            if best:
                raise UnfillableError(here.path, f"{least} items are asked, and what was measured gives {len(best)}")
            raise reason
        return best

    def _family(self, item: Any, records: Sequence[Record], here: _Here, least: int, most: int) -> list[Any]:
        """A list of one family of facts: empty when none of them was measured."""
        made = list(self._items(item, records, here, most))
        if len(made) < least:
            raise UnfillableError(here.path, f"{least} items are asked, and what was measured gives {len(made)}")
        return made

    def _items(self, item: Any, records: Sequence[Record], here: _Here, most: int) -> Iterator[Any]:
        """Items for the records; one that does not fit the bounds of its fields is left out.

        Raises:
            UnfillableError: no record gives an item.
        """
        made: list[Any] = []
        error: UnfillableError | None = None
        for record in records:
            inside = replace(here.at(len(made)), record=replace(record, index=len(made)))
            try:
                made.append(self.value(item, inside))
            except UnfillableError as refused:
                error = error or refused
        if not made and error is not None:
            raise error
        return iter(thinned(made, most))

    def _providers(self, node: Mapping[str, Any], here: _Here) -> list[Provider]:
        """Families of records for a list, the one that its words name first; then the one with most to give."""
        item = resolved(node.get("items", {}), self._root)
        named = set(words_of(here.name)) | set(words_of(str(item.get("title", ""))))
        told = {word for part in (node, item) for word in words_of(str(part.get("description", "")))}
        fields = {word for name in item.get("properties", {}) for word in words_of(name)}

        def affinity(provider: Provider) -> tuple[int, int, int, int]:
            words = provider.words
            return (-len(words & named), -len(words & told), -len(words & fields), -len(words & self._asked))

        return sorted(PROVIDERS, key=affinity)

    def _branch(self, node: Mapping[str, Any], branches: Sequence[Any], here: _Here) -> Any:
        rest = {key: item for key, item in node.items() if key not in ("oneOf", "anyOf")}
        refused: UnfillableError | None = None
        for branch in sorted(branches, key=lambda branch: resolved(branch, self._root).get("type") == "null"):
            flat = resolved({**resolved(branch, self._root), **rest}, self._root)
            if flat.get("type") == "null":
                return None
            try:
                value = self.value(flat, here)
            except UnfillableError as error:
                refused = refused or error
                continue
            if self._valid(node, value):
                return value
        raise refused or UnfillableError(here.path, "none of its branches can be filled")

    # --- single values -------------------------------------------------------------------------------------------

    def _scalar(self, node: Mapping[str, Any], types: set[str], role: Role | None, here: _Here) -> Any:
        mark, record = mark_of(node), here.record
        found: Any = dict(record.values).get(mark.get("fill", ""))
        if found is not None:
            return found
        if role in (Role.START, Role.MOMENT, Role.INSTANT, Role.END):
            time = record.t1 if role is Role.END else record.t0
            if not here.paired and time not in self._edges:
                raise UnfillableError(here.path, f"nothing that was measured begins or ends at {time:g} s")
            return self._moment(time, mark, types, here)
        if role is Role.DURATION:
            return _written(record.t1 - record.t0, mark, types)
        if role is Role.STREAM and record.stream is not None:
            return self._streams[record.stream].name
        if role is Role.KIND:
            return self._kind(node, mark, record, here)
        if role is Role.COUNT:
            return self._count(mark, here)
        if role is Role.VALUE and record.value is not None:
            return record.value
        if mark.get("fill") == "index":
            return self._index(node, record) if types & {"integer", "number"} else str(record.index)
        if role in (Role.QUOTE, Role.CONTENT):
            return self._words(record, role, here)
        if mark.get("fill") == "summary":
            return self._summary(record, here)
        if "default" in node:
            return node["default"]
        if len(node.get("enum", ())) == 1:
            return node["enum"][0]
        raise UnfillableError(here.path, "no anchor holds what it asks for", hopeless=True)

    def _moment(self, time: float, mark: Mapping[str, Any], types: set[str], here: _Here) -> Any:
        written = _written(time, mark, types)
        if abs((seconds(written, mark) or 0.0) - time) > TOLERANCE:
            raise UnfillableError(here.path, f"{time:g} s is too far from what the field can hold, {written}")
        return written

    def _kind(self, node: Mapping[str, Any], mark: Mapping[str, Any], record: Record, here: _Here) -> str:
        names: Mapping[str, Sequence[str]] | None = mark.get("names")
        if names is not None:
            for word, kinds in names.items():
                if record.kind in kinds:
                    return word
            raise UnfillableError(here.path, f"none of its values means {record.kind or 'this'}")
        if not record.kind:
            raise UnfillableError(here.path, "nothing measured has a kind there")
        return record.kind.split(".")[1]

    def _count(self, mark: Mapping[str, Any], here: _Here) -> int:
        """How many there are over the stretch that the output gives; without one, over the recording."""
        t0, t1 = here.stretch or (self.recording.t0, self.recording.t1)
        if t0 == t1:
            raise UnfillableError(here.path, "nothing can be counted within a single moment")
        counted = [a for a in self._evidence.of(*mark.get("kinds", ())) if here.record.stream in (None, a.stream)]
        return sum(t0 <= anchor.t0 < t1 for anchor in counted)

    def _index(self, node: Mapping[str, Any], record: Record) -> int:
        return int(record.index + max(0, node.get("minimum", 0)))

    def _words(self, record: Record, role: Role, here: _Here) -> str:
        """The record's own words; of something without words, the first that are said or shown while it lasts."""
        wanted = kinds_named(here.name)
        if record.said and (not wanted or record.kind in wanted or record.t0 == record.t1):
            return record.content
        inside = self._said(record)
        if inside:
            return inside[0]
        if record.content and role is Role.CONTENT and record.kind != AnchorKind.SCREEN:
            return record.content
        raise UnfillableError(here.path, "nothing is said or shown there")

    def _summary(self, record: Record, here: _Here) -> str:
        lines = self._said(record)
        if not lines:
            raise UnfillableError(here.path, "nothing is said or shown that a summary could quote")
        step = max(1, len(lines) // _SUMMARY_LINES)
        return " ".join(quoted(line) for line in lines[::step][:_SUMMARY_LINES])

    def _said(self, record: Record) -> list[str]:
        return list(dict.fromkeys(line.content for line in lines_in(self._evidence, record)))

    def _box(self, node: Mapping[str, Any], here: _Here) -> Any:
        box = here.record.box
        if box is None:
            raise UnfillableError(here.path, "nothing measured has a place there")
        if "object" in types_of(node):
            return box.model_dump()
        return _corners(box, mark_of(node).get("form"))

    def _point(self, node: Mapping[str, Any], here: _Here) -> Any:
        point: Point | None = here.record.point or (here.record.box.centre if here.record.box else None)
        if point is None:
            raise UnfillableError(here.path, "nothing measured has a place there")
        return point.model_dump() if "object" in types_of(node) else [point.x, point.y]

    def _checked(self, value: Any, node: Mapping[str, Any], here: _Here) -> Any:
        if not self._valid(node, value):
            raise UnfillableError(here.path, f"what was measured, {value!r}, does not fit it")
        return value

    def _valid(self, node: Mapping[str, Any], value: Any) -> bool:
        return bool(self._validator.evolve(schema=node).is_valid(value))


def _written(time: float, mark: Mapping[str, Any], types: set[str]) -> Any:
    """A time as its field writes it."""
    if mark.get("form") == "clock":
        minutes, seconds = divmod(time, 60)
        hours, minutes = divmod(int(minutes), 60)
        return f"{hours:02d}:{minutes:02d}:{seconds:06.3f}"
    number = round(time / float(mark.get("scale", 1.0)), 6)
    return round(number) if types == {"integer"} else number


def _corners(box: Box, form: str | None) -> list[float]:
    numbers = (box.x0, box.y0, box.x1 - box.x0, box.y1 - box.y0) if form == "xywh" else (box.x0, box.y0, box.x1, box.y1)
    return [round(number, 6) for number in numbers]

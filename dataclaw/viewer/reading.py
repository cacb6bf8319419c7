"""Any output as people read it, by the marks in its schema: times as times, quotes as quotes, places on frames."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from dataclaw.viewer.timeline import clock, span
from schemas.geometry import Box, Point
from schemas.outputs.grounded import Role
from synthesis.verification.grounding import mark_of, resolved, role_of, seconds

if TYPE_CHECKING:
    from dataclaw.viewer.outputs import Figure, Frames, Marks

_DEEPEST = 12
_ONE_LINE = 80
_TIMES = (Role.MOMENT, Role.INSTANT, Role.START, Role.END)
_TIME_NAME = re.compile(r"since|(?:\w+_)?time")
"""Fields of the built-in forms that hold seconds, though no mark says so: the form proves them by itself."""
_LABEL = re.compile(r"[a-z0-9]+(?:_[a-z0-9]+)+")
"""A name made for programs: it is read with spaces."""
_VERBATIM = ("text", "content")
"""Fields of the built-in forms that hold the words of an anchor of any kind."""
_TAGS = ("type", "relation", "difficulty")
"""What a question is, beside its words."""


@dataclass(frozen=True)
class Part:
    """A field with what it holds: words, single values, items, or fields of its own. A question stands over its
    answer, with `tags` that tell what it is."""

    label: str
    words: str = ""
    quoted: bool = False
    when: str = ""
    fields: tuple[Part, ...] = ()
    items: tuple[Part, ...] = ()
    figures: tuple[Figure, ...] = ()
    question: str = ""
    tags: tuple[str, ...] = ()

    @property
    def is_album(self) -> bool:
        """Its items are pictures without a word: they stand side by side."""
        return bool(self.items) and all(item.figures and not (item.fields or item.words) for item in self.items)

    @property
    def short(self) -> bool:
        """Its fields fit one line."""
        plain = all(field.words and not field.when and not field.figures for field in self.fields)
        return plain and not self.figures and sum(len(field.words) for field in self.fields) <= _ONE_LINE


class Reader:
    """Reads one output. `marks` collects what it points at in frames, by stream name and time."""

    def __init__(self, schema: Mapping[str, Any], frames: Frames) -> None:
        self._root = schema
        self._frames = frames
        self.marks: dict[tuple[str | None, float], Marks] = {}
        self._shown: set[tuple[str | None, float]] = set()

    def part(self, value: Any, node: Any, label: str = "", stream: str | None = None, depth: int = 0) -> Part:
        node = self._node(node, value)
        if isinstance(value, dict) and depth < _DEEPEST:
            return self._object(value, node, label, stream, depth)
        if isinstance(value, list) and depth < _DEEPEST:
            return self._list(value, node, label, stream, depth)
        if isinstance(value, int | float) and not isinstance(value, bool) and role_of(node) in (None, Role.FREE):
            named = _TIME_NAME.fullmatch(label.replace(" ", "_"))
            return Part(label, clock(value) if named else _words(value, node))
        quoted, words = _is_quote(node, label), _words(value, node)
        return Part(label, words if quoted else _plain(words), quoted)

    def _object(
        self, value: dict[str, Any], node: Mapping[str, Any], label: str, stream: str | None, depth: int
    ) -> Part:
        nodes = {name: self._node(self._property(node, name), item) for name, item in value.items()}
        stream = next((value[name] for name, its in nodes.items() if role_of(its) is Role.STREAM), stream)
        times = {
            name: time
            for name, its in nodes.items()
            if (name in ("t0", "t1", "frame_time") or role_of(its) in _TIMES)
            and (time := seconds(value[name], mark_of(its))) is not None
        }
        asked = value.get("question") if isinstance(value.get("question"), str) else None
        above = ("question", *_TAGS) if asked else ()
        # First what it shows itself, then what its fields show: a frame stands where it is spoken of first.
        figures = tuple(self._figures(value, nodes, times, stream))
        fields = [
            part
            for name in self._in_order(node, value)
            if name not in (*times, *above)
            and value[name] not in (None, [], {}, "")
            and not _place(value[name], nodes[name])
            for part in [self.part(value[name], nodes[name], name.replace("_", " "), stream, depth + 1)]
        ]
        return Part(
            label,
            question=asked or "",
            tags=tuple(_plain(value[name]) for name in _TAGS if asked and isinstance(value.get(name), str)),
            words=_coordinates(value),
            when=_when(times),
            fields=() if _coordinates(value) else tuple(fields),
            figures=figures,
        )

    def _list(self, value: list[Any], node: Mapping[str, Any], label: str, stream: str | None, depth: int) -> Part:
        if all(not isinstance(item, dict | list) for item in value):
            inner = self._node(self._item(node, 0), value[0] if value else None)
            words = [_words(item, inner) for item in value]
            return Part(label, ", ".join(words if _is_quote(inner, label) else map(_plain, words)))
        items = [self.part(item, self._item(node, place), "", stream, depth + 1) for place, item in enumerate(value)]
        return Part(label, items=tuple(items))

    def _figures(
        self,
        value: Mapping[str, Any],
        nodes: Mapping[str, Mapping[str, Any]],
        times: Mapping[str, float],
        stream: str | None,
    ) -> Iterator[Figure]:
        """The frames at the times of an object, each shown once in a card, with its boxes and points drawn. Where
        something ends it is no longer seen, but a mark may be drawn into the frame that it leaves behind."""
        from dataclaw.viewer.outputs import Marks

        places = [_place(value[name], node) for name, node in nodes.items()]
        marks = Marks(
            tuple(place for place in places if isinstance(place, Box)),
            tuple(place for place in places if isinstance(place, Point)),
        )
        if not times:
            return
        begin, end = min(times.values()), max(times.values())
        lasts = any(name in ("t1", "end") or role_of(nodes[name]) is Role.END for name in times)
        shown = {begin, (begin + end) / 2} if lasts and marks == Marks() else {*times.values(), (begin + end) / 2}
        for time in sorted(shown):
            key = (stream, round(time, 3))
            figures = [figure for figure in self._frames.figures(stream, time, marks) if figure.image is not None]
            if not figures:
                continue
            old = self.marks.get(key, Marks())
            self.marks[key] = Marks(old.boxes + marks.boxes, old.points + marks.points, old.lines)
            if key not in self._shown or marks != Marks():
                self._shown.add(key)
                yield from figures

    def _node(self, node: Any, value: Any) -> Mapping[str, Any]:
        """The node without references, in the first branch that may hold the value."""
        flat = resolved(node, self._root)
        for branch in flat.get("anyOf") or flat.get("oneOf") or ():
            inner = resolved(branch, self._root)
            if isinstance(value, dict) == ("properties" in inner) and inner.get("type") != "null":
                return inner
        return flat

    def _in_order(self, node: Mapping[str, Any], value: Mapping[str, Any]) -> list[str]:
        """Fields as the form was written: canonical JSON sorts them, what is required keeps its order."""
        order = {name: place for place, name in enumerate(node.get("required", ()))}
        return sorted(value, key=lambda name: (order.get(name, len(order)), name))

    def _property(self, node: Mapping[str, Any], name: str) -> Any:
        return node.get("properties", {}).get(name, {})

    def _item(self, node: Mapping[str, Any], place: int) -> Any:
        first = node.get("prefixItems", ())
        return first[place] if place < len(first) else node.get("items", {})


def _words(value: Any, node: Mapping[str, Any]) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        time = seconds(value, mark_of(node)) if role_of(node) in (*_TIMES, Role.DURATION) else None
        return clock(time) if time is not None else f"{round(value, 3):g}"
    return str(value)


def _plain(words: str) -> str:
    """A label as people read it: `pan_left` as `pan left`."""
    return words.replace("_", " ") if _LABEL.fullmatch(words) else words


def _is_quote(node: Mapping[str, Any], label: str = "") -> bool:
    """Whether a text stands verbatim in the recording, and is no label of what was measured (`pan_left`)."""
    kinds = mark_of(node).get("kinds") or ()
    spoken = label in _VERBATIM or any(str(kind).startswith(("text.", "input.", "ui.")) for kind in kinds)
    return role_of(node) is Role.QUOTE or (role_of(node) is Role.CONTENT and spoken)


def _coordinates(value: Mapping[str, Any]) -> str:
    """A place without a mark, in words."""
    if value.keys() != {"x", "y"} or not all(isinstance(side, int | float) for side in value.values()):
        return ""
    return f"({value['x']:.3f}, {value['y']:.3f})"


def _when(times: Mapping[str, float]) -> str:
    ordered = sorted(times.values())
    return span(ordered[0], ordered[-1]) if ordered else ""


def _place(value: Any, node: Mapping[str, Any]) -> Box | Point | None:
    try:
        if role_of(node) is Role.BOX:
            names = ("x0", "y0", "x1", "y1")
            return Box.model_validate(dict(zip(names, value, strict=True)) if isinstance(value, list) else value)
        if role_of(node) is Role.POINT:
            return Point.model_validate(dict(zip("xy", value, strict=True)) if isinstance(value, list) else value)
    except (ValidationError, ValueError, TypeError):
        pass  # written in a way of its own (pixels, width and height): it is not drawn
    return None

"""What the fields of a user's schema mean, read from their names, types and descriptions.

Each field gets the mark `x-anchor` of `schemas/outputs/grounded.py`, unless the user has put one there. Beside its role
a mark may hold `fill`, which says what the rules backend puts there, and `scale` or `form`, how a time is written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

from schemas.anchor import AnchorKind
from schemas.outputs.grounded import KEYWORD, Role
from synthesis.verification.format import pointer
from synthesis.verification.grounding import resolved

_START = {"start", "begin", "beginning", "from", "onset", "t0", "starts", "begins"}
_END = {"end", "stop", "to", "until", "offset", "t1", "finish", "ends"}
_MOMENT = {"time", "timestamp", "at", "moment", "when", "ts", "t", "second", "seconds", "sec"}
_DURATION = {"duration", "length", "lasts"}
_INDEX = {"index", "id", "number", "no", "rank", "idx", "order", "position", "step", "seq"}
_COUNT = {"count", "num", "n", "total", "many", "amount"}
_SPAN = {"span", "interval", "segment", "window", "range", "timestamps", "times", "boundaries", "time"}
_QUOTE = {
    "text", "quote", "transcript", "transcription", "caption", "subtitle", "line", "sentence", "content", "words",
    "utterance", "speech", "said", "ocr", "narration", "message", "phrase", "point", "note", "instruction", "prompt",
    "goal", "task", "evidence",
}  # fmt: skip
_TITLE = {"title", "heading", "headline", "topic", "name", "subject"}
_SUMMARY = {"summary", "description", "abstract", "overview", "synopsis", "details", "explanation", "context"}
_STREAM = {"video", "stream", "source", "file", "recording", "filename", "film", "media"}
_KIND = {"type", "label", "kind", "category", "class", "event", "action", "modality", "tag"}
_CONTENT = {"element", "target", "object", "detail", "key", "button", "hand", "direction"}
_BOX = {"box", "bbox", "region", "rect", "rectangle", "bounding", "area", "boundingbox"}
_POINT = {"point", "position", "location", "coordinate", "coordinates", "xy", "click", "centre", "center"}
_QUESTION, _ANSWER, _DIFFICULTY = (
    {"question", "query", "q"},
    {"answer", "response", "a", "solution"},
    {"difficulty", "level"},
)
_MILLISECONDS, _MINUTES = {"ms", "milliseconds", "millis", "msec"}, {"minutes", "mins"}
_NUMERIC, _TEXTUAL = {"number", "integer"}, {"string"}

KIND_WORDS = {
    "shot": (AnchorKind.SHOT,),
    "scene": (AnchorKind.SHOT,),
    "clip": (AnchorKind.SHOT,),
    "cut": (AnchorKind.CUT,),
    "dissolve": (AnchorKind.DISSOLVE,),
    "transition": (AnchorKind.CUT, AnchorKind.DISSOLVE),
    "subtitle": (AnchorKind.SUBTITLE,),
    "caption": (AnchorKind.SUBTITLE,),
    "speech": (AnchorKind.SUBTITLE,),
    "utterance": (AnchorKind.SUBTITLE,),
    "dialogue": (AnchorKind.SUBTITLE,),
    "transcript": (AnchorKind.SUBTITLE,),
    "narration": (AnchorKind.SUBTITLE,),
    "sentence": (AnchorKind.SUBTITLE, AnchorKind.SCREEN_TEXT),
    "line": (AnchorKind.SUBTITLE, AnchorKind.SCREEN_TEXT),
    "text": (AnchorKind.SCREEN_TEXT, AnchorKind.SUBTITLE),
    "ocr": (AnchorKind.SCREEN_TEXT,),
    "board": (AnchorKind.SCREEN_TEXT,),
    "screen": (AnchorKind.SCREEN,),
    "page": (AnchorKind.SCREEN,),
    "change": (AnchorKind.SCREEN_CHANGE,),
    "scroll": (AnchorKind.SCROLL, AnchorKind.WHEEL),
    "tap": (AnchorKind.TAP,),
    "swipe": (AnchorKind.SWIPE,),
    "click": (AnchorKind.CLICK, AnchorKind.DOUBLE_CLICK, AnchorKind.RIGHT_CLICK, AnchorKind.TAP),
    "drag": (AnchorKind.DRAG,),
    "typing": (AnchorKind.TYPING,),
    "typed": (AnchorKind.TYPING,),
    "hotkey": (AnchorKind.HOTKEY,),
    "key": (AnchorKind.HOTKEY,),
    "element": (AnchorKind.ELEMENT,),
    "window": (AnchorKind.WINDOW,),
    "motion": (AnchorKind.MOTION,),
    "movement": (AnchorKind.MOTION,),
    "stall": (AnchorKind.STALL, AnchorKind.JOINT_STALL),
    "pause": (AnchorKind.STALL, AnchorKind.JOINT_STALL),
    "standstill": (AnchorKind.STALL, AnchorKind.JOINT_STALL),
    "reversal": (AnchorKind.REVERSAL, AnchorKind.JOINT_REVERSAL),
    "oscillation": (AnchorKind.OSCILLATION,),
    "hesitation": (AnchorKind.OSCILLATION,),
    "camera": (AnchorKind.CAMERA,),
    "grasp": (AnchorKind.GRIPPER_CLOSE,),
    "close": (AnchorKind.GRIPPER_CLOSE,),
    "release": (AnchorKind.GRIPPER_OPEN,),
    "open": (AnchorKind.GRIPPER_OPEN,),
    "gripper": (AnchorKind.GRIPPER_CLOSE, AnchorKind.GRIPPER_OPEN),
    "contact": (AnchorKind.CONTACT,),
    "edit": (AnchorKind.EDIT_REGION,),
}
"""Words that people use of what the experts measure."""


def marked(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a schema in which every field says what it asserts."""
    copy = deepcopy(dict(schema))
    _mark_parts(copy, copy, "")
    for name, node in [*copy.get("$defs", {}).items(), *copy.get("definitions", {}).items()]:
        if isinstance(node, dict):
            _mark_parts(node, copy, name)
    return copy


def unprovable(schema: Mapping[str, Any]) -> list[str]:
    """JSON pointers (with `*` for items) of the fields that no anchor can prove: they are checked for their form."""
    return sorted(set(_unprovable(schema, schema, (), 0)))


def words_of(name: str) -> list[str]:
    """The lower-case words of a field name: `startTime`, `start_time` and `start-time` give start, time; a plural is
    its singular."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    words = re.findall(r"[a-z]+\d*|\d+", spaced.lower())
    return [word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word for word in words]


def kinds_named(*texts: str) -> tuple[str, ...]:
    """The anchor kinds that the words of some texts speak of."""
    words = [word for text in texts for word in words_of(text)]
    return tuple(dict.fromkeys(str(kind) for word in words for kind in KIND_WORDS.get(word, ())))


def types_of(node: Mapping[str, Any]) -> set[str]:
    named = node.get("type", ())
    types = {named} if isinstance(named, str) else set(named)
    if not types:
        types |= {"object"} if "properties" in node else set()
        types |= {"array"} if "items" in node or "prefixItems" in node else set()
        types |= {"string"} if all(isinstance(item, str) for item in node.get("enum", [0])) else set()
    return types - {"null"}


def _mark_parts(node: dict[str, Any], root: Mapping[str, Any], name: str) -> None:
    """Marks the properties, items and branches of a node."""
    for key, item in node.get("properties", {}).items():
        if isinstance(item, dict):
            _mark(item, root, key)
    marks = [item.get(KEYWORD, {}) for item in node.get("properties", {}).values() if isinstance(item, dict)]
    if any(mark.get("role") in (Role.BOX, Role.POINT) for mark in marks):
        for mark in marks:
            if mark.get("role") == Role.QUOTE:
                mark["binds"] = True  # words beside a place are those that stand there
    if isinstance(items := node.get("items"), dict):
        _mark(items, root, name)
        _mark_family(items, root, name)
    for word in ("anyOf", "oneOf", "allOf", "prefixItems"):
        for item in node.get(word, ()):
            if isinstance(item, dict):
                if word == "prefixItems":
                    _mark_parts(item, root, name)
                else:
                    _mark(item, root, name)


def _mark(node: dict[str, Any], root: Mapping[str, Any], name: str) -> None:
    if KEYWORD not in node:
        flat = resolved(node, root)
        mark = {} if flat.get("anyOf") or flat.get("oneOf") else _meaning(name, flat)
        if mark:
            node[KEYWORD] = mark
    if node.get(KEYWORD, {}).get("role") not in (Role.BOX, Role.POINT, Role.SPAN):
        _mark_parts(node, root, name)


def _mark_family(items: dict[str, Any], root: Mapping[str, Any], name: str) -> None:
    """A list named after something measured (`cuts`, `camera_moves`) holds that and nothing else."""
    kinds = () if {*words_of(name)} & (_QUESTION | _ANSWER) else kinds_named(name)
    types = types_of(resolved(items, root))
    mark = items.get(KEYWORD, {})
    if types and types <= _NUMERIC and (kinds or set(words_of(name)) & _MOMENT) and "kinds" not in mark:
        items[KEYWORD] = {"role": Role.MOMENT.value} | ({"kinds": list(kinds)} if kinds else {})
    elif kinds and "object" in types and "kinds" not in mark:
        items[KEYWORD] = {**mark, "kinds": list(kinds)}


def families(schema: Mapping[str, Any]) -> dict[str, list[str]]:
    """The anchor kinds that each top-level list holds, where its name says so."""
    lists = {name: resolved(node, schema) for name, node in schema.get("properties", {}).items()}
    kinds = {name: resolved(node.get("items"), schema).get(KEYWORD, {}).get("kinds") for name, node in lists.items()}
    return {name: its for name, its in kinds.items() if its}


def _meaning(name: str, node: Mapping[str, Any]) -> dict[str, Any]:
    """The mark of one field; empty for prose that nothing is known of and for what only holds other fields."""
    words, types = words_of(name), types_of(node)
    said = {*words, *words_of(str(node.get("title", "")))} | {name.lower()}
    about = set(words_of(str(node.get("description", ""))))
    if "array" in types:
        return _list_meaning(said, about, node)
    if "object" in types:
        return _object_meaning(said, node)
    if "boolean" in types or not types:
        return {"role": Role.FREE.value}
    if types <= _NUMERIC:
        return _number_meaning(words, said, about, name)
    return _text_meaning(words, said, about, node) if types <= _TEXTUAL else {}


def _number_meaning(words: list[str], said: set[str], about: set[str], name: str) -> dict[str, Any]:
    time = _time_role(said, about)
    counted = said & _COUNT or {"number", "of"} <= set(words)
    if counted and (kinds := kinds_named(name)):
        return {"role": Role.COUNT.value, "kinds": list(kinds)}
    if "frame" in said or "pixel" in about:
        return {"role": Role.FREE.value}
    if time is not None:
        scale = 0.001 if (said | about) & _MILLISECONDS else 60.0 if (said | about) & _MINUTES else 1.0
        return {"role": time.value} | ({"scale": scale} if scale != 1.0 else {})
    return {"role": Role.FREE.value} | ({"fill": "index"} if said & _INDEX else {})


def _text_meaning(words: list[str], said: set[str], about: set[str], node: Mapping[str, Any]) -> dict[str, Any]:
    if "const" in node:
        return {"role": Role.FREE.value}
    if said & _DIFFICULTY:
        return {"role": Role.FREE.value, "fill": "difficulty"}
    if "enum" in node:
        names = {
            value: list(kinds) for value in node["enum"] if isinstance(value, str) and (kinds := kinds_named(value))
        }
        return {"role": Role.KIND.value, "names": names} if names else {"role": Role.FREE.value}
    if node.get("format") in ("date", "date-time", "uuid", "email", "uri", "ipv4", "ipv6", "hostname"):
        return {"role": Role.FREE.value}
    time = _time_role(said, about) if not said & (_QUOTE | _TITLE | _SUMMARY) else None
    if time is not None and time is not Role.DURATION:
        return {"role": time.value, "form": "clock"}
    for known, mark in (
        (_QUESTION, {"fill": "question"}),
        (_ANSWER, {"fill": "answer"}),
        (_SUMMARY, {"fill": "summary"}),
        (_QUOTE, {"role": Role.QUOTE.value}),
        (_STREAM, {"role": Role.STREAM.value}),
        (_KIND, {"role": Role.KIND.value}),
        (_TITLE, {"role": Role.QUOTE.value, "fill": "title"}),
        (_CONTENT, {"role": Role.CONTENT.value}),
    ):
        if said & known:
            return mark
    return {}


def _list_meaning(said: set[str], about: set[str], node: Mapping[str, Any]) -> dict[str, Any]:
    inner = node.get("items")
    numbers = isinstance(inner, Mapping) and types_of(inner) <= _NUMERIC and bool(types_of(inner))
    numbers = numbers or bool(node.get("prefixItems"))
    size = {node.get("minItems"), node.get("maxItems"), len(node.get("prefixItems", ())) or None}
    if numbers and (said & _BOX or 4 in size):
        form = "xywh" if about & {"width", "height", "xywh", "w", "h"} else None
        return {"role": Role.BOX.value} | ({"form": form} if form else {})
    if numbers and 2 in size:
        return {"role": Role.POINT.value} if said & _POINT and not said & _SPAN else {"role": Role.SPAN.value}
    return {}


def _object_meaning(said: set[str], node: Mapping[str, Any]) -> dict[str, Any]:
    names = set(node.get("properties", {}))
    if {"x0", "y0", "x1", "y1"} <= names:
        return {"role": Role.BOX.value}
    return {"role": Role.POINT.value} if names == {"x", "y"} else {}


def _time_role(said: set[str], about: set[str]) -> Role | None:
    for words, role in ((_DURATION, Role.DURATION), (_START, Role.START), (_END, Role.END), (_MOMENT, Role.MOMENT)):
        if said & words:
            return role
    return None


def _unprovable(node: Any, root: Mapping[str, Any], path: tuple[str, ...], depth: int) -> Iterator[str]:
    if depth > 12 or not isinstance(node, Mapping):
        return
    flat = resolved(node, root)
    mark = flat.get(KEYWORD, {})
    types = types_of(flat)
    plain = not types & {"object", "array"} and not flat.get("anyOf") and not flat.get("oneOf")
    free = mark.get("role") == Role.FREE and mark.get("fill") not in ("index",) and "const" not in flat
    if plain and path and (free or not mark):
        yield pointer(*path)
    if mark.get("role") in (Role.BOX, Role.POINT, Role.SPAN):
        return
    for name, item in flat.get("properties", {}).items():
        yield from _unprovable(item, root, (*path, name), depth + 1)
    yield from _unprovable(flat.get("items"), root, (*path, "*"), depth + 1)
    for word in ("anyOf", "oneOf"):
        for item in flat.get(word, ()):
            if not (isinstance(item, Mapping) and item.get("type") == "null"):
                yield from _unprovable(item, root, path, depth + 1)

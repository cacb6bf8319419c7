"""A schema as xgrammar should be given it: the library of both engines that run in a worker."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from schemas.base import canonical_json
from synthesis.backends.constrain import constrainable

_NAMES = ("properties", "$defs", "definitions")
_LITERAL = ("enum", "const")


@lru_cache(maxsize=64)
def grammar_schema(schema: str) -> str:
    """What :func:`constrainable` leaves, without bounds on the length of strings: xgrammar (0.2.8) takes no escaped
    character in a string that has one, so that a model could quote neither a quotation mark nor a line's end.
    """
    return canonical_json(_unbounded(json.loads(constrainable(schema))))


def _unbounded(node: Any) -> Any:
    if isinstance(node, list):
        return [_unbounded(item) for item in node]
    if not isinstance(node, dict):
        return node
    plain: dict[str, Any] = {}
    for key, item in node.items():
        if key in ("minLength", "maxLength"):
            continue
        if key in _NAMES:
            plain[key] = {name: _unbounded(inner) for name, inner in item.items()}
        else:
            plain[key] = item if key in _LITERAL else _unbounded(item)
    return plain

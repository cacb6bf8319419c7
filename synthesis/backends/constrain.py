"""What of a JSON Schema a grammar can hold: engines compile it, verification checks the rest.

Grammar libraries (xgrammar, llguidance, outlines) refuse some keywords of JSON Schema 2020-12 outright. These are left
out, which makes the constraint weaker: what it lets through may still break the schema, and is checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from schemas.base import schema_json
from schemas.outputs.grounded import KEYWORD
from synthesis.verification.grounding import resolved, schema_of

_BEYOND = frozenset(
    {
        KEYWORD, "$schema", "$id", "$comment", "title", "description", "default", "examples", "deprecated",
        "readOnly", "writeOnly", "not", "if", "then", "else", "dependentSchemas", "dependentRequired",
        "unevaluatedItems", "unevaluatedProperties", "contains", "minContains", "maxContains", "uniqueItems",
        "propertyNames", "patternProperties", "minProperties", "maxProperties", "multipleOf", "format",
        "minLength", "maxLength", "contentEncoding", "contentMediaType", "contentSchema", "discriminator",
    }
)  # fmt: skip
"""Keywords that not every grammar library knows, or that say nothing about what is written. Lengths of strings, too:
xgrammar (0.2.8) takes no escaped character in a string that has one, so that a model could quote no quotation mark."""
_NAMES = ("properties", "$defs", "definitions")
"""Keywords whose own keys are names, not keywords."""
_LONGEST_PATTERN = 200


@lru_cache(maxsize=64)
def constrainable(schema: str) -> str:
    """A schema as grammar libraries take it, as JSON, its properties in their order: models write them in it.

    Every object that names its properties is closed unless it says what further ones may hold, so that a model cannot
    go on inventing fields for ever; `oneOf` becomes `anyOf`, of which it is a part.
    """
    root = schema_of(schema)
    return schema_json(_plain(root, root))


def _plain(node: Any, root: Mapping[str, Any]) -> Any:
    if not isinstance(node, dict):
        return node
    if "allOf" in node:
        node = dict(resolved(node, root))
    plain: dict[str, Any] = {}
    for key, item in node.items():
        if key in _BEYOND:
            continue
        if key in _NAMES and isinstance(item, dict):
            plain[key] = {name: _plain(inner, root) for name, inner in item.items()}
        elif key in ("anyOf", "oneOf"):
            plain["anyOf"] = [*plain.get("anyOf", []), *(_plain(branch, root) for branch in item)]
        elif key == "prefixItems":
            plain[key] = [_plain(branch, root) for branch in item]
        elif key in ("items", "additionalProperties"):
            plain[key] = _plain(item, root)
        elif key == "pattern" and len(item) > _LONGEST_PATTERN:
            continue
        else:
            plain[key] = item
    if "properties" in plain and not node.keys() & {"additionalProperties", "patternProperties"}:
        plain["additionalProperties"] = False
    return plain

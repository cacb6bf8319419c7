"""What the fields of an output assert, said in its JSON Schema: the keyword `x-anchor`.

A schema node carries `{"x-anchor": {"role": ROLE, "kinds": [...]}}`; `kinds` are the anchor kinds that may prove it
(`text.*` names a group; none: any). Verification reads claims off any output by these marks alone
(`synthesis/verification/grounding.py`), so a built-in form and a user's own schema are proved by the same code.

| role | on | asserts |
|---|---|---|
| span | object with t0 and t1, or [t0, t1] | an anchor lasts from t0 to t1 |
| window | object with t0 and t1 | nothing itself; what stands inside it lies between t0 and t1 |
| start, end | number | the edges of the object that holds them, where they have other names than t0 and t1 |
| moment | number | an anchor begins or ends there; what stands beside it lies there |
| instant | number | the stream has something there (inside an anchor); what stands beside it lies there |
| kind | string | the kind of the anchor that proves the span around it: `video.shot`, or its last word, `shot` |
| quote | string | it is said or shown verbatim inside the span or moment around it |
| content | string | the anchor of the span or moment around it has this content |
| value | number | the anchor of the span or moment around it has this value |
| count | integer | so many anchors of the kinds begin inside the span around it |
| box, point | object or array | it was measured there, inside the span or moment around it |
| stream | string | the name of the stream that the object speaks of |
| duration | number | the length of the stream or of the span around it |
| ordered | array | its items stand in the order of time |
| free | any | nothing: a label, an index, a choice |

Beside its role a mark may say how a value is written: `scale` (seconds per unit: 0.001 for milliseconds), `form`
(`clock` for times such as `1:02.5`, `xywh` for boxes), `names` (for `kind`: the anchor kinds that each word of an enum
means). A `quote` that `binds` is what stands at the box or point beside it.

A string without a mark is prose: the quotes and times that it names are claims.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import ConfigDict, Field

KEYWORD = "x-anchor"


class Role(StrEnum):
    SPAN = "span"
    WINDOW = "window"
    START = "start"
    END = "end"
    MOMENT = "moment"
    INSTANT = "instant"
    KIND = "kind"
    QUOTE = "quote"
    CONTENT = "content"
    VALUE = "value"
    COUNT = "count"
    BOX = "box"
    POINT = "point"
    STREAM = "stream"
    DURATION = "duration"
    ORDERED = "ordered"
    FREE = "free"


def asserts(role: Role, *kinds: str) -> Any:
    """The mark of a field: `text: Annotated[str, asserts(Role.QUOTE, AnchorKind.SUBTITLE)]`."""
    return Field(json_schema_extra=_mark(role, kinds))


def asserting(role: Role, *kinds: str) -> ConfigDict:
    """The mark of a whole model: `model_config = asserting(Role.SPAN, AnchorKind.SHOT)`."""
    return ConfigDict(json_schema_extra=_mark(role, kinds))


def _mark(role: Role, kinds: tuple[str, ...]) -> dict[str, Any]:
    return {KEYWORD: {"role": role.value} | ({"kinds": [str(kind) for kind in kinds]} if kinds else {})}

"""Any valid record of any contract, derived from its fields, so that a new field is tested without a word here."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Callable
from datetime import UTC, datetime
from enum import Enum
from typing import Any

import pytest
from annotated_types import Ge, Gt, Le, Lt, MinLen
from hypothesis import strategies as st
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from schemas.anchor import FactualAnchor
from schemas.constraints import Window
from schemas.geometry import Box
from schemas.manifest import Shard
from schemas.recipe import RewardWeights
from schemas.rows import Result
from schemas.segment import Segment

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    ["", "two\nlines", "\r\n", "日本語", "🎬", "\x00", "a\u0301", "NULL", "\u2028", '"quoted"']
)
UNIT = st.floats(0, 1)


def _ordered(low: str, high: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def put(values: dict[str, Any]) -> dict[str, Any]:
        values[low], values[high] = sorted((values[low], values[high]))
        return values

    return put


def _counted(values: dict[str, Any]) -> dict[str, Any]:
    values["count"] = values["index"] + max(1, values["count"])
    return _ordered("t0", "t1")(values)


def _agreeing(values: dict[str, Any]) -> dict[str, Any]:
    triplet = values["triplet"]
    values["outcome"] = values["outcome"].model_copy(update={"triplet": triplet and triplet.id})
    return values


def _weighed(values: dict[str, Any]) -> dict[str, Any]:
    values["format"], values["anchor"] = sorted((values["format"], values["anchor"]))
    return {
        "format": values["format"],
        "anchor": values["anchor"] - values["format"],
        "efficiency": 1 - values["anchor"],
    }


def _boxed(values: dict[str, Any]) -> dict[str, Any]:
    return _ordered("y0", "y1")(_ordered("x0", "x1")(values))


# What a contract demands beyond its single fields.
_DEMANDS: dict[type[BaseModel], Callable[[dict[str, Any]], dict[str, Any]]] = {
    Box: _boxed,
    Segment: _counted,
    Window: lambda values: values if values["t1"] is None else _ordered("t0", "t1")(values),
    FactualAnchor: _ordered("t0", "t1"),
    Result: _agreeing,
    RewardWeights: _weighed,
    Shard: lambda values: {**values, "path": f"data/{values['sha256']}.parquet"},
}


def records(model: type[BaseModel]) -> st.SearchStrategy[Any]:
    """Valid records of a contract."""
    hints = typing.get_type_hints(model, include_extras=True)
    fields = {name: _values(hints[name], ()) for name in model.model_fields}
    demand = _DEMANDS.get(model, lambda values: values)
    return st.fixed_dictionaries(fields).map(lambda values: model(**demand(dict(values))))


def _values(hint: Any, marks: tuple[Any, ...]) -> st.SearchStrategy[Any]:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        inner = [m for mark in arguments[1:] for m in (mark.metadata if isinstance(mark, FieldInfo) else [mark])]
        return _values(arguments[0], (*marks, *inner))
    if origin in (typing.Union, types.UnionType):
        return st.one_of(*(_values(argument, marks) for argument in arguments))
    if origin is tuple:
        least = next((m.min_length for m in marks if isinstance(m, MinLen)), 0)
        return st.lists(_values(arguments[0], ()), min_size=least, max_size=least + 1).map(tuple)
    if hint is type(None):
        return st.none()
    if isinstance(hint, type) and issubclass(hint, Enum):
        return st.sampled_from(list(hint))
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        return st.deferred(lambda: records(hint))
    bounds = {
        kind: getattr(m, kind.__name__.lower()) for m in marks for kind in (Ge, Gt, Le, Lt) if isinstance(m, kind)
    }
    if hint is float:
        return st.floats(bounds.get(Ge, -1e12), bounds.get(Le, 1e12))
    if hint is bool:
        return st.booleans()
    if hint is int:
        return st.integers(bounds.get(Ge, -5), bounds.get(Le, 2**30 - 1))
    if hint is bytes:
        return st.binary(max_size=20)
    if hint is datetime:
        return st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))
    assert hint is str, hint
    pattern = next((m.pattern for m in marks if getattr(m, "pattern", None)), None)
    if pattern == r"\S":
        return TEXT.map(lambda text: text + "x")
    if hexadecimal := re.fullmatch(r"\^\[0-9a-f\]\{(\d+)\}\$", pattern or ""):
        digits = int(hexadecimal[1])
        return st.integers(0, 16**digits - 1).map(lambda number: f"{number:0{digits}x}")
    if pattern:
        return st.from_regex(pattern, fullmatch=True).filter(lambda text: not text.endswith("\n"))
    least = next((m.min_length for m in marks if isinstance(m, MinLen)), 0)
    return TEXT.map(lambda text: text.ljust(least, "x"))


@pytest.fixture(scope="session")
def any_record() -> Callable[[type[BaseModel]], st.SearchStrategy[Any]]:
    return records

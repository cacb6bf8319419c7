"""R_format: is an output valid JSON under its schema Phi (JSON Schema 2020-12)?"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError

from schemas.base import canonical_json
from schemas.errors import UsageError

MAX_ERRORS = 20
"""So many errors are reported; a long broken output has thousands, and the first ones say it."""

_BOUNDS = {"maxItems": "at most", "maxLength": "at most", "minItems": "at least", "minLength": "at least"}


@dataclass(frozen=True)
class Parsed:
    """What parsing gave: the value when it is valid, otherwise errors as `JSON pointer: message`."""

    value: Any = None
    errors: tuple[str, ...] = field(default=())

    @property
    def valid(self) -> bool:
        return not self.errors


def parse(output: str, schema: str) -> Parsed:
    """Parses an output and validates it.

    Args:
        output: JSON text as a backend wrote it.
        schema: Phi as JSON text.

    Raises:
        UsageError: the schema itself is not a valid JSON Schema.
    """
    try:
        value = loads(output)
    except (ValueError, RecursionError) as error:
        return Parsed(errors=(f": not valid JSON ({error})",))
    try:
        errors = sorted(_validator(schema).iter_errors(value), key=lambda error: list(map(str, error.absolute_path)))
    except RecursionError:
        return Parsed(errors=(": nested too deep",))
    if errors:
        return Parsed(errors=tuple(_tell(error) for error in errors[:MAX_ERRORS]))
    return Parsed(value=value)


def loads(output: str) -> Any:
    """JSON text as Python holds it.

    Raises:
        ValueError: it is not JSON, or holds what a UTF-8 file of JSON cannot.
        RecursionError: it is nested too deep.
    """
    value = json.loads(output, parse_constant=_refuse, parse_float=_finite)
    canonical_json(value).encode()  # refuses half surrogate pairs
    return value


def pointer(*parts: str | int) -> str:
    """A JSON pointer (RFC 6901): `/blocks/0/text`; the whole document is the empty string."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def steps(path: str) -> list[str]:
    """The parts of a JSON pointer, or of a reference such as `#/$defs/item`."""
    return [step.replace("~1", "/").replace("~0", "~") for step in path.removeprefix("#").split("/")[1:]]


def validator_of(schema: Mapping[str, Any]) -> Draft202012Validator:
    """Checks values under a schema; `.evolve(schema=part)` checks them under a part of it, whose references still lead
    into the whole."""
    return Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)


@lru_cache(maxsize=256)
def _validator(schema: str) -> Draft202012Validator:
    try:
        parsed = json.loads(schema)
        Draft202012Validator.check_schema(parsed)
    except SchemaError as error:
        raise UsageError(
            f"output schema{pointer(*error.absolute_path)}", error.message, "Give a valid JSON Schema (2020-12)."
        ) from error
    except ValueError as error:
        raise UsageError("output schema", f"not valid JSON ({error})", "Give a valid JSON Schema (2020-12).") from error
    return validator_of(parsed)


def _tell(error: ValidationError) -> str:
    message, value = error.message, repr(error.instance)
    if message.startswith(value):  # what is wrong with it comes after it, however long it is
        message = _short(value, 80) + message[len(value) :]
    if error.validator in _BOUNDS:
        message += f" ({len(error.instance)}, {_BOUNDS[error.validator]} {error.validator_value})"
    return f"{pointer(*error.absolute_path)}: {_short(message, 200)}"


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is too large a number")
    return number

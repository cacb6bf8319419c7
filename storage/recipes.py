"""Reads a recipe file: YAML in, one frozen Recipe out, or an error that names the place and the remedy."""

from __future__ import annotations

import difflib
import posixpath
from typing import Any

import fsspec
import yaml
from pydantic import ValidationError

from schemas.errors import UsageError
from schemas.recipe import Recipe


def load_recipe(uri: str) -> Recipe:
    """Loads a recipe. Relative paths in it (sources, corpus) are taken from the folder it lies in.

    Raises:
        UsageError: it is not there, not YAML, or not a recipe; the message names key and remedy.
    """
    try:
        with fsspec.open(uri, "rt", encoding="utf-8") as file:
            content = yaml.safe_load(file)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(uri, f"the recipe cannot be read: {error}", "Check the path") from error
    except yaml.YAMLError as error:
        raise UsageError(uri, f"not valid YAML: {error}", "Mend the line it names") from error
    if not isinstance(content, dict):
        raise UsageError(uri, "not a recipe: it holds no keys", "See docs/recipe.md and examples/")
    return parse_recipe(_placed(content, posixpath.dirname(uri)), uri)


def parse_recipe(content: dict[str, Any], origin: str) -> Recipe:
    """Makes a recipe of plain values. `origin` says in errors where they came from.

    Raises:
        UsageError: a key is unknown or a value does not fit.
    """
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        problems = [_in_words(problem) for problem in error.errors(include_url=False)]
        raise UsageError(origin, "; ".join(problems), "See docs/recipe.md for every key") from error


def _in_words(problem: Any) -> str:
    place = ".".join(str(part) for part in problem["loc"]) or "the recipe"
    if problem["type"] == "extra_forbidden":
        name = str(problem["loc"][-1])
        close = difflib.get_close_matches(name, _keys(problem["loc"][:-1]), n=1)
        return f"{place}: unknown key" + (f", did you mean {close[0]!r}?" if close else "")
    return f"{place}: {problem['msg'].removeprefix('Value error, ')}"


def _keys(path: tuple[int | str, ...]) -> list[str]:
    """The keys that are known at a place of the recipe, from its JSON schema."""
    schema = Recipe.model_json_schema()
    node: dict[str, Any] = schema
    for part in path:
        node = _resolved(node, schema)
        node = node.get("items", {}) if isinstance(part, int) else node.get("properties", {}).get(part, {})
    return list(_resolved(node, schema).get("properties", {}))


def _resolved(node: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """Follows references and takes the object or array of an optional value."""
    for option in node.get("anyOf", ()):
        if option.get("type") != "null":
            node = option
            break
    if "$ref" in node:
        resolved: dict[str, Any] = schema["$defs"][node["$ref"].rsplit("/", 1)[-1]]
        return resolved
    return node


def _placed(content: dict[str, Any], folder: str) -> dict[str, Any]:
    def place(uri: Any) -> Any:
        if not isinstance(uri, str) or not folder or "://" in uri or uri.startswith(("/", "~")):
            return uri
        return posixpath.normpath(posixpath.join(folder, uri)) if "://" not in folder else f"{folder}/{uri}"

    placed = dict(content)
    if "corpus" in placed:
        placed["corpus"] = place(placed["corpus"])
    if isinstance(placed.get("sources"), list):
        placed["sources"] = [
            {**item, "uri": place(item["uri"])} if isinstance(item, dict) and "uri" in item else item
            for item in placed["sources"]
        ]
    return placed

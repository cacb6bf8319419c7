"""Recipes as files: YAML (or JSON, which YAML contains) at a path or URI."""

from __future__ import annotations

import difflib
import importlib
import json
import os
import re
import types
import typing
from collections.abc import Iterable, Sequence
from os import PathLike
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from schemas.errors import CorpusError, UsageError
from schemas.recipe import Recipe
from schemas.redaction import has_credentials, redacted
from storage.access import Access, access_of_run, holds_credentials
from storage.location import Location
from storage.registered import with_registered_model


def recipe_of_run(
    given: Recipe | str,
    sources: Sequence[str] = (),
    intents: Sequence[str] = (),
    run_tokens: int | None = None,
    *,
    sent: bool,
) -> Recipe:
    """The recipe of a run, with the version of its model where that is a registered one.

    Args:
        given: a recipe, or the path or URI of one.
        sources: in place of its own for this run, as are `intents` and `run_tokens`
            (:meth:`schemas.recipe.Recipe.for_one_run`). Relative paths are relative to the working directory.
        sent: it came over a network, as the parameter of a deployment, and is not the word of this machine's user. It
            reaches what :mod:`storage.access` allows, and nothing else.

    Raises:
        UsageError: as :func:`load_recipe`, or it leads where nothing may be reached, or no such model is registered.
    """
    access = access_of_run(sent)
    recipe = load_recipe(given, access) if isinstance(given, str) else given
    here = Location.of(os.getcwd())
    recipe = recipe.for_one_run([absolute(uri, here) for uri in sources], intents, run_tokens)
    _refuse_credentials(recipe)
    if access is not None:
        access.check_recipe(recipe)
    resolved = with_registered_model(recipe)
    if access is not None and resolved is not recipe:
        access.check_recipe(resolved)  # the registry names places too
    return resolved


def storable(recipe: Recipe) -> str:
    """A recipe as JSON without the password that its catalog's URL may hold: what is kept of a run."""
    said = recipe.model_dump(mode="json")
    for place, key in ((said["placement"], "catalog"), (said["placement"]["serving"], "base_url")):
        if place[key] is not None:
            place[key] = redacted(place[key])
    return json.dumps(said, ensure_ascii=False, separators=(",", ":"))


def load_recipe(uri: str | PathLike[str], access: Access | None = None) -> Recipe:
    """Reads a recipe. Relative paths in it are relative to the file, so that it works from any folder.

    Args:
        uri: where it lies.
        access: what it may reach; None for a file of this machine's user. With it, nothing is imported.

    Raises:
        UsageError: it cannot be read, is not YAML, is no recipe, or holds credentials; names every wrong key and its
            place.
    """
    if has_credentials(os.fspath(uri)):
        raise holds_credentials("recipe", os.fspath(uri))
    if access is not None:
        access.check(os.fspath(uri), "recipe")
    content, location = read_yaml(uri, "recipe", "name, corpus, sources, intents; see docs/recipe.md")
    if isinstance(content.get("corpus"), str):
        content["corpus"] = absolute(content["corpus"], location)
    if isinstance(content.get("output_schema"), str):
        content["output_schema"] = load_schema(content["output_schema"], location, access)
    sources = content.get("sources")
    for source in sources if isinstance(sources, list) else ():
        if isinstance(source, dict) and isinstance(source.get("uri"), str):
            source["uri"] = absolute(source["uri"], location)
            if has_credentials(source["uri"]):  # before errors tell of it
                raise holds_credentials("sources", source["uri"])
    try:
        recipe = Recipe.model_validate(content)
    except ValidationError as error:
        raise explained(uri, error) from error
    _refuse_credentials(recipe)
    return recipe


def read_yaml(uri: str | PathLike[str], what: str, keys: str) -> tuple[dict[str, Any], Location]:
    """The content of a settings file, and the folder it lies in.

    Args:
        uri: where it lies.
        what: it should be, such as `recipe`; `keys` that stand in one.

    Raises:
        UsageError: it cannot be read, or is not YAML, or holds no keys.
    """
    folder, _, name = Location.of(uri).root.rpartition("/")
    location = Location(Location.of(uri).fs, folder)
    try:
        text = location.read_bytes(name).decode("utf-8-sig")
        content = yaml.safe_load(text)
    except CorpusError as error:
        raise UsageError(uri, error.problem.cause, f"Give the path of a {what}; examples/ holds some") from error
    except UnicodeDecodeError as error:
        raise UsageError(uri, "is not text in UTF-8", f"Give the path of a {what} file") from error
    except yaml.YAMLError as error:
        cause = f"is not YAML: {_yaml_problem(error)}"
        raise UsageError(uri, cause, f"Mend the file; examples/ holds a {what}") from error
    if not isinstance(content, dict):
        raise UsageError(uri, f"holds no {what}", f"Write keys such as {keys}")
    return content, location


def _refuse_credentials(recipe: Recipe) -> None:
    """Raises UsageError for credentials in places whose URIs are stored: of streams with every row that is made of
    them, of the corpus in reports and events. The catalog's URL is stored nowhere with them: see :func:`storable`."""
    places = [(f"sources (number {number}).uri", source.uri) for number, source in enumerate(recipe.sources, 1)]
    for what, uri in [("corpus", recipe.corpus), *places]:
        if has_credentials(uri):
            raise holds_credentials(what, uri)


def load_schema(named: str, folder: Location | None = None, access: Access | None = None) -> str:
    """A user's schema as JSON text: the content of a file, or that of a Pydantic model.

    Args:
        named: JSON text, a path or URI, or the import path of a model, `package.module:Model`.
        folder: what relative paths are relative to; the working directory when None.
        access: what may be reached; None for a word of this machine's user. With it, no model is imported: to import a
            module is to run it.

    Raises:
        UsageError: there is no such file or model, or it may not be reached.
    """
    if named.lstrip().startswith("{"):
        return named
    module, _, attribute = named.partition(":")
    if re.fullmatch(r"[A-Za-z_][\w.]*", module) and attribute.isidentifier():
        if access is not None:
            raise UsageError(
                named, "a recipe that was sent imports nothing", "Give the JSON Schema itself, or a file below a root"
            )
        return _schema_of_model(named, module, attribute)
    place = absolute(named, folder) if folder else named
    if access is not None:
        access.check(place, "output_schema")
    where = Location.of(place)
    parent, _, name = where.root.rpartition("/")
    try:
        return Location(where.fs, parent).read_bytes(name).decode("utf-8-sig")
    except (CorpusError, UnicodeDecodeError) as error:
        cause = error.problem.cause if isinstance(error, CorpusError) else "is not text in UTF-8"
        raise UsageError(named, cause, "Give a file with a JSON Schema, or package.module:Model") from error


def _schema_of_model(named: str, module: str, attribute: str) -> str:
    try:
        model = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise UsageError(named, f"cannot be imported: {error}", "Set PYTHONPATH to where the module lies") from error
    if not _is_model(model):
        raise UsageError(named, "is no Pydantic model", "Give a subclass of pydantic.BaseModel")
    return json.dumps(model.model_json_schema())


def absolute(uri: str, folder: Location) -> str:
    """A URI as it is; a path made absolute from its file's folder, since workers may run elsewhere."""
    if "://" in uri or not uri:
        return uri
    path = os.path.expanduser(uri)
    if os.path.isabs(path):
        return path
    whole = os.path.normpath(f"{folder.root}/{path}")
    return whole if folder.is_local else str(folder.fs.unstrip_protocol(whole))


def _yaml_problem(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    words = getattr(error, "problem", None) or str(error)
    return f"{words} in line {mark.line + 1}" if mark is not None else words


def explained(
    place: object, error: ValidationError, of: type[BaseModel] = Recipe, page: str = "docs/recipe.md"
) -> UsageError:
    """A validation error in words: each wrong key by its place in the YAML, with did-you-mean.

    Args:
        place: what was read.
        error: what Pydantic says of it.
        of: what it should be.
        page: that explains its keys.
    """
    found = error.errors()
    # A list whose items are wrong has none left, which is no fault of its own.
    short = {item["loc"] for item in found if item["type"] == "too_short"}
    spoiled = {loc for loc in short for item in found if len(item["loc"]) > len(loc) and item["loc"][: len(loc)] == loc}
    wrong = [_wrong_key(of, item) for item in found if item["loc"] not in spoiled]
    return UsageError(place, "; ".join(wrong), f"{page} explains every key")


def _wrong_key(of: type[BaseModel], wrong: ErrorDetails) -> str:
    location, kind, value = wrong["loc"], wrong["type"], wrong.get("input")
    place = _place(location)
    if kind == "extra_forbidden":
        known = _keys_at(of, location[:-1])
        close = difflib.get_close_matches(str(location[-1]), known, n=1)
        hint = f", did you mean {close[0]!r}?" if close else f" (known: {', '.join(known)})" if known else ""
        return f"unknown key {place}{hint}"
    if kind == "missing":
        return f"{place} is missing"
    if kind in ("enum", "literal_error"):
        names = re.findall(r"'([^']*)'", wrong["ctx"]["expected"])
        close = difflib.get_close_matches(str(value), names, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        return f"{place} is {value!r}: {hint}known: {', '.join(names)}"
    words = wrong["msg"].removeprefix("Value error, ")
    words = {"string_pattern_mismatch": _pattern_words(value), "string_too_short": "must not be empty"}.get(kind, words)
    return f"{place}: {words}" if location else words


def _pattern_words(value: Any) -> str:
    if not str(value).strip():
        return "must not be empty"
    return f"{value!r} is no name: use lower-case letters, digits and _, a letter first"


def _place(location: Iterable[int | str]) -> str:
    """A place as people find it in a YAML file: `sources (number 1).uri`, since its lists carry no numbers."""
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f" (number {part + 1})"
        else:
            text += f".{part}" if text else part
    return text or "it"


def _keys_at(of: type[BaseModel], location: Iterable[int | str]) -> list[str]:
    """The keys that may stand at a place."""
    found: Any = of
    for part in location:
        if isinstance(part, int):
            continue
        if not _is_model(found) or part not in found.model_fields:
            return []
        found = _model_in(found.model_fields[part].annotation)
    return sorted(found.model_fields) if _is_model(found) else []


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model inside an annotation such as `tuple[SourceSpec, ...]` or `Model | None`."""
    if _is_model(annotation):
        return typing.cast(type[BaseModel], annotation)
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is not None:
        for inner in typing.get_args(annotation):
            if (model := _model_in(inner)) is not None:
                return model
    return None


def _is_model(thing: Any) -> bool:
    return isinstance(thing, type) and issubclass(thing, BaseModel)

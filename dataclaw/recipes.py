"""Recipes from the command line, and from YAML files with errors that say where."""

from __future__ import annotations

import difflib
import os
import re
import types
import typing
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from schemas.errors import UsageError, unknown_name
from schemas.recipe import Placement, Recipe, Sampling, SourceSpec, Synthesis
from schemas.stream import Domain


def is_recipe_file(inputs: Sequence[str], intents: Sequence[str]) -> bool:
    """Whether the arguments of `build` name a recipe: one .yaml or .yml file, and no intent beside it."""
    return len(inputs) == 1 and not intents and inputs[0].lower().endswith((".yaml", ".yml"))


def domain_named(name: str | None) -> Domain | None:
    """The domain of this name.

    Raises:
        UsageError: there is none; says which comes close.
    """
    if name is None:
        return None
    try:
        return Domain(name)
    except ValueError:
        raise unknown_name("domain", name, [item.value for item in Domain], "--domain") from None


def from_arguments(
    inputs: Sequence[str],
    intents: Sequence[str],
    out: str,
    *,
    name: str | None = None,
    domain: str | None = None,
    format: str | None = None,
    backend: str | None = None,
    rate: float | None = None,
    workers: int | None = None,
    catalog: str | None = None,
) -> Recipe:
    """A recipe for the inputs, intents and options of `dataclaw build`.

    Raises:
        UsageError: an option has a value that no recipe can have.
    """
    chosen = domain_named(domain)
    try:
        return Recipe(
            name=name or _name_of(out),
            corpus=_absolute(out, Path.cwd()),
            sources=tuple(SourceSpec(uri=_absolute(uri, Path.cwd()), domain=chosen, format=format) for uri in inputs),
            intents=tuple(intents),
            sampling=Sampling() if rate is None else Sampling(frame_rate=rate),
            synthesis=Synthesis() if backend is None else Synthesis(backend=backend),
            placement=Placement(extract_workers=workers, catalog=catalog),
        )
    except ValidationError as error:
        raise _explained("command line", error) from error


def load(path: str) -> Recipe:
    """Reads a recipe file. Relative paths in it are relative to the file, so that it works from any folder.

    Raises:
        UsageError: it cannot be read, is not YAML, or is no recipe; names every wrong key and its place.
    """
    file = Path(path)
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UsageError(path, "there is no such recipe", "Check the path; examples/ holds recipes") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(path, f"cannot be read: {error}", "Give the path of a YAML file in UTF-8") from error
    except yaml.YAMLError as error:
        raise UsageError(path, f"is not YAML: {_yaml_problem(error)}", "Mend it; docs/recipe.md shows one") from error
    if not isinstance(content, dict):
        raise UsageError(
            path, "holds no recipe", "Write keys such as name, corpus, sources, intents; see docs/recipe.md"
        )
    folder = file.resolve().parent
    if isinstance(content.get("corpus"), str):
        content["corpus"] = _absolute(content["corpus"], folder)
    for source in content.get("sources") or ():
        if isinstance(source, dict) and isinstance(source.get("uri"), str):
            source["uri"] = _absolute(source["uri"], folder)
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        raise _explained(path, error) from error


def _absolute(uri: str, folder: Path) -> str:
    """A URI as it is; a path made absolute from a folder, since workers may run elsewhere."""
    if "://" in uri or not uri:
        return uri
    return os.path.normpath(folder / Path(uri).expanduser())


def _name_of(out: str) -> str:
    """A recipe name from the place of the corpus: `/data/My Corpus` gives `my_corpus`."""
    words = re.sub(r"[^a-z0-9]+", "_", out.rstrip("/").rsplit("/", 1)[-1].lower()).strip("_")
    return words if words[:1].isalpha() else f"corpus_{words}".rstrip("_")


def _yaml_problem(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    words = getattr(error, "problem", None) or str(error)
    return f"{words} in line {mark.line + 1}" if mark is not None else words


def _explained(place: str, error: ValidationError) -> UsageError:
    """A validation error in words: each wrong key by its place in the YAML, with did-you-mean."""
    wrong = [_wrong_key(item["loc"], item["type"], item["msg"], item.get("input")) for item in error.errors()]
    return UsageError(place, "; ".join(wrong), "docs/recipe.md explains every key")


def _wrong_key(location: tuple[int | str, ...], kind: str, message: str, value: Any) -> str:
    place = _place(location)
    if kind == "extra_forbidden":
        known = _keys_at(location[:-1])
        close = difflib.get_close_matches(str(location[-1]), known, n=1)
        hint = f", did you mean {close[0]!r}?" if close else f" (known: {', '.join(known)})" if known else ""
        return f"unknown key {place}{hint}"
    if kind == "missing":
        return f"{place} is missing"
    if kind == "enum":
        names = [item.value for item in Domain]
        close = difflib.get_close_matches(str(value), names, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        return f"{place} is {value!r}: {hint}known: {', '.join(names)}"
    words = message.removeprefix("Value error, ")
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
    return text or "the recipe"


def _keys_at(location: Iterable[int | str]) -> list[str]:
    """The keys that may stand at a place of a recipe."""
    found: Any = Recipe
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

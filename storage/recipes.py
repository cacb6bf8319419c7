"""Recipes as files: YAML (or JSON, which YAML contains) at a path or URI."""

from __future__ import annotations

from os import PathLike

import yaml
from pydantic import ValidationError

from schemas.errors import CorpusError, UsageError
from schemas.recipe import Recipe
from storage.location import Location


def load_recipe(uri: str | PathLike[str]) -> Recipe:
    """Reads a recipe.

    Raises:
        UsageError: the file cannot be read, is not YAML, or is not a recipe; the message names every wrong field.
    """
    folder, _, name = Location.of(uri).root.rpartition("/")
    location = Location(Location.of(uri).fs, folder)
    try:
        text = location.read_bytes(name).decode("utf-8-sig")
        content = yaml.safe_load(text)
    except CorpusError as error:
        raise UsageError(uri, error.problem.cause, "Give the path of a recipe file") from error
    except UnicodeDecodeError as error:
        raise UsageError(uri, "is not text in UTF-8", "Give the path of a recipe file") from error
    except yaml.YAMLError as error:
        raise UsageError(
            uri, f"is not YAML: {error}", "Mend the file; examples/ holds recipes to start from"
        ) from error
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, item['loc'])) or 'recipe'}: {item['msg'].removeprefix('Value error, ')}"
            for item in error.errors()
        )
        raise UsageError(uri, f"is not a recipe: {wrong}", "Mend these fields; docs/ explains each") from error

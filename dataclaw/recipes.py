"""Recipes from the command line."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from pydantic import ValidationError

from schemas.errors import unknown_name
from schemas.recipe import ModelSpec, Placement, Recipe, Sampling, Serving, SourceSpec, Synthesis
from schemas.stream import Domain
from storage.recipes import explained, load_schema


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
    model: str | None = None,
    base_url: str | None = None,
    schema: str | None = None,
    group_by: str | None = None,
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
            corpus=_absolute(out),
            sources=tuple(
                SourceSpec(uri=_absolute(uri), domain=chosen, format=format, group_by=group_by) for uri in inputs
            ),
            intents=tuple(intents),
            sampling=Sampling() if rate is None else Sampling(frame_rate=rate),
            output_schema=None if schema is None else load_schema(schema),
            synthesis=Synthesis(backend=backend or "rules", model=None if model is None else ModelSpec(name=model)),
            placement=Placement(extract_workers=workers, catalog=catalog, serving=Serving(base_url=base_url)),
        )
    except ValidationError as error:
        raise explained("command line", error) from error


def _absolute(uri: str) -> str:
    """A URI as it is; a path made absolute, since workers may run elsewhere."""
    return uri if "://" in uri or not uri else os.path.abspath(os.path.expanduser(uri))


def _name_of(out: str) -> str:
    """A recipe name from the place of the corpus: `/data/My Corpus` gives `my_corpus`."""
    words = re.sub(r"[^a-z0-9]+", "_", out.rstrip("/").rsplit("/", 1)[-1].lower()).strip("_")
    return words if words[:1].isalpha() else f"corpus_{words}".rstrip("_")

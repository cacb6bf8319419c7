"""Keys of servers: from Prefect's secret blocks and this process's environment into the workers."""

from __future__ import annotations

import os

from prefect.blocks.system import Secret as SecretBlock

from schemas.errors import UsageError
from schemas.recipe import Recipe
from synthesis.backends.secret import BLOCK, Secret, Secrets


def secrets_of(recipe: Recipe) -> Secrets:
    """The key that the recipe's backend needs, if any; workers on other machines do not share our environment.

    Raises:
        UsageError: there is no such secret block.
    """
    if recipe.synthesis.model is None:
        return Secrets()
    reference = recipe.placement.serving.key
    variable = Secret(reference).variable
    if reference is None or not reference.startswith(BLOCK):
        key = os.environ.get(variable)
        return Secrets() if key is None else Secrets({variable: key})
    block = reference.removeprefix(BLOCK)
    try:
        found = SecretBlock.load(block)
    except ValueError as error:
        raise UsageError(
            f"placement.serving.key {reference}",
            f"Prefect has no secret block named {block!r}",
            "Make it in the UI under Blocks (type Secret), or name an environment variable instead.",
        ) from error
    assert isinstance(found, SecretBlock)  # outside of an event loop, load waits for the block
    return Secrets({variable: str(found.get())})

"""Every generation backend, loaded only when used. Plugins join by the entry point `dataclaw.backends`."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.metadata import entry_points

from schemas.errors import unknown_name
from synthesis.backends.base import Backend

BUILT_IN = {"rules": "synthesis.backends.rules:RulesBackend"}


@cache
def roster() -> dict[str, str]:
    """Names and import paths (`module:Class`) of every backend known, plugins included."""
    plugins = {point.name: point.value for point in entry_points(group="dataclaw.backends")}
    return plugins | BUILT_IN


def backend_class(name: str) -> type[Backend]:
    """The class of a backend; made without arguments.

    Raises:
        UsageError: no backend has this name.
    """
    if name not in roster():
        raise unknown_name("backend", name, roster())
    module, _, attribute = roster()[name].partition(":")
    loaded: type[Backend] = getattr(import_module(module), attribute)
    return loaded

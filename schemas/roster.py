"""A roster: names and what they stand for, loaded only when used. Plugins join by an entry point group."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from schemas.errors import UsageError, unknown_name


class Roster:
    """What is built in, and what installed packages add under `group`. A plugin cannot replace what is built in.

    `names` keeps the order of the built-in members, then that of plugins by name.
    """

    def __init__(self, what: str, group: str, built_in: Mapping[str, str]) -> None:
        self.what = what
        self.group = group
        self.built_in = dict(built_in)
        self._loaded: dict[str, Any] = {}

    @cached_property
    def places(self) -> dict[str, str]:
        """Import path (`module:attribute`) of every name."""
        plugins = sorted((point.name, point.value) for point in entry_points(group=self.group))
        return self.built_in | {name: value for name, value in plugins if name not in self.built_in}

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.places)

    def load(self, name: str) -> Any:
        """What a name stands for.

        Raises:
            UsageError: no member has this name, or a plugin's module cannot be imported.
        """
        if name not in self._loaded:
            if name not in self.places:
                raise unknown_name(self.what, name, self.places)
            module, _, attribute = self.places[name].partition(":")
            try:
                self._loaded[name] = getattr(import_module(module), attribute)
            except (ImportError, AttributeError) as error:
                raise UsageError(
                    f"{self.what} {name}",
                    f"{self.places[name]} cannot be loaded: {error}",
                    "Install what it needs, or take its package away",
                ) from error
        return self._loaded[name]

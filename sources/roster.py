"""The readers: built in ones by name, and those that plugins add through the entry point group `dataclaw.sources`."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import cast

from schemas.errors import unknown_name
from sources.base import Source

BUILT_IN = {
    "agentnet": "sources.agentnet:AgentNetSource",
    "lerobot": "sources.lerobot:LeRobotSource",
    "image_edits": "sources.image_edits:ImageEditSource",
    "drawings": "sources.drawings:DrawingsSource",
    "video": "sources.video:VideoSource",
    "images": "sources.images:ImageSource",
}
"""Name to import path, in the order in which they are asked whether a place is theirs: structured formats first."""


def names() -> list[str]:
    """Every known reader: built-in ones in the order of their claim, then plugins by name."""
    plugins = sorted(point.name for point in entry_points(group="dataclaw.sources"))
    return [*BUILT_IN, *(name for name in plugins if name not in BUILT_IN)]


@cache
def reader(name: str) -> Source:
    """The reader of a format.

    Raises:
        schemas.errors.UsageError: no reader has this name.
    """
    if name in BUILT_IN:
        module, _, attribute = BUILT_IN[name].partition(":")
        return cast(Source, getattr(import_module(module), attribute)())
    for point in entry_points(group="dataclaw.sources"):
        if point.name == name:
            return cast(Source, point.load()())
    raise unknown_name("format", name, names())

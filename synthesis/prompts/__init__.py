"""What models are told, as files: one folder per version. A published version is never edited: rows name it."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from string import Template

VERSION = "v2"


@cache
def template(name: str, version: str = VERSION) -> Template:
    """A prompt file with `$names` to fill in."""
    return Template((files(__package__) / version / f"{name}.txt").read_text(encoding="utf-8"))


def filled(name: str, **values: object) -> str:
    """A prompt. Values are put in as they are: a `$` in them stands for itself."""
    return template(name).substitute({key: str(value) for key, value in values.items()}).strip()

"""A server's key stays in the environment: what is stored, logged or sent between processes knows only its name."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

from schemas.errors import UsageError

_DEFAULT = "OPENAI_API_KEY"
BLOCK = "prefect:"
_PLACEHOLDER = 8
"""Keys shorter than this are those that local servers are given for form's sake (`EMPTY`, `none`): to blot them out
would blot out words."""
HIDDEN = "***"


def variable_of_block(block: str) -> str:
    """The environment variable in which workers find the value of a Prefect secret block.

    Names of blocks are lower-case letters, digits and dashes, so that two blocks never share a variable.
    """
    return f"DATACLAW_SECRET_{block.replace('-', '_').upper()}"


@dataclass(frozen=True)
class Secret:
    """Where a key is: the name of an environment variable. It is read at each use and held nowhere."""

    reference: str | None
    """As the recipe has it: a variable, `prefect:BLOCK`, or None for OPENAI_API_KEY when it is set."""

    @property
    def variable(self) -> str:
        if self.reference is None:
            return _DEFAULT
        if self.reference.startswith(BLOCK):
            return variable_of_block(self.reference.removeprefix(BLOCK))
        return self.reference

    def read(self) -> str:
        """The key; empty when the server needs none.

        Raises:
            UsageError: the variable that the recipe names is not set, or holds no key.
        """
        key = os.environ.get(self.variable, "").strip()
        if not key and self.reference is not None:
            remedy = f"Set it where the workers run, e.g. export {self.variable}=..."
            if self.reference.startswith(BLOCK):
                remedy = "The build reads it from the Prefect block: see that the block exists and is not empty."
            raise UsageError(
                f"placement.serving.key {self.reference}", f"the variable {self.variable} is not set", remedy
            )
        if not (key.isascii() and key.isprintable() and " " not in key):
            raise UsageError(
                f"placement.serving.key {self.variable}",
                "what it holds is no key: there are blanks or other characters in it that no header may carry",
                f"Set {self.variable} to the key alone.",
            )
        return key

    def hidden_in(self, text: str) -> str:
        """A text without the key, as it is and as URLs and JSON write it."""
        key = os.environ.get(self.variable, "").strip()
        if len(key) < _PLACEHOLDER:
            return text
        for form in (key, quote(key, safe=""), json.dumps(key)[1:-1]):
            text = text.replace(form, HIDDEN)
        return text


@dataclass(frozen=True)
class Secrets:
    """Keys on their way to workers, by the variable in which each is looked for. Shown nowhere."""

    values: Mapping[str, str] = field(default_factory=dict, repr=False)

    def install(self) -> None:
        """Puts them where :class:`Secret` looks."""
        os.environ.update(self.values)

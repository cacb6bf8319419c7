"""What kinds of anchors an expert can find, so that one that finds nothing is scored too."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from functools import cache
from types import ModuleType

from experts.base import Expert
from schemas.anchor import AnchorKind

_KIND = re.compile(r"[a-z_]+\.[a-z_]+")


@cache
def kinds_of(expert: type[Expert]) -> frozenset[str]:
    """The kinds that the code of an expert names: in its module and in those of the experts it derives from; where
    these name none, in the modules of its package that they import.

    An expert does not declare them, and what it happened to find would leave out what it has stopped finding.
    """
    bases = [base for base in expert.__mro__ if issubclass(base, Expert) and base is not Expert]
    modules = [sys.modules[base.__module__] for base in bases]
    named = frozenset(kind for module in modules for kind in _named(module))
    if named:
        return named
    package = expert.__module__.rpartition(".")[0]
    inner = {getattr(value, "__module__", "") for module in modules for value in vars(module).values()}
    near = sorted(name for name in inner if name and name.startswith(f"{package}.") and name != Expert.__module__)
    return frozenset(kind for name in near if name in sys.modules for kind in _named(sys.modules[name]))


def _named(module: ModuleType) -> set[str]:
    """Members of AnchorKind that a module's code uses, and texts that have the form of a plugin's own kind."""
    try:
        tree = ast.parse(inspect.getsource(module))
    except (OSError, TypeError):
        return set()  # a plugin may come without its source
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "AnchorKind":
            if node.attr in AnchorKind.__members__:
                found.add(AnchorKind[node.attr].value)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _KIND.fullmatch(node.value):
            found.add(node.value)
    return found

"""Errors a person can act on: each names the input, the cause and the remedy."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

import pyarrow as pa

from schemas.base import Contract
from schemas.redaction import redacted


class Problem(Contract):
    """What went wrong with one input, as it stands in the catalog and in reports."""

    input: str
    cause: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.input!r}: {self.words}"

    @property
    def words(self) -> str:
        """Cause and remedy, a sentence each."""
        return f"{self.cause}{'' if self.cause.endswith('?') else '.'} {self.remedy}"


class DataClawError(Exception):
    """Base of every error DataClaw raises on purpose. Shown without a traceback."""

    def __init__(self, input: object, cause: str, remedy: str) -> None:
        self.problem = Problem(input=redacted(str(input)), cause=redacted(cause.rstrip(".")), remedy=remedy)
        super().__init__(str(self.problem))

    def __reduce__(self) -> tuple[type[DataClawError], tuple[str, str, str]]:
        # Exceptions cross process borders in Ray; the default reduce would call __init__ with the message alone.
        return type(self), (self.problem.input, self.problem.cause, self.problem.remedy)


class UsageError(DataClawError):
    """The user asked for something that cannot be: exit code 2."""


class InputError(DataClawError):
    """An input cannot be read: it goes to the quarantine and the rest of the run goes on."""


class CorpusError(DataClawError):
    """The corpus, its catalog or its storage is not as it must be."""


class UnsuitedError(DataClawError):
    """An input is sound, but nothing asked of it can be made from it: filtered, with this reason."""


class NeedsModelError(UnsuitedError):
    """Facts alone do not make it: a backend with a model could. The prepared prompt goes into the rejects."""


def extra(name: str) -> str:
    """How to install the packages that a part of DataClaw needs besides the base."""
    return f"pip install 'dataclaw-factory[{name}]' (from a clone: '.[{name}]')"


def unknown_name(what: str, name: str, known: Iterable[str], input: object = "") -> UsageError:
    """An error for a name that is not on a roster, with did-you-mean."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"Did you mean {close[0]!r}? " if close else ""
    return UsageError(input or name, f"unknown {what} {name!r}", f"{hint}Known: {', '.join(names)}")


PROBLEM_SCHEMA = pa.schema([pa.field(name, pa.string(), False) for name in ("input", "cause", "remedy")])

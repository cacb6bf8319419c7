"""Which value of an output stands for which of the true one: objects by their keys, lists by optimal assignment."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from benchmark.metrics.forms import Form
from benchmark.metrics.likeness import likeness, plain
from schemas.sample_score import Comparison

Path = tuple[str | int, ...]


class Leaf(NamedTuple):
    """A value that is compared as a whole, where it stands; without a form where the schema has no place for it."""

    path: Path
    form: Form | None
    value: Any


@dataclass(slots=True)
class Pair:
    """A value of the true output and the one that stands for it."""

    true: Leaf
    got: Leaf
    comparison: Comparison
    score: float
    why: str

    @property
    def by_meaning(self) -> bool:
        """Whether only a comparison of what the texts mean says how alike they are. A name of one word means itself."""
        return (
            self.comparison is Comparison.TEXT
            and bool(self.why)
            and isinstance(self.got.value, str)
            and (" " in plain(self.true.value))
        )


class Alone(NamedTuple):
    """What stands on one side only: a value, an object or a whole list."""

    path: Path
    value: Any
    missing: bool
    """It is in the true output; otherwise in the given one."""


@dataclass(slots=True)
class AlignedList:
    """Two lists, and for the places of true items those of the items that stand for them, with how these align.

    The path of a list that is not there is None.
    """

    true_path: Path | None
    got_path: Path | None
    form: Form
    true: list[Any]
    got: list[Any]
    matches: dict[int, tuple[int, Alignment]]


@dataclass(slots=True)
class Alignment:
    """Each value of both sides exactly once: in a pair, or alone."""

    pairs: list[Pair] = field(default_factory=list)
    missing: list[Leaf] = field(default_factory=list)
    """True values that nothing stands for."""
    extra: list[Leaf] = field(default_factory=list)
    """Given values that stand for nothing."""
    alone: list[Alone] = field(default_factory=list)
    """Where these stand, in as few pieces as can be."""
    lists: list[AlignedList] = field(default_factory=list)
    """Those that the schema declares and that are not empty on both sides, outer ones first."""

    @property
    def shared(self) -> float:
        """Sum of the likeness of all pairs."""
        return sum(pair.score for pair in self.pairs)

    @property
    def size(self) -> int:
        """Number of values of both sides together."""
        return 2 * len(self.pairs) + len(self.missing) + len(self.extra)

    @property
    def likeness(self) -> float:
        """2 S / (T + G): S is the sum of the likeness of all pairs, T and G count the values of both sides."""
        return 2 * self.shared / self.size

    def add(self, other: Alignment) -> None:
        self.pairs += other.pairs
        self.missing += other.missing
        self.extra += other.extra
        self.alone += other.alone
        self.lists += other.lists


def align(form: Form | None, true: Any, got: Any, true_path: Path = (), got_path: Path = ()) -> Alignment:
    """Aligns two values of one place. Null and the empty list say no more than a key that is left out.

    Lists are aligned by the assignment of items to items (Kuhn 1955, as in scipy) whose values are most alike in sum,
    texts by the words that they share; of equally good ones that which moves items least.
    """
    shape = _shape(form, true)
    if true is None or got is None or _shape(form, got) is not shape:
        found = only(form, true, true_path, missing=True)
        found.add(only(form, got, got_path, missing=False))
    elif shape is dict:
        found = Alignment()
        for name in _names(form, true | got):
            sides = true.get(name), got.get(name)
            found.add(align(_property(form, name), *sides, (*true_path, name), (*got_path, name)))
    elif shape is list:
        found = _aligned_items(form, true, got, true_path, got_path)
    else:
        found = Alignment(pairs=[_pair(Leaf(true_path, form, true), Leaf(got_path, form, got))])
    return found


def only(form: Form | None, value: Any, path: Path = (), *, missing: bool) -> Alignment:
    """All of a value alone: `missing` when it is of the true output, extra when it is of the given one."""
    found = Alignment()
    _walk(found, form, value, path, missing)
    if found.size:
        found.alone.append(Alone(path, value, missing))
    return found


def _walk(found: Alignment, form: Form | None, value: Any, path: Path, missing: bool) -> None:
    shape = _shape(form, value)
    if shape is dict:
        for name in _names(form, value):
            _walk(found, _property(form, name), value[name], (*path, name), missing)
    elif shape is list:
        if value and form is not None:
            one = (
                AlignedList(path, None, form, value, [], {})
                if missing
                else AlignedList(None, path, form, [], value, {})
            )
            found.lists.append(one)
        for place, item in enumerate(value):
            _walk(found, form.item if form else None, item, (*path, place), missing)
    elif value is not None:
        (found.missing if missing else found.extra).append(Leaf(path, form, value))


def _shape(form: Form | None, value: Any) -> type | None:
    """dict or list for what is compared by its parts, None for a single value."""
    kind = type(value)
    return kind if kind in (dict, list) and (form is None or form.comparison(value) is None) else None


def _names(form: Form | None, value: dict[str, Any]) -> list[str]:
    return form.names(value) if form else sorted(value)


def _property(form: Form | None, name: str) -> Form | None:
    return form.property(name) if form else None


def _aligned_items(form: Form | None, true: list[Any], got: list[Any], true_path: Path, got_path: Path) -> Alignment:
    found = Alignment()
    item = form.item if form else None
    matches = _assigned(item, true, got, true_path, got_path)
    if (true or got) and form is not None:
        found.lists.append(AlignedList(true_path, got_path, form, true, got, matches))
    for place, value in enumerate(true):
        path = (*true_path, place)
        found.add(matches[place][1] if place in matches else only(item, value, path, missing=True))
    taken = {other for other, _ in matches.values()}
    for place, value in enumerate(got):
        if place not in taken:
            found.add(only(item, value, (*got_path, place), missing=False))
    return found


def _assigned(
    item: Form | None, true: list[Any], got: list[Any], true_path: Path, got_path: Path
) -> dict[int, tuple[int, Alignment]]:
    if not true or not got:
        return {}
    tried = [
        [align(item, one, other, (*true_path, i), (*got_path, j)) for j, other in enumerate(got)]
        for i, one in enumerate(true)
    ]
    gains = np.array([[alignment.shared for alignment in row] for row in tried])
    places = np.abs(np.arange(len(true))[:, None] / len(true) - np.arange(len(got))[None, :] / len(got))
    rows, columns = linear_sum_assignment(gains - _NEARER * places, maximize=True)
    return {int(i): (int(j), tried[i][j]) for i, j in zip(rows, columns, strict=True) if gains[i, j] > 0}


_NEARER = 1e-6
"""What a move over the whole list costs: less than any likeness that counts."""


def _pair(true: Leaf, got: Leaf) -> Pair:
    comparison = true.form.comparison(true.value) if true.form else None
    if true.form is None or comparison is None:
        return Pair(true, got, Comparison.CHOICE, 0.0, "not in the schema")
    score, why = likeness(comparison, true.form, true.value, got.value)
    pair = Pair(true, got, comparison, score, why)
    if pair.by_meaning:
        pair.score = _shared_words(true.value, got.value)
    return pair


def _shared_words(one: str, other: str) -> float:
    """Dice's coefficient of the words of two texts: cheap, and enough to tell which belong together."""
    first, second = _words(one), _words(other)
    total = first.total() + second.total()
    return 2 * (first & second).total() / total if total else 0.0


@lru_cache(maxsize=8192)
def _words(text: str) -> Counter[str]:
    return Counter(re.findall(r"\w+", plain(text)))


def sequences(alignment: Alignment) -> Iterator[AlignedList]:
    """The lists whose order tells something, and which stand in no other such list."""
    outer: list[AlignedList] = []
    for found in alignment.lists:
        inside = any(_within(found.true_path, one.true_path) or _within(found.got_path, one.got_path) for one in outer)
        if not inside and found.form.is_sequence(found.true or found.got):
            outer.append(found)
            yield found


def _within(path: Path | None, outer: Path | None) -> bool:
    return path is not None and outer is not None and path[: len(outer)] == outer

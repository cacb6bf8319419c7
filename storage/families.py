"""Families of streams: those that share a row, or look alike, and so must be on one side of the split."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from schemas.triplet import Split

Member = tuple[str, Split | None]
"""The family of a stream (the smallest SHA-256 in it) and its side, once it has one."""


class Families:
    """Some families, as far as they are known, and what joins make of them."""

    def __init__(self, known: Mapping[str, Member]) -> None:
        """`known`: streams that have a family. Every other stream is a family of its own when it first appears."""
        self._family_of = {stream: family for stream, (family, _) in known.items()}
        self._side_of = dict(known.values())
        self._before = dict(self._side_of)
        self._parent: dict[str, str] = {}
        self._new: list[str] = []

    def sides(self, streams: Iterable[str]) -> set[Split]:
        """The sides that the families of these streams have. More than one: nothing may join them."""
        sides = (self._side_of.get(self._root(self._family_of.get(stream, stream))) for stream in streams)
        return {side for side in sides if side is not None}

    def join(self, streams: Iterable[str]) -> None:
        """Makes one family of those that these streams belong to; they must not have two sides."""
        members = list(streams)
        sides = self.sides(members)
        if len(sides) > 1:
            raise ValueError("streams of two sides cannot be one family")
        for stream in members:
            if stream not in self._family_of:
                self._family_of[stream] = stream
                self._side_of.setdefault(stream, None)
                self._new.append(stream)
        roots = {self._root(self._family_of[stream]) for stream in members}
        head = min(roots)
        self._parent.update(dict.fromkeys(roots - {head}, head))
        self._side_of[head] = next(iter(sides), None)

    def new_members(self) -> dict[str, Member]:
        """Streams that had no family before, with theirs."""
        return {stream: self._member(stream) for stream in self._new}

    def moved(self) -> dict[str, Member]:
        """Families of before that are part of another one now, or have got a side, and what they are now."""
        now = {family: self._member(family) for family in self._before}
        return {family: member for family, member in now.items() if member != (family, self._before[family])}

    def _member(self, family: str) -> Member:
        root = self._root(family)
        return root, self._side_of[root]

    def _root(self, family: str) -> str:
        while family in self._parent:
            family = self._parent[family]
        return family

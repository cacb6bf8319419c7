"""Families of streams: what is joined stays joined, under one name and on one side, in whatever order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.triplet import Split
from storage.families import Families

STREAM = st.sampled_from("abcdefgh")
JOINS = st.lists(st.lists(STREAM, min_size=1, max_size=3), max_size=8)


@given(JOINS, st.randoms(use_true_random=False))
def test_families_do_not_depend_on_the_order_of_joins(joins: list[list[str]], chance: object) -> None:
    one, other = Families({}), Families({})
    for join in joins:
        one.join(join)
    shuffled = list(joins)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    for join in shuffled:
        other.join(join)
    assert one.new_members() == other.new_members()
    for join in joins:
        (family,) = {one.new_members()[stream] for stream in join}
        assert family == (min(s for s, member in one.new_members().items() if member == family), None)


def test_a_family_takes_the_side_that_one_of_its_parts_has() -> None:
    families = Families({"c": ("c", Split.VALIDATION), "d": ("c", Split.VALIDATION), "b": ("b", None)})
    families.join(["a", "d", "b"])
    assert families.sides(["b"]) == {Split.VALIDATION}
    assert families.new_members() == {"a": ("a", Split.VALIDATION)}
    assert families.moved() == {"c": ("a", Split.VALIDATION), "b": ("a", Split.VALIDATION)}


def test_nothing_joins_two_sides() -> None:
    families = Families({"a": ("a", Split.TRAIN), "b": ("b", Split.VALIDATION)})
    assert families.sides(["a", "b", "c"]) == {Split.TRAIN, Split.VALIDATION}
    with pytest.raises(ValueError, match="two sides"):
        families.join(["a", "b"])
    assert families.moved() == {}

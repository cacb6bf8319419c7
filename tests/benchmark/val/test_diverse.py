"""Shares over strata, and rows that are far from one another."""

from __future__ import annotations

import numpy as np

from benchmark.val.diverse import about, farthest, shared_out

NONE = np.empty((0, 0), np.float32)


def units(*degrees: float) -> np.ndarray:
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def test_strata_have_equal_shares_and_what_one_lacks_is_taken_of_the_others():
    assert shared_out({"a": 10, "b": 10}, 6) == {"a": 3, "b": 3}
    assert shared_out({"a": 1, "b": 10, "c": 10}, 7) == {"a": 1, "b": 3, "c": 3}
    assert shared_out({"a": 2, "b": 1}, 9) == {"a": 2, "b": 1}
    assert shared_out({}, 5) == {}


def test_each_point_is_the_farthest_from_those_before_it():
    points = units(0, 5, 90, 175, 180)
    side = ["right", "right", "up", "left", "left"]
    for seed in range(5):
        chosen = farthest(points, 3, NONE, np.random.default_rng(seed))
        assert sorted(side[place] for place in chosen) == ["left", "right", "up"]


def test_what_is_taken_already_is_kept_away_from():
    assert farthest(units(0, 10, 180), 1, units(5), np.random.default_rng(0)) == [2]


def test_no_point_is_chosen_twice_even_where_all_are_alike():
    assert sorted(farthest(units(7, 7, 7), 3, NONE, np.random.default_rng(0))) == [0, 1, 2]


def test_a_row_is_about_its_words_not_its_numbers():
    assert (
        about("Make it", '{"t0": 1.5, "steps": [{"text": "open the door"}, {"text": "go"}]}')
        == "Make it open the door go"
    )

"""The metrics on cases whose answer is known, and what holds for all of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.experts.labels.base import Label, Labels
from benchmark.experts.matching import match
from benchmark.experts.rules import rule_for
from benchmark.experts.scores import Tally, score
from benchmark.experts.words import words
from schemas.anchor import AnchorKind, FactualAnchor
from schemas.geometry import Box, Point

MOMENTS = [kind for kind in AnchorKind if rule_for(kind).timing == "begin"]


def found(
    kind: str,
    t0: float,
    t1: float | None = None,
    content: str = "",
    box: Box | None = None,
    point: Point | None = None,
    end_point: Point | None = None,
) -> FactualAnchor:
    return FactualAnchor(
        stream="a" * 64,
        t0=t0,
        t1=t0 if t1 is None else t1,
        kind=kind,
        content=content,
        box=box,
        point=point,
        end_point=end_point,
        expert="by_hand",
        version="1",
        confidence=1.0,
    )


def cuts(*times: float, **more: object) -> Labels:
    return Labels(AnchorKind.CUT, tuple(Label(time, time) for time in times), "by hand", **more)  # type: ignore[arg-type]


def test_precision_recall_and_f1_of_a_known_case() -> None:
    tally = score(cuts(1.0, 2.0, 3.0, 4.0), [found(AnchorKind.CUT, t) for t in (1.05, 2.0, 7.0)])
    assert (tally.precision, tally.recall) == (2 / 3, 2 / 4)
    assert tally.f1 == pytest.approx(2 * (2 / 3) * (1 / 2) / (2 / 3 + 1 / 2))
    assert tally.mean_off == pytest.approx(0.025)


def test_one_find_meets_one_label_and_one_label_one_find() -> None:
    near = score(cuts(1.0), [found(AnchorKind.CUT, t) for t in (0.95, 1.0, 1.05)])
    assert (near.matched, near.found) == (1, 3)
    apart = score(cuts(0.95, 1.0, 1.05), [found(AnchorKind.CUT, 1.0)])
    assert (apart.matched, apart.labels) == (1, 3)


def test_a_match_is_not_lost_to_a_greedy_choice() -> None:
    # The find at 1.09 is nearest to 1.1 and the only one that 1.15 can have.
    tally = score(cuts(1.1, 1.18), [found(AnchorKind.CUT, 1.02), found(AnchorKind.CUT, 1.09)])
    assert tally.matched == 2


def test_a_stream_that_is_known_to_have_none_counts_false_finds() -> None:
    tally = score(cuts(), [found(AnchorKind.CUT, 1.0)])
    assert (tally.precision, tally.recall, tally.f1) == (0.0, None, 0.0)
    nothing = score(cuts(), [])
    assert (nothing.precision, nothing.recall, nothing.f1) == (None, None, None)


def test_what_has_been_labelled_in_part_gives_recall_alone() -> None:
    tally = score(cuts(1.0, 2.0, complete=False), [found(AnchorKind.CUT, 1.0), found(AnchorKind.CUT, 9.0)])
    assert (tally.precision, tally.recall, tally.f1) == (None, 0.5, None)


def test_finds_outside_the_window_of_labels_are_neither_right_nor_wrong() -> None:
    tally = score(cuts(1.0, window=(0.0, 5.0)), [found(AnchorKind.CUT, 1.0), found(AnchorKind.CUT, 9.0)])
    assert (tally.found, tally.f1) == (1, 1.0)


def test_the_tolerance_of_the_source_of_labels_wins() -> None:
    assert score(cuts(1.0, tolerance=0.01), [found(AnchorKind.CUT, 1.05)]).matched == 0
    assert score(cuts(1.0, tolerance=0.06), [found(AnchorKind.CUT, 1.05)]).matched == 1


def test_a_cue_must_have_both_edges_and_every_letter() -> None:
    labels = Labels(AnchorKind.SUBTITLE, (Label(1.0, 3.0, "Pour the water."),), "by hand")
    for right, cue in (
        (1, found(AnchorKind.SUBTITLE, 1.05, 2.95, "Pour the water.")),
        (0, found(AnchorKind.SUBTITLE, 1.0, 2.5, "Pour the water.")),
        (0, found(AnchorKind.SUBTITLE, 1.0, 3.0, "Pour the water")),
    ):
        assert score(labels, [cue]).matched == right


def test_a_box_must_be_the_box() -> None:
    box = Box(x0=0.2, y0=0.2, x1=0.6, y1=0.6)
    labels = Labels(AnchorKind.EDIT_REGION, (Label(0.0, 1.0, box=box),), "by hand")
    half = found(AnchorKind.EDIT_REGION, 0.0, 1.0, box=Box(x0=0.2, y0=0.2, x1=0.6, y1=0.5))
    assert score(labels, [half]).mean_iou == pytest.approx(0.75)
    beside = found(AnchorKind.EDIT_REGION, 0.0, 1.0, box=Box(x0=0.6, y0=0.2, x1=1.0, y1=0.6))
    assert score(labels, [beside]).matched == 0


def test_a_swipe_may_have_its_ends_either_way_but_at_their_places() -> None:
    low, high = Point(x=0.5, y=0.8), Point(x=0.5, y=0.4)
    labels = Labels(AnchorKind.SWIPE, (Label(1.0, 1.0, point=low, end_point=high),), "by hand")
    assert score(labels, [found(AnchorKind.SWIPE, 1.0, point=high, end_point=low)]).matched == 1
    assert score(labels, [found(AnchorKind.SWIPE, 1.0, point=high, end_point=high)]).matched == 0


def test_words_are_counted_as_often_as_they_stand_and_where_they_stand() -> None:
    left = Box(x0=0.0, y0=0.0, x1=0.5, y1=0.5)
    inside, outside = Box(x0=0.1, y0=0.1, x1=0.4, y1=0.2), Box(x0=0.6, y0=0.6, x1=0.9, y1=0.7)
    label = Label(0.0, 0.0, "the red and the blue", left)
    labels = Labels(AnchorKind.SCREEN_TEXT, (label,), "by hand", complete=False, words_only=True)
    lines = [
        found(AnchorKind.SCREEN_TEXT, 0.0, 1.0, "The RED,", box=inside),
        found(AnchorKind.SCREEN_TEXT, 0.0, 1.0, "blue the", box=outside),
        found(AnchorKind.SCREEN_TEXT, 5.0, 6.0, "and the blue", box=inside),
    ]
    tally = score(labels, lines)
    assert (tally.read, tally.words) == (2, 5)
    assert tally.mean_iou == pytest.approx(inside.area / left.area)


def test_words_are_folded_and_made_whole() -> None:
    assert words("Sim-\nply  “TALKED”, of 3.5 litres") == ["simply", "talked", "of", "3.5", "litres"]


@given(st.sampled_from(list(AnchorKind)), st.lists(st.integers(0, 200), unique=True, min_size=1, max_size=30))
def test_what_is_found_exactly_as_labelled_scores_one(kind: AnchorKind, steps: list[int]) -> None:
    spans = [(step * 10.0, step * 10.0 + 4.0) for step in steps]
    labels = Labels(kind, tuple(Label(t0, t1, f"fact {t0}") for t0, t1 in spans), "by hand")
    tally = score(labels, [found(kind, t0, t1, f"fact {t0}") for t0, t1 in reversed(spans)])
    assert (tally.precision, tally.recall, tally.f1, tally.word_recall) == (1.0, 1.0, 1.0, 1.0)
    assert (tally.mean_off, tally.mean_span_iou) == (0.0, 1.0)


@given(st.sampled_from(list(AnchorKind)), st.lists(st.integers(0, 200), unique=True, min_size=1, max_size=30))
def test_what_is_found_beyond_the_tolerance_scores_nothing(kind: AnchorKind, steps: list[int]) -> None:
    shift = rule_for(kind).tolerance + 0.01
    labels = Labels(kind, tuple(Label(step * 10.0, step * 10.0, "") for step in steps), "by hand")
    tally = score(labels, [found(kind, step * 10.0 + shift) for step in steps])
    assert (tally.matched, tally.precision, tally.recall, tally.f1) == (0, 0.0, 0.0, 0.0)


@given(st.sampled_from(MOMENTS), st.lists(st.floats(0, 5), max_size=12), st.lists(st.floats(0, 5), max_size=12))
def test_counts_never_pass_what_there_is(kind: AnchorKind, truth: list[float], times: list[float]) -> None:
    tally = score(Labels(kind, tuple(Label(t, t) for t in truth), "by hand"), [found(kind, t) for t in times])
    assert tally.matched <= min(len(truth), len(times))
    assert all(rate is None or 0 <= rate <= 1 for rate in (tally.precision, tally.recall, tally.f1))
    # Swapping what is true with what was found swaps precision and recall.
    other = score(Labels(kind, tuple(Label(t, t) for t in times), "by hand"), [found(kind, t) for t in truth])
    assert other.matched == tally.matched


@given(st.lists(st.lists(st.integers(0, 5), unique=True, max_size=4), max_size=6))
def test_no_matching_is_larger(edges: list[list[int]]) -> None:
    def largest(label: int, taken: frozenset[int]) -> int:
        if label == len(edges):
            return 0
        ways = [1 + largest(label + 1, taken | {find}) for find in edges[label] if find not in taken]
        return max([largest(label + 1, taken), *ways])

    pairs = match(edges, 6)
    assert len(pairs) == largest(0, frozenset())
    assert len({label for label, _ in pairs}) == len({find for _, find in pairs}) == len(pairs)
    assert all(find in edges[label] for label, find in pairs)


def test_streams_are_added_up_by_their_counts() -> None:
    one, other = Tally(labels=9, matched=9, found=9, true=9, sought=9), Tally(labels=1, found=1, sought=1)
    assert (one + other).f1 == 0.9

"""Evidence selection shows what matters, once each, over the whole recording, within its budget."""

from __future__ import annotations

import pytest
from facts import FILM, SCREENS, anchor
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.anchor import AnchorKind
from synthesis.selection import REACH, Budget, select_anchors_for_prompt, select_moments


def shown(times: list[float], moments: list[float], reach: float = 0.5) -> float:
    """Share of the moments with a frame at most `reach` seconds after them."""
    return sum(any(0 <= time - moment <= reach for time in times) for moment in moments) / len(moments)


def uniform(t1: float, frames: int) -> list[float]:
    return [t1 * (place + 0.5) / frames for place in range(frames)]


def test_cuts_are_shown_where_uniform_sampling_misses_most() -> None:
    cuts = [1.7, 4.1, 9.9, 13.0, 29.2, 31.0, 47.7, 58.1]
    anchors = [anchor(AnchorKind.CUT, time, value=0.9) for time in cuts]
    ours = select_moments(anchors, 0.0, 60.0, Budget(frames=10))
    assert len(ours) == 10
    assert shown(ours, cuts) == 1.0
    assert shown(ours, cuts) >= 1.5 * shown(uniform(60.0, 10), cuts)


def test_one_frame_shows_what_happens_at_once() -> None:
    together = [anchor(kind, 5.0, 5.1) for kind in (AnchorKind.CUT, AnchorKind.SCREEN_CHANGE, AnchorKind.CLICK)]
    ours = select_moments(together, 0.0, 10.0, Budget(frames=3))
    assert sum(4.5 <= time <= 5.5 for time in ours) == 1


def test_quiet_stretches_are_seen_too() -> None:
    early = [anchor(AnchorKind.CUT, time / 10) for time in range(10)]
    ours = select_moments(early, 0.0, 100.0, Budget(frames=8))
    assert max(ours) > 60.0


def test_what_an_expert_doubts_comes_last() -> None:
    sure = [anchor(AnchorKind.CLICK, time) for time in (2.0, 6.0)]
    doubted = [anchor(AnchorKind.CLICK, time, confidence=0.1) for time in (4.0, 8.0)]
    ours = select_moments([*sure, *doubted], 0.0, 10.0, Budget(frames=2))
    assert shown(ours, [2.0, 6.0], REACH) == 1.0


@pytest.mark.parametrize("budget", [Budget(frames=0), Budget(frames=9, tokens=100, frame_tokens=256)])
def test_nothing_fits_into_no_budget(budget: Budget) -> None:
    assert select_moments(FILM, 0.0, 40.0, budget) == []


def test_tokens_bound_the_frames() -> None:
    assert len(select_moments(FILM, 0.0, 40.0, Budget(frames=16, tokens=1000, frame_tokens=256))) == 3


_TIMES = st.lists(st.floats(0, 100), max_size=40)


@settings(max_examples=60, deadline=None)
@given(_TIMES, st.integers(1, 20))
def test_moments_lie_in_the_stretch_in_order_within_the_budget(times: list[float], frames: int) -> None:
    anchors = [anchor(AnchorKind.SUBTITLE, time, time + 1) for time in times]
    ours = select_moments(anchors, 10.0, 90.0, Budget(frames=frames))
    assert ours == sorted(set(ours))
    assert len(ours) <= frames
    assert all(10.0 <= time <= 90.0 for time in ours)
    assert ours == select_moments(anchors[::-1], 10.0, 90.0, Budget(frames=frames))


def test_a_prompt_hears_every_kind_before_it_hears_one_at_length() -> None:
    chatty = [anchor(AnchorKind.SCREEN_TEXT, float(place), content="word " * 8) for place in range(100)]
    told = select_anchors_for_prompt([*chatty, *SCREENS], 400, lambda anchor: 12 + len(anchor.content))
    assert {a.kind for a in SCREENS} <= {a.kind for a in told}
    assert 400 - 52 < sum(12 + len(a.content) for a in told) <= 400

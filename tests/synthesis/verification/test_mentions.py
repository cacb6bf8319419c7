"""What prose names is claimed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.score import ClaimKind
from synthesis.verification.check import normalise, stands_in
from synthesis.verification.mentions import claims_in, find, quoted


@pytest.mark.parametrize(
    ("text", "times"),
    [
        ("From 0.0 s to 1.5 s.", (0.0, 1.5)),
        ("at 12s and 3 seconds", (12.0, 3.0)),
        ("At 1:02.5, then 1:02:03", (62.5, 3723.0)),
        ("at 2 min", (120.0,)),
        ("the 1980s, 12 ms, 5 steps, 16:9, version 1.2.3", ()),
        ('the clock says "1:14"', ()),
        ("at 1:14 pm", ()),
        ("between 3.0-5.0 s", (5.0,)),
    ],
)
def test_moments_are_found(text, times):
    assert find(text).times == times


def test_durations_and_quotes_are_found():
    named = find('It says "Hildy!" and “lord "of" all” for 2.5 s.')
    assert named.quotes == ("Hildy!", 'lord "of" all')
    assert named.durations == (2.5,)
    assert named.times == ()


@given(st.text(min_size=1).filter(lambda text: normalise(text).strip('"“” ')))
def test_a_quoted_text_is_found_again(text):
    (quote,) = find(f"It says {quoted(text)} at 1.0 s.").quotes
    assert normalise(quote) in normalise(text)
    assert find(f"It says {quoted(text)} at 1.0 s.").times == (1.0,)


def test_a_moment_must_be_one_that_its_record_gives():
    inside, outside = claims_in("at 1.0 s and 7.0 s", "/answer", None, moments=(1.1, 2.0))
    assert inside.items == outside.items == (1.1, 2.0)
    (alone,) = claims_in("at 1.0 s", "/answer", None)
    assert alone.t1 is None


def test_a_duration_is_the_length_of_its_passage():
    (claim,) = claims_in("stands still for 2.0 s", "/text", None, span=(3.0, 5.0))
    assert (claim.t0, claim.t1) == (3.0, 5.0)
    (claim,) = claims_in("stands still for 2.0 s", "/text", None)
    assert claim.t0 is None


def test_a_quote_is_claimed_in_its_window():
    (claim,) = claims_in('it says "x"', "/text", None, window=(1.0, 2.0))
    assert (claim.kind, claim.text, claim.t0, claim.t1) == (ClaimKind.QUOTE, "x", 1.0, 2.0)
    assert stands_in("x", "x y")

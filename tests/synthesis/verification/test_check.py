"""Claims against anchors: what is measured is supported, what is not says why."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.anchor import AnchorKind, FactualAnchor
from schemas.geometry import Box, Point
from schemas.score import Claim, ClaimKind, Support
from synthesis.verification.check import AnchorIndex, check, needed, normalise, stands_in

A, B = "a" * 64, "b" * 64


def anchor(kind: str, t0: float, t1: float | None = None, content: str = "", **rest: object) -> FactualAnchor:
    fields = {"stream": A, "expert": "test", "version": "1", "confidence": 1.0} | rest
    return FactualAnchor(kind=kind, t0=t0, t1=t0 if t1 is None else t1, content=content, **fields)


CUES = [
    anchor(AnchorKind.SUBTITLE, 0.0, 1.0, "Hildy!"),
    anchor(AnchorKind.SUBTITLE, 1.0, 2.0, "How are you?"),
    anchor(AnchorKind.SUBTITLE, 2.0, 4.0, "Tell me, is the lord of the universe in?"),
]
CUTS = [anchor(AnchorKind.CUT, t) for t in (3.0, 5.0, 9.0)]
SHOTS = [anchor(AnchorKind.SHOT, 0.0, 3.0, value=0), anchor(AnchorKind.SHOT, 3.0, 9.0, value=1)]
PLACES = [
    anchor(AnchorKind.TAP, 4.0, point=Point(x=0.5, y=0.5)),
    anchor(AnchorKind.ELEMENT, 4.0, 6.0, "Save", box=Box(x0=0.1, y0=0.1, x1=0.3, y1=0.2)),
    anchor(AnchorKind.DRAG, 7.0, 8.0, point=Point(x=0.1, y=0.9), end_point=Point(x=0.8, y=0.9)),
]
CLOCKS = [
    anchor(AnchorKind.CLOCK, 0.0, content="23:59", value=1439.0),
    anchor(AnchorKind.CLOCK, 0.0, content="0:01", value=1.0, stream=B),
]
INDEX = AnchorIndex(CUES + CUTS + SHOTS + PLACES + CLOCKS)


def verdict(kind: ClaimKind, **fields: object) -> Support:
    return check([Claim(path="/x", kind=kind, **fields)], INDEX)[0]


@pytest.mark.parametrize(
    ("fields", "supported"),
    [
        ({"t0": 0.2, "t1": 1.2}, True),
        ({"t0": 0.3, "t1": 1.0}, False),
        ({"t0": 0.0, "t1": 1.3}, False),
        ({"t0": 0.0, "t1": 1.0, "kinds": (AnchorKind.CUT,)}, False),
        ({"t0": 0.0, "t1": 1.0, "stream": B}, False),
        ({"t0": 0.0, "t1": 1.0, "text": "Hildy!"}, True),
        ({"t0": 0.0, "t1": 1.0, "text": "Hilda!"}, False),
        ({"t0": 6.1, "t1": 6.1, "kinds": (AnchorKind.SHOT,)}, True),
        ({"t0": 9.2, "t1": 9.2, "kinds": (AnchorKind.SHOT,)}, True),
        ({"t0": 9.3, "t1": 9.3, "kinds": (AnchorKind.SHOT,)}, False),
        ({"t0": 6.1, "kinds": (AnchorKind.SHOT,)}, False),
        ({"t0": 6.1, "t1": 6.1, "kinds": (AnchorKind.SHOT,), "whole": True}, False),
        ({"t0": 5.1, "t1": 5.1, "kinds": (AnchorKind.CUT,), "whole": True}, True),
        ({"t0": 8.9, "kinds": (AnchorKind.SHOT,)}, True),
        ({"t0": 5.2, "t1": 5.2, "kinds": (AnchorKind.CUT,)}, True),
        ({"t0": 5.2, "t1": 5.2, "kinds": (AnchorKind.CUT,), "items": (5.1,)}, True),
        ({"t0": 5.2, "t1": 5.2, "kinds": (AnchorKind.CUT,), "items": (3.0, 9.0)}, False),
        ({}, False),
    ],
)
def test_a_time_coincides_with_an_anchor_within_a_quarter_of_a_second(fields, supported):
    assert verdict(ClaimKind.TIME, **fields).supported is supported


def test_a_time_without_support_names_the_nearest():
    support = verdict(ClaimKind.TIME, t0=6.0, t1=6.0, kinds=(AnchorKind.CUT,))
    assert "video.cut at 6.00 s" in support.reason
    assert "begins at 5.00 s" in support.reason


def test_a_moment_cites_the_most_specific_anchor_around_it():
    cited = verdict(ClaimKind.TIME, t0=0.5, t1=0.5).anchors
    assert cited == (CUES[0].id,)


@pytest.mark.parametrize(
    ("fields", "supported"),
    [
        ({"text": "Hildy!", "t0": 0.0, "t1": 1.0}, True),
        ({"text": "hildy!", "t0": 0.0, "t1": 1.0}, False),
        ({"text": "Hildy!", "t0": 1.0, "t1": 2.0}, False),
        ({"text": "How are you?", "t0": 0.0, "t1": 1.0}, False),
        ({"text": "the lord  of\nthe universe"}, True),
        ({"text": "lord of the univers"}, False),
        ({"text": "ow are you?"}, False),
        ({"text": "Tell me", "t0": 3.9, "t1": 3.9}, True),
        ({"text": "Save"}, True),
        ({"text": "Save", "kinds": (AnchorKind.SUBTITLE,)}, False),
        ({"text": "23:59", "stream": A}, True),
        ({"text": ""}, False),
        ({"text": "  "}, False),
    ],
)
def test_a_quote_stands_verbatim_on_word_borders_in_its_time(fields, supported):
    assert verdict(ClaimKind.QUOTE, **fields).supported is supported


def test_a_quote_from_elsewhere_says_where_it_stands():
    assert "it stands at 0.00 s to 1.00 s" in verdict(ClaimKind.QUOTE, text="Hildy!", t0=5.0, t1=6.0).reason


def test_scripts_without_spaces_have_word_borders_everywhere():
    assert stands_in("几何", "这是几何课")
    assert not stands_in("geo", "geometry")


def test_no_text_stands_nowhere():
    assert not stands_in("", "geometry")
    assert not stands_in("", "")
    assert not verdict(ClaimKind.TIME, t0=0.0, t1=1.0, text=" ").supported


def test_composed_and_decomposed_letters_are_equal():
    assert normalise("cafe\u0301  noir") == "caf\u00e9 noir"


@pytest.mark.parametrize(
    ("fields", "supported"),
    [
        ({"box": Box(x0=0.1, y0=0.1, x1=0.3, y1=0.21)}, True),
        ({"box": Box(x0=0.1, y0=0.1, x1=0.3, y1=0.5)}, False),
        ({"box": Box(x0=0.1, y0=0.1, x1=0.3, y1=0.2), "t0": 6.2, "t1": 6.2}, True),
        ({"box": Box(x0=0.1, y0=0.1, x1=0.3, y1=0.2), "t0": 6.3, "t1": 6.3}, False),
        ({"box": Box(x0=0.1, y0=0.1, x1=0.3, y1=0.2), "text": "Save"}, True),
        ({"box": Box(x0=0.1, y0=0.1, x1=0.3, y1=0.2), "text": "Open"}, False),
        ({"point": Point(x=0.51, y=0.51)}, True),
        ({"point": Point(x=0.53, y=0.5)}, False),
        ({"point": Point(x=0.2, y=0.15)}, True),
        ({"point": Point(x=0.2, y=0.15), "kinds": (AnchorKind.TAP,)}, False),
        ({"point": Point(x=0.8, y=0.9), "kinds": (AnchorKind.DRAG,)}, True),
        ({}, False),
    ],
)
def test_a_place_is_a_measured_box_or_point(fields, supported):
    assert verdict(ClaimKind.BOX, **fields).supported is supported


@pytest.mark.parametrize(
    ("fields", "supported"),
    [
        ({"items": (3.0, 5.0, 9.0), "kinds": (AnchorKind.CUT,)}, True),
        ({"items": (5.0, 3.0, 9.0), "kinds": (AnchorKind.CUT,)}, False),
        ({"items": (3.0, 3.0), "kinds": (AnchorKind.CUT,)}, False),
        ({"items": (3.0, 6.0), "kinds": (AnchorKind.CUT,)}, False),
        ({"items": (3.0,), "kinds": (AnchorKind.CUT,)}, False),
        ({"items": (1439.0, 1441.0), "streams": (A, B), "kinds": (AnchorKind.CLOCK,)}, True),
        ({"items": (1.0, 1439.0), "streams": (B, A), "kinds": (AnchorKind.CLOCK,)}, True),
        ({"items": (1439.0, 1441.0), "streams": (B, A), "kinds": (AnchorKind.CLOCK,)}, False),
        ({"items": (1.0, 2.0), "streams": (A,)}, False),
    ],
)
def test_an_order_rises_strictly_through_measured_moments(fields, supported):
    assert verdict(ClaimKind.ORDER, **fields).supported is supported


@pytest.mark.parametrize(
    ("fields", "count"),
    [
        ({"kinds": (AnchorKind.CUT,)}, 3),
        ({"kinds": (AnchorKind.CUT,), "t0": 3.0, "t1": 9.0}, 2),
        ({"kinds": (AnchorKind.CUT,), "t0": 3.0005, "t1": 9.0005}, 2),
        ({"kinds": (AnchorKind.CUT,), "stream": B}, 0),
        ({"kinds": (AnchorKind.SUBTITLE,), "text": "you"}, 1),
        ({"kinds": ("text.*",), "t0": 1.0}, 2),
    ],
)
def test_a_count_counts_what_begins_in_its_window(fields, count):
    assert verdict(ClaimKind.COUNT, count=count, **fields).supported
    for wrong in (count - 1, count + 1):
        support = verdict(ClaimKind.COUNT, count=wrong, **fields)
        assert not support.supported
        assert f"there are {count}" in support.reason


def test_needed_anchors_give_the_same_verdicts_alone():
    claims = [
        Claim(path="/a", kind=ClaimKind.TIME, t0=0.0, t1=1.0),
        Claim(path="/b", kind=ClaimKind.COUNT, kinds=(AnchorKind.CUT,), count=3),
        Claim(path="/c", kind=ClaimKind.COUNT, kinds=(AnchorKind.CUT,), count=2),
        Claim(path="/d", kind=ClaimKind.BOX, point=Point(x=0.2, y=0.15)),
    ]
    kept = [INDEX.anchors[position] for position in needed(claims, INDEX)]
    assert len(kept) == 5
    assert check(claims, AnchorIndex(kept)) == check(claims, INDEX)


spans = st.tuples(st.integers(0, 200), st.integers(0, 40)).map(lambda pair: (pair[0] / 4, (pair[0] + pair[1]) / 4))


@given(st.lists(spans, min_size=1, max_size=30), spans)
def test_the_index_finds_what_a_plain_search_finds(measured, claimed):
    anchors = [anchor(AnchorKind.SHOT, t0, t1) for t0, t1 in measured]
    t0, t1 = claimed
    near = 0.25 + 1e-6
    if t0 == t1:
        expected = any(a.t0 - near <= t0 <= a.t1 + near for a in anchors)
    else:
        expected = any(abs(a.t0 - t0) <= near and abs(a.t1 - t1) <= near for a in anchors)
    claim = Claim(path="", kind=ClaimKind.TIME, t0=t0, t1=t1)
    assert check([claim], AnchorIndex(anchors))[0].supported is expected
    edge = Claim(path="", kind=ClaimKind.TIME, t0=t0)
    expected = any(min(abs(a.t0 - t0), abs(a.t1 - t0)) <= near for a in anchors)
    assert check([edge], AnchorIndex(anchors))[0].supported is expected


def test_two_thousand_claims_over_four_thousand_anchors_take_less_than_two_seconds():
    anchors = [anchor(AnchorKind.SUBTITLE, i / 2, i / 2 + 0.4, f"line number {i}") for i in range(4000)]
    claims = [
        Claim(path=f"/{i}", kind=kind, t0=i / 2, t1=i / 2 + 0.4, text=f"line number {i}", kinds=("text.subtitle",))
        for i in range(1000)
        for kind in (ClaimKind.TIME, ClaimKind.QUOTE)
    ]
    begin = time.process_time()
    supports = check(claims, AnchorIndex(anchors))
    assert time.process_time() - begin < 2.0
    assert all(support.supported for support in supports)

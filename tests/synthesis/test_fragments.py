"""Fragments of sessions find their order by clock, screen or text alone, and foreign ones are set aside."""

from __future__ import annotations

import json
from itertools import permutations

import pytest
from drawn_phone import Page, Session, measure, page

from schemas.errors import UnsuitedError
from schemas.outputs.gui_trajectory import GuiTrajectory, LinkBasis
from schemas.task_spec import Intent, TaskSpec
from synthesis.agents.gui_trajectory import GuiTrajectoryAgent
from synthesis.base import Evidence
from synthesis.verification.check import AnchorIndex, check

HOME = page("Friday 12 June", "Phone", "Messages", "Camera", "Gallery", seed=1)
SHOP = page("Corner Shop", "Deals of the day", "Your orders", seed=2)
SEARCH = page("Search products", "Recent searches", "Garden hose", seed=3, keyboard=True)
TYPED = page("walnut desk lamp", "walnut desk lamp brass", "walnut desk lamp led", seed=3, keyboard=True)
RESULTS = page("walnut desk lamp", "Walnut Desk Lamp Dimmable", "Oak floor light", "Price low to high", seed=4)
ITEM = page("Item details", "Walnut Desk Lamp Dimmable", "In stock", "Add to basket", seed=5)
BASKET = page("Your basket", "Added to basket", "One item", "Proceed to checkout", seed=6)
ADDRESS = page("Delivery address", "Maple Street", "Use this address", seed=7)
PAYMENT = page("Payment method", "Pay on delivery", "Place your order", seed=8)
THANKS = page("Thank you", "Order number 58213", "Track parcel", seed=9)
WEATHER = page("Weather today", "Sunny intervals", "Wind from the west", seed=10)
FORECAST = page("Ten day forecast", "Sunday showers", "Monday cloudy", seed=11)
CHAT = page("Anna Petrova", "See you at the station", "Train leaves at nine", seed=12)
ALBUM = page("Summer album", "Beach picnic", "Share these pictures", seed=13)


def compose(**sessions: Session) -> tuple[GuiTrajectory, list[str]]:
    """The trajectory of fragments, and what verification says against it."""
    agent = GuiTrajectoryAgent()
    measured = [measure(name, session) for name, session in sessions.items()]
    spec = TaskSpec(
        task_type="gui_trajectory",
        instruction="join",
        intent=Intent(text="join"),
        output_schema=agent.output_schema(),
        confidence=1.0,
        joins_streams=True,
    )
    streams = tuple(stream for stream, _ in measured)
    anchors = tuple(anchor for _, found in measured for anchor in found)
    output = agent.compose(Evidence(streams, anchors, spec))
    claims = agent.claims(json.loads(output.model_dump_json()), streams)
    verdicts = check(claims, AnchorIndex(anchors))
    return output, [f"{verdict.path}: {verdict.reason}" for verdict in verdicts if not verdict.supported]


def walk(*pages: Page, clock: str | None = None) -> Session:
    session = Session()
    for shown in pages[:-1]:
        session.see(shown, clock)
    return session.rest(pages[-1], clock)


def test_clocks_order_fragments_that_all_begin_at_home() -> None:
    output, wrong = compose(
        one=walk(HOME, ITEM, BASKET, clock="9:41"),
        two=walk(HOME, SHOP, SEARCH, TYPED, clock="9:39"),
        three=walk(HOME, RESULTS, clock="9:40"),
    )
    assert output.source_order == ("two", "three", "one")
    assert not wrong
    assert {fact.basis for link in output.links for fact in link.facts} >= {LinkBasis.CLOCK}


def test_a_clock_hours_away_sets_a_fragment_aside() -> None:
    output, wrong = compose(
        a=walk(HOME, WEATHER, FORECAST, clock="4:10"),
        b=walk(HOME, RESULTS, ITEM, BASKET, clock="9:41"),
        c=walk(HOME, SHOP, SEARCH, TYPED, RESULTS, clock="9:40"),
    )
    assert output.source_order == ("c", "b")
    assert [item.source for item in output.discarded] == ["a"]
    assert "4:10" in output.discarded[0].texts
    assert not wrong


def test_the_clock_goes_on_past_noon() -> None:
    output, wrong = compose(
        a=walk(HOME, ITEM, BASKET, clock="1:00"),
        b=walk(HOME, RESULTS, ITEM, clock="12:59"),
    )
    assert output.source_order == ("b", "a")
    assert not wrong


@pytest.mark.parametrize("names", list(permutations("abcd"))[::5])
def test_screens_alone_order_fragments_whatever_their_names(names: tuple[str, ...]) -> None:
    parts = {
        names[0]: walk(HOME, SHOP, RESULTS),
        names[1]: walk(RESULTS, ITEM, BASKET),
        names[2]: walk(BASKET, ADDRESS, PAYMENT),
        names[3]: walk(HOME, WEATHER, FORECAST),
    }
    output, wrong = compose(**dict(sorted(parts.items())))
    assert output.source_order == names[:3]
    assert [item.source for item in output.discarded] == [names[3]]
    assert not wrong
    bases = {fact.basis for link in output.links for fact in link.facts}
    assert LinkBasis.SCREEN in bases
    assert LinkBasis.CLOCK not in bases


def test_a_query_typed_in_one_is_the_header_of_the_next() -> None:
    output, wrong = compose(
        x=walk(HOME, ITEM, BASKET),
        y=walk(HOME, SHOP, SEARCH, TYPED),
        z=walk(HOME, RESULTS),
        foreign=walk(HOME, CHAT, ALBUM),
    )
    assert output.source_order == ("y", "z", "x")
    assert [item.source for item in output.discarded] == ["foreign"]
    assert not wrong
    facts = [fact for link in output.links for fact in link.facts]
    assert {fact.basis for fact in facts} == {LinkBasis.TEXT}
    assert any("walnut desk lamp" in fact.before.casefold() for fact in facts)


def test_two_fragments_are_enough() -> None:
    output, wrong = compose(p=walk(RESULTS, ITEM, BASKET), q=walk(HOME, SHOP, RESULTS))
    assert output.source_order == ("q", "p")
    assert not output.discarded
    assert not wrong


def test_six_fragments_of_which_three_are_foreign() -> None:
    output, wrong = compose(
        f1=walk(HOME, CHAT),
        f2=walk(BASKET, ADDRESS, PAYMENT),
        f3=walk(HOME, WEATHER, FORECAST),
        f4=walk(HOME, SHOP, RESULTS),
        f5=walk(HOME, ALBUM),
        f6=walk(RESULTS, ITEM, BASKET),
    )
    assert output.source_order == ("f4", "f6", "f2")
    assert {item.source for item in output.discarded} == {"f1", "f3", "f5"}
    assert not wrong


def test_stray_frames_at_the_end_mislead_nobody_where_a_clock_speaks() -> None:
    output, wrong = compose(
        a=walk(HOME, ITEM, BASKET, clock="9:41").stray(HOME, "9:40"),
        b=walk(HOME, RESULTS, clock="9:40").stray(SHOP, "9:38"),
        c=walk(SHOP, SEARCH, TYPED, clock="9:38").stray(CHAT, "3:05"),
        d=walk(CHAT, ALBUM, clock="3:05"),
    )
    assert output.source_order == ("c", "b", "a")
    assert [item.source for item in output.discarded] == ["d"]
    assert {item.source for item in output.omitted if "stray" in item.reason} == {"a", "b", "c"}
    assert not wrong
    assert all(step.action_time < 4.0 for step in output.steps if step.source == "a")


def test_stray_frames_mislead_nobody_where_only_text_speaks() -> None:
    # Each clip ends on the first frame of the next file: followed blindly they give a, b, c.
    output, wrong = compose(
        a=walk(ITEM, BASKET, ADDRESS).stray(RESULTS),
        b=walk(RESULTS, ITEM).stray(SHOP),
        c=walk(SHOP, SEARCH, TYPED).stray(WEATHER),
        d=walk(WEATHER, FORECAST),
    )
    assert output.source_order == ("c", "b", "a")
    assert [item.source for item in output.discarded] == ["d"]
    assert not wrong


def test_a_brief_last_frame_goes_on_in_the_next_fragment_where_nothing_speaks_against_it() -> None:
    def unmarked(*pages: Page) -> Session:
        session = Session()
        for shown in pages:
            session.see(shown, None, None)
        return session

    output, wrong = compose(
        a=unmarked(ITEM, BASKET, ADDRESS),
        b=unmarked(HOME, SHOP, RESULTS).stray(ITEM),
        c=unmarked(HOME, WEATHER, FORECAST),
    )
    assert output.source_order == ("b", "a")
    assert [item.source for item in output.discarded] == ["c"]
    assert not output.omitted
    assert not wrong


def test_a_stray_frame_at_the_beginning_is_left_out() -> None:
    output, wrong = compose(
        a=Session().stray(THANKS, "2:15").see(RESULTS, "9:41").see(ITEM, "9:41").rest(BASKET, "9:42"),
        b=walk(HOME, SHOP, RESULTS, clock="9:40"),
        c=walk(THANKS, ALBUM, clock="2:15"),
    )
    assert output.source_order == ("b", "a")
    assert any(item.source == "a" and item.time == 0.0 for item in output.omitted)
    assert not wrong


def test_recordings_without_anything_in_common_are_no_task() -> None:
    with pytest.raises(UnsuitedError, match="nothing ties"):
        compose(a=walk(WEATHER, FORECAST), b=walk(CHAT, ALBUM))


def test_a_home_screen_in_common_is_no_tie() -> None:
    with pytest.raises(UnsuitedError, match="nothing ties"):
        compose(a=walk(HOME, WEATHER, FORECAST), b=walk(HOME, CHAT, ALBUM), c=walk(HOME, THANKS))


def test_more_fragments_than_can_be_tried_in_every_order() -> None:
    words = ["alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliet", "kilo"]
    words += ["lima", "mike", "november"]
    pages = [
        page(f"Chapter {word}", f"Contents of {word} part", f"Page {word} ends", seed=20 + number)
        for number, word in enumerate(words)
    ]
    sessions = {f"part{(number * 5) % 13:02d}": walk(pages[number], pages[number + 1]) for number in range(13)}
    output, wrong = compose(**dict(sorted(sessions.items())))
    assert output.source_order == tuple(sessions)
    assert not wrong

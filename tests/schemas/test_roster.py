"""A roster finds members by name, and lets packages add to it without letting them replace anything."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from schemas import roster as module
from schemas.errors import UsageError
from schemas.roster import Roster


def colours(monkeypatch: pytest.MonkeyPatch, **plugins: str) -> Roster:
    points = [EntryPoint(name, value, "dataclaw.colours") for name, value in plugins.items()]
    monkeypatch.setattr(module, "entry_points", lambda group: points if group == "dataclaw.colours" else [])
    return Roster("colour", "dataclaw.colours", {"red": "math:pi", "blue": "math:e"})


def test_members_keep_their_order_and_plugins_come_after_them(monkeypatch: pytest.MonkeyPatch) -> None:
    roster = colours(monkeypatch, yellow="math:tau", green="math:inf")
    assert roster.names == ("red", "blue", "green", "yellow")
    assert roster.load("yellow") == pytest.approx(6.2831853)


def test_a_plugin_cannot_replace_what_is_built_in(monkeypatch: pytest.MonkeyPatch) -> None:
    assert colours(monkeypatch, red="math:tau").load("red") == pytest.approx(3.1415926)


def test_an_unknown_name_says_which_was_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"unknown colour 'bleu'.*Did you mean 'blue'"):
        colours(monkeypatch).load("bleu")


@pytest.mark.parametrize("place", ["no_such_module:thing", "math:no_such_thing"])
def test_a_plugin_that_cannot_be_loaded_is_named(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    with pytest.raises(UsageError, match=r"colour broken.*cannot be loaded"):
        colours(monkeypatch, broken=place).load("broken")

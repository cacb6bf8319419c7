"""The words in which temporal questions speak of events, so that what is written can be read back and checked.

An event said or shown is named by its words in quotation marks, every other event by its kind and its number among its
kind (`hard cut number 2`, counted from 1 over the recording).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from schemas.anchor import AnchorKind

NOUNS = {
    "hard cut": (AnchorKind.CUT,),
    "dissolve": (AnchorKind.DISSOLVE,),
    "screen change": (AnchorKind.SCREEN_CHANGE,),
    "screen return": (AnchorKind.SCREEN_RETURN,),
    "scroll": (AnchorKind.SCROLL, AnchorKind.WHEEL),
    "tap": (AnchorKind.TAP,),
    "swipe": (AnchorKind.SWIPE,),
    "click": (AnchorKind.CLICK,),
    "double click": (AnchorKind.DOUBLE_CLICK,),
    "right click": (AnchorKind.RIGHT_CLICK,),
    "drag": (AnchorKind.DRAG,),
    "key press": (AnchorKind.HOTKEY,),
    "gripper closing": (AnchorKind.GRIPPER_CLOSE,),
    "gripper opening": (AnchorKind.GRIPPER_OPEN,),
    "contact": (AnchorKind.CONTACT,),
    "joint reversal": (AnchorKind.JOINT_REVERSAL,),
    "joint standstill": (AnchorKind.JOINT_STALL,),
    "reversal of motion": (AnchorKind.REVERSAL,),
    "standstill": (AnchorKind.STALL,),
    "back-and-forth motion": (AnchorKind.OSCILLATION,),
    "camera motion": (AnchorKind.CAMERA,),
    "subtitle line": (AnchorKind.SUBTITLE,),
    "line on screen": (AnchorKind.SCREEN_TEXT,),
    "typed text": (AnchorKind.TYPING,),
}
"""Noun and the kinds of anchors it stands for. The quoted ones are the last three."""
QUOTED = {
    AnchorKind.SUBTITLE: "subtitle line",
    AnchorKind.SCREEN_TEXT: "line on screen",
    AnchorKind.TYPING: "typed text",
}
_PLURALS = {
    "key press": "key presses",
    "reversal of motion": "reversals of motion",
    "back-and-forth motion": "back-and-forth motions",
    "line on screen": "lines on screen",
    "typed text": "typed texts",
}


def plural(noun: str) -> str:
    return _PLURALS.get(noun, noun + "s")


# Longest first: "double click" before "click", "joint standstill" before "standstill".
_BY_LENGTH = sorted(NOUNS, key=len, reverse=True)
_ANY = "|".join(re.escape(form) for noun in _BY_LENGTH for form in (plural(noun), noun))
_NOUN_OF = {form: noun for noun in NOUNS for form in (noun, plural(noun))}
_ONLY = re.compile(rf"\bonly (?P<noun>{_ANY})\b", re.IGNORECASE)
_REFERENCE = re.compile(
    rf"\"(?P<straight>[^\"]*)\"|“(?P<curly>[^”]*)”|\b(?P<noun>{_ANY})\b(?: number (?P<number>\d+))?", re.IGNORECASE
)


@dataclass(frozen=True)
class Reference:
    """Something a text speaks of: a quote, or a noun with or without its number."""

    quote: str | None = None
    noun: str | None = None
    number: int | None = None

    @property
    def kinds(self) -> tuple[str, ...]:
        return NOUNS[self.noun] if self.noun is not None else ()


def references(text: str) -> list[Reference]:
    """What a text speaks of, in its order. Nouns inside quotes are words, not events."""
    found = []
    for match in _REFERENCE.finditer(text):
        if match["noun"] is None:
            found.append(Reference(quote=match["straight"] if match["straight"] is not None else match["curly"]))
        else:
            number = int(match["number"][:9]) if match["number"] is not None else None
            found.append(Reference(noun=_NOUN_OF[match["noun"].lower()], number=number))
    return found


def named(text: str) -> list[Reference]:
    """The references that single out an event: quotes and numbered nouns."""
    return [reference for reference in references(text) if reference.quote is not None or reference.number is not None]


def only(text: str) -> list[Reference]:
    """Nouns of which the text says that there is one (`the only hard cut`)."""
    return [Reference(noun=_NOUN_OF[match["noun"].lower()]) for match in _ONLY.finditer(text)]


def kinds_of(text: str) -> tuple[str, ...]:
    """The kinds that the first noun of a text stands for; none when it has no noun."""
    return next((reference.kinds for reference in references(text) if reference.noun is not None), ())

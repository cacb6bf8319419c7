"""What an intent says of the world its streams come from, where nobody named the domain."""

from __future__ import annotations

import re
from collections.abc import Iterable

from schemas.stream import Domain
from sources.base import Candidate
from sources.roster import reader

_WORDS = {
    Domain.EDUCATION: "lesson lessons lecture lectures teaching tutoring tutor classroom course whiteboard",
    Domain.GUI: "gui mobile phone app desktop browser screencast smartphone clicks taps",
    Domain.EMBODIED: "robot robots robotic gripper embodied manipulation teleoperation",
    Domain.AIGC: "edit edits editing drawing drawings generated generation",
}
"""Words that a person uses of one domain and hardly of another."""


_ANY_WORLD = ("video", "images", "webdataset")
"""Formats that do not tell what world a stream comes from."""


def domain_of(candidate: Candidate, named: Domain | None, intents: Iterable[str]) -> Domain:
    """The domain that was named; else the one the intents speak of, where the format leaves it open; else the
    format's own."""
    said = domain_said(intents) if candidate.format in _ANY_WORLD else None
    return named or said or reader(candidate.format).default_domain


def domain_said(intents: Iterable[str]) -> Domain | None:
    """The one domain whose words the intents use; None when they use those of none, or of several."""
    said = {word for text in intents for word in re.findall(r"[a-z]+", text.lower())}
    found = [domain for domain, words in _WORDS.items() if said & set(words.split())]
    return found[0] if len(found) == 1 else None

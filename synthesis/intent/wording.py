"""A sentence taken apart: what it asks, what it refuses, and what it only tells of the input."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from synthesis.intent.meaning import whole_words

_NOT_ONLY = re.compile(r"\bnot (?:only|just)\b")
_REFUSAL = re.compile(
    r"\b(?:no|not|without|never|don't|do not|doesn't|avoid|except(?: for)?|instead of|rather than|nothing like"
    r"|(?<=anything )but|(?<=everything )but|(?<=all )but)\b"
    r"(?:(?!\b(?:but|just|only|please (?:make|give|write))\b)[^,.;:!?])*"
)
_TELLING = re.compile(
    r"^(?:(?:this|these|those|it|here|attached|that)(?: (?:is|are|was|were|comes?|shows?)|'s)"
    r"|(?:i|we)(?:'ve| have| recorded| filmed| got| made| shot))\b[^.,;:!?]*[.,;:!?](?=.*\w)"
)
_SOURCE = re.compile(
    r"\b(?:this|these|those|my|our)\b(?: (?!to\b|into\b|as\b|and\b|or\b|for\b|with\b|in\b|on\b|of\b|from\b|is\b|are\b"
    r"|so\b|that\b|which\b|what\b|please\b|teaches\b|should\b|must\b|has\b|have\b)[\w'-]+){1,4}"
)
_LEAST_LETTERS = 5
_ALIKE = 0.85


@dataclass(frozen=True)
class Wording:
    """Strings of one length: where a word belongs to another part, each has blanks."""

    asked: str
    """What is wanted, and all that is neither of the others."""
    told: str
    """What is said of the input."""
    refused: str

    @property
    def meant(self) -> str:
        """The sentence without its refusals, for comparison by meaning."""
        return " ".join(_overlaid(self.asked, self.told).split())

    @property
    def unrefused(self) -> str:
        return _overlaid(self.asked, self.told)


def one_line(text: str) -> str:
    """A text as rules read it: lower-cased, straight quotes, single spaces."""
    return " ".join(text.lower().replace("’", "'").replace("‘", "'").split())


def mended(sentence: str, known: frozenset[str], right: str = "") -> tuple[str, list[str]]:
    """The sentence with typing errors of the trade's words put right, and what was taken for what. Words of `right`
    are as they should be."""
    taken: dict[str, str] = {}
    for word in re.findall(rf"\b[a-z]{{{_LEAST_LETTERS},}}\b", sentence):
        if word not in known and word not in right and word not in whole_words():
            close = difflib.get_close_matches(word, known, n=1, cutoff=_ALIKE)
            if close:
                taken[word] = close[0]
    for word, meant in taken.items():
        sentence = re.sub(rf"\b{word}\b", meant, sentence)
    return sentence, [f'"{word}" is read as "{meant}"' for word, meant in taken.items()]


def take_apart(sentence: str) -> Wording:
    """The parts of a lower-cased sentence."""
    sentence = _NOT_ONLY.sub(lambda match: " " * len(match.group()), sentence)
    refused = [match.span() for match in _REFUSAL.finditer(sentence)]
    told = [match.span() for pattern in (_TELLING, _SOURCE) for match in pattern.finditer(sentence)]
    return Wording(
        asked=_blanked(sentence, [*refused, *told]),
        told=_blanked(_only(sentence, told), refused),
        refused=_only(sentence, refused),
    )


def _blanked(sentence: str, spans: Iterable[tuple[int, int]]) -> str:
    for start, end in spans:
        sentence = f"{sentence[:start]}{' ' * (end - start)}{sentence[end:]}"
    return sentence


def _only(sentence: str, spans: Iterable[tuple[int, int]]) -> str:
    kept = [" "] * len(sentence)
    for start, end in spans:
        kept[start:end] = sentence[start:end]
    return "".join(kept)


def _overlaid(one: str, other: str) -> str:
    return "".join(a if a != " " else b for a, b in zip(one, other, strict=True))

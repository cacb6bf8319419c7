"""A sentence read once, whatever the input: its parts, its nearness to each form, whether it was understood."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from synthesis.intent.constraints import read_wishes
from synthesis.intent.forms import Form
from synthesis.intent.languages import foreign_language
from synthesis.intent.meaning import similarities, whole_words
from synthesis.intent.naming import Mention, mentions, words_found
from synthesis.intent.wording import Wording, mended, one_line, take_apart

KNOWN_NEAR = 0.4
"""A sentence this near to the examples of some form is one of the trade."""

_REQUEST = (
    r"data(?:sets?)?|samples?|train\w*|tun(?:e|ing)|fine-?tun\w*|post-?training|sft|anything|everything|something|whatever|useful"
    r"|annotat\w*|label\w*|corpus|examples|however you|learn\w*|improve|better|smarter|process"
    r"|(?:make|do|use|build|get|give|turn|take|try|help)\b[^.?!]* "
    r"(?:this|these|it|them|recordings?|videos?|films?|clips?)"
    r"|what can you (?:do|make)|assistant|for (?:\w+ )?research"
)
"""Words of somebody who asks for data without saying which."""


@dataclass(frozen=True)
class Reading:
    """What a sentence says, apart from any input. Shared between calls: read it, never change it."""

    sentence: str
    """Lower-cased, with its typing errors mended."""
    wording: Wording
    asked: tuple[Mention, ...]
    refused: tuple[Mention, ...]
    hints: Mapping[str, tuple[str, ...]]
    """Words that go with each form."""
    joins: Mapping[str, tuple[str, ...]]
    nearness: Mapping[str, float]
    """Likeness in meaning to each form, in [-1, 1]."""
    requests: bool
    """It asks for something in words of the trade."""
    foreign: str | None
    """The language it is written in, where that is not English."""
    notes: tuple[str, ...]

    @property
    def understood(self) -> bool:
        return bool(self.asked) or self.requests or max(self.nearness.values(), default=0.0) >= KNOWN_NEAR


@lru_cache(maxsize=256)
def read(text: str, forms: tuple[Form, ...]) -> Reading:
    """Reads a sentence. Cached, so that a sentence about thousands of streams is embedded once.

    Raises:
        synthesis.intent.constraints.ClashError: bounds in it exclude each other.
    """
    known = _trade_words(forms)
    plain = one_line(text)
    sentence, notes = mended(plain, known, right=" ".join(mention.words for mention in mentions(plain, forms)))
    rest = read_wishes(sentence, nouns=_nouns(forms)).rest
    wording = take_apart(rest)
    return Reading(
        sentence=sentence,
        wording=wording,
        asked=tuple(mentions(wording.asked, forms)),
        refused=tuple(mentions(wording.refused, forms)),
        hints={form.task_type: tuple(words_found(form.rule.hints, wording.unrefused)) for form in forms},
        joins={form.task_type: tuple(words_found(form.rule.joins, wording.unrefused)) for form in forms},
        nearness=_nearness(wording.meant, forms),
        requests=re.search(rf"\b(?:{_REQUEST})\b", wording.meant) is not None,
        foreign=foreign_language(re.findall(r"[^\W\d_]+(?:'[^\W\d_]+)?", rest), known),
        notes=tuple(notes),
    )


def _nearness(sentence: str, forms: Sequence[Form]) -> dict[str, float]:
    """The mean of the two nearest examples of each form, its instruction being one too: the nearest alone would favour
    forms with many examples."""
    if not sentence:
        return {form.task_type: 0.0 for form in forms}
    return {
        form.task_type: float(np.sort(similarities(sentence, (*form.rule.examples, form.rule.instruction)))[-2:].mean())
        for form in forms
    }


@lru_cache(maxsize=4)
def _trade_words(forms: tuple[Form, ...]) -> frozenset[str]:
    """Words of the forms' names, examples and instructions: what a typing error may have meant."""
    texts = [text for form in forms for text in (form.rule.instruction, *form.rule.examples)]
    literals = {word for form in forms for name in form.rule.names for word in re.findall(r"[a-z]+", name)}
    words = {*re.findall(r"[a-z]+", " ".join(texts).lower()), *(literals & whole_words())}
    return frozenset(word for word in words if len(word) > 3)


def _nouns(forms: Sequence[Form]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(noun for form in forms for noun in form.parts))

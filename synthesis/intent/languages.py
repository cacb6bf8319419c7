"""Languages by name, and whether a sentence is English."""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import Any

_CODES = {
    "arabic": "ar",
    "bengali": "bn",
    "bulgarian": "bg",
    "catalan": "ca",
    "chinese": "zh",
    "croatian": "hr",
    "czech": "cs",
    "danish": "da",
    "dutch": "nl",
    "english": "en",
    "estonian": "et",
    "finnish": "fi",
    "french": "fr",
    "german": "de",
    "greek": "el",
    "hebrew": "he",
    "hindi": "hi",
    "hungarian": "hu",
    "indonesian": "id",
    "italian": "it",
    "japanese": "ja",
    "korean": "ko",
    "latvian": "lv",
    "lithuanian": "lt",
    "mandarin": "zh",
    "norwegian": "no",
    "persian": "fa",
    "polish": "pl",
    "portuguese": "pt",
    "romanian": "ro",
    "russian": "ru",
    "slovak": "sk",
    "slovenian": "sl",
    "spanish": "es",
    "swedish": "sv",
    "thai": "th",
    "turkish": "tr",
    "ukrainian": "uk",
    "urdu": "ur",
    "vietnamese": "vi",
}
_OWN_NAMES = {"deutsch": "de", "français": "fr", "francais": "fr", "español": "es", "espanol": "es", "italiano": "it"}
LANGUAGE = rf"(?:{'|'.join([*_CODES, *_OWN_NAMES])})"
"""The name of a language, in English or in a few of their own."""

_NAMES = {code: name.capitalize() for name, code in _CODES.items() if name != "mandarin"}
_EVERYDAY_WORDS = (
    "a about all an and any anything are as ask at be before by can could data do each everything find for from get "
    "give has have help how i i'd i'm in into is it its just like make me more my need no not of on only or other our "
    "please should some something such than that the their them then there these they this those to train training "
    "turn up use useful want was we what when where which who why will with without would write you your"
)
_EVERYDAY = frozenset(_EVERYDAY_WORDS.split())
_LEAST_SURE = 0.5


def code_of(name: str) -> str:
    """ISO 639-1 of a match of LANGUAGE."""
    return (_CODES | _OWN_NAMES)[name]


def name_of(code: str) -> str:
    """The English name of a language; its code where no name is known."""
    return _NAMES.get(code, code)


def foreign_language(words: list[str], known: frozenset[str]) -> str | None:
    """The language of a sentence that is not English, by its English name; None when it may be English.

    Short sentences are hard to tell, so everyday English words and those of the trade (`known`) are asked first.
    """
    letters = [letter for word in words for letter in word if letter.isalpha()]
    if not letters:
        return None
    latin = sum(unicodedata.name(letter, "").startswith("LATIN") for letter in letters)
    if latin < 0.7 * len(letters):
        return _told_language(" ".join(words)) or "a language in another script"
    english = sum(word in _EVERYDAY or word in known for word in words)
    if 2 * english >= len(words) or len(words) < 3:
        return None
    return _told_language(" ".join(words))


def _told_language(text: str) -> str | None:
    language, sure = _identifier().classify(text)
    return None if language == "en" or sure < _LEAST_SURE else name_of(language)


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    # Rare languages win on short sentences by chance.
    identifier.set_languages(sorted(set(_CODES.values()) & set(identifier.labels)))
    return identifier

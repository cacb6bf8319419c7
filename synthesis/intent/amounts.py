"""Numbers and times as people write them."""

from __future__ import annotations

import re

_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty"
)
_WORDS = {word: value for value, word in enumerate(_SMALL.split())} | {
    "thirty": 30,
    "forty": 40,
    "fifty": 50,
    "sixty": 60,
    "ninety": 90,
    "hundred": 100,
    "a hundred": 100,
    "one hundred": 100,
    "two hundred": 200,
    "half a dozen": 6,
    "a dozen": 12,
    "dozen": 12,
    "two dozen": 24,
}
NUMBER = rf"(?:\d{{1,6}}|{'|'.join(sorted(_WORDS, key=len, reverse=True))})"
"""A whole number in digits or words; `a few` is none."""

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
TIME = (
    rf"(?:\d+:\d\d(?::\d\d)?|(?:\d+(?:\.\d+)?|{NUMBER}) ?(?:seconds?|secs?|minutes?|mins?|hours?|hrs?|[smh])\b"
    rf"|(?:minute|second) {NUMBER})"
)
"""`1:30`, `0:01:30`, `90 s`, `two minutes`, `minute 3`."""


def number_in(text: str) -> int:
    """The number that a match of NUMBER stands for."""
    return int(text) if text.isdigit() else _WORDS[text]


def seconds_in(text: str) -> float:
    """The seconds that a match of TIME stands for."""
    if ":" in text:
        total = 0.0
        for part in text.split(":"):
            total = total * 60 + int(part)
        return total
    text = re.sub(r"half an?\b", "0.5", text)
    unit = re.search(r"seconds?|secs?|minutes?|mins?|hours?|hrs?|[smh]\b", text)
    amount = re.search(rf"\d+(?:\.\d+)?|{NUMBER}", text)
    if unit is None or amount is None:
        raise ValueError(f"no time: {text!r}")
    value = float(amount.group()) if amount.group()[0].isdigit() else float(_WORDS[amount.group()])
    return value * _UNITS[unit.group()[0]]

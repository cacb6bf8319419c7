"""Times and quotes in free text: prose asserts too, so what it names is claimed like everything else.

The patterns are strict, and the agents write to them:

- a moment: `12.3 s`, `12 seconds`, `2 min`, `1:02.5`, `1:02:03`;
- a duration: `for 12.3 s`, the length of the stretch that the passage is about;
- a quote: words in double quotation marks, straight or curly.

What stands inside a quote is not looked at again: a clock in quotes is a quote and not a moment.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from schemas.score import Claim, ClaimKind

MOST_SECONDS = 1e9
_QUOTE = re.compile(r"\"([^\"]*)\"|“([^”]*)”")
_TIME = re.compile(
    r"""
    (?P<for>\bfor\s+)?
    (?<![\w.:,/])(?!\d{3}0s\b)   # the 1980s are no moment
    (?: (?P<number>\d+(?:\.\d+)?)\s?(?:(?P<minutes>min|minutes?)|s|sec|seconds?)\b
      | (?:(?P<hour>\d{1,2}):)?(?P<minute>\d{1,3}):(?P<second>\d{2}(?:\.\d+)?)(?![\w:]|\.\d)(?!\s?[ap]\.?m\b)
    )
    """,
    re.VERBOSE | re.IGNORECASE,
)


@dataclass(frozen=True)
class Mentions:
    """What a text names, each in the order of the text."""

    times: tuple[float, ...]
    durations: tuple[float, ...]
    quotes: tuple[str, ...]


def find(text: str) -> Mentions:
    """Moments, durations (both in seconds) and quotes in a text."""
    quotes = tuple(straight or curly for straight, curly in _QUOTE.findall(text))
    times: list[float] = []
    durations: list[float] = []
    for match in _TIME.finditer(_QUOTE.sub('""', text)):
        if match["number"] is not None:
            seconds = float(match["number"]) * (60 if match["minutes"] else 1)
        else:
            seconds = int(match["hour"] or 0) * 3600 + int(match["minute"]) * 60 + float(match["second"])
        # However many digits a text writes, a claim stays a number.
        (durations if match["for"] else times).append(min(seconds, MOST_SECONDS))
    return Mentions(tuple(times), tuple(durations), quotes)


def without_quotes(text: str) -> str:
    """A text without what it quotes: the writer's own words."""
    return _QUOTE.sub(" ", text)


def quoted(text: str) -> str:
    """A text in quotation marks that :func:`find` gives back whole; of one that holds both kinds of marks itself, the
    longest stretch without any."""
    text = " ".join(text.split())
    if '"' not in text:
        return f'"{text}"'
    if "“" not in text and "”" not in text:
        return f"“{text}”"
    return '"' + max(re.split('["“”]', text), key=len).strip() + '"'


def claims_in(
    text: str,
    path: str,
    stream: str | None,
    *,
    moments: Sequence[float] = (),
    span: tuple[float, float] | None = None,
    window: tuple[float, float] | None = None,
    kinds: Sequence[str] = (),
    quote_kinds: Sequence[str] = (),
    but: Collection[ClaimKind] = (),
) -> list[Claim]:
    """The claims that a text makes.

    Args:
        text: free text of an output.
        path: its JSON pointer.
        stream: SHA-256 of the stream it speaks of; None for any of the row's.
        moments: the times that the fields around the text give (seconds). A moment that the text names must be one of
            them, so that a sentence cannot say another time than its own record does. None given: it must be a moment
            at which an anchor begins or ends.
        span: the stretch (t0, t1) whose length `for 12.3 s` states; a duration without one is never supported.
        window: where quotes must stand; anywhere when None.
        kinds: kinds of anchors that may carry the times.
        quote_kinds: kinds of anchors that may carry the quotes; every kind that holds text when empty.
        but: moments (TIME) or quotes (QUOTE) that the caller claims itself, more closely.
    """
    named = find(text)
    # With `moments` the record's own claims bind each of them to its anchor, so the words need only agree with those
    # and meet an anchor; alone, the words must name an edge.
    claims = [
        Claim(
            path=path,
            kind=ClaimKind.TIME,
            stream=stream,
            t0=time,
            t1=time if moments else None,
            kinds=tuple(kinds),
            items=tuple(moments),
        )
        for time in named.times
        if ClaimKind.TIME not in but
    ]
    for duration in named.durations:
        begin = span[0] if span is not None else None
        end = None if begin is None else begin + duration
        claims.append(Claim(path=path, kind=ClaimKind.TIME, stream=stream, t0=begin, t1=end, kinds=tuple(kinds)))
    t0, t1 = window if window is not None else (None, None)
    claims += [
        Claim(path=path, kind=ClaimKind.QUOTE, stream=stream, t0=t0, t1=t1, text=quote, kinds=tuple(quote_kinds))
        for quote in named.quotes
        if ClaimKind.QUOTE not in but
    ]
    return claims

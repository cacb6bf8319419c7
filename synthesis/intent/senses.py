"""What a sentence wants of an input's tracks that no task type asks for by itself: speech, sound, joint readings."""

from __future__ import annotations

import re
from collections.abc import Sequence

from schemas.stream import Stream, TrackKind

_SENSES = (
    (
        "speech",
        r"subtitles?|closed captions?|transcri(?:pts?|be|ption)|dialogues? in|speech|spoken|narrat\w+|voice-?over"
        r"|what (?:is|was|are|were) said|are said|is said|(?:he|she|they|people|speakers?) sa(?:id|ys?)",
        frozenset({TrackKind.SUBTITLES, TrackKind.AUDIO}),
    ),
    ("sound", r"audio|sounds?|music", frozenset({TrackKind.AUDIO})),
    (
        "robot signals",
        r"propriocepti\w+|joint (?:angles?|positions?|states?|torques?)|motor (?:currents?|commands?)|torques?",
        frozenset({TrackKind.SIGNALS}),
    ),
)
_SEEN = re.compile(r"\b(?:shown|seen|see|happens?|visible|watch\w*|pictures?|written)\b")
"""Beside these words, what is said is only one of several things to ask of."""


def missing_sense(asked: str, streams: Sequence[Stream]) -> str | None:
    """The words that ask for what the input does not carry, and what it lacks; None when there are none."""
    if not streams or _SEEN.search(asked):
        return None
    for what, words, kinds in _SENSES:
        found = re.search(rf"\b(?:{words})\b", asked)
        if found and not any(stream.has(*kinds) for stream in streams):
            tracks = " or ".join(sorted(kinds))
            return f'"{found.group()}" asks for {what}, but the input has no track of {tracks}'
    return None

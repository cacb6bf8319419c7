"""How the camera's motions are told, in phrases that are found again in a sentence."""

from __future__ import annotations

import re

CAMERA_WORDS = {
    "pan_left": "pans left",
    "pan_right": "pans right",
    "tilt_up": "tilts up",
    "tilt_down": "tilts down",
    "zoom_in": "zooms in",
    "zoom_out": "zooms out",
}
"""The contents of `motion.camera`, and what the camera then does."""
_MOVE_OF = {phrase: move for move, phrase in CAMERA_WORDS.items()}
_PHRASE = re.compile("|".join(rf"\b{phrase}\b" for phrase in _MOVE_OF), re.IGNORECASE)


def moves_in(text: str) -> list[str]:
    """The motions that a text names, in its order."""
    return [_MOVE_OF[phrase.lower()] for phrase in _PHRASE.findall(text)]

"""Text as the words it has, for comparing what two readers see."""

from __future__ import annotations

import re
import unicodedata

_WORD = re.compile(r"\w+(?:['’.,]\w+)*")


def words(text: str) -> list[str]:
    """Words in order, folded in case and form; a word that is broken at the end of a line is whole again."""
    whole = re.sub(r"(?<=[^\W\d_])-[ \t]*\r?\n\s*(?=[^\W\d_])", "", text)
    folded = unicodedata.normalize("NFKC", whole).casefold().replace("’", "'")
    return _WORD.findall(folded)

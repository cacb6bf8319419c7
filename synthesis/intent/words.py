"""Words that several forms of data have in common."""

from __future__ import annotations

ANY_QUESTIONS = (
    r"questions?(?:[- ]and[- ]answers?|[- /]answer(?:s|ing)?)?(?:[- ]pairs?)?",
    r"answers?",
    r"q ?(?:&|/|and|\+)? ?as?\b(?:[- ]pairs?)?",
    r"v?qas?(?:[- ]pairs?)?",
    r"quiz(?:zes)?",
    r"ask(?:s|ing)?(?= (?:about|what|which|where|when|how|who|things))",
)
"""Questions and answers of any kind: every form of them names these beside its own words, and the best fit wins."""

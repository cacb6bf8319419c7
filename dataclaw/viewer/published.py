"""What others have published for DataClaw-val, to stand beside what is measured here."""

from __future__ import annotations

from schemas.sample_score import Level

SOURCE = "Wan et al. 2026, arXiv:2606.21337 v1, as its authors give them in github.com/vancyland/DataClaw0"
"""Their set, code and weights are not released, and this source gives no domains: these are other samples, other
recordings and another's metrics."""
PUBLISHED = {
    "Gemini-3.1-Pro": {Level.FIELD: 0.9812, Level.SEMANTIC: 0.7385, Level.SEQUENCE: 0.5850},
    "GPT-4o": {Level.FIELD: 0.9727, Level.SEMANTIC: 0.7515, Level.SEQUENCE: 0.4943},
    "DataClaw-E (experts)": {Level.FIELD: 0.9753, Level.SEMANTIC: 0.7494, Level.SEQUENCE: 0.4886},
    "DataClaw-O (omni)": {Level.FIELD: 0.8765, Level.SEMANTIC: 0.6246, Level.SEQUENCE: 0.4482},
}
"""Means by model and level; that table has no finer ones."""

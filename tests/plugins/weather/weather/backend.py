"""A backend of its own: rules, once more looked over."""

from __future__ import annotations

from synthesis.backends.rules import RulesBackend


class CarefulBackend(RulesBackend):
    name = "careful"
    model = "careful-1"
    prompt_version = "7"

"""Rules that do not survive some streams."""

from __future__ import annotations

from poison import die_of
from synthesis.backends.rules import RulesBackend, RulesWriter
from synthesis.base import Agent, Evidence
from synthesis.purse import Purse


class FragileBackend(RulesBackend):
    name = "fragile"

    def start(self, agent: Agent, evidence: Evidence, purse: Purse) -> RulesWriter:
        for stream in evidence.streams:
            die_of(stream.name, "synthesis")
        return super().start(agent, evidence, purse)

"""Task types and backends are found by name; unknown names say what was meant."""

from __future__ import annotations

import pytest

from schemas.errors import UsageError
from synthesis.agents import roster as agents
from synthesis.backends import roster as backends
from synthesis.base import Agent


@pytest.mark.parametrize("task_type", sorted(agents.BUILT_IN))
def test_every_task_type_has_its_agent(task_type):
    agent = agents.agent_for(task_type)
    assert isinstance(agent, Agent)
    assert agent.task_type == task_type
    assert agent.domains
    assert agent.output_schema() == agent.output_schema()


def test_an_unknown_task_type_says_which_was_meant():
    with pytest.raises(UsageError, match="Did you mean 'tutorial'"):
        agents.agent_class("tutorail")


def test_an_unknown_backend_says_which_was_meant():
    assert backends.backend_class("rules")().name == "rules"
    with pytest.raises(UsageError, match="Did you mean 'rules'"):
        backends.backend_class("ruless")


def test_plugins_join_by_entry_point_and_cannot_replace_what_is_built_in(monkeypatch):
    class Point:
        def __init__(self, name: str, value: str) -> None:
            self.name, self.value = name, value

    points = [
        Point("captions", "synthesis.agents.tutorial:TutorialAgent"),
        Point("tutorial", "synthesis.agents.temporal_qa:TemporalQAAgent"),
    ]
    monkeypatch.setattr(agents, "entry_points", lambda group: points if group == "dataclaw.tasks" else [])
    agents.roster.cache_clear()
    try:
        assert agents.agent_class("captions").__name__ == "TutorialAgent"
        assert agents.agent_class("tutorial").__name__ == "TutorialAgent"
    finally:
        agents.roster.cache_clear()

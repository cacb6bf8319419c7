"""Task types and backends are found by name; unknown names say what was meant."""

from __future__ import annotations

import pytest

from schemas.errors import UsageError
from synthesis.agents.roster import TASKS, agent_class, agent_for
from synthesis.backends.roster import backend_class
from synthesis.base import Agent


@pytest.mark.parametrize("task_type", sorted(TASKS.built_in))
def test_every_task_type_has_its_agent(task_type):
    agent = agent_for(task_type)
    assert isinstance(agent, Agent)
    assert agent.task_type == task_type
    assert agent.domains
    assert agent.output_schema() == agent.output_schema()


def test_an_unknown_task_type_says_which_was_meant():
    with pytest.raises(UsageError, match="Did you mean 'tutorial'"):
        agent_class("tutorail")


def test_an_unknown_backend_says_which_was_meant():
    assert backend_class("rules")().name == "rules"
    with pytest.raises(UsageError, match="Did you mean 'rules'"):
        backend_class("ruless")

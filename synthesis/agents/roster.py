"""Every task type, one line each, loaded only when used. Plugins join by the entry point `dataclaw.tasks`."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.metadata import entry_points

from schemas.errors import unknown_name
from synthesis.base import Agent

BUILT_IN = {
    "tutorial": "synthesis.agents.tutorial:TutorialAgent",
    "temporal_qa": "synthesis.agents.temporal_qa:TemporalQAAgent",
    "gui_trajectory": "synthesis.agents.gui_trajectory:GuiTrajectoryAgent",
    "fault_recovery": "synthesis.agents.fault_recovery:FaultRecoveryAgent",
    "image_editing": "synthesis.agents.image_editing:ImageEditingAgent",
}


@cache
def roster() -> dict[str, str]:
    """Task types and import paths (`module:Class`) of every agent known, plugins included."""
    plugins = {point.name: point.value for point in entry_points(group="dataclaw.tasks")}
    return plugins | BUILT_IN


def agent_class(task_type: str) -> type[Agent]:
    """The class of a task type's agent.

    Raises:
        UsageError: there is no such task type.
    """
    if task_type not in roster():
        raise unknown_name("task type", task_type, roster())
    module, _, attribute = roster()[task_type].partition(":")
    loaded: type[Agent] = getattr(import_module(module), attribute)
    return loaded


@cache
def agent_for(task_type: str) -> Agent:
    """The agent of a task type. Agents hold no state, so one of each is enough.

    Raises:
        UsageError: there is no such task type.
    """
    return agent_class(task_type)()

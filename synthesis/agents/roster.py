"""Every task type, one line each, loaded only when used. Plugins join by the entry point `dataclaw.tasks`."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import cast

from schemas.roster import Roster
from schemas.rows import UnitPlan
from schemas.task_spec import TaskSpec
from synthesis.base import Agent

TASKS = Roster(
    "task type",
    "dataclaw.tasks",
    {
        "tutorial": "synthesis.agents.tutorial:TutorialAgent",
        "action_segments": "synthesis.agents.action_segments:ActionSegmentsAgent",
        "temporal_qa": "synthesis.agents.temporal_qa:TemporalQAAgent",
        "video_qa": "synthesis.agents.video_qa:VideoQAAgent",
        "stuck_point_tutoring": "synthesis.agents.stuck_point_tutoring:StuckPointTutoringAgent",
        "lesson_outline": "synthesis.agents.lesson_outline:LessonOutlineAgent",
        "screen_qa": "synthesis.agents.screen_qa:ScreenQAAgent",
        "gui_trajectory": "synthesis.agents.gui_trajectory:GuiTrajectoryAgent",
        "fault_recovery": "synthesis.agents.fault_recovery:FaultRecoveryAgent",
        "grounding": "synthesis.agents.grounding:GroundingAgent",
        "planning_decision": "synthesis.agents.planning_decision:PlanningDecisionAgent",
        "world_model": "synthesis.agents.world_model:WorldModelAgent",
        "spatio_temporal_vqa": "synthesis.agents.spatio_temporal_vqa:SpatioTemporalVQAAgent",
        "drawing_sequence": "synthesis.agents.drawing_sequence:DrawingSequenceAgent",
        "game_generation": "synthesis.agents.game_generation:GameGenerationAgent",
        "image_editing": "synthesis.agents.image_editing:ImageEditingAgent",
        "generation_clips": "synthesis.agents.generation_clips:GenerationClipsAgent",
        "own_schema": "synthesis.agents.own_schema.agent:OwnSchemaAgent",
    },
)


def agent_class(task_type: str) -> type[Agent]:
    """The class of a task type's agent.

    Raises:
        UsageError: there is no such task type.
    """
    return cast(type[Agent], TASKS.load(task_type))


@cache
def agent_for(task_type: str) -> Agent:
    """The agent of a task type. Agents hold no state, so one of each is enough.

    Raises:
        UsageError: there is no such task type.
    """
    return agent_class(task_type)()


def experts_of_units(units: Iterable[UnitPlan]) -> tuple[str, ...]:
    """The experts that the task types of some units need beside those of their domain."""
    specs = [spec for unit in units for spec in (unit.spec, *unit.instead)]
    return tuple(dict.fromkeys(name for spec in specs for name in agent_class(spec.task_type).experts))


def agent_of(spec: TaskSpec) -> Agent:
    """The agent that answers a spec.

    Raises:
        UsageError: there is no such task type.
    """
    return agent_for(spec.task_type).bound_to(spec)

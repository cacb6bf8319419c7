"""The prompt for a model holds what an agent may rest on, and is there for whoever reads the rejects."""

from __future__ import annotations

import json

from facts import FILM, evidence

from schemas.recipe import Recipe, SourceSpec
from schemas.rows import Group, UnitPlan
from schemas.task_spec import Intent
from synthesis.agents.own_schema.agent import own_spec
from synthesis.agents.roster import agent_for
from synthesis.base import Evidence
from synthesis.prompt import prepare
from synthesis.selection import Budget
from synthesis.synthesise import SynthesiseGroups

SENTIMENT = {
    "type": "object",
    "properties": {"lines": {"type": "array", "items": {
        "type": "object", "properties": {"text": {"type": "string"}, "sentiment": {"type": "boolean"}},
        "required": ["text", "sentiment"]}}},
    "required": ["lines"],
}  # fmt: skip


def test_it_holds_task_bounds_facts_frames_and_schema() -> None:
    given = evidence("tutorial", FILM)
    spec = given.spec.model_copy(update={"instruction": "Write three steps."})
    prompt = prepare(agent_for("tutorial"), Evidence(given.streams, given.anchors, spec), Budget(frames=4))
    assert prompt.text.startswith("Write three steps.")
    assert '0.00-1.90 text.subtitle "Good morning."' in prompt.text
    assert agent_for("tutorial").schema in prompt.text
    assert len(prompt.moments) == 4
    assert prompt == prepare(agent_for("tutorial"), Evidence(given.streams, given.anchors, spec), Budget(frames=4))


def test_facts_are_bounded() -> None:
    given = evidence("tutorial", FILM)
    short = prepare(agent_for("tutorial"), given, anchor_tokens=60).text
    assert short.count("text.subtitle") < prepare(agent_for("tutorial"), given).text.count("text.subtitle")


def test_what_needs_a_model_leaves_its_prompt_in_the_rejects() -> None:
    spec = own_spec(Intent(text="How do people feel?"), json.dumps(SENTIMENT))
    given = evidence("tutorial", FILM)
    unit = UnitPlan(unit="u", slot="s", spec=spec, readings=())
    group = Group(
        group="g", streams=given.streams, anchors=given.anchors, units=(unit,), problems=(), failed_streams=(), costs=()
    )
    recipe = Recipe(name="r", corpus="memory://prompt", sources=(SourceSpec(uri="x"),), intents=("y",))
    (result,) = SynthesiseGroups(recipe, "run").results(group)
    assert result.outcome.problem is not None
    assert "/lines/0/sentiment" in result.outcome.problem.cause
    assert "How do people feel?" in (result.outcome.output or "")

"""A recipe's experts look for the things that its intents name."""

from __future__ import annotations

from schemas.recipe import ExpertSpec, Recipe, SourceSpec
from schemas.stream import Domain
from tasks.queries import with_queries

DETECTOR = ExpertSpec(name="grounding_dino", parameters={"batch_size": 2})


def recipe(
    *intents: str,
    experts: tuple[ExpertSpec, ...] | None = (DETECTOR,),
    sources: tuple[SourceSpec, ...] = (SourceSpec(uri="x", domain=Domain.EMBODIED),),
    schema: dict[str, object] | None = None,
) -> Recipe:
    return Recipe.model_validate(
        {
            "name": "r",
            "corpus": "c",
            "sources": sources,
            "intents": intents,
            "experts": experts,
            "output_schema": schema,
        }
    )


def queries(recipe: Recipe) -> list[str]:
    return [str(spec.parameters.get("queries", "")) for spec in with_queries(recipe).experts or ()]


def test_the_things_of_the_intents_are_looked_for():
    assert queries(recipe("When does the gripper touch the red cup?", "Where is the knife?")) == [
        "gripper. red cup. knife."
    ]


def test_the_things_of_the_schema_come_after_them():
    schema = {"type": "object", "properties": {"utensil": {"enum": ["fork", "whisk"]}}}
    (found,) = queries(recipe("Where is the knife?", schema=schema))
    assert found.startswith("knife. ")
    assert {"fork", "whisk"} <= set(found.removesuffix(".").split(". "))


def test_intents_of_a_source_are_read_and_those_it_replaces_are_not():
    source = SourceSpec(uri="x", domain=Domain.EMBODIED, intents=("Questions about the dog.",))
    assert queries(recipe("Where is the knife?", sources=(source,))) == ["dog."]


def test_where_nothing_is_named_the_domain_says_what_is_usual():
    (found,) = queries(recipe("Make question answer data"))
    assert found.startswith("robot gripper. hand. ")
    (found,) = queries(recipe("Make question answer data", sources=(SourceSpec(uri="x"),)))
    assert {"person", "robot gripper"} <= set(found.removesuffix(".").split(". "))


def test_queries_that_are_given_stay_and_other_experts_get_none():
    given = ExpertSpec(name="grounding_dino", parameters={"queries": "screw"})
    asked = recipe("Where is the knife?", experts=(given, ExpertSpec(name="shots")))
    assert with_queries(asked) is asked
    nobody = recipe("Where is the knife?", experts=None)
    assert with_queries(nobody) is nobody


def test_nothing_else_of_the_recipe_changes_and_it_is_another_recipe():
    asked = recipe("Where is the knife?", experts=(ExpertSpec(name="shots"), DETECTOR))
    made = with_queries(asked)
    assert made.experts is not None
    assert [spec.name for spec in made.experts] == ["shots", "grounding_dino"]
    assert made.experts[0] == ExpertSpec(name="shots")
    assert made.experts[1].parameters == {"batch_size": 2, "queries": "knife."}
    assert made.model_copy(update={"experts": asked.experts}) == asked
    assert made.hash != asked.hash
    assert with_queries(made) is made

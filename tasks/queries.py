"""What open-vocabulary experts look for where a recipe does not say: the things that its intents speak of."""

from __future__ import annotations

import json

from experts.roster import expert_class
from schemas.recipe import ExpertSpec, Recipe
from schemas.stream import Domain
from synthesis.intent.nouns import MOST, nouns

QUERIES = {
    Domain.DAILY_LIFE: ("person", "hand", "cup", "bottle", "phone", "bag", "chair", "door"),
    Domain.EDUCATION: ("person", "hand", "pen", "whiteboard", "book"),
    Domain.GUI: ("button", "icon", "menu", "text field"),
    Domain.EMBODIED: ("robot gripper", "hand", "cup", "bowl", "box", "drawer", "block", "cloth"),
    Domain.AIGC: ("person", "animal", "vehicle", "building"),
}
"""What is worth looking for in each domain when nobody names a thing."""


def with_queries(recipe: Recipe) -> Recipe:
    """The recipe with `queries` for every expert that takes them and has none: the things that can be seen which the
    intents and the output schema name; where they name none, those usual in the domains of the sources.

    One expert looks at all streams of a build, so it looks for what any source asks for. The queries are parameters of
    the expert like any other: anchors found with other ones are not taken for these.
    """
    if not any(_lacks_queries(spec) for spec in recipe.experts or ()):
        return recipe
    queries = ". ".join(_named(recipe) or _usual(recipe)) + "."
    experts = tuple(
        spec.model_copy(update={"parameters": {**spec.parameters, "queries": queries}})
        if _lacks_queries(spec)
        else spec
        for spec in recipe.experts or ()
    )
    return recipe.model_copy(update={"experts": experts})


def _lacks_queries(spec: ExpertSpec) -> bool:
    given = str(spec.parameters.get("queries", "")).strip()
    return not given and expert_class(spec.name).takes_queries


def _named(recipe: Recipe) -> list[str]:
    schema = None if recipe.output_schema is None else json.loads(recipe.output_schema)
    intents = dict.fromkeys(text for source in recipe.sources for text in source.intents or recipe.intents)
    found = [noun for text in intents for noun in nouns(text)]
    return list(dict.fromkeys([*found, *nouns("", schema)]))[:MOST]


def _usual(recipe: Recipe) -> list[str]:
    """Of every domain that a source is of, in turn; of all of them where a source does not say."""
    domains = list(dict.fromkeys(source.domain for source in recipe.sources))
    lists = [QUERIES[domain] for domain in domains if domain is not None] or [
        QUERIES[Domain.DAILY_LIFE],
        QUERIES[Domain.EMBODIED],
    ]
    longest = max(len(one) for one in lists)
    turns = [one[place] for place in range(longest) for one in lists if place < len(one)]
    return list(dict.fromkeys(turns))[:MOST]

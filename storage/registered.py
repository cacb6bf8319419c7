"""Registered models as backends: a recipe that names one becomes a recipe for a certain version of it."""

from __future__ import annotations

from schemas.errors import CorpusError, UsageError
from schemas.model import ModelVersion
from schemas.recipe import REGISTERED, Recipe
from storage.corpus import Corpus


def with_registered_model(recipe: Recipe) -> Recipe:
    """The recipe with `model:NAME` resolved: the number of the version, the prompting it was tuned to, the digest of
    its weights and, of a set of experts, the route, which all identify the results; and where its files lie, which does
    not. Others stay as they are.

    It is resolved once, before a run has its identity: a model that is promoted meanwhile is the next run's.

    Raises:
        UsageError: there is no such model, the recipe sets keys of the model, which come with it, or a route where
            there is one model only.
        CorpusError: the catalog cannot be opened.
    """
    if not recipe.synthesis.backend.startswith(REGISTERED):
        return recipe
    model = _registered(recipe)
    spec = model.prompting.model_copy(
        update={"name": model.weights.base.name, "adapter": f"sha256:{model.weights.digest}"}
    )
    synthesis = recipe.synthesis
    if synthesis.model is not None and synthesis.model != spec:
        raise UsageError(
            "synthesis.model",
            f"the backend {synthesis.backend} is asked as it was tuned to be",
            "Leave synthesis.model (or --model) out",
        )
    if synthesis.route is not None and not model.weights.is_set:
        cause = f"{model.reference} is one model, and there is nothing to route between"
        raise UsageError("synthesis.route", cause, "Leave it out, or name a set of experts: `dataclaw models` lists")
    route = (synthesis.route or "router") if model.weights.is_set else None
    serving = recipe.placement.serving.model_copy(update={"weights": model.place})
    return recipe.model_copy(
        update={
            "synthesis": synthesis.model_copy(update={"backend": model.backend, "model": spec, "route": route}),
            "placement": recipe.placement.model_copy(update={"serving": serving}),
        }
    )


def _registered(recipe: Recipe) -> ModelVersion:
    from storage.catalog.registry import Registry  # readers of recipes need no database

    named = recipe.placement.catalog
    if named is None:
        try:
            named = Corpus.open(recipe.corpus).catalog_url()
        except CorpusError as error:
            cause = "the corpus is not there yet, so no model is registered in its catalog"
            remedy = "Name the catalog with the model: placement.catalog (or --catalog)"
            raise UsageError(recipe.synthesis.backend, cause, remedy) from error
    with Registry.open(named) as registry:
        return registry.get(recipe.synthesis.backend.removeprefix(REGISTERED))

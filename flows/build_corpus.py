"""The nightly build: raw streams and intents in, a snapshot of verified triplets out."""

from __future__ import annotations

from pathlib import PurePath
from typing import Annotated

from prefect import flow
from prefect.runtime import deployment, flow_run
from pydantic import Field

from schemas.outcome import RunReport
from schemas.recipe import Recipe, Text
from storage.recipes import recipe_of_run
from tasks.admit import admit
from tasks.discover import discover_streams
from tasks.events import announce
from tasks.plan import plan_work
from tasks.preflight import preflight
from tasks.publish import publish_snapshot
from tasks.queries import with_queries
from tasks.report import final_state, report_run
from tasks.run import begin_run
from tasks.tailor import tailor
from tasks.telling import send_log


def _run_name() -> str:
    """The recipe's name, or that of its file, and when the run was due."""
    recipe = flow_run.parameters["recipe"]
    if isinstance(recipe, str):
        name = PurePath(recipe).stem
    else:
        name = recipe["name"] if isinstance(recipe, dict) else recipe.name
    return f"{name} {flow_run.scheduled_start_time:%Y-%m-%d %H:%M:%S}"


@flow(name="build_corpus", flow_run_name=_run_name, validate_parameters=True)
def build_corpus(
    recipe: Recipe | str,
    sources: tuple[Text, ...] = (),
    intents: tuple[Text, ...] = (),
    run_tokens: Annotated[int, Field(ge=1)] | None = None,
) -> RunReport:
    """Builds a corpus, as its recipe says but for what is said here of this run.

    Args:
        recipe: The path or URI of a recipe file, or a whole recipe.
        sources: Files, folders or URIs that this run takes in, in place of the recipe's sources. One below a source of
            the recipe is read as that one is. Rows of other sources stay.
        intents: What this run is asked, in your words, in place of the recipe's intents. Rows of other intents stay.
        run_tokens: Tokens that models may use in this run, in place of the recipe's budget.

    Raises:
        DataClawError: the recipe, the machine or the storage is not as it must be; nothing committed is lost.
    """
    recipe = recipe_of_run(recipe, sources, intents, run_tokens, sent=deployment.id is not None)
    recipe = with_queries(recipe)
    preflight(recipe)
    with begin_run(recipe) as run:
        found = discover_streams(run)
        plan = plan_work(run, found)
        done = tailor(run, found, plan)
        admit(run, plan, done)
        manifest = publish_snapshot(run)
        report = report_run(run, found, plan, done, manifest)
    announce(run, report, manifest)
    send_log()
    return final_state(report, sent=deployment.id is not None)  # type: ignore[return-value]  # callers get the report, Prefect the name of the end

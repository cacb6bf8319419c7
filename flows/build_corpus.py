"""The nightly build: raw streams and intents in, a snapshot of verified triplets out."""

from __future__ import annotations

from pathlib import PurePath

from prefect import flow
from prefect.runtime import deployment, flow_run

from schemas.outcome import RunReport
from schemas.recipe import Recipe
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


def _run_name() -> str:
    """The recipe's name, or that of its file, and when the run was due."""
    recipe = flow_run.parameters["recipe"]
    if isinstance(recipe, str):
        name = PurePath(recipe).stem
    else:
        name = recipe["name"] if isinstance(recipe, dict) else recipe.name
    return f"{name} {flow_run.scheduled_start_time:%Y-%m-%d %H:%M:%S}"


@flow(name="build_corpus", flow_run_name=_run_name, validate_parameters=True)
def build_corpus(recipe: Recipe | str) -> RunReport:
    """Builds a corpus.

    Args:
        recipe: a recipe, or the path or URI of a recipe file.

    Raises:
        DataClawError: the recipe, the machine or the storage is not as it must be; nothing committed is lost.
    """
    recipe = with_queries(recipe_of_run(recipe, sent=deployment.id is not None))
    preflight(recipe)
    with begin_run(recipe) as run:
        found = discover_streams(run)
        plan = plan_work(run, found)
        done = tailor(run, found, plan)
        admit(run, plan, done)
        manifest = publish_snapshot(run)
        report = report_run(run, found, plan, done, manifest)
    announce(run, report, manifest)
    return final_state(report)  # type: ignore[return-value]  # callers get the report, Prefect the name of the end

"""Stage admit: which of the rows that were made the corpus takes, now that all of the run are there."""

from __future__ import annotations

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from schemas.outcome import Outcome
from storage.corpus import Corpus
from storage.publish import admit_rows
from tasks.plan import Ended, Plan
from tasks.run import Run
from tasks.tailor import Tailored


@task(name="admit", cache_policy=NO_CACHE)
def admit(run: Run, plan: Plan, done: Tailored) -> None:
    """Keeps duplicates out, and rows that would leak from training into validation; puts `plan` and `done` right, in
    which the units of such rows have ended as done."""
    with run.catalog() as catalog:
        judged = admit_rows(Corpus.open(run.recipe.corpus), catalog, run.recipe.deduplicate, run.recipe.split)
    for item in judged:
        reason = "" if item.problem is None else str(item.problem)
        if item.unit in done.ended:
            done.ended[item.unit] = (item.outcome, reason)
        elif item.unit in plan.ended:
            plan.ended[item.unit] = Ended(item.outcome, reason)
    refused = sum(item.outcome is Outcome.FILTERED for item in judged)
    get_run_logger().info("%d rows kept out, %d taken in again", refused, len(judged) - refused)

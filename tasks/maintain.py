"""Stage maintain: what keeps a corpus small and quick to read."""

from __future__ import annotations

from datetime import timedelta
from importlib.metadata import version

from prefect import get_run_logger, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed

from storage.catalog.catalog import Catalog
from storage.corpus import Corpus
from storage.maintenance import Maintenance, Policy, maintain
from tasks.telling import telling
from tasks.upkeep import facts


@task(name="maintain", cache_policy=NO_CACHE)
def maintain_one(
    uri: str, catalog_url: str | None, keep: int, days: float, grace_hours: float, dry_run: bool
) -> Maintenance:
    """Maintains one corpus, and shows what was done in the Prefect UI."""
    corpus = Corpus.open(uri)
    policy = Policy(keep=keep, days=days, grace=timedelta(hours=grace_hours))
    with Catalog.open(corpus.catalog_url(catalog_url), corpus) as catalog:
        done = maintain(corpus, catalog, version("dataclaw-factory"), policy, dry_run)
    log = get_run_logger()
    for what, figures in facts(done):
        log.info("%s: %s", what, figures)
    with telling("the result is not shown"):
        create_table_artifact(
            table=[{"what": what, "figures": figures} for what, figures in facts(done)],
            key="maintenance",
            description=f"# {corpus.name}",
        )
    return done


def maintained_state(done: Maintenance) -> State[Maintenance]:
    """The state in which maintenance ends, which tells what it did."""
    return Completed(message="; ".join(f"{what}: {figures}" for what, figures in facts(done)), data=done)

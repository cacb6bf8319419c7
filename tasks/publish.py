"""Stage publish: what was committed becomes the next snapshot, in one step that readers see whole or not at all."""

from __future__ import annotations

from importlib.metadata import version

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from schemas.manifest import Manifest
from storage.corpus import Corpus
from storage.publish import publish_corpus
from tasks.run import Run
from tasks.words import count


@task(name="publish", cache_policy=NO_CACHE)
def publish_snapshot(run: Run) -> Manifest | None:
    """Publishes the next snapshot; None when nothing changed since the last one."""
    corpus = Corpus.open(run.recipe.corpus)
    with run.catalog() as catalog:
        manifest = publish_corpus(
            corpus, catalog, run.id, version("dataclaw-factory"), run.recipe.deduplicate, run.recipe.split
        )
    log = get_run_logger()
    if manifest is None:
        log.info("no new snapshot: the corpus did not change")
    else:
        rows, shards = count(manifest.statistics.rows, "row"), count(len(manifest.shards), "shard")
        log.info("snapshot %d: %s in %s", manifest.number, rows, shards)
    return manifest

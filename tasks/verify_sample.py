"""Stage verify: a few published rows, proven anew from their files, night after night."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
from prefect import get_run_logger, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed

from schemas.errors import CorpusError, Problem
from schemas.manifest import Manifest, Shard
from schemas.triplet import TRIPLET_SCHEMA, Triplet
from storage import snapshots
from storage.corpus import Corpus
from storage.shards import conform, open_shard, verify_shard
from synthesis.verification.verify import verify_row
from tasks.telling import telling
from tasks.words import count

_SHOWN = 200
"""Failures in the artifact; the log has all."""


@dataclass(frozen=True)
class Verdict:
    """What a sample of a snapshot showed. `seed` draws the same rows again."""

    corpus: str
    snapshot: int | None
    """None when nothing was published yet."""
    seed: int
    rows: int
    claims: int
    failures: tuple[Problem, ...]


@task(name="verify_sample", cache_policy=NO_CACHE)
def verify_sample(uri: str, rows: int, snapshot: int | None = None, seed: int | None = None) -> Verdict:
    """Verifies a sample of the rows of a snapshot, the newest when none is named, and the files that they lie in."""
    verdict = sample(uri, rows, snapshot, seed)
    log = get_run_logger()
    for failure in verdict.failures:
        log.error("%s", failure)
    log.info(_headline(verdict))
    with telling("the result is not shown"):
        create_table_artifact(
            table=[problem.model_dump() for problem in verdict.failures[:_SHOWN]] or [{"failures": "none"}],
            key="verification",
            description=f"{verdict.corpus}, {_headline(verdict)}",
        )
    return verdict


def verdict_state(verdict: Verdict) -> State[Verdict]:
    """The state in which a verification ends: rows that do not hold are its result, not its failure."""
    name = "Completed with failures" if verdict.failures else "Completed"
    return Completed(name=name, message=_headline(verdict), data=verdict)


def _headline(verdict: Verdict) -> str:
    if verdict.snapshot is None:
        return "nothing is published yet"
    failures = count(len(verdict.failures), "failure") if verdict.failures else "all hold"
    looked_at = f"{count(verdict.rows, 'row')}, {count(verdict.claims, 'claim')}"
    return f"snapshot {verdict.snapshot}: {looked_at}: {failures} (seed {verdict.seed})"


def sample(uri: str, rows: int, snapshot: int | None = None, seed: int | None = None) -> Verdict:
    """The verdict on rows that chance draws, each as likely as any other. Memory holds one row group.

    Raises:
        CorpusError: there is no corpus, or no such snapshot.
    """
    corpus = Corpus.open(uri)
    manifest = snapshots.latest(corpus) if snapshot is None else snapshots.load(corpus, snapshot)
    seed = random.SystemRandom().randrange(2**32) if seed is None else seed
    if manifest is None:
        return Verdict(corpus.uri, None, seed, 0, 0, ())
    checked = claims = 0
    failures: list[Problem] = []
    for shard, places in _drawn(manifest, rows, seed):
        try:
            verify_shard(corpus.location, shard)
            for row in _rows(corpus, shard, places):
                checked += 1
                supports, why = _proven(row)
                claims += supports
                name = f"row {str(row['id'][0].as_py())[:12]} of snapshot {manifest.number}"
                failures += [Problem(input=name, cause=one, remedy="See `dataclaw verify`") for one in why]
        except CorpusError as error:
            failures.append(error.problem)
    return Verdict(corpus.uri, manifest.number, seed, checked, claims, tuple(failures))


def _drawn(manifest: Manifest, rows: int, seed: int) -> Iterator[tuple[Shard, list[int]]]:
    """Shards with the places of the rows that were drawn from them."""
    total = sum(shard.rows for shard in manifest.shards)
    drawn = sorted(random.Random(seed).sample(range(total), min(rows, total)))
    first = 0
    for shard in manifest.shards:
        places = [place - first for place in drawn if first <= place < first + shard.rows]
        first += shard.rows
        if places:
            yield shard, places


def _rows(corpus: Corpus, shard: Shard, places: list[int]) -> Iterator[pa.Table]:
    with open_shard(corpus.location, shard.path) as parquet:
        first = 0
        for number in range(parquet.num_row_groups):
            size = parquet.metadata.row_group(number).num_rows
            wanted = [place - first for place in places if first <= place < first + size]
            first += size
            if wanted:
                table = conform(parquet.read_row_group(number), TRIPLET_SCHEMA)
                for place in wanted:
                    yield table.slice(place, 1)


def _proven(row: pa.Table) -> tuple[int, list[str]]:
    """The number of claims of a row, and what is wrong with it; unproven when the code of its task type breaks."""
    try:
        (triplet,) = Triplet.from_table(row)
    except (ValueError, pa.ArrowInvalid) as error:
        return 0, [f"it is no triplet: {error}"]
    try:
        return len(triplet.score.supports), verify_row(triplet)
    except Exception as error:
        return 0, [f"it cannot be checked: {type(error).__name__}: {error}"]

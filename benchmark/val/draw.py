"""Draws a set from the rows that a snapshot keeps for validation."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version as installed

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmark.val.card import data_card
from benchmark.val.diverse import farthest, shared_out, vectors
from benchmark.val.fuzzy import Recording, requests
from benchmark.val.store import FuzzyRequest, content_digest, expect_none, freeze
from schemas.errors import CorpusError, UsageError
from schemas.manifest import Manifest
from schemas.stream import Domain
from schemas.triplet import Split, Triplet
from schemas.val import Subset, ValManifest
from storage import snapshots
from storage.corpus import Corpus
from storage.location import Location

_LIGHT = ("id", "domain", "task_type", "streams", "split", "intent", "output")
_BATCH = 64
NAME = "dataclaw-val"


@dataclass(frozen=True)
class Drawn:
    """A set that was made, and what it lacks."""

    manifest: ValManifest
    lacks: tuple[str, ...]


@dataclass(frozen=True)
class _Row:
    """What of a validation row decides whether it is drawn."""

    id: str
    domain: Domain
    task_type: str
    streams: tuple[str, ...]
    intent: str
    output: str


def make(
    corpus: Corpus,
    snapshot: Manifest,
    out: Location,
    *,
    size: int,
    fuzzy: int,
    seed: int,
    version: str,
) -> Drawn:
    """Draws a set and freezes it at `out`.

    Args:
        size: clear examples, equally many of each domain and in it of each task type, as far as there are.
        fuzzy: requests at most, over recordings of the clear examples.
        seed: of what chance decides: where a stratum begins, and how a request is worded.
        version: of the set.

    Raises:
        UsageError: the snapshot has no row for validation, or there is a set at `out`.
        CorpusError: a validation row shares a stream with training, or the corpus cannot be read.
    """
    expect_none(out)  # before minutes of work
    rows = sorted(_validation_rows(corpus, snapshot), key=lambda row: row.id)
    if not rows:
        remedy = "Build from more streams, or with a larger split.validation_share"
        raise UsageError(corpus.uri, f"snapshot {snapshot.number} has no row for validation", remedy)
    chosen = _chosen(rows, size, np.random.default_rng(seed))
    drawn = {row.id: row for row in _full(corpus, snapshot, {row.id for row in chosen})}
    clear = [drawn[row.id] for row in chosen]
    openings, asked = _fuzzy(corpus, snapshot, chosen, rows, fuzzy, seed)
    written_by = Counter(
        row.provenance.model or row.provenance.backend
        for row in (*clear, *(reading for request in asked for reading in request.readings))
    )
    manifest = ValManifest(
        name=NAME,
        version=version,
        digest=content_digest(clear, asked),
        seed=seed,
        size=size,
        corpus=corpus.name,
        snapshot=snapshot.number,
        files={},
        counts={
            Subset.CLEAR: _counts((row.domain, row.task_type) for row in clear),
            Subset.FUZZY: _counts(
                (request.readings[0].domain, name) for name, request in zip(openings, asked, strict=True)
            ),
        },
        written_by=dict(sorted(written_by.items())),
        dataclaw_version=installed("dataclaw-factory"),
    )
    lacks = tuple(_lacks(manifest, len(clear), size, len(asked), fuzzy))
    return Drawn(freeze(out, manifest, clear, asked, data_card(manifest, lacks)), lacks)


def _validation_rows(corpus: Corpus, snapshot: Manifest) -> list[_Row]:
    """The rows on the side of validation, once it is known that none shares a stream with training."""
    training: set[str] = set()
    rows: list[_Row] = []
    for table in snapshots.iter_triplets(corpus, snapshot, 4 * _BATCH, _LIGHT):
        for row in table.to_pylist():
            streams = tuple(stream["sha256"] for stream in row["streams"])
            if row["split"] == Split.TRAIN:
                training.update(streams)
                continue
            rows.append(
                _Row(row["id"], Domain(row["domain"]), row["task_type"], streams, row["intent"]["text"], row["output"])
            )
    if shared := [row for row in rows if training.intersection(row.streams)]:
        raise CorpusError(
            corpus.uri,
            f"{len(shared)} validation rows share a stream with training rows, such as {shared[0].id[:12]}",
            "No build makes such a corpus: look at what changed it, and build it anew",
        )
    return rows


def _chosen(rows: Sequence[_Row], size: int, rng: np.random.Generator) -> list[_Row]:
    """The clear examples, by domain and task type."""
    domains: dict[Domain, dict[str, list[_Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        domains[row.domain][row.task_type].append(row)
    chosen: list[_Row] = []
    of_domain = shared_out({domain: sum(map(len, strata.values())) for domain, strata in domains.items()}, size)
    for domain in sorted(domains):
        taken = np.empty((0, 0), np.float32)
        shares = shared_out({name: len(some) for name, some in domains[domain].items()}, of_domain[domain])
        for task_type, share in shares.items():
            stratum = domains[domain][task_type]
            points = vectors([row.intent for row in stratum], [row.output for row in stratum])
            places = farthest(points, share, taken, rng)
            chosen += [stratum[place] for place in places]
            taken = np.concatenate([taken, points[places]]) if len(taken) else points[places]
    return chosen


def _fuzzy(
    corpus: Corpus, snapshot: Manifest, chosen: Sequence[_Row], rows: Sequence[_Row], most: int, seed: int
) -> tuple[list[str], list[FuzzyRequest]]:
    """Requests over single recordings of the clear examples, spread over domains and openings, and what leaves each
    open."""
    if not most:
        return [], []
    wanted = {row.streams for row in chosen if len(row.streams) == 1}
    ids = {row.id for row in rows if row.streams in wanted}
    by_stream: dict[str, list[Triplet]] = defaultdict(list)
    for row in _full(corpus, snapshot, ids):
        by_stream[row.streams[0].sha256].append(row)
    strata: dict[Domain, dict[str, list[FuzzyRequest]]] = defaultdict(lambda: defaultdict(list))
    for turn, stream in enumerate(sorted(by_stream), seed):
        recording = Recording(tuple(sorted(by_stream[stream], key=lambda row: row.id)))
        for opening, request in requests(recording, turn):
            strata[request.readings[0].domain][opening].append(request)
    drawn: list[tuple[str, FuzzyRequest]] = []
    of_domain = shared_out({domain: sum(map(len, some.values())) for domain, some in strata.items()}, most)
    for domain, openings in sorted(strata.items()):
        shares = shared_out({name: len(some) for name, some in openings.items()}, of_domain[domain])
        drawn += [(name, request) for name, share in shares.items() for request in openings[name][:share]]
    return [name for name, _ in drawn], [request for _, request in drawn]


def _full(corpus: Corpus, snapshot: Manifest, ids: set[str]) -> Iterator[Triplet]:
    """Whole rows by their ids; pictures of others are not held."""
    wanted = pa.array(sorted(ids), pa.string())
    for table in snapshots.iter_triplets(corpus, snapshot, _BATCH):
        yield from Triplet.from_table(table.filter(pc.is_in(table["id"], wanted)))


def _counts(pairs: Iterable[tuple[Domain, str]]) -> dict[str, dict[str, int]]:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for domain, name in pairs:
        counts[str(domain)][name] += 1
    return {domain: dict(sorted(counts[domain].items())) for domain in sorted(counts)}


def _lacks(manifest: ValManifest, clear: int, size: int, asked: int, fuzzy: int) -> Iterator[str]:
    """What the set was to have and has not."""
    if clear < size:
        yield f"{clear} clear examples where {size} were asked for: the corpus keeps no more rows for validation"
    if asked < fuzzy:
        yield f"{asked} fuzzy requests where {fuzzy} were asked for"
    there: Mapping[str, object] = manifest.counts[Subset.CLEAR]
    if missing := [str(domain) for domain in Domain if domain not in there]:
        yield f"no example of {', '.join(missing)}"

"""What a row of each domain weighs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from schemas.manifest import Manifest
from schemas.stream import Domain
from schemas.triplet import Split
from storage import snapshots
from storage.corpus import Corpus

_ROWS = 4096
"""Held in memory at a time: two short columns of them."""


def row_weights(
    corpus: Corpus, manifest: Manifest, weights: Mapping[Domain, float]
) -> dict[tuple[Split, Domain], float]:
    """Weights of domains as weights of rows: w_d N / sum_e(w_e n_e), for n_e rows of domain e and N in all. Their mean
    over the rows of a split is 1, so that a weighted loss is as large as one without weights."""
    counts: dict[Split, Counter[Domain]] = {split: Counter() for split in Split}
    for batch in snapshots.iter_triplets(corpus, manifest, _ROWS, ["domain", "split"]):
        for split, domain in zip(batch["split"].to_pylist(), batch["domain"].to_pylist(), strict=True):
            counts[Split(split)][Domain(domain)] += 1
    found = {}
    for split, rows in counts.items():
        weighed = sum(weights.get(domain, 1.0) * number for domain, number in rows.items())
        for domain in rows:
            found[split, domain] = weights.get(domain, 1.0) * rows.total() / weighed
    return found

"""A snapshot as files for training: rows pass through, a shard of each split at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import version

import pyarrow as pa

from schemas.errors import CorpusError
from schemas.manifest import Manifest, Shard
from schemas.triplet import Split
from storage import snapshots
from storage.corpus import Corpus
from storage.location import Location
from synthesis.prompts import VERSION as PROMPT_VERSION
from training.export.contracts import Export, LeftOut, Options, Part, Reason
from training.export.formats.base import Format
from training.export.formats.roster import FORMATS
from training.export.rows import Row, Rows
from training.export.target import Target
from training.export.weights import row_weights

SHARD = 32 << 20
"""Bytes of rows that make a shard."""
_ROWS = 16
"""Read at a time: each may hold a few megabytes of evidence."""
_LINES = 4096
"""Left out rows that make a file."""


def export_corpus(
    corpus: Corpus,
    manifest: Manifest,
    out: Location,
    options: Options,
    advance: Callable[[int], object] = lambda done: None,
    shard: int = SHARD,
) -> Export:
    """Exports a snapshot. Nothing is visible at `out` before all of it is; an earlier export there is replaced.

    Args:
        advance: told how many rows have been looked at since.
        shard: bytes of rows that are held for a shard.

    Raises:
        UsageError: the format or the tokenizer is not known, or something else stands at `out`.
        CorpusError: a shard cannot be read, `out` cannot be written, or no row could be exported.
    """
    form: Format = FORMATS.load(options.format)(sees=options.frames > 0)
    target = Target(out)
    weights = row_weights(corpus, manifest, options.weights) if options.weights else {}
    rows = Rows(options, weights)
    parts = {split: _Part(form, target, split, shard) for split in Split}
    left_out = _LeftOut(target)
    for one in _chosen(corpus, manifest, options.split, advance):
        row = rows.of(one)
        if isinstance(row, LeftOut):
            left_out.add(row)
        else:
            parts[row.split].add(row)
    left_out.close()
    done = {split: part for split, part in parts.items() if part.rows}
    if not done:
        reasons = ", ".join(f"{number} {reason}" for reason, number in left_out.reasons.items())
        cause = f"no row of snapshot {manifest.number} could be exported" + (f" ({reasons})" if reasons else "")
        raise CorpusError(corpus.uri, cause, "Look at `dataclaw status`, or ask for other rows")
    export = Export(
        corpus=corpus.id,
        corpus_name=corpus.name,
        snapshot=manifest.number,
        dataclaw_version=version("dataclaw-factory"),
        prompt_version=PROMPT_VERSION,
        created=datetime.now(UTC),
        options=options,
        splits={
            split: part.close(
                {str(domain): weight for (side, domain), weight in weights.items() if side is split},
                counted=options.tokenizer is not None,
            )
            for split, part in done.items()
        },
        left_out=dict(left_out.reasons),
        files=left_out.files,
    )
    about = {path: target.put(path, text.encode()) for path, text in form.about(export).items()}
    export = export.model_copy(update={"files": export.files | about})
    target.publish(export.model_dump_json(indent=2).encode())
    return export


def _chosen(
    corpus: Corpus, manifest: Manifest, split: Split | None, advance: Callable[[int], object]
) -> Iterator[pa.Table]:
    """The rows of a split, or of both, each as a table of one."""
    for batch in snapshots.iter_triplets(corpus, manifest, _ROWS):
        for place, side in enumerate(batch["split"].to_pylist()):
            if split is None or side == split:
                yield batch.slice(place, 1)
        advance(batch.num_rows)


class _Part:
    """One split on its way out."""

    def __init__(self, form: Format, target: Target, split: Split, shard: int) -> None:
        self._form = form
        self._target = target
        self._split = split
        self._shard = shard
        self._held: list[Row] = []
        self._size = 0
        self._shards: list[Shard] = []
        self.rows = 0
        self._pictures = self._asked = self._answered = 0
        self._domains: Counter[str] = Counter()
        self._task_types: Counter[str] = Counter()

    def add(self, row: Row) -> None:
        for path, data in self._form.beside(row):
            self._target.put(path, data)
        self._held.append(row)
        self._size += row.size
        self.rows += 1
        self._pictures += len(row.pictures)
        self._asked += row.prompt_tokens or 0
        self._answered += row.completion_tokens or 0
        self._domains[str(row.domain)] += 1
        self._task_types[row.task_type] += 1
        if self._size >= self._shard:
            self._write()

    def close(self, weights: Mapping[str, float], counted: bool) -> Part:
        """Writes what is held, and tells of all of it."""
        if self._held:
            self._write()
        return Part(
            rows=self.rows,
            pictures=self._pictures,
            prompt_tokens=self._asked if counted else None,
            completion_tokens=self._answered if counted else None,
            by_domain=dict(sorted(self._domains.items())),
            by_task_type=dict(sorted(self._task_types.items())),
            weights=dict(sorted(weights.items())),
            shards=tuple(self._shards),
        )

    def _write(self) -> None:
        path, data = self._form.path(self._split, len(self._shards)), self._form.encode(self._held)
        sha256 = self._target.put(path, data)
        self._shards.append(Shard(path=path, sha256=sha256, rows=len(self._held), size=len(data)))
        self._held, self._size = [], 0


class _LeftOut:
    """The list of what is not exported."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._lines: list[str] = []
        self.reasons: Counter[Reason] = Counter()
        self.files: dict[str, str] = {}

    def add(self, row: LeftOut) -> None:
        self.reasons[row.reason] += 1
        self._lines.append(row.model_dump_json() + "\n")
        if len(self._lines) >= _LINES:
            self.close()

    def close(self) -> None:
        """Writes what is held."""
        if self._lines:
            path = f"left_out/{len(self.files):05d}.jsonl"
            self.files[path] = self._target.put(path, "".join(self._lines).encode())
            self._lines = []

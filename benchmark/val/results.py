"""What came of runs, as files: an answer each while a run is under way, and a table when it is complete.

answers/<identity>/<question>.json   written as they come: what is there is not asked again
<label>-<identity>.parquet           records under VAL_RECORD_SCHEMA; the footer says what ran (:class:`ValRun`)

They lie beside the set, not in it: it is frozen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from schemas.errors import CorpusError
from schemas.val import RUN_KEY, VAL_RECORD_SCHEMA, Answer, ValManifest, ValRecord, ValRun
from storage.location import Location
from storage.shards import key_values, open_shard

_REMEDY = "Remove the file and run again: answers that are there are not asked again"


@dataclass(frozen=True)
class Result:
    """A complete run."""

    run: ValRun
    records: tuple[ValRecord, ...] = field(repr=False)


def beside(val: Location) -> Location:
    """Where results go when nothing else is said."""
    return Location(val.fs, f"{val.root}-results")


class Answers:
    """The answers of one model, each a file that is there whole or not at all."""

    def __init__(self, results: Location, identity: str) -> None:
        self._location = results.join(f"answers/{identity[:24]}")
        self._there = set(self._location.names())

    def get(self, question: str) -> Answer | None:
        """The answer to a question; None when it was not answered yet, or its file is damaged."""
        if f"{question}.json" not in self._there:
            return None
        try:
            return Answer.model_validate_json(self._location.read_bytes(f"{question}.json"))
        except ValidationError:
            return None

    def put(self, question: str, answer: Answer) -> None:
        self._location.replace(f"{question}.json", answer.model_dump_json().encode())


def write_result(results: Location, run: ValRun, records: Sequence[ValRecord]) -> str:
    """Writes the table of a run, in the place of an earlier one of the same model; gives its path."""
    name = re.sub(r"[^A-Za-z0-9._@-]+", "_", run.label).strip("._")[-64:] or "model"
    path = f"{name}-{run.identity[:12]}.parquet"
    table = ValRecord.to_table(records, VAL_RECORD_SCHEMA).replace_schema_metadata(run.as_metadata())
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    results.replace(path, sink.getvalue().to_pybytes())
    return path


def read_results(results: Location, val: ValManifest) -> Iterator[Result]:
    """The runs over this very set, by label and identity. Runs over other sets are passed over.

    Raises:
        CorpusError: a table is damaged.
    """
    for name in results.names():
        if not name.endswith(".parquet"):
            continue
        metadata = key_values(results, name)
        try:
            run = ValRun.of_metadata(metadata) if RUN_KEY in metadata else None
        except ValidationError as error:
            raise CorpusError(results.uri(name), "says not what ran", _REMEDY) from error
        if run is None or run.val_digest != val.digest:
            continue
        with open_shard(results, name) as parquet:
            yield Result(run, tuple(ValRecord.from_table(parquet.read())))

"""`dataclaw verify`: every published claim recomputed from the Parquet alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from dataclaw.commands.status import CORPUS

if TYPE_CHECKING:
    from schemas.manifest import Manifest
    from schemas.triplet import Triplet
    from storage.corpus import Corpus

_BATCH = 16
"""Rows read at a time: each may hold a few megabytes of evidence."""
_SHOWN = 50
"""Failures printed for people; --json and the exit code tell all."""


def verify(
    corpus: Annotated[str, CORPUS],
    snapshot: Annotated[int | None, typer.Option(help="Its number.", show_default="the newest")] = None,
    json_: Annotated[bool, typer.Option("--json", help="Verdict and failures as JSON.")] = False,
) -> None:
    """Recompute every published claim from the Parquet alone; exit 1 if any fails.

    Checks each file against the manifest (size, SHA-256, rows), each row's id against its content, and each time, box,
    quote, order and count of its output against its anchors. Needs neither catalog nor raw streams.

    Example: `dataclaw verify corpus --snapshot 3`
    """
    from dataclaw.opened import open_snapshot
    from dataclaw.text import count, plain, print_json

    opened, manifest = open_snapshot(corpus, snapshot)
    failures, rows, claims = _check(opened, manifest)
    if json_:
        verdict = {
            "corpus": opened.uri,
            "snapshot": manifest.number,
            "rows": rows,
            "claims": claims,
            "failures": failures,
        }
        print_json(verdict)
    else:
        for failure in failures[:_SHOWN]:
            print(f"FAILED {plain(failure['where'])}: {plain(failure['why'])}")
        if len(failures) > _SHOWN:
            print(f"... and {len(failures) - _SHOWN} more; --json lists all")
        verdict_line = f"{count(len(failures), 'failure')}" if failures else "all hold"
        print(
            f"snapshot {manifest.number}: {count(len(manifest.shards), 'shard')}, {count(rows, 'row')}, "
            f"{count(claims, 'claim')}: {verdict_line}"
        )
    if failures:
        raise typer.Exit(1)


def _check(corpus: Corpus, manifest: Manifest) -> tuple[list[dict[str, Any]], int, int]:
    """Failures, rows read and claims checked."""
    import pyarrow as pa

    from dataclaw.progress import counting
    from schemas.errors import CorpusError
    from schemas.triplet import Triplet
    from storage import snapshots
    from storage.shards import iter_shard

    failures = [_failure(problem.input, problem.words) for problem in snapshots.verify_files(corpus, manifest)]
    rows = claims = 0
    seen: set[str] = set()
    total = sum(shard.rows for shard in manifest.shards)
    with counting(total, "rows") as advance:
        for shard in manifest.shards:
            try:
                for table in iter_shard(corpus.location, shard.path, _BATCH):
                    for place in range(table.num_rows):
                        row = table.slice(place, 1)
                        id = str(row.column("id")[0].as_py())
                        rows += 1
                        try:
                            (triplet,) = Triplet.from_table(row)
                        except (ValueError, pa.ArrowInvalid) as error:
                            failures.append(_failure(f"row {id[:12]}", f"it is no triplet: {error}", id))
                            continue
                        claims += len(triplet.score.supports)
                        why = _problems(triplet)
                        if id in seen:
                            why.append("id: the row is published twice")
                        seen.add(id)
                        failures += [_failure(f"row {id[:12]}", reason, id) for reason in why]
                    advance(table.num_rows)
            except CorpusError as error:
                # Told of above when its bytes differ; a shard that cannot be read must never look verified.
                failures.append(_failure(error.problem.input, error.problem.cause))
    if rows != total:
        words = f"the manifest promises {total} rows, {rows} could be read"
        failures.append(_failure(f"snapshot {manifest.number}", words))
    return failures, rows, claims


def _problems(triplet: Triplet) -> list[str]:
    """What is wrong with a row. A task type whose code breaks leaves its row unproven, and the others checked."""
    from synthesis.verification.verify import verify_row

    try:
        return verify_row(triplet)
    except Exception as error:
        return [f"it cannot be checked: {type(error).__name__}: {error}"]


def _failure(where: str, why: str, row: str | None = None) -> dict[str, Any]:
    return {"where": where, "row": row, "why": why}

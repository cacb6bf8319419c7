"""`dataclaw status` and `dataclaw runs`: what the catalog knows."""

from __future__ import annotations

from typing import Annotated

import typer

CORPUS = typer.Argument(metavar="CORPUS", help="Folder or URI of a corpus.")
CATALOG = typer.Option(metavar="URL", help="Database of the catalog.", show_default="a file inside a local corpus")


def status(
    corpus: Annotated[str, CORPUS],
    catalog: Annotated[str | None, CATALOG] = None,
    json_: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Show a corpus in figures: streams, units, rows, rejects, quarantine, last run, last snapshot.

    Example: `dataclaw status corpus`
    """
    from dataclaw.opened import open_catalog
    from dataclaw.text import count, print_facts, print_json, seconds

    with open_catalog(corpus, catalog) as book:
        known = book.status()
    run, snapshot = known.last_run, known.snapshot
    if json_:
        from dataclaw.opened import as_json

        print_json(as_json(known))
        return
    print(known.name)
    print_facts(
        [
            ("streams", f"{known.streams:,}, {seconds(known.stream_seconds)}, in {count(known.segments, 'segment')}"),
            ("units", ", ".join(f"{number:,} {outcome}" for outcome, number in known.units.items())),
            ("rows", f"{known.rows:,}"),
            ("rejects", f"{known.rejects:,}" + ("  (dataclaw rejects)" if known.rejects else "")),
            ("quarantine", f"{known.quarantined:,}" + ("  (dataclaw quarantine)" if known.quarantined else "")),
            ("runs", f"{known.runs:,}"),
            ("last run", f"{run.id}, {run.state}" if run else "none"),
            (
                "snapshot",
                f"{snapshot.number}, {count(snapshot.rows, 'row')} in {count(snapshot.shards, 'shard')}, "
                f"{snapshot.created:%Y-%m-%d %H:%M} UTC"
                if snapshot
                else "none published yet",
            ),
        ]
    )


def runs(
    corpus: Annotated[str, CORPUS],
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest first.")] = 20,
    catalog: Annotated[str | None, CATALOG] = None,
    json_: Annotated[bool, typer.Option("--json", help="As JSON, with their reports.")] = False,
) -> None:
    """List the runs of a corpus, newest first: state, inputs, rows, duration.

    Example: `dataclaw runs corpus --limit 5`
    """
    from dataclaw.opened import as_json, open_catalog
    from dataclaw.text import print_json, print_table, seconds

    with open_catalog(corpus, catalog) as book:
        found = book.runs(limit)
    if json_:
        print_json(as_json(found))
        return
    rows = []
    for run in found:
        report = run.report
        took = seconds((run.ended - run.started).total_seconds()) if run.ended else ""
        ends = ", ".join(f"{number} {outcome}" for outcome, number in report.ends.items()) if report else ""
        made = report.units_done if report else ""
        snapshot = (report.snapshot or "") if report else ""
        rows.append([run.id, run.recipe_name, run.state, f"{run.started:%Y-%m-%d %H:%M}", took, ends, made, snapshot])
    print_table(["run", "recipe", "state", "started", "took", "inputs", "triplets", "snapshot"], rows)

"""`dataclaw rejects` and `dataclaw quarantine`: what did not become data, and why."""

from __future__ import annotations

from typing import Annotated

import typer

from dataclaw.commands.status import CATALOG, CORPUS


def rejects(
    corpus: Annotated[str, CORPUS],
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 100,
    run: Annotated[str | None, typer.Option(help="Only what this run rejected.")] = None,
    catalog: Annotated[str | None, CATALOG] = None,
    json_: Annotated[bool, typer.Option("--json", help="As JSON, with outputs and verdicts.")] = False,
) -> None:
    """List what was asked for but not published, and why: nothing suited the task, or a claim was not supported.

    Example: `dataclaw rejects corpus --json`
    """
    from dataclaw.opened import as_json, open_catalog
    from dataclaw.text import print_json, print_table

    with open_catalog(corpus, catalog) as book:
        found = book.rejects(limit=limit, run=run)
    if json_:
        print_json(as_json(found))
        return
    if not found:
        print("No rejects.")
        return
    rows = []
    for reject in found:
        outcome = reject.outcome
        why = [outcome.problem.words] if outcome.problem else []
        if outcome.score:
            why += list(outcome.score.format_errors)
            why += [f"{support.path}: {support.reason}" for support in outcome.score.unsupported]
        where = outcome.problem.input if outcome.problem else ", ".join(item[:12] for item in outcome.streams)
        rows.append([outcome.unit[:12], outcome.task_type, where, "; ".join(why)])
    print_table(["unit", "task", "input", "why"], rows)


def quarantine(
    corpus: Annotated[str, CORPUS],
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest first.")] = 100,
    catalog: Annotated[str | None, CATALOG] = None,
    json_: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """List inputs that could not be read: the cause of each and what to do. The next build tries them again.

    Inputs of one data set with the same cause are one line; --json has each.

    Example: `dataclaw quarantine corpus`
    """
    from dataclaw.opened import as_json, open_catalog
    from dataclaw.text import print_json, print_table
    from tasks.remarks import alike, named, said

    with open_catalog(corpus, catalog) as book:
        found = book.quarantined(limit=limit)
    if json_:
        print_json(as_json(found))
        return
    if not found:
        print("The quarantine is empty.")
        return
    rows = []
    for group in alike(found, lambda item: item.uri, lambda item: item.problem.words):
        causes, since = said([item.problem.cause for item in group]), min(item.since for item in group)
        rows.append([named([item.uri for item in group]), causes, group[0].problem.remedy, f"{since:%Y-%m-%d %H:%M}"])
    print_table(["input", "cause", "what to do", "since"], rows)
    if len(found) == limit:
        print(f"These are the newest {limit}; --limit takes more, --json tells all of them one by one.")

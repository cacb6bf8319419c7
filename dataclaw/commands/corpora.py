"""`dataclaw corpora`: the upkeep of corpora and their snapshots."""

from __future__ import annotations

from typing import Annotated

import typer

from dataclaw.commands.status import CATALOG, CORPUS

corpora = typer.Typer(
    no_args_is_help=True,
    help="Keep a corpus small, look at its snapshots, go back to one.",
    epilog="Start with `dataclaw corpora snapshots CORPUS`, then "
    "`maintain CORPUS --keep 10 --days 30 --dry-run` or `rollback CORPUS --to SNAPSHOT --dry-run`.",
)

DRY_RUN = typer.Option("--dry-run", help="Say what would be done; do nothing.")


@corpora.command()
def snapshots(
    corpus: Annotated[str, CORPUS],
    json_: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """List the snapshots that can be read, newest first: rows, files, bytes, and the run that published each.

    Example: `dataclaw corpora snapshots corpus`
    """
    from dataclaw.text import print_json, print_table
    from storage import snapshots as published
    from storage.corpus import Corpus
    from tasks.upkeep import megabytes

    opened = Corpus.open(corpus)
    found = [published.load(opened, number) for number in reversed(published.numbers(opened))]
    if json_:
        print_json([manifest.model_dump(mode="json", exclude={"shards", "arrow_schema"}) for manifest in found])
        return
    print_table(
        ["snapshot", "created", "rows", "shards", "size", "run"],
        [
            [
                manifest.number,
                f"{manifest.created:%Y-%m-%d %H:%M}",
                manifest.statistics.rows,
                len(manifest.shards),
                megabytes(sum(shard.size for shard in manifest.shards)),
                manifest.run,
            ]
            for manifest in found
        ],
    )


@corpora.command()
def maintain(
    corpus: Annotated[str, CORPUS],
    keep: Annotated[int, typer.Option(min=1, help="Newest snapshots that stay.")] = 10,
    days: Annotated[float, typer.Option(min=0, help="Snapshots of so many last days stay as well.")] = 30,
    grace_hours: Annotated[
        float, typer.Option(min=1, help="Younger files are never taken for left over.", metavar="HOURS")
    ] = 48,
    dry_run: Annotated[bool, DRY_RUN] = False,
    catalog: Annotated[str | None, CATALOG] = None,
    json_: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Merge small shards, remove old snapshots and left-over files, vacuum the catalog. Builds may run meanwhile.

    Example: `dataclaw corpora maintain corpus --keep 10 --days 30 --dry-run`
    """
    from datetime import timedelta
    from importlib.metadata import version

    from dataclaw.opened import as_json, open_catalog
    from dataclaw.text import print_facts, print_json
    from storage.corpus import Corpus
    from storage.maintenance import Policy
    from storage.maintenance import maintain as do_maintain
    from tasks.upkeep import facts

    policy = Policy(keep=keep, days=days, grace=timedelta(hours=grace_hours))
    with open_catalog(corpus, catalog) as book:
        done = do_maintain(Corpus.open(corpus), book, version("dataclaw-factory"), policy, dry_run)
    if json_:
        print_json(as_json(done))
    else:
        print_facts(facts(done))


@corpora.command()
def rollback(
    corpus: Annotated[str, CORPUS],
    to: Annotated[int, typer.Option("--to", metavar="SNAPSHOT", help="The snapshot to go back to.", min=1)],
    dry_run: Annotated[bool, DRY_RUN] = False,
    anyway: Annotated[bool, typer.Option("--anyway", help="Also while a run is under way.")] = False,
    catalog: Annotated[str | None, CATALOG] = None,
    json_: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Publish the rows of an old snapshot anew. What was published since is withdrawn, and no build brings it back.

    Example: `dataclaw corpora rollback corpus --to 12`
    """
    from importlib.metadata import version

    from dataclaw.opened import as_json, open_catalog
    from dataclaw.text import count, print_json
    from storage.corpus import Corpus
    from storage.rollback import roll_back

    with open_catalog(corpus, catalog) as book:
        done = roll_back(Corpus.open(corpus), book, to, version("dataclaw-factory"), dry_run, anyway)
    if json_:
        print_json(as_json(done))
        return
    would = "would be " if dry_run else ""
    if done.published is not None:
        print(f"snapshot {done.published} has the rows of snapshot {to}: {count(done.rows, 'row')}")
    elif not dry_run:
        print(f"the newest snapshot has the rows of snapshot {to} already")
    print(f"{count(done.restored, 'row')} {would}brought back, {done.withdrawn:,} {would}withdrawn")

"""`dataclaw bench`: how well the parts measure, against what is known to be true."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from benchmark.experts.results import Results

bench = typer.Typer(
    no_args_is_help=True,
    help="Measure the parts of DataClaw against what is known to be true.",
    epilog="Start with `dataclaw bench experts`.",
)


@bench.callback()
def _group() -> None:
    # Without a callback a group of one command would be that command.
    return


@bench.command()
def experts(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FOLDER]...", help="Labelled streams; samples are made when none is named."),
    ] = None,
    expert: Annotated[
        list[str] | None, typer.Option("--expert", metavar="NAME", help="Only this one; may be given many times.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Where to write the page, the picture and the data.")
    ] = None,
    members: Annotated[int, typer.Option("--members", min=1, help="Streams taken of one data set.")] = 20,
    seed: Annotated[int, typer.Option("--seed", help="That of the samples.")] = 0,
    json_: Annotated[bool, typer.Option("--json", help="Everything as JSON, per stream too.")] = False,
) -> None:
    """Score every expert against labelled streams: precision, recall, F1, words, IoU and what it costs.

    An expert that this machine lacks packages or weights for is listed with what is missing. Exits with 1 when one
    breaks on a stream.

    Example: `dataclaw bench experts streams --out report`
    """
    from benchmark.experts.report import write
    from benchmark.experts.run import plan, run
    from dataclaw.progress import counting
    from dataclaw.text import plain, print_json
    from sources.samples import make_samples

    with ExitStack() as stack:
        places = list(folders or [])
        if not places:
            places = [Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dataclaw-bench-")))]
            make_samples(places[0], seed)
        planned = plan(places, expert or (), members)
        advance = stack.enter_context(counting(planned.work, "streams looked at by experts"))
        results = run(planned, advance)
    written = write(results, out) if out is not None else []
    if json_:
        print_json(results.as_json())
    else:
        _show(results)
        for file in written:
            typer.echo(f"wrote {plain(file)}", err=True)
    if results.failed:
        raise typer.Exit(1)


def _show(results: Results) -> None:
    from benchmark.experts.report import COLUMNS, COSTS, cost_cells, remarks, score_cells
    from dataclaw.text import count, plain, print_table

    print_table(COLUMNS, score_cells(results), title=f"What they find, in {count(results.streams, 'stream')}:")
    print_table(COSTS, cost_cells(results), title=f"What they cost, on {results.machine}:")
    for line in remarks(results):
        print(plain(line))

"""`dataclaw build`: raw streams and an intent in, a snapshot of verified triplets out."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from schemas.outcome import RunReport
    from schemas.recipe import Recipe

_SHOWN = 20
"""Remarks printed for people; --json tells all."""


def build(
    inputs: Annotated[
        list[str], typer.Argument(metavar="RECIPE | INPUT...", help="One recipe (.yaml), or files and folders.")
    ],
    intent: Annotated[
        list[str] | None,
        typer.Option("--intent", "-i", metavar="TEXT", help="What you want, in your words. May be given many times."),
    ] = None,
    out: Annotated[str | None, typer.Option("--out", "-o", metavar="URI", help="Where the corpus goes.")] = None,
    domain: Annotated[
        str | None, typer.Option(help="daily_life, education, gui, embodied or aigc; found out when not given.")
    ] = None,
    format: Annotated[str | None, typer.Option(help="Format of the inputs; found out when not given.")] = None,
    backend: Annotated[
        str | None,
        typer.Option(
            help="What writes the outputs: rules, openai, vllm, transformers, model:NAME.", show_default="rules"
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="NAME", help="A hub id, a folder, or the name that the server knows.")
    ] = None,
    base_url: Annotated[
        str | None, typer.Option(metavar="URL", help="Of an OpenAI-compatible server: http://localhost:8000/v1")
    ] = None,
    schema: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Your own form: a JSON Schema file, or package.module:Model (Pydantic)."),
    ] = None,
    group_by: Annotated[
        str | None,
        typer.Option(metavar="HOW", help="What belongs together: `folder`, or a regular expression with a group."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the recipe.", show_default="the folder of --out")] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes that look at streams.", show_default="one per CPU")
    ] = None,
    catalog: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Database of the catalog.", show_default="a file inside a local corpus"),
    ] = None,
    rate: Annotated[
        float | None, typer.Option(metavar="FPS", help="Frames per second that whole-frame experts see.")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="The run report as JSON.")] = False,
) -> None:
    """Build a corpus: by a recipe, or from inputs and an intent.

    Run it again to go on after an interruption, or to take in what is new: what is done is not done again.
    Rejected and unreadable inputs are listed. Exit code 0: at least one input is data now, or waits for budget; 1: it
    failed, or none is; 2: bad usage, and nothing was done.

    Example: `dataclaw build streams/gui --intent "Make a task trajectory" --out corpus`

    Example: `dataclaw build examples/demo.yaml`
    """
    from dataclaw.progress import set_up_environment, stage_lines
    from storage.recipes import recipe_of_run

    recipe = _recipe(
        inputs,
        intent or [],
        out,
        domain,
        format,
        backend,
        model,
        base_url,
        schema,
        group_by,
        name,
        workers,
        catalog,
        rate,
    )
    _look_for_sources(recipe)
    recipe = recipe_of_run(recipe, sent=False)
    set_up_environment()
    from contextlib import redirect_stdout

    from dataclaw.local_server import prefect_api

    # Standard output is the report's alone: what Ray prints goes with the progress.
    with redirect_stdout(sys.stderr), stage_lines(), prefect_api(meanwhile=_import_flow):
        from flows.build_corpus import build_corpus

        report = build_corpus(recipe=recipe)
    if json_:
        print(report.model_dump_json(indent=2))
    else:
        show_report(report)
    if not report.usable:
        raise typer.Exit(1)


def _import_flow() -> None:
    """Seconds of importing (Ray, PyAV, OpenCV), which the server's own start leaves a CPU for."""
    import flows.build_corpus  # noqa: F401


def _recipe(
    inputs: list[str],
    intents: list[str],
    out: str | None,
    domain: str | None,
    format: str | None,
    backend: str | None,
    model: str | None,
    base_url: str | None,
    schema: str | None,
    group_by: str | None,
    name: str | None,
    workers: int | None,
    catalog: str | None,
    rate: float | None,
) -> Recipe:
    from dataclaw.recipes import from_arguments, is_recipe_file
    from schemas.errors import UsageError
    from storage.recipes import load_recipe

    if is_recipe_file(inputs, intents):
        given = {
            "--out": out,
            "--domain": domain,
            "--format": format,
            "--backend": backend,
            "--model": model,
            "--base-url": base_url,
            "--schema": schema,
            "--group-by": group_by,
            "--name": name,
            "--workers": workers,
            "--catalog": catalog,
            "--rate": rate,
        }
        if beside := [option for option, value in given.items() if value is not None]:
            cause = f"{', '.join(beside)} cannot stand beside a recipe: a build is what its recipe says"
            raise UsageError(inputs[0], cause, "Write it into the recipe; docs/recipe.md has the keys")
        return load_recipe(inputs[0])
    if not intents:
        raise UsageError("--intent", "no intent is given", 'Say what you want: --intent "Make a tutorial from this"')
    if any(not text.strip() for text in intents):
        raise UsageError("--intent", "the intent is empty", 'Say what you want: --intent "Make a tutorial from this"')
    if not out:
        raise UsageError("--out", "there is no place for the corpus", "Give a folder: --out corpus")
    return from_arguments(
        inputs,
        intents,
        out,
        name=name,
        domain=domain,
        format=format,
        backend=backend,
        model=model,
        base_url=base_url,
        schema=schema,
        group_by=group_by,
        rate=rate,
        workers=workers,
        catalog=catalog,
    )


def _look_for_sources(recipe: Recipe) -> None:
    """Refuses a build none of whose sources is there, before anything is started or made. One that is missing beside
    others is a problem of the run: the rest goes on."""
    from schemas.errors import UsageError
    from sources.discovery import absent

    missing = [problem for source in recipe.sources if (problem := absent(source.uri))]
    if len(missing) == len(recipe.sources):
        raise UsageError(missing[0].input, missing[0].cause, missing[0].remedy)


def show_report(report: RunReport) -> None:
    """The summary of a build for people."""
    from dataclaw.text import count, plain, print_facts

    _show_remarks(report)
    print(f"{report.name}: {_state_words(report)}")
    print_facts(
        [
            (
                "inputs",
                f"{report.inputs_found} = " + " + ".join(f"{number} {end}" for end, number in report.ends.items()),
            ),
            (
                "units",
                f"{report.units_done} done, {report.units_filtered} filtered, {report.units_failed} failed, "
                + (f"{report.units_postponed} postponed, " if report.units_postponed else "")
                + f"{report.units_known} known from earlier runs",
            ),
            *_looked_at(report),
            ("snapshot", f"{report.snapshot} with {count(report.rows, 'row')}" if report.snapshot else "unchanged"),
            ("corpus", _near(report.corpus)),
        ]
    )
    if report.costs:
        total = sum(cost.cpu for cost in report.costs) or 1.0
        dearest = sorted(report.costs, key=lambda cost: -cost.cpu)[:6]
        print("  CPU: " + ", ".join(f"{cost.stage} {cost.cpu / total:.0%}" for cost in dearest))
    if report.usage.requests:
        usage = report.usage
        asked = f"{count(usage.requests, 'question')}, {count(usage.images, 'picture')}"
        cached = f"{usage.cached_tokens} from the prefix cache"
        print(f"  model: {asked}, {usage.prompt_tokens} tokens read ({cached}), {usage.completion_tokens} written")
    if report.ambiguous:
        forms = ", ".join(sorted({form for taken in report.ambiguous.values() for form in taken}))
        print(f"  {count(len(report.ambiguous), 'intent')} read in several ways and taken for {forms}:")
        print(f"    dataclaw plan --intent {_quoted(next(iter(report.ambiguous)))} shows every reading")
    if report.message and (report.units_known or report.units_postponed):
        print(f"  {plain(report.message)}")
    if not report.usable:
        return
    corpus = _quoted(_near(report.corpus))
    print(f"Next: dataclaw view {corpus}    dataclaw verify {corpus}")


def _show_remarks(report: RunReport) -> None:
    from dataclaw.text import count, print_table
    from tasks.remarks import named, remarks, said, why

    groups = remarks(report)
    if not groups:
        return
    print_table(
        ["end", "input", "why"],
        [
            [group[0].outcome, named([_near(item.uri) for item in group]), said([why(item) for item in group])]
            for group in groups[:_SHOWN]
        ],
        title="Inputs with remarks",
    )
    if left := sum(len(group) for group in groups[_SHOWN:]):
        print(f"... and {count(left, 'input')} more: dataclaw rejects, dataclaw quarantine")
    print()


def _looked_at(report: RunReport) -> Iterator[tuple[str, str]]:
    """How much experts had to look at."""
    from dataclaw.text import seconds

    if not report.segments_extracted and not report.segments_known:
        yield "segments", "none had to be looked at"
        return
    yield "segments", f"{report.segments_extracted} looked at, {report.segments_known} known from earlier runs"
    if report.segments_extracted and report.ended:
        wall = (report.ended - report.started).total_seconds()
        yield "streams", f"{seconds(report.stream_seconds)} looked at in {seconds(wall)}"


def _state_words(report: RunReport) -> str:
    """How it ended, and where to read on."""
    from schemas.outcome import Outcome, RunState

    ended = "stopped by its budget" if report.units_postponed else "completed" if report.usable else "nothing was made"
    if report.state is not RunState.COMPLETED_WITH_REJECTS:
        return ended
    failed = ["some inputs failed (unreadable ones: dataclaw quarantine)"] if report.count(Outcome.FAILED) else []
    refused = report.count(Outcome.FILTERED) or report.units_filtered or not failed
    wishes = ["some wishes could not be met (dataclaw rejects)"] if refused else []
    return f"{ended}; {', '.join([*failed, *wishes])}"


def _near(uri: str) -> str:
    """A path below the current folder as people would type it."""
    import os

    return os.path.relpath(uri) if uri.startswith(os.getcwd() + os.sep) else uri


def _quoted(text: str) -> str:
    import shlex

    return shlex.quote(text)

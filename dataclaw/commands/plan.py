"""`dataclaw plan`: what an intent is taken to mean, before any work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from schemas.errors import Problem
    from schemas.stream import Domain, Stream
    from schemas.task_spec import TaskSpec


def plan(
    inputs: Annotated[
        list[str] | None, typer.Argument(metavar="[INPUT]...", help="Files or folders of raw streams.")
    ] = None,
    intent: Annotated[str, typer.Option("--intent", "-i", metavar="TEXT", help="What you want, in your words.")] = "",
    domain: Annotated[
        str | None, typer.Option(help="daily_life, education, gui, embodied or aigc; found out when not given.")
    ] = None,
    schema: Annotated[bool, typer.Option("--schema", help="Show the JSON Schema of each output too.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="The task specs as JSON, schemas included.")] = False,
) -> None:
    """Show the task specs that an intent resolves to: confidence, reasons, output schema. Nothing is built.

    Example: `dataclaw plan --intent "Construct tutoring data from this lesson" lesson.mp4`
    """
    from dataclaw.recipes import domain_named
    from schemas.errors import UsageError
    from schemas.task_spec import Intent
    from synthesis.intent.resolve import choose, resolve

    if not intent.strip():
        raise UsageError("--intent", "the intent is empty", 'Say what you want, such as --intent "Make a tutorial"')
    chosen = domain_named(domain)
    streams, problems = _describe(inputs or [], intent, chosen)
    for problem in problems:
        typer.echo(f"left out: {_line(problem)}", err=True)
    if inputs and not streams:
        raise typer.Exit(1)
    specs = resolve(Intent(text=intent, domain=chosen), streams)
    if json_:
        from dataclaw.text import print_json

        print_json([_as_json(spec) | {"built": spec in choose(specs)} for spec in specs])
    else:
        _show(specs, choose(specs), streams, schema)


def _describe(inputs: list[str], intent: str, domain: Domain | None) -> tuple[list[Stream], list[Problem]]:
    """The streams at some places. Hashes and probes them, as a build does, but remembers nothing."""
    from schemas.errors import InputError, Problem
    from schemas.recipe import Sampling, SourceSpec
    from sources.discovery import discover, hash_parts, probe
    from synthesis.intent.domain import domain_of

    streams: list[Stream] = []
    problems: list[Problem] = []
    for uri in inputs:
        for item in discover(SourceSpec(uri=uri, domain=domain)):
            if isinstance(item, Problem):
                problems.append(item)
                continue
            world = domain_of(item, domain, [intent])
            try:
                streams.append(probe(item, hash_parts(item, {}), world, Sampling().max_pixels))
            except InputError as error:
                problems.append(error.problem)
    return streams, problems


def _show(specs: list[TaskSpec], built: list[TaskSpec], streams: list[Stream], schema: bool) -> None:
    import json

    from dataclaw.text import count, plain, seconds

    if streams:
        total = sum(stream.duration for stream in streams)
        domains = ", ".join(sorted({stream.domain for stream in streams}))
        print(f"{count(len(streams), 'stream')}, {seconds(total)}, {domains}")
    print(f"{count(len(specs), 'reading')} of the intent, best first:")
    for number, spec in enumerate(specs, 1):
        notes = [f"confidence {spec.confidence:.2f}"]
        notes += ["all streams together"] if spec.joins_streams and len(streams) > 1 else []
        notes += [] if spec in built else ["kept on record, not built"]
        print(f"\n{number}. {spec.task_type}  ({', '.join(notes)})")
        print(f"   {plain(spec.instruction)}")
        for reason in spec.because:
            print(f"   because {plain(reason)}")
        phi = json.loads(spec.output_schema)
        if schema:
            print("   " + json.dumps(phi, indent=2, ensure_ascii=False).replace("\n", "\n   "))
        else:
            print(f"   output: {', '.join(phi.get('properties', {}))}")


def _as_json(spec: TaskSpec) -> dict[str, Any]:
    import json

    return spec.model_dump(mode="json") | {"output_schema": json.loads(spec.output_schema)}


def _line(problem: Problem) -> str:
    from dataclaw.text import plain

    return f"{plain(problem.input)}: {plain(problem.cause)}. {plain(problem.remedy)}"

"""`dataclaw plan`: what an intent is taken to mean, before any work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from schemas.errors import Problem
    from schemas.stream import Domain, Stream
    from schemas.task_spec import Intent, TaskSpec


def plan(
    inputs: Annotated[
        list[str] | None, typer.Argument(metavar="[INPUT]...", help="Files or folders of raw streams.")
    ] = None,
    intent: Annotated[str, typer.Option("--intent", "-i", metavar="TEXT", help="What you want, in your words.")] = "",
    domain: Annotated[
        str | None, typer.Option(help="daily_life, education, gui, embodied or aigc; found out when not given.")
    ] = None,
    schema: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Your own form: a JSON Schema file, or package.module:Model (Pydantic)."),
    ] = None,
    show_schema: Annotated[
        bool, typer.Option("--show-schema", help="Show the JSON Schema of what is built too.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="The task specs as JSON, schemas included.")] = False,
) -> None:
    """Show the task specs that an intent resolves to: confidence, reasons, constraints. Nothing is built.

    Example: `dataclaw plan --intent "Construct tutoring data from this lesson" lesson.mp4`
    """
    from dataclaw.recipes import domain_named
    from dataclaw.text import print_json
    from schemas.errors import UsageError
    from schemas.task_spec import Intent
    from synthesis.intent.resolve import choose

    if not intent.strip():
        raise UsageError("--intent", "the intent is empty", 'Say what you want, such as --intent "Make a tutorial"')
    chosen = domain_named(domain)
    streams, problems = _describe(inputs or [], intent, chosen)
    for problem in problems:
        typer.echo(f"left out: {_line(problem)}", err=True)
    if inputs and not streams:
        raise typer.Exit(1)
    resolved = _resolved(Intent(text=intent, domain=chosen), streams, schema)
    if json_:
        print_json([_as_json(spec) | {"built": spec in choose(specs)} for _, specs in resolved for spec in specs])
        return
    for group, specs in resolved:
        _show(specs, choose(specs), group, show_schema)


def _resolved(intent: Intent, streams: list[Stream], schema: str | None) -> list[tuple[list[Stream], list[TaskSpec]]]:
    """The readings for the streams of each domain. What cannot be had of one domain is told, and an error where nothing
    can be had of any."""
    from schemas.errors import UnsuitedError
    from storage.recipes import load_schema
    from synthesis.intent.own_form import resolve_own
    from synthesis.intent.resolve import resolve

    own = None if schema is None else load_schema(schema)
    groups: dict[Domain, list[Stream]] = {}
    for stream in streams:
        groups.setdefault(stream.domain, []).append(stream)
    found: list[tuple[list[Stream], list[TaskSpec]]] = []
    errors: list[UnsuitedError] = []
    for group in groups.values() or [[]]:
        try:
            found.append((group, resolve(intent, group) if own is None else [resolve_own(intent, own, group)]))
        except UnsuitedError as error:
            errors.append(error)
    if not found:
        raise errors[0]
    for unsuited in errors:
        typer.echo(f"nothing to build: {_line(unsuited.problem)}", err=True)
    return found


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


def _show(specs: list[TaskSpec], built: list[TaskSpec], streams: list[Stream], show_schema: bool) -> None:
    """A table of the readings, then in full what would be built."""
    from dataclaw.text import count, plain, print_table, seconds
    from synthesis.agents.roster import agent_of
    from synthesis.backends.rules import refusal

    if streams:
        total = sum(stream.duration for stream in streams)
        print(f"{count(len(streams), 'stream')}, {seconds(total)}, {streams[0].domain}")
    rows = [
        (
            number,
            spec.task_type,
            f"{spec.confidence:.2f}",
            "built" if spec in built else "kept",
            _why(spec),
            _asks(spec),
        )
        for number, spec in enumerate(specs, 1)
    ]
    title = f"{count(len(specs), 'reading')} of the intent, best first:"
    print_table(["", "task type", "confidence", "", "why", "constraints"], rows, title=title)
    for spec in built:
        together = " (all streams together)" if spec.joins_streams and len(streams) > 1 else ""
        print(f"\n{spec.task_type}{together}: {plain(spec.instruction)}")
        print(f"  because {plain('; '.join(spec.because))}")
        if (refused := refusal(agent_of(spec), spec.constraints)) is not None:
            print(f"  but {refused[0]}: a build by rules rejects it")
        _show_output(spec, show_schema)


def _show_output(spec: TaskSpec, show_schema: bool) -> None:
    import json

    phi = json.loads(spec.output_schema)
    if show_schema:
        print("  " + json.dumps(phi, indent=2, ensure_ascii=False).replace("\n", "\n  "))
    else:
        print(f"  output: {', '.join(phi.get('properties', {}))}")


def _why(spec: TaskSpec) -> str:
    """The first reason, which weighs most."""
    return spec.because[0] if spec.because else ""


def _asks(spec: TaskSpec) -> str:
    """What verification will check."""
    return str(spec.constraints) or "none"


def _as_json(spec: TaskSpec) -> dict[str, Any]:
    import json

    return spec.model_dump(mode="json") | {"output_schema": json.loads(spec.output_schema)}


def _line(problem: Problem) -> str:
    from dataclaw.text import plain

    return f"{plain(problem.input)}: {plain(problem.cause)}. {plain(problem.remedy)}"

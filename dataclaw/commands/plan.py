"""`dataclaw plan`: what an intent is taken to mean, before any work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from schemas.errors import Problem
    from schemas.recipe import Recipe
    from schemas.stream import Domain, Stream
    from schemas.task_spec import Intent, TaskSpec
    from synthesis.estimate import Estimate
    from synthesis.intent.model import IntentModel


def plan(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[INPUT]...", help="Files or folders of raw streams; with --cost also one recipe (.yaml)."
        ),
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
    cost: Annotated[bool, typer.Option("--cost", help="What a build would ask of its model, in tokens.")] = False,
    backend: Annotated[
        str | None,
        typer.Option(
            help="As of the build: openai (its server reads the intent), vllm, transformers.", show_default="rules"
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Of the backend: a hub id, a folder, or the server's name for it."),
    ] = None,
    base_url: Annotated[
        str | None, typer.Option(metavar="URL", help="Of an OpenAI-compatible server: http://localhost:8000/v1")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="The task specs as JSON, schemas included.")] = False,
) -> None:
    """Show the task specs that an intent resolves to: confidence, reasons, constraints. Nothing is built.

    Example: `dataclaw plan --intent "Construct tutoring data from this lesson" lesson.mp4`

    Example: `dataclaw plan --intent "Frag etwas dazu" --backend openai --model m --base-url http://localhost:8000/v1`

    Example: `dataclaw plan --cost nightly.yaml`
    """
    if cost:
        _show_cost(inputs or [], intent, domain, schema, backend, model, base_url, json_)
        return
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
    reader = _reader(intent, backend, model, base_url)
    resolved = _resolved(Intent(text=intent, domain=chosen), streams, schema, reader)
    if json_:
        print_json([_as_json(spec) | {"built": spec in choose(specs)} for _, specs in resolved for spec in specs])
        return
    for group, specs in resolved:
        _show(specs, choose(specs), group, show_schema, by_rules=backend in (None, "rules"))


def _reader(intent: str, backend: str | None, model: str | None, base_url: str | None) -> IntentModel | None:
    """What reads the intent in a build with this backend; None: rules do."""
    if backend is model is base_url is None:
        return None
    from dataclaw.recipes import from_arguments
    from storage.corpus import Corpus
    from tasks.intents import intent_model

    nowhere = "memory://plan"  # what it answers is remembered by corpora that are built, not by this one
    recipe = from_arguments(["."], [intent], nowhere, backend=backend, model=model, base_url=base_url)
    Corpus.open(nowhere, create=True)
    return intent_model(recipe)


def _show_cost(
    inputs: list[str],
    intent: str,
    domain: str | None,
    schema: str | None,
    backend: str | None,
    model: str | None,
    base_url: str | None,
    json_: bool,
) -> None:
    """What a build of these inputs would ask of its model."""
    from dataclaw.recipes import from_arguments, is_recipe_file
    from dataclaw.text import count, print_json, print_table
    from schemas.errors import UsageError
    from storage.recipes import load_recipe
    from storage.registered import with_registered_model
    from tasks.estimate import cost_of

    intents = [intent] if intent.strip() else []
    if is_recipe_file(inputs, intents):
        recipe = load_recipe(inputs[0])
    elif not inputs or not intents:
        raise UsageError("--cost", "it needs inputs and an intent, or a recipe", "dataclaw plan --cost RECIPE.yaml")
    else:
        recipe = from_arguments(
            inputs,
            intents,
            "memory://plan",
            domain=domain,
            schema=schema,
            backend=backend,
            model=model,
            base_url=base_url,
        )
    recipe = with_registered_model(recipe)
    sources = []
    for source in recipe.sources:
        streams, problems = _describe([source.uri], " ".join(source.intents or recipe.intents), source.domain)
        for problem in problems:
            typer.echo(f"left out: {_line(problem)}", err=True)
        sources.append((source, streams))
    found = cost_of(recipe, sources)
    if json_:
        print_json(
            {
                "streams": found.streams,
                "known": found.known,
                "tasks": {
                    name: {"units": found.units[name], "usual": one.usual.model_dump(), "most": one.most.model_dump()}
                    for name, one in found.by_task.items()
                },
                "usual": found.total.usual.model_dump(),
                "most": found.total.most.model_dump(),
            }
        )
        return
    told = recipe.synthesis.model.name if recipe.synthesis.model else "no model: rules cost no tokens"
    print(f"{count(found.streams, 'stream')}, backend {recipe.synthesis.backend}, {told}")
    rows = [
        (name, found.units[name], one.usual.images, one.usual.tokens, one.most.tokens)
        for name, one in found.by_task.items()
    ]
    rows.append(("all", sum(found.units.values()), *_figures(found.total)))
    print_table(["task type", "units", "pictures", "tokens, usual", "tokens, at most"], rows, title="To do:")
    if found.known:
        print(f"{count(found.known, 'unit')} known from earlier runs: they cost nothing")
    print("usual: verified at the first try; at most: every answer and every repair as long as it may be")
    _show_nights(recipe, found.total.usual.tokens)


def _figures(one: Estimate) -> tuple[int, int, int]:
    return one.usual.images, one.usual.tokens, one.most.tokens


def _show_nights(recipe: Recipe, tokens: int) -> None:
    """How long the budget makes it take."""
    budget = recipe.budget
    bounds = [bound for bound in (budget.run_tokens, budget.day_tokens) if bound is not None]
    if bounds:
        print(f"budget: {min(bounds)} tokens a run: {max(1, -(-tokens // min(bounds)))} runs")


def _resolved(
    intent: Intent, streams: list[Stream], schema: str | None, reader: IntentModel | None
) -> list[tuple[list[Stream], list[TaskSpec]]]:
    """The readings for the streams of each domain. What cannot be had of one domain is told, and an error where nothing
    can be had of any. It is told too when the model that should read the intent does not."""
    import warnings

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
            with warnings.catch_warnings(record=True) as told:
                specs = resolve(intent, group, reader) if own is None else [resolve_own(intent, own, group)]
            found.append((group, specs))
        except UnsuitedError as error:
            errors.append(error)
        for warning in told:
            typer.echo(str(warning.message), err=True)
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


def _show(
    specs: list[TaskSpec], built: list[TaskSpec], streams: list[Stream], show_schema: bool, by_rules: bool
) -> None:
    """A table of the readings, then in full what would be built."""
    from dataclaw.text import count, plain, print_table, seconds

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
        if by_rules:
            for cause in _refused(spec):
                print(f"  but {plain(cause)}: a build by rules rejects it")
        _show_output(spec, show_schema)


def _refused(spec: TaskSpec) -> list[str]:
    """Why rules cannot make it, whatever the streams hold."""
    from synthesis.agents.own_schema.agent import OwnSchemaAgent
    from synthesis.agents.own_schema.fill import unfillable
    from synthesis.agents.roster import agent_of
    from synthesis.backends.rules import refusal

    refused = refusal(agent_of(spec), spec.constraints)
    causes = [] if refused is None else [refused[0]]
    if spec.task_type == OwnSchemaAgent.task_type:
        causes += [
            f"nothing that is measured gives the required field {place}" for place in unfillable(spec.output_schema)
        ]
    return causes


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

    return f"{plain(problem.input)}: {plain(problem.words)}"

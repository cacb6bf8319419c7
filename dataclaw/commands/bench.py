"""`dataclaw bench`: how well the parts measure, and how well models tailor, against what is known to be true."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dataclaw.commands.status import CORPUS

if TYPE_CHECKING:
    from benchmark.experts.results import Results
    from benchmark.val.results import Result
    from storage.location import Location

bench = typer.Typer(
    no_args_is_help=True,
    help="Measure the parts of DataClaw, and models that tailor, against what is known to be true.",
    epilog="Start with `dataclaw bench experts`; or with `make CORPUS --out val`, then `run val rules`, then "
    "`report val`.",
)

VAL = typer.Argument(metavar="VAL", help="Folder or URI of a set that `bench make` wrote.")
RESULTS = typer.Option("--results", metavar="URI", help="Where results lie.", show_default="VAL-results")


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


@bench.command()
def make(
    corpus: Annotated[str, CORPUS],
    out: Annotated[str, typer.Option("--out", "-o", metavar="URI", help="Where the set goes; there must be none.")],
    size: Annotated[int, typer.Option("--size", min=1, help="Clear examples.")] = 200,
    fuzzy: Annotated[
        int | None, typer.Option("--fuzzy", min=0, help="Fuzzy requests at most.", show_default="a quarter of --size")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="The same seed draws the same set.")] = 0,
    version: Annotated[str, typer.Option("--version", metavar="NAME", help="Of the set.")] = "1",
    snapshot: Annotated[int | None, typer.Option(help="Its number.", show_default="the newest")] = None,
    json_: Annotated[bool, typer.Option("--json", help="The manifest as JSON.")] = False,
) -> None:
    """Draw DataClaw-val from the validation rows of a corpus: diverse examples, and fuzzy requests over their streams.

    The set is frozen: it has checksums and a data card, needs no raw streams, and is refused once it was changed.

    Example: `dataclaw bench make corpus --out val --size 200 --seed 1`
    """
    from benchmark.val.draw import make as draw
    from dataclaw.opened import open_snapshot
    from dataclaw.text import plain, print_facts
    from storage.location import Location

    opened, manifest = open_snapshot(corpus, snapshot)
    place = Location.of(out)
    most = size // 4 if fuzzy is None else fuzzy
    drawn = draw(opened, manifest, place, size=size, fuzzy=most, seed=seed, version=version)
    for line in drawn.lacks:
        typer.echo(f"fewer than asked for: {plain(line)}", err=True)
    if json_:
        print(drawn.manifest.model_dump_json(indent=2))
        return
    print(f"{drawn.manifest.title}: {plain(place.uri())}")
    print_facts(
        [
            *((str(subset), _said(counts)) for subset, counts in drawn.manifest.counts.items()),
            ("digest", drawn.manifest.digest),
        ]
    )


@bench.command()
def run(
    val: Annotated[str, VAL],
    models: Annotated[
        list[str], typer.Argument(metavar="MODEL...", help="rules, model:NAME[@N], or a model of --backend.")
    ],
    backend: Annotated[
        str | None, typer.Option("--backend", help="What runs the models: transformers, openai or vllm.")
    ] = None,
    results: Annotated[str | None, RESULTS] = None,
    base_url: Annotated[
        str | None, typer.Option("--base-url", metavar="URL", help="Of an OpenAI-compatible server.")
    ] = None,
    catalog: Annotated[
        str | None, typer.Option("--catalog", metavar="URL", help="Database that registered models are in.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A key of synthesis.model, such as frames=0; many times."),
    ] = None,
    route: Annotated[
        str | None,
        typer.Option("--route", help="Of sets of experts: omni, expert:DOMAIN or wrong.", show_default="their router"),
    ] = None,
    concurrency: Annotated[int, typer.Option("--concurrency", min=1, help="Questions under way at once.")] = 16,
    gpus: Annotated[float, typer.Option("--gpus", min=0.0, help="GPUs of an engine in this process.")] = 0.0,
    tokens: Annotated[
        int | None, typer.Option("--tokens", min=1, help="Tokens that each model may use.", show_default="no bound")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Every mean with its interval, as JSON.")] = False,
) -> None:
    """Ask models the questions of a set, and score what they answer.

    Run it again to go on after an interruption: what was answered is not asked again. What was declined or failed
    counts as wrong. Means of registered models go into the registry.

    Example: `dataclaw bench run val rules`

    Example: `dataclaw bench run val model:tailor@3 --catalog sqlite:///corpus/catalog.db`

    Example: `dataclaw bench run val base --backend transformers --set adapter=tuned/sft/model --set frames=0`
    """
    from benchmark.metrics.score import Scorer
    from benchmark.val.candidates import candidate
    from benchmark.val.run import Bounds
    from benchmark.val.run import run as measure
    from benchmark.val.store import open_val
    from dataclaw.progress import counting
    from dataclaw.text import plain, print_json
    from schemas.recipe import Serving

    serving = Serving(base_url=base_url, concurrency=concurrency, gpus=gpus)
    chosen = [candidate(name, backend, serving, _settings(settings or []), catalog, route) for name in models]
    opened = open_val(val)
    place = _results(opened.location, results)
    scorer, done = Scorer(), []
    for one in chosen:
        with counting(
            len(opened.clear) + len(opened.fuzzy), f"samples by {plain(one.label, 40)}", every=30.0
        ) as advance:
            result, path = measure(opened, one, place, scorer, Bounds(concurrency, tokens), advance)
        typer.echo(f"wrote {plain(place.uri(path))}", err=True)
        # What a set does by a forced route says nothing of it as it is used.
        if result.run.backend == f"model:{result.run.label}" and catalog is not None:
            _register(catalog, result)
        done.append(result)
    if json_:
        print_json([_as_json(result) for result in done])
    else:
        _show_runs(done)


@bench.command()
def report(
    val: Annotated[str, VAL],
    results: Annotated[str | None, RESULTS] = None,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The page.")] = Path("report.html"),
    model: Annotated[
        list[str] | None,
        typer.Option("--model", metavar="NAME", help="Only this one, in the order given.", show_default="all"),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Every mean with its interval, as JSON.")] = False,
) -> None:
    """Write the page of all runs over a set: models by domain and level, any two compared, every sample.

    One file that opens without a server or a network.

    Example: `dataclaw bench report val --out report.html`
    """
    from benchmark.val.results import read_results
    from benchmark.val.store import open_val
    from dataclaw.text import count, print_json
    from dataclaw.viewer.bench import write_report
    from schemas.errors import UsageError, unknown_name

    opened = open_val(val)
    place = _results(opened.location, results)
    found = list(read_results(place, opened.manifest))
    if model:
        known = {result.run.label for result in found}
        if missing := [name for name in model if name not in known]:
            raise unknown_name("model", missing[0], known, "--model")
        found = [result for name in model for result in found if result.run.label == name]
    if not found:
        raise UsageError(place.uri(), "no model has run over this set", "Run one: dataclaw bench run VAL rules")
    write_report(opened, found, out)
    if json_:
        print_json([_as_json(result) for result in found])
    else:
        print(f"{count(len(found), 'model')} over {opened.manifest.title}: {out.resolve().as_uri()}")


def _results(val: Location, results: str | None) -> Location:
    from benchmark.val.results import beside
    from storage.location import Location

    return beside(val) if results is None else Location.of(results)


def _settings(given: list[str]) -> dict[str, object]:
    """Keys of a model's settings with their values, which read as in a recipe."""
    import yaml

    from schemas.errors import UsageError

    found = {}
    for item in given:
        key, equals, value = item.partition("=")
        if not equals:
            raise UsageError("--set", f"{item!r} is no KEY=VALUE", "Write it as frames=0")
        try:
            found[key.strip()] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise UsageError("--set", f"{value!r} is no value", "Write it as in a recipe: frames=0") from error
    return found


def _register(catalog: str, result: Result) -> None:
    from benchmark.val.run import metrics
    from storage.catalog.registry import Registry

    with Registry.open(catalog) as registry:
        registry.measure(result.run.label, metrics(result))


def _as_json(result: Result) -> dict[str, object]:
    from benchmark.val.run import acceptable, columns, rewards, untold

    return {
        "run": result.run.model_dump(mode="json"),
        "scores": {name: levels.model_dump(mode="json") for name, levels in columns(result).items()},
        "acceptable_readings": acceptable(result),
        "untold": untold(result),
        "rewards": rewards(result),
    }


def _show_runs(done: list[Result]) -> None:
    from collections import Counter

    from benchmark.val.run import acceptable, at, columns, rewards, untold
    from dataclaw.text import count, print_table
    from schemas.sample_score import Level

    rows = []
    for result in done:
        ends = Counter(record.answer.state for record in result.records)
        for name, levels in columns(result).items():
            estimates = [at(levels, level) for level in Level]
            shown = ["–" if one is None else f"{100 * one.mean:.1f}" for one in estimates]
            rows.append([result.run.label, name, levels.json_valid.samples, *shown])
        told = ", ".join(f"{number} {state}" for state, number in ends.items())
        share = acceptable(result)
        reading = "" if share is None else f"; {share:.0%} of fuzzy requests read acceptably"
        reward = ", ".join(f"{part} {mean:.3f}" for part, mean in rewards(result).items())
        typer.echo(f"{result.run.label}: {told}{reading}; {reward}", err=True)
        if lacks := untold(result):
            asked = f"{count(lacks, 'question')} did not tell all that the true output states"
            typer.echo(f"{result.run.label}: {asked}: raise anchor_tokens or frames (--set)", err=True)
    print_table(["model", "of", "samples", *(str(level) for level in Level)], rows, title="Means in per cent:")


def _said(counts: dict[str, dict[str, int]]) -> str:
    total = sum(sum(some.values()) for some in counts.values())
    return f"{total}: " + ", ".join(f"{domain} {sum(some.values())}" for domain, some in counts.items())

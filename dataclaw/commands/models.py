"""`dataclaw models`: the models that were trained, which of them is in use, and how they compare."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from dataclaw.commands.status import CATALOG

if TYPE_CHECKING:
    from schemas.model import ModelKind, ModelVersion
    from storage.catalog.registry import Registry

models = typer.Typer(
    no_args_is_help=False,
    invoke_without_command=True,
    help="List the models that were trained, compare them, choose the one in use.",
    epilog="Start with `dataclaw models --corpus CORPUS`, then `compare tailor tailor@4`, then `promote tailor@4`; "
    "`dataclaw build ... --backend model:tailor` builds with the current version.",
)

_HERE = "."
_OVERALL = {
    "val/overall/json": "JSON",
    "val/overall/field": "Field",
    "val/overall/semantic": "Semantic",
    "val/overall/sequence": "Sequence",
    "val/R": "R",
}
"""Metrics that the list shows, by what they are called there."""
CORPUS = typer.Option(metavar="CORPUS", help="Folder or URI of a corpus in whose catalog the models are.")
MODEL = typer.Argument(metavar="NAME[@N]", help="A version by its number, or the current one.")
VERSION = typer.Argument(metavar="NAME@N", help="A version by its number.")
KIND = typer.Option(
    metavar="KIND", help="omni, experts (a set of them), or the domain of one.", show_default="omni, else experts"
)
JSON = typer.Option("--json", help="As JSON.")


@models.callback()
def _list(
    context: typer.Context,
    corpus: Annotated[str, CORPUS] = _HERE,
    catalog: Annotated[str | None, CATALOG] = None,
    json_: Annotated[bool, JSON] = False,
) -> None:
    """List the models that were trained: their states, what they were tuned from and on, and their metrics.

    Example: `dataclaw models --corpus corpus`
    """
    if context.invoked_subcommand is not None:
        if corpus != _HERE or catalog is not None or json_:
            from schemas.errors import UsageError

            cause = "options of a subcommand stand after it"
            command = context.invoked_subcommand
            raise UsageError(f"models {command}", cause, f"dataclaw models {command} ... --corpus CORPUS")
        return
    from dataclaw.text import print_json, print_table

    with open_registry(corpus, catalog) as registry:
        found = registry.versions()
    if json_:
        print_json([_as_json(model) for model in found])
        return
    if not found:
        print("no model is registered here yet")
        return
    measured = [name for name in _OVERALL if any(name in model.metrics for model in found)]
    parents = ["parents"] if any(model.parents for model in found) else []
    levels = [_OVERALL[name] for name in measured]
    print_table(
        ["model", "kind", "state", "base", "snapshot", "registered", *parents, *levels],
        [
            [
                model.reference,
                model.kind,
                model.state,
                model.weights.base.name.rstrip("/").rpartition("/")[2],
                "" if model.snapshot is None else model.snapshot.number,
                f"{model.registered:%Y-%m-%d %H:%M}",
                *([", ".join(model.parents)] if parents else []),
                *(_per_cent(model.metrics.get(name)) for name in measured),
            ]
            for model in found
        ],
        title="Over DataClaw-val, in per cent (`show` has all metrics):" if measured else "",
    )


@models.command()
def show(
    model: Annotated[str, MODEL],
    kind: Annotated[str | None, KIND] = None,
    corpus: Annotated[str, CORPUS] = _HERE,
    catalog: Annotated[str | None, CATALOG] = None,
    json_: Annotated[bool, JSON] = False,
) -> None:
    """Show all that is known of a model: weights, training, prompting, metrics, promotion.

    Example: `dataclaw models show tailor@3 --corpus corpus`
    """
    from dataclaw.text import print_facts, print_json

    with open_registry(corpus, catalog) as registry:
        found = registry.get(model, _kind(kind))
    if json_:
        print_json(_as_json(found))
        return
    print(found.reference)
    print_facts(_facts(found))


@models.command()
def compare(
    first: Annotated[str, MODEL],
    second: Annotated[str, MODEL],
    corpus: Annotated[str, CORPUS] = _HERE,
    catalog: Annotated[str | None, CATALOG] = None,
    json_: Annotated[bool, JSON] = False,
) -> None:
    """Put the metrics of two models side by side.

    Example: `dataclaw models compare tailor tailor@4 --corpus corpus`
    """
    import dataclasses

    from dataclaw.text import print_json, print_table
    from training.registry import compare as compared

    with open_registry(corpus, catalog) as registry:
        one, other = registry.get(first), registry.get(second)
    found = compared(one, other)
    if json_:
        print_json([{**dataclasses.asdict(line), "difference": line.difference} for line in found])
        return
    if not found:
        print("neither was measured yet")
        return
    print_table(
        ["metric", one.reference, other.reference, "difference"],
        [
            [line.metric, _number(line.first), _number(line.second), _number(line.difference, signed=True)]
            for line in found
        ],
    )


@models.command()
def promote(
    model: Annotated[str, VERSION],
    corpus: Annotated[str, CORPUS] = _HERE,
    catalog: Annotated[str | None, CATALOG] = None,
    json_: Annotated[bool, JSON] = False,
) -> None:
    """Make a candidate the current version: builds with `model:NAME` use it from their next run on.

    The version that was current is retired; `rollback` brings it back.

    Example: `dataclaw models promote tailor@4 --corpus corpus`
    """
    from schemas.model import ModelState

    with open_registry(corpus, catalog) as registry:
        candidate = registry.get(_numbered(model))
        alike = [one for one in registry.versions(candidate.name) if one.kind == candidate.kind]
        over = next((one for one in alike if one.state is ModelState.CURRENT), None)
        done = registry.promote(candidate.reference, over.number if over else None, who())
    _tell(done, "is current already" if over == candidate else "is current", over, json_)


@models.command()
def rollback(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the model.")],
    kind: Annotated[str | None, KIND] = None,
    corpus: Annotated[str, CORPUS] = _HERE,
    catalog: Annotated[str | None, CATALOG] = None,
    json_: Annotated[bool, JSON] = False,
) -> None:
    """Go back to the version that was current before the last promotion. Done again, it goes back further.

    Example: `dataclaw models rollback tailor --corpus corpus`
    """
    with open_registry(corpus, catalog) as registry:
        bad = registry.get(name, _kind(kind))
        done = registry.roll_back(bad.reference, who())
    _tell(done, "is current again", bad, json_)


@models.command()
def retire(
    model: Annotated[str, VERSION],
    undo: Annotated[bool, typer.Option("--undo", help="Make a retired version a candidate again.")] = False,
    corpus: Annotated[str, CORPUS] = _HERE,
    catalog: Annotated[str | None, CATALOG] = None,
    json_: Annotated[bool, JSON] = False,
) -> None:
    """Give a candidate up. Its files stay; a recipe that names its number can use it still.

    Example: `dataclaw models retire tailor@2 --corpus corpus`
    """
    with open_registry(corpus, catalog) as registry:
        done = registry.retire(_numbered(model), undo)
    _tell(done, "is a candidate again" if undo else "is retired", None, json_)


@models.command()
def delete(
    model: Annotated[str, VERSION],
    corpus: Annotated[str, CORPUS] = _HERE,
    catalog: Annotated[str | None, CATALOG] = None,
    json_: Annotated[bool, JSON] = False,
) -> None:
    """Delete a retired version and its files, unless something needs it: a triplet that it made, a model that was made
    from it, a rollback.

    Example: `dataclaw models delete tailor@2 --corpus corpus`
    """
    from training.registry import delete as delete_model

    with open_registry(corpus, catalog) as registry:
        done = delete_model(registry, _numbered(model))
    _tell(done, "is deleted", None, json_)


@models.command()
def verify(
    model: Annotated[str | None, typer.Argument(metavar="[NAME[@N]]", help="One model; else all of them.")] = None,
    corpus: Annotated[str, CORPUS] = _HERE,
    catalog: Annotated[str | None, CATALOG] = None,
    json_: Annotated[bool, JSON] = False,
) -> None:
    """Read all files of the models and hold them to their checksums, and their bases where they are on this machine.
    Exits with 1 if anything differs.

    Example: `dataclaw models verify tailor --corpus corpus`
    """
    from dataclaw.text import print_json, print_table
    from training.registry import verify as faults_of

    with open_registry(corpus, catalog) as registry:
        chosen = registry.versions() if model is None else [registry.get(model)]
    found = {one.reference: faults_of(one) for one in chosen}
    if json_:
        print_json(found)
    else:
        print_table(["model", "files"], [[name, "; ".join(faults) or "whole"] for name, faults in found.items()])
    if any(found.values()):
        raise typer.Exit(1)


def open_registry(corpus: str, catalog: str | None) -> Registry:
    """The registry in the catalog that is named, or in that of a corpus."""
    from schemas.errors import CorpusError
    from storage.catalog.registry import Registry
    from storage.corpus import Corpus

    if catalog is None:
        try:
            catalog = Corpus.open(corpus).catalog_url()
        except CorpusError as error:
            problem = error.problem
            raise CorpusError(
                problem.input, problem.cause, "Name the corpus or the database with the models: --corpus, --catalog"
            ) from error
    return Registry.open(catalog)


def _kind(text: str | None) -> ModelKind | None:
    from dataclaw.recipes import domain_named

    match text:
        case "omni" | "experts":
            return text
    return domain_named(text)


def _numbered(text: str) -> str:
    """A reference with a number: what changes a version must say which."""
    from schemas.errors import UsageError
    from schemas.model import parse_reference

    if parse_reference(text)[1] is None:
        raise UsageError(text, "names no version", f"Write its number, such as {text}@1; `dataclaw models` lists them")
    return text


def who() -> str:
    """The person at this terminal, as the registry remembers them."""
    import getpass
    import socket

    return f"{getpass.getuser()}@{socket.gethostname()}"


def _tell(done: ModelVersion, what: str, before: ModelVersion | None, json_: bool) -> None:
    from dataclaw.text import print_json

    if json_:
        print_json(_as_json(done))
        return
    place = "" if before is None or before.reference == done.reference else f", in the place of {before.reference}"
    print(f"{done.reference} ({done.kind}) {what}{place}")


def _as_json(model: ModelVersion) -> dict[str, Any]:
    return {"reference": model.reference, "digest": model.weights.digest, **model.model_dump(mode="json")}


def _facts(model: ModelVersion) -> list[tuple[str, object]]:
    from dataclaw.text import count
    from schemas.base import canonical_json
    from tasks.upkeep import megabytes

    weights, snapshot = model.weights, model.snapshot
    form = "adapter" if weights.is_adapter else "experts and router" if weights.is_set else "whole model"
    promotion = "never" if model.promoted is None else f"{model.promoted:%Y-%m-%d %H:%M} UTC by {model.promoted_by}"
    return [
        ("kind", model.kind),
        ("state", model.state),
        ("backend", model.backend),
        ("base", f"{weights.base.name} ({weights.base.fingerprint[:12]})"),
        (
            "weights",
            f"{form}, {count(len(weights.files), 'file')}, {megabytes(weights.size)}, {weights.digest[:12]}",
        ),
        ("place", model.place),
        ("snapshot", "none" if snapshot is None else f"{snapshot.number} of corpus {snapshot.corpus}"),
        ("parents", ", ".join(model.parents) or "none"),
        ("prompting", canonical_json(model.prompting)),
        ("recipe", f"{model.recipe_hash[:12]} {canonical_json(model.recipe)}"),
        ("code", model.code_version),
        ("registered", f"{model.registered:%Y-%m-%d %H:%M} UTC by {model.registered_by}"),
        ("promoted", promotion),
        *((name, _number(value)) for name, value in sorted(model.metrics.items())),
    ]


def _per_cent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def _number(value: float | None, signed: bool = False) -> str:
    return "" if value is None else f"{value:+.4g}" if signed else f"{value:.4g}"

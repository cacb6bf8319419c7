"""`dataclaw replay`: how a model came to an output, step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from dataclaw.commands.status import CORPUS

if TYPE_CHECKING:
    from schemas.manifest import Manifest
    from schemas.score import Score
    from schemas.trail import Said, Trail
    from schemas.triplet import Triplet
    from storage.corpus import Corpus
    from synthesis.replay import Replayed

_SHORT = 600
"""Characters of a message or an answer that are shown without --full."""


def replay(
    corpus: Annotated[str, CORPUS],
    triplet: Annotated[str, typer.Argument(metavar="TRIPLET", help="The id of a row, or its beginning.")],
    snapshot: Annotated[int | None, typer.Option(help="Its number.", show_default="the newest")] = None,
    ask: Annotated[
        bool, typer.Option("--ask", help="Put the same questions to the model again, pictures made anew.")
    ] = False,
    base_url: Annotated[
        str | None, typer.Option(metavar="URL", help="Of the server to ask.", show_default="that of the run's recipe")
    ] = None,
    catalog: Annotated[str | None, typer.Option(metavar="URL", help="Database of the catalog.")] = None,
    full: Annotated[bool, typer.Option("--full", help="Whole messages and answers.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Every exchange as JSON.")] = False,
) -> None:
    """Show how a row was made: each question to the model, its answer, and the verdict of the rules on it.

    Needs neither model nor raw streams, unless --ask puts the questions again; then it exits with 1 if an answer
    differs.

    Example: `dataclaw replay corpus 3f9c2a`
    """
    from dataclaw.opened import open_snapshot
    from dataclaw.text import print_json
    from schemas.errors import UnsuitedError
    from schemas.trail import Trail
    from synthesis.replay import replay as replayed

    opened, manifest = open_snapshot(corpus, snapshot)
    row = _row(opened, manifest, triplet)
    if row.provenance.trail is None:
        raise UnsuitedError(
            f"row {row.id[:12]}",
            f"it was made by the backend {row.provenance.backend}, which asks no model",
            "`dataclaw view` shows it with its anchors.",
        )
    trail = Trail.model_validate_json(row.provenance.trail)
    steps = replayed(row, trail)
    if ask:
        steps = _asked(opened, row, trail, steps, base_url, catalog)
    if json_:
        print_json([_as_json(step) for step in steps])
    else:
        _show(row, steps, full)
    if any(step.same is False for step in steps):
        raise typer.Exit(1)


def _row(corpus: Corpus, manifest: Manifest, id: str) -> Triplet:
    import pyarrow.compute as pc

    from schemas.errors import UsageError
    from schemas.triplet import Triplet
    from storage import snapshots

    beginning = pc.starts_with(pc.field("id"), id)
    found = snapshots.dataset(corpus, manifest).to_table(filter=beginning)
    if found.num_rows != 1:
        cause = "no row has this id" if not found.num_rows else f"{found.num_rows} rows have ids that begin so"
        raise UsageError(id, cause, "`dataclaw view` and the Parquet files show the ids")
    (row,) = Triplet.from_table(found)
    return row


def _asked(
    corpus: Corpus, row: Triplet, trail: Trail, steps: list[Replayed], base_url: str | None, catalog: str | None
) -> list[Replayed]:
    """The steps with today's answers. Model and server are those of the run's recipe."""
    import asyncio

    from dataclaw.opened import open_catalog
    from schemas.errors import CorpusError
    from schemas.recipe import Recipe
    from synthesis.backends.model import ModelBackend
    from synthesis.backends.roster import backend_class
    from synthesis.replay import ask_again

    with open_catalog(corpus.uri, catalog) as opened:
        text = opened.recipe_of(row.provenance.run)
    if text is None:
        raise CorpusError(
            corpus.uri,
            f"its catalog knows no run {row.provenance.run}",
            "Name the database it was built with: --catalog",
        )
    recipe = Recipe.model_validate_json(text)
    serving = recipe.placement.serving
    if base_url is not None:
        serving = serving.model_copy(update={"base_url": base_url})
    backend = backend_class(row.provenance.backend)(recipe.synthesis, serving)
    assert isinstance(backend, ModelBackend)

    async def run() -> list[Replayed]:
        try:
            return await ask_again(row, steps, backend.chat_of(trail))
        finally:
            await backend.close()

    return asyncio.run(run())


def _show(row: Triplet, steps: list[Replayed], full: bool) -> None:
    from dataclaw.text import count, plain

    provenance = row.provenance
    print(
        f"row {row.id[:12]}: {row.task_type} of {plain(row.streams[0].name)} by {plain(provenance.model or '')}, "
        f"prompts {provenance.prompt_version}, {count(len(steps), 'question')}, {provenance.usage.tokens} tokens"
    )
    for number, step in enumerate(steps, 1):
        exchange = step.exchange
        print(f"\n{number}. {exchange.step} (seed {exchange.seed}, temperature {exchange.temperature:g})")
        for said in step.messages[exchange.kept :]:
            print(f"   {said.role}: {_shortened(_words(said), full)}")
        print(f"   answer ({exchange.finish}): {_shortened(exchange.answer, full)}")
        if step.score is not None:
            print(f"   verdict: {_verdict(step.score)}")
        if step.same is not None:
            print(f"   asked again: {'the same answer' if step.same else 'another answer'}")
            if not step.same and step.again is not None:
                print(f"   now: {_shortened(step.again.text, full)}")
                if step.now is not None:
                    print(f"   verdict now: {_verdict(step.now)}")


def _verdict(score: Score) -> str:
    from dataclaw.text import count, plain

    if score.format_errors:
        return f"not valid: {plain(score.format_errors[0])}"
    if not score.unsupported:
        return f"{count(len(score.supports), 'claim')}, all hold; reward {score.reward:.3f}"
    first = score.unsupported[0]
    return (
        f"{len(score.unsupported)} of {count(len(score.supports), 'claim')} not supported, the first at "
        f"{plain(first.path)}: {plain(first.reason)}"
    )


def _words(said: Said) -> str:
    from schemas.trail import Shown

    parts = [
        f"[picture {part.width} x {part.height} of " + ", ".join(f"{time:.2f} s" for _, time in part.moments) + "]"
        if isinstance(part, Shown)
        else part
        for part in said.parts
    ]
    return "\n".join(parts)


def _shortened(text: str, full: bool) -> str:
    from dataclaw.text import plain

    lines = [plain(line) for line in text.splitlines()]
    whole = "\n     ".join(lines)
    return (
        whole if full or len(whole) <= _SHORT else f"{whole[:_SHORT]} ... ({len(whole)} characters, --full shows all)"
    )


def _as_json(step: Replayed) -> dict[str, Any]:
    return {
        **step.exchange.model_dump(mode="json", exclude={"messages"}),
        "messages": [said.model_dump(mode="json") for said in step.messages],
        "score": None if step.score is None else step.score.model_dump(mode="json"),
        "again": None if step.again is None else step.again.text,
        "same": step.same,
    }

"""`dataclaw view`: the gallery of a corpus."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dataclaw.commands.status import CATALOG, CORPUS

if TYPE_CHECKING:
    from storage.corpus import Corpus


def view(
    corpus: Annotated[str, CORPUS],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="DIR", help="Where the pages go.", show_default="CORPUS/gallery"),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many rows.", show_default="all")] = None,
    snapshot: Annotated[int | None, typer.Option(help="Its number.", show_default="the newest")] = None,
    catalog: Annotated[str | None, CATALOG] = None,
    json_: Annotated[bool, typer.Option("--json", help="Where the gallery is, as JSON.")] = False,
) -> None:
    """Write the gallery: streams, anchors on a timeline, evidence, output and the verdict on every claim.

    Static pages that open from the folder, without a server or a network.

    Example: `dataclaw view corpus --out gallery --limit 50`
    """
    from dataclaw.opened import open_snapshot
    from dataclaw.progress import counting
    from dataclaw.text import count, print_json
    from dataclaw.viewer.gallery import write_gallery
    from schemas.errors import UsageError

    opened, manifest = open_snapshot(corpus, snapshot)
    if out is None:
        if not opened.location.is_local:
            raise UsageError("--out", "the corpus is not on a local disk", "Say where the pages go: --out DIR")
        out = Path(opened.location.path("gallery"))
    total = manifest.statistics.rows if limit is None else min(limit, manifest.statistics.rows)
    with counting(total, "rows") as advance:
        index, shown = write_gallery(
            opened, manifest, out, limit=limit, outcomes=_outcomes(opened, catalog), advance=advance
        )
    if json_:
        print_json({"index": str(index), "snapshot": manifest.number, "rows": shown})
    else:
        print(f"{count(shown, 'row')} of snapshot {manifest.number}: {index.resolve().as_uri()}")


def _outcomes(corpus: Corpus, catalog: str | None) -> dict[str, int] | None:
    """How units ended, when the catalog is at hand; the gallery does without it."""
    if catalog is None and not (corpus.location.is_local and corpus.location.exists("catalog.db")):
        return None
    from storage.catalog.catalog import Catalog

    with Catalog.open(corpus.catalog_url(catalog), corpus) as book:
        status = book.status()
    return {str(outcome): number for outcome, number in status.units.items()} | {"quarantined": status.quarantined}

"""`dataclaw export`: a snapshot as the files that trainers take."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from dataclaw.commands.status import CORPUS

if TYPE_CHECKING:
    from schemas.stream import Domain
    from training.export.contracts import Export

_EVERY = 10.0
"""Seconds between two lines of progress in a pipe."""


class Side(StrEnum):
    """Which rows."""

    TRAIN = "train"
    VALIDATION = "validation"
    ALL = "all"


def export(
    corpus: Annotated[str, CORPUS],
    format_: Annotated[
        str, typer.Option("--format", "-f", help="`trl`, `sharegpt`, `swift`, `webdataset`, `hf` or `jsonl`.")
    ],
    out: Annotated[
        str, typer.Option("--out", "-o", metavar="URI", help="Folder or URI; an earlier export is replaced.")
    ],
    snapshot: Annotated[int | None, typer.Option(help="Its number.", show_default="the newest")] = None,
    split: Annotated[Side, typer.Option(help="Which side; both stay apart.")] = Side.ALL,
    brief: Annotated[bool, typer.Option("--brief", help="Ask without rules and schema.")] = False,
    anchor_tokens: Annotated[int, typer.Option(min=64, help="Bound on the facts told.")] = 6000,
    frames: Annotated[int, typer.Option(min=0, help="At most so many frames are shown; 0: text alone.")] = 16,
    image_side: Annotated[int, typer.Option(min=28, help="Their longer side in pixels.")] = 768,
    tokenizer: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Folder or hub id of the model that counts tokens.")
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(min=1, help="Longer rows are left out and listed.", show_default="no bound")
    ] = None,
    weights: Annotated[
        str | None, typer.Option(metavar="DOMAIN=N,...", help="Of domains against each other.", show_default="all 1")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="What was written, as JSON.")] = False,
) -> None:
    """Write the rows of a snapshot as training data: what a model is asked, the frames it sees, the verified answer.

    Nothing is visible before all of it is there: an export without `export.json` is none.

    Example: `dataclaw export corpus --format trl --out exports/trl --weights gui=2,embodied=1.5`
    """
    from dataclaw.opened import open_snapshot
    from dataclaw.progress import counting
    from dataclaw.text import print_json
    from schemas.triplet import Split
    from storage.location import Location
    from training.export.contracts import Options
    from training.export.run import export_corpus

    options = Options(
        format=format_,
        split=None if split is Side.ALL else Split(split),
        brief=brief,
        anchor_tokens=anchor_tokens,
        frames=frames,
        image_side=image_side,
        tokenizer=tokenizer,
        max_tokens=max_tokens,
        weights=_weights(weights or ""),
    )
    opened, manifest = open_snapshot(corpus, snapshot)
    place = Location.of(out)
    with counting(manifest.statistics.rows, "rows", _EVERY) as advance:
        done = export_corpus(opened, manifest, place, options, advance)
    if json_:
        print_json({"out": place.uri(), **done.model_dump(mode="json")})
    else:
        _tell(done, place.uri())


def _weights(text: str) -> dict[Domain, float]:
    """`gui=2,embodied=1.5`."""
    from schemas.errors import UsageError, unknown_name
    from schemas.stream import Domain

    known = [str(domain) for domain in Domain]
    found = {}
    for item in filter(None, text.split(",")):
        name, _, number = item.partition("=")
        if name.strip() not in known:
            raise unknown_name("domain", name.strip(), known, "--weights")
        try:
            weight = float(number)
        except ValueError:
            weight = 0.0
        if not 0.0 < weight < float("inf"):
            raise UsageError("--weights", f"{item!r} gives no weight above 0", "Write them as gui=2,embodied=1.5")
        found[Domain(name.strip())] = weight
    return found


def _tell(done: Export, where: str) -> None:
    from dataclaw.text import count, print_facts

    print(f"{count(done.rows, 'row')} of snapshot {done.snapshot} as {done.options.format}: {where}")
    facts = []
    for split, part in done.splits.items():
        said = [count(part.rows, "row"), count(part.pictures, "picture"), count(len(part.shards), "shard")]
        if part.prompt_tokens is not None and part.completion_tokens is not None:
            said.append(f"{part.prompt_tokens:,} tokens of prompts and {part.completion_tokens:,} of completions")
        facts.append((str(split), ", ".join(said)))
    if done.left_out:
        reasons = ", ".join(f"{number:,} {reason}" for reason, number in done.left_out.items())
        facts.append(("left out", f"{reasons}  (listed in left_out/)"))
    print_facts(facts)

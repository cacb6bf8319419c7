"""`dataclaw samples`: small raw streams with known ground truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def samples(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write them; one folder per domain.")],
    seed: Annotated[int, typer.Option(help="The same seed gives the same streams.")] = 0,
    json_: Annotated[bool, typer.Option("--json", help="The list of files as JSON.")] = False,
) -> None:
    """Make small raw streams of all five domains, with known ground truth, to try DataClaw on.

    Example: `dataclaw samples streams --seed 1`
    """
    from dataclaw.text import count, plain, print_json
    from sources.samples import make_samples

    make_samples(folder, seed)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if json_:
        print_json({"folder": str(folder), "seed": seed, "files": [str(path.relative_to(folder)) for path in files]})
        return
    for domain in sorted(path for path in folder.iterdir() if path.is_dir()):
        inside = [path for path in files if domain in path.parents]
        print(f"{plain(domain)}: {count(len(inside), 'file')}")
    typer.echo(f"Next: dataclaw plan --intent 'Make a tutorial from this lesson' {plain(folder / 'education')}")

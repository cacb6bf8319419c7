"""Small raw streams with known ground truth for all five domains, made from nothing but a seed."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

__all__ = ["make_samples"]


def make_samples(folder: str | PathLike[str], seed: int = 0) -> list[Path]:
    """Writes one folder of streams per domain, each stream with a truth file beside or in it (`*truth.json`).

    The same seed gives the same bytes with the same versions of the libraries. What is there before is overwritten.

    Returns:
        Every file below the folder.
    """
    from sources.samples import aigc, daily_life, education, embodied, gui

    root = Path(folder)
    for domain in (daily_life, education, gui, embodied, aigc):
        place = root / domain.__name__.rpartition(".")[2]
        place.mkdir(parents=True, exist_ok=True)
        domain.make(place, seed)
    return sorted(path for path in root.rglob("*") if path.is_file())

"""Words for people: text from streams made safe to print, numbers made easy to read, tables for terminal and pipe."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from tasks.words import count as count

_HASH = re.compile(r"[0-9a-f]{32,}")


def plain(value: object, width: int | None = None) -> str:
    """A value as one printable line: control characters (newlines, escape sequences, direction marks) are escaped.

    With `width`, what is longer loses its middle, since paths and messages tell most at their ends.
    """
    text = "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii") for letter in str(value)
    )
    if width is not None and len(text) > width:
        head = (width - 1) // 2
        text = f"{text[:head]}…{text[len(text) - (width - 1 - head) :]}"
    return text


def shortened(value: object, width: int) -> str:
    """Text that fits into a width; of a hash, which nobody reads, only its beginning."""
    text = " ".join(str(value).split())
    return f"{text[:8]}…" if _HASH.fullmatch(text) else plain(text, width)


def seconds(value: float) -> str:
    """A duration: `0.8 s`, `42 s`, `3 min 20 s`, `2 h 05 min`."""
    if value < 10:
        return f"{value:.1f} s"
    whole = round(value)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def print_json(value: Any) -> None:
    """JSON for programs, on stdout, non-ASCII letters as they are."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2, default=str) + "\n")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str = "") -> None:
    """A table on a terminal; in a pipe, the same as plain lines with columns set apart by tabs and nothing cut."""
    cells = [[plain(cell) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        if title:
            print(title)
        for row in [list(columns), *cells]:
            print("\t".join(row).rstrip())
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title) if title else None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        table.add_column(Text(name), overflow="fold")
    for row in cells:
        table.add_row(*(Text(cell) for cell in row))  # Text, not markup: `[red]` in a file name is a file name
    Console().print(table)


def print_facts(facts: Iterable[tuple[str, object]]) -> None:
    """Names and values, one pair a line, values aligned; in a pipe set apart by a tab."""
    pairs = [(name, plain(value)) for name, value in facts]
    if sys.stdout.isatty():
        width = max((len(name) for name, _ in pairs), default=0)
        for name, value in pairs:
            print(f"  {name:<{width}}  {value}")
    else:
        for name, value in pairs:
            print(f"{name}\t{value}")

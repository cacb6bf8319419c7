"""Labels of one's own: `labels.jsonl` beside streams or in a folder above them.

A row is `{"stream", "kind", "t0", "t1", "content", "box", "point"}`. `stream` is a path relative to the file's folder
(`film.mp4`, with or without its suffix; `robots#3`, `drawings.npz#train/0` for a member of a data set), t1 may be left
out for a moment, `box` is [x0, y0, x1, y1] and `point` [x, y] in shares of the frame. A row without `t0` says how far
the labels of its kind reach: `{"stream", "kind"}` alone that the kind was looked for, `"complete": false` that not all
of it is labelled, `"window": [t0, t1]` where it was looked for.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from benchmark.experts.labels.base import Label, Labels, folders_above, place_of
from schemas.base import Contract
from schemas.errors import InputError
from schemas.geometry import Box, Point, Unit
from schemas.stream import Seconds, Stream

NAME = "labels.jsonl"


class Row(Contract):
    """A line of labels.jsonl."""

    stream: Annotated[str, Field(min_length=1)]
    kind: Annotated[str, Field(pattern=r"^[a-z_]+\.[a-z_]+$")]
    t0: Seconds | None = None
    t1: Seconds | None = None
    content: str = ""
    box: tuple[Unit, Unit, Unit, Unit] | None = None
    point: tuple[Unit, Unit] | None = None
    complete: bool = True
    window: tuple[Seconds, Seconds] | None = None


def folder_labels(stream: Stream) -> Iterator[Labels]:
    """The labels that the nearest labels.jsonl holds for a stream.

    Raises:
        InputError: a line is no label.
    """
    place, selector = place_of(stream)
    for folder in folders_above(place):
        file = folder / NAME
        if not file.is_file():
            continue
        # A data set's own folder may hold the file: its members then go by their selector alone.
        name = "" if place.resolve() == folder else place.resolve().relative_to(folder).as_posix()
        mark = f"#{selector}" if selector else ""
        names = {f"{name}{mark}", f"{name.removesuffix(place.suffix)}{mark}"}
        rows = [row for row in _rows(file, file.stat().st_mtime_ns) if row.stream in names]
        for kind in dict.fromkeys(row.kind for row in rows):
            yield _labels(kind, [row for row in rows if row.kind == kind])
        if rows:
            return


def _labels(kind: str, rows: list[Row]) -> Labels:
    members = tuple(
        Label(
            t0=row.t0,
            t1=row.t0 if row.t1 is None else row.t1,
            content=row.content,
            box=Box.clipped(*row.box) if row.box else None,
            point=Point(x=row.point[0], y=row.point[1]) if row.point else None,
        )
        for row in rows
        if row.t0 is not None
    )
    window = next((row.window for row in rows if row.window is not None), None)
    return Labels(kind, members, NAME, complete=all(row.complete for row in rows), window=window)


@lru_cache(maxsize=16)
def _rows(file: Path, changed: int) -> tuple[Row, ...]:
    """The rows of a file as it stood when it was last changed."""
    rows = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = Row.model_validate(json.loads(line))
            if row.t0 is not None and row.t1 is not None and row.t1 < row.t0:
                raise ValueError("t1 lies before t0")
        except (ValidationError, ValueError) as error:
            first = error.errors()[0] if isinstance(error, ValidationError) else None
            cause = f"{'.'.join(map(str, first['loc']))}: {first['msg']}" if first else str(error)
            raise InputError(
                f"{file}:{number}", f"is no label: {cause}", "docs/benchmark-experts.md shows the format"
            ) from error
        rows.append(row)
    return tuple(rows)

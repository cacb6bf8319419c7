"""AgentNet raw episodes: what people kept of the log as actions, and the text in accessibility trees."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmark.experts.labels.base import Label, Labels, place_of
from schemas.anchor import AnchorKind
from schemas.geometry import Box
from schemas.stream import Stream

REDUCED = "reduced_events_complete.jsonl"
_EDGE = 0.01
"""Share of the screen by which a pointer may lie beyond it."""
_TEXT_ROLES = {"TextControl", "ListItemControl", "MenuItemControl", "TabItemControl", "HyperlinkControl"}
"""Roles whose name is written on the screen. That of a button is often only spoken."""


def agentnet_labels(stream: Stream) -> Iterator[Labels]:
    """Actions (people took some out, so that only recall can be known) and on-screen words with the element's box.

    Boxes lie where the elements are until the pointer first leaves the recorded screen: then its scaling has changed.
    """
    if stream.format != "agentnet":
        return
    place, _ = place_of(stream)
    metadata = json.loads((place / "metadata.json").read_text(encoding="utf-8"))
    start = float(metadata["video_start_timestamp"])
    size = float(metadata["screen_width"]), float(metadata["screen_height"])
    actions: dict[AnchorKind, list[Label]] = {}
    for row in _rows(place / REDUCED):
        kind = _kind(row)
        if kind is not None:
            actions.setdefault(kind, []).append(Label(row["start_time"] - start, row["end_time"] - start))
    for kind, labels in actions.items():
        yield Labels(kind, tuple(labels), REDUCED, complete=False)
    until = min(
        (row["time_stamp"] - start for row in _rows(place / "events.jsonl") if _beyond(row, size)), default=None
    )
    trees = [(row["time_stamp"] - start, row["axtree"]) for row in _rows(place / "a11y.jsonl")]
    texts = tuple(
        Label(time, time, name, box)
        for time, tree in trees
        if time >= 0 and (until is None or time < until)
        for name, box in _texts(tree, size)
    )
    if texts:
        window = (0.0, stream.duration if until is None else until)
        yield Labels(AnchorKind.SCREEN_TEXT, texts, "a11y.jsonl", complete=False, words_only=True, window=window)


def _rows(file: Path) -> list[dict[str, Any]]:
    if not file.is_file():
        return []
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]


def _kind(row: dict[str, Any]) -> AnchorKind | None:
    action, words = row["action"], row.get("description", "").lower()
    if action == "click":
        if "double" in words:
            return AnchorKind.DOUBLE_CLICK
        return AnchorKind.RIGHT_CLICK if "right" in words else AnchorKind.CLICK if "left" in words else None
    return {"drag": AnchorKind.DRAG, "scroll": AnchorKind.WHEEL}.get(action)


def _beyond(row: dict[str, Any], size: tuple[float, float]) -> bool:
    if row.get("action") not in ("move", "click"):
        return False
    return any(not -_EDGE <= row[axis] / side <= 1 + _EDGE for axis, side in zip(("x", "y"), size, strict=True))


def _texts(tree: dict[str, Any], size: tuple[float, float]) -> Iterator[tuple[str, Box]]:
    """Names of the leaves that are text and lie on the screen, with their boxes."""
    children = tree.get("Children") or []
    for child in children:
        yield from _texts(child, size)
    name, sides = str(tree.get("Name", "")).strip(), tree.get("BoundingRectangle") or {}
    if children or not name or tree.get("ControlType") not in _TEXT_ROLES or not sides:
        return
    left, right = sides["left"] / size[0], sides["right"] / size[0]
    top, bottom = sides["top"] / size[1], sides["bottom"] / size[1]
    if 0 <= left < right <= 1 and 0 <= top < bottom <= 1:
        yield name, Box(x0=left, y0=top, x1=right, y1=bottom)

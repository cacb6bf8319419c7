"""Texts that come with streams, straight from the files that hold them: instructions of edits, names of tasks."""

from __future__ import annotations

import json
from collections.abc import Iterator

from benchmark.experts.labels.base import Label, Labels, place_of
from schemas.anchor import AnchorKind
from schemas.stream import Stream

_MARKS = {"valid", "invalid"}
"""What some LeRobot sets list among the tasks to say whether the episode is good. It is no text for anybody."""


def given_labels(stream: Stream) -> Iterator[Labels]:
    """`pairs.json` of image edits, `task_name.json` of AgentNet, `meta/episodes.jsonl` of LeRobot. A stream may carry
    more texts than these."""
    place, selector = place_of(stream)
    texts, source = [], ""
    if stream.format == "image_edits" and (file := place / "pairs.json").is_file():
        source = file.name
        pairs = json.loads(file.read_text(encoding="utf-8"))
        texts = [pair["instruction"] for pair in pairs if str(pair["id"]) == selector.partition("/")[0]]
    elif stream.format == "agentnet" and (file := place / "task_name.json").is_file():
        source = file.name
        texts = [json.loads(file.read_text(encoding="utf-8"))["task_name"]]
    elif stream.format == "lerobot" and (file := place / "meta" / "episodes.jsonl").is_file():
        source = f"meta/{file.name}"
        rows = (json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip())
        texts = [text for row in rows if str(row["episode_index"]) == selector for text in row["tasks"]]
        texts = [text for text in texts if text not in _MARKS]
    labels = tuple(Label(0.0, stream.duration, " ".join(text.split())) for text in texts if text.strip())
    if labels:
        yield Labels(AnchorKind.GIVEN_TEXT, labels, source, complete=False, timed=False)

"""The dataset card: what `datasets` and the hub read at its head, and what people read below."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import yaml

from training.export.contracts import Export

_MEANING = {
    "prompt": "what a model is asked, as messages; facts and frames are those of the row",
    "completion": "the verified output as JSON, its keys in the order of its schema",
    "messages": "question and answer as messages",
    "intent": "what was wished for, in a person's words",
    "instruction": "the wish as a task",
    "output": "the answer alone: the verified output as JSON",
    "images": "the frames shown, in the order of their places in the messages",
    "id": "of the row in the corpus: a digest of streams, task, anchors and output",
    "domain": "daily_life, education, gui, embodied or aigc",
    "task_type": "the form of the output",
    "streams": "SHA-256 of the recordings it was made from",
    "split": "no recording, nor one that looks like it, is in both",
    "weight": "of the row's domain; the mean over a split is 1",
    "prompt_tokens": "by the tokenizer that the export names, pictures included",
    "completion_tokens": "likewise",
}


def card(export: Export, schema: pa.Schema) -> str:
    """README.md of a dataset in Parquet."""
    head = {
        "dataset_info": {"features": [_feature(field) for field in schema]},
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": str(split), "path": f"data/{split}-*"} for split in export.splits],
            }
        ],
        "tags": ["dataclaw"],
    }
    left = ", ".join(f"{number:,} {reason}" for reason, number in export.left_out.items()) or "none"
    columns = "\n".join(f"| `{name}` | {_MEANING[name]} |" for name in schema.names)
    splits = "\n".join(
        f"| {split} | {part.rows:,} | {part.pictures:,} | "
        + ", ".join(f"{name} {number:,}" for name, number in part.by_domain.items())
        + " |"
        for split, part in export.splits.items()
    )
    return f"""---
{yaml.safe_dump(head, sort_keys=False).strip()}
---
# {export.corpus_name}, snapshot {export.snapshot}

Made by DataClaw {export.dataclaw_version} from snapshot {export.snapshot} of the corpus `{export.corpus}`. Every claim
of an answer was checked against what was measured in its recordings. `export.json` says what was asked for.

| split | rows | pictures | domains |
|---|---|---|---|
{splits}

Left out: {left}.

| column | meaning |
|---|---|
{columns}
"""


def _feature(field: pa.Field) -> dict[str, Any]:
    """A column as the head of a card declares it."""
    if field.name == "images":
        return {"name": "images", "list": "image"}
    return {"name": field.name} | _kind(field.type)


def _kind(kind: pa.DataType) -> dict[str, Any]:
    if pa.types.is_list(kind):
        inner = _kind(kind.value_type)
        return {"list": inner.get("dtype", inner.get("struct"))}
    if pa.types.is_struct(kind):
        return {"struct": [_feature(field) for field in kind]}
    return {"dtype": "float64" if pa.types.is_float64(kind) else str(kind)}

"""Every format, one line each, loaded only when used. Plugins join by the entry point `dataclaw.exports`."""

from __future__ import annotations

from schemas.roster import Roster

FORMATS = Roster(
    "format",
    "dataclaw.exports",
    {
        "trl": "training.export.formats.trl:TRL",
        "sharegpt": "training.export.formats.sharegpt:ShareGPT",
        "swift": "training.export.formats.swift:Swift",
        "webdataset": "training.export.formats.webdataset:WebDataset",
        "hf": "training.export.formats.hf:HuggingFace",
        "jsonl": "training.export.formats.jsonl:PlainJsonLines",
    },
)

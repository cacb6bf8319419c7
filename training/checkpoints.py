"""Checkpoints that say whether they are whole."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import shutil
from pathlib import Path

log = logging.getLogger(__name__)
SEAL = "sealed.json"
"""Sizes and SHA-256 of a checkpoint's files, written last."""
_NAME = re.compile(r"checkpoint-(\d+)")
_CHUNK = 1 << 22


def seal(folder: Path) -> None:
    """Notes what the files of a finished checkpoint are."""
    noted = {name: [path.stat().st_size, _sha256(path)] for name, path in _files(folder).items()}
    part = folder / f"{SEAL}.part"
    part.write_text(json.dumps(noted))
    part.replace(folder / SEAL)


def broken(folder: Path) -> str | None:
    """What is wrong with a checkpoint; None when it is whole."""
    try:
        noted: dict[str, list[object]] = json.loads((folder / SEAL).read_text())
    except (OSError, ValueError):
        return "it was not finished"
    there = _files(folder)
    for name, (size, sha256) in noted.items():
        if name not in there:
            return f"{name} is missing"
        if there[name].stat().st_size != size or _sha256(there[name]) != sha256:
            return f"{name} is not what was written"
    return None


def newest(out: Path) -> Path | None:
    """The newest whole checkpoint of a run; broken ones are passed over and set aside."""
    found = sorted(
        ((int(match[1]), path) for path in out.glob("checkpoint-*") if (match := _NAME.fullmatch(path.name))),
        reverse=True,
    )
    for _, path in found:
        why = broken(path)
        if why is None:
            return path
        log.warning("%s is passed over: %s", path, why)
        aside = path.with_name(f"broken-{path.name}")
        shutil.rmtree(aside, ignore_errors=True)
        path.rename(aside)
    return None


def _files(folder: Path) -> dict[str, Path]:
    return {
        str(path.relative_to(folder)): path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in (SEAL, f"{SEAL}.part")
    }


def _sha256(path: Path) -> str:
    state = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            state.update(chunk)
    return state.hexdigest()

"""The files of registered models: stored by content, and had by any machine that is to load them.

<root>/<name>/<digest>/...             the files, as a loader wants to find them
<root>/<name>/<digest>/weights.json    what they are, written last; the digest is its own

A set of experts has their adapters in folders of its own (schemas.model.ExpertSet).

The root is a folder or a URI. Files on a disk are loaded where they lie; others are fetched once to this machine.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from filelock import FileLock
from pydantic import ValidationError

from schemas.errors import CorpusError, UsageError
from schemas.model import ADAPTER, EXPERTS, ROUTER, Base, ExpertSet, ModelFile, Weights
from storage.location import Location

FOLDER = "models"
"""Of a corpus: the root for models that were trained on it."""
MARKER = "weights.json"
SUFFIXES = frozenset({".safetensors", ".json", ".jinja", ".txt", ".model"})
"""What models, tokenizers and processors are loaded from. Pickles (`.bin`, `.pt`) are not: to load one is to run it."""


def model_files(folder: Path) -> Iterator[Path]:
    """The files of a model in a folder, by name: those that a model is loaded from, of the folder itself, and of a set
    of experts those of its members. Checkpoints and states of optimisers lie in other folders below.

    Raises:
        UsageError: there is no model in the folder.
    """
    if (folder / EXPERTS).is_file():
        yield from (folder / EXPERTS, folder / ROUTER)
        for member in sorted(ExpertSet.model_validate_json((folder / EXPERTS).read_bytes()).members):
            yield from model_files(folder / member)
        return
    found = sorted(path for path in folder.glob("*") if path.is_file() and path.suffix in SUFFIXES)
    found = [path for path in found if path.name != MARKER and not path.name.startswith(".")]
    names = {path.name for path in found}
    if not (names & {ADAPTER, "config.json"} and any(path.suffix == ".safetensors" for path in found)):
        cause = f"holds no model: neither {ADAPTER} nor config.json with weights as .safetensors"
        raise UsageError(folder, cause, "Name the folder that save_pretrained wrote")
    yield from found


def describe(folder: Path) -> tuple[ModelFile, ...]:
    """The files of a model with their sizes and SHA-256.

    Raises:
        UsageError: there is no model in the folder.
    """
    return tuple(
        ModelFile(path=path.relative_to(folder).as_posix(), sha256=sha256_of(path), size=path.stat().st_size)
        for path in model_files(folder)
    )


def store(folder: Path, base: Base, root: Location, name: str) -> tuple[Weights, Location]:
    """Stores the files of a model, those that are there already but once; says what they are and where they lie.

    Raises:
        UsageError: there is no model in the folder.
        CorpusError: they cannot be written.
    """
    weights = Weights(base=base, files=describe(folder))
    place = root.join(f"{name}/{weights.digest}")
    for file in weights.files:
        if place.size(file.path) != file.size:
            place.upload(folder / file.path, file.path)
    place.replace(MARKER, weights.model_dump_json(indent=2).encode())
    return weights, place


def is_stored(place: Location, weights: Weights) -> bool:
    """Whether all files are there, by their sizes."""
    return _marked(place) == weights and all(place.size(file.path) == file.size for file in weights.files)


def fetch(place: Location, digest: str) -> Path:
    """A folder of this machine with the files of a model: where they lie on a disk, else a copy in the cache
    (`$XDG_CACHE_HOME/dataclaw/models`), made once and checked against its checksums.

    Raises:
        CorpusError: files are missing, or are not what was registered.
    """
    weights = _read(place, digest)
    if place.is_local:
        for file in weights.files:
            if place.size(file.path) != file.size:
                raise _broken(place.uri(file.path), "is missing or cut off")
        return Path(place.root)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "dataclaw" / "models"
    cache.mkdir(parents=True, exist_ok=True)
    target = cache / digest
    with FileLock(cache / f".{digest}.lock"):  # many workers of a machine start at once
        if not target.is_dir():
            with tempfile.TemporaryDirectory(dir=cache, prefix=".") as scratch:
                copy = Path(scratch, digest)
                copy.mkdir()
                for file in weights.files:
                    (copy / file.path).parent.mkdir(exist_ok=True)
                    place.download(file.path, copy / file.path)
                    if sha256_of(copy / file.path) != file.sha256:
                        raise _broken(place.uri(file.path), "does not have its checksum")
                shutil.copymode(cache, copy)
                os.rename(copy, target)
    return target


def read(place: Location, digest: str, path: str) -> bytes:
    """One file of a model, checked.

    Raises:
        CorpusError: it is missing, or not what was registered.
    """
    file = next((file for file in _read(place, digest).files if file.path == path), None)
    if file is None:
        raise _broken(place.uri(path), "is none of its files")
    data = place.read_bytes(path)
    if hashlib.sha256(data).hexdigest() != file.sha256:
        raise _broken(place.uri(path), "does not have its checksum")
    return data


def faults(place: Location, weights: Weights) -> list[str]:
    """What is wrong with the stored files, by their checksums; every byte is read."""
    found = [] if _marked(place) == weights else [f"{MARKER} is missing or not what was registered"]
    for file in weights.files:
        if (size := place.size(file.path)) is None:
            found.append(f"{file.path} is missing")
        elif size != file.size:
            found.append(f"{file.path} has {size} bytes, not {file.size}")
        else:
            with place.open(file.path) as stored:
                if hashlib.file_digest(cast(Any, stored), "sha256").hexdigest() != file.sha256:
                    found.append(f"{file.path} does not have its checksum")
    return found


def remove(place: Location, weights: Weights) -> None:
    """Removes the files; the marker first, so that what is left half removed is no model."""
    for path in (MARKER, *(file.path for file in weights.files)):
        place.remove(path)


def sha256_of(path: Path) -> str:
    """Of a file of this machine."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(place: Location, digest: str) -> Weights:
    weights = _marked(place)
    if weights is None or weights.digest != digest:
        raise _broken(place.uri(MARKER), "is missing or not what was registered")
    return weights


def _marked(place: Location) -> Weights | None:
    """What the marker says; None when there is none that can be read."""
    if not place.exists(MARKER):
        return None
    try:
        return Weights.model_validate_json(place.read_bytes(MARKER))
    except ValidationError:
        return None


def _broken(place: str, cause: str) -> CorpusError:
    return CorpusError(place, cause, "`dataclaw models verify` looks at all files; register the model again")

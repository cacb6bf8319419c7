"""Trainings as files: YAML (or JSON, which YAML contains) at a path or URI."""

from __future__ import annotations

import os
from os import PathLike
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from schemas.training import Training
from storage.access import Access, access_of_run
from storage.location import Location
from storage.recipes import absolute, explained, read_yaml


def training_of_run(given: Training | str, *, sent: bool) -> Training:
    """The training of a run.

    Args:
        given: a training, or the path or URI of one.
        sent: it came over a network, as the parameter of a deployment. It reaches what :mod:`storage.access` allows.

    Raises:
        UsageError: as :func:`load_training`, or it leads where nothing may be reached.
    """
    access = access_of_run(sent)
    if isinstance(given, str):
        training = load_training(given, access)
    else:
        training = Training.model_validate(_placed(given.model_dump(), Location.of(os.getcwd())))
    if access is not None:
        access.check_training(training)
    return training


def load_training(uri: str | PathLike[str], access: Access | None = None) -> Training:
    """Reads a training. Folders in it are relative to the file, so that it works from anywhere.

    Args:
        uri: where it lies.
        access: what it may reach; None for a file of this machine's user.

    Raises:
        UsageError: it cannot be read, is not YAML, or is no training; names every wrong key and its place.
    """
    if access is not None:
        access.check(os.fspath(uri), "training")
    content, location = read_yaml(uri, "training", "name, model, sft, grpo; see docs/training.md")
    try:
        return Training.model_validate(_placed(content, location))
    except ValidationError as error:
        raise explained(uri, error, Training, "docs/training.md") from error


def going_on(training: Training, folder: Path) -> Training:
    """A training that begins with what another one made: an adapter, or a model of its own."""
    key = "adapter" if (folder / "adapter_config.json").exists() else "name"
    return training.model_copy(update={"model": training.model.model_copy(update={key: str(folder)})})


def _placed(content: dict[str, Any], location: Location) -> dict[str, Any]:
    """The keys of a training with its folders made absolute: whoever trains may work elsewhere."""
    placed = dict(content)
    if isinstance(model := content.get("model"), dict):
        placed["model"] = model | {key: _found(model[key], location) for key in ("name", "adapter") if key in model}
    benchmark = content.get("benchmark")
    if isinstance(benchmark, dict) and isinstance(benchmark.get("val"), str):
        placed["benchmark"] = benchmark | {"val": absolute(benchmark["val"], location)}
    return placed


def _found(name: Any, location: Location) -> Any:
    """The folder of a model if there is one, seen from the file; else the name of a hub."""
    if not isinstance(name, str) or not location.is_local:
        return name
    folder = os.path.join(location.root, os.path.expanduser(name))
    return os.path.normpath(folder) if os.path.isdir(folder) or name.startswith((".", "/", "~")) else name

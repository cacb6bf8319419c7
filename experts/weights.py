"""Where the experts with neural weights find them, and on which device they run. Torch is imported only when used."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from schemas.errors import Problem, UsageError, extra

EXTRA = extra("experts")


def device_of(wanted: str = "auto") -> str:
    """The torch device to run on: the one wanted; for `auto`, the first GPU when there is one, else the CPU.

    Raises:
        UsageError: a GPU is wanted and none is there.
    """
    import torch

    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        raise UsageError(f"device {wanted}", "no GPU is visible to torch", "Choose device: auto or cpu.")
    return wanted


def lacking_packages(expert: str, *modules: str) -> list[Problem]:
    """A problem for every package that an expert imports and that is not installed."""
    return not_installed(f"expert {expert}", EXTRA, *modules)


def not_installed(what: str, remedy: str, *modules: str) -> list[Problem]:
    """A problem for every module that is not there; none of them is imported."""
    return [
        Problem(input=what, cause=f"the package {module} is not installed", remedy=remedy)
        for module in modules
        if find_spec(module) is None
    ]


def weights_folder(expert: str, weights: str) -> Path:
    """The folder of a model: a local path, or a hub id that is in the local cache or can be fetched into it.

    Raises:
        UsageError: neither a folder nor a hub id that can be had; names the expert and what to do.
    """
    local = Path(weights).expanduser()
    if local.is_dir():
        return local
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    remedy = "Give `weights` as the folder of a downloaded model, or fetch it once with `hf download` while online."
    try:
        return Path(snapshot_download(weights, local_files_only=True))
    except HFValidationError as error:
        raise UsageError(f"expert {expert}", f"its weights {weights!r} are no folder and no hub id", remedy) from error
    except LocalEntryNotFoundError:
        pass
    try:
        return Path(snapshot_download(weights))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        cause = f"its weights {weights!r} are not on this machine and could not be fetched ({type(error).__name__})"
        raise UsageError(f"expert {expert}", cause, remedy) from error
